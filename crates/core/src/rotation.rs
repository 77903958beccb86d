//! Rotation of a secret: the new one works at once, the old one beside it for a while, so that nobody has to change all
//! clients in the same instant.

use crate::{Malformed, Timestamp};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// An old secret works at most this long beside the new one: 7 days.
const OVERLAP_MAX_MS: i64 = 7 * 24 * HOUR_MS;
/// And this long unless told: 24 hours.
const OVERLAP_DEFAULT_MS: i64 = 24 * HOUR_MS;
/// An old secret that nobody used for this long closes by itself: 24 hours.
pub const SILENCE_MS: i64 = 24 * HOUR_MS;

/// How long the old secret works beside the new one. None at all is for emergencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap(i64);

impl Overlap {
    /// The most hours that can be asked for.
    pub const HOURS_MAX: i64 = OVERLAP_MAX_MS / HOUR_MS;

    /// So many hours.
    ///
    /// # Errors
    /// When it is more than seven days, or less than none.
    pub fn hours(hours: i64) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "hours from 0 (at once) to 168 (7 days)",
        };
        let millis = hours.checked_mul(HOUR_MS).ok_or(malformed)?;
        if (0..=OVERLAP_MAX_MS).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(malformed)
        }
    }

    /// Whether the old secret ends at once.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// When the old secret closes, by a rotation at `now`.
    #[must_use]
    pub const fn closes(self, now: Timestamp) -> Timestamp {
        now.plus_millis(self.0)
    }
}

impl Default for Overlap {
    fn default() -> Self {
        Self(OVERLAP_DEFAULT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_secret_works_for_a_week_at_most() {
        for (hours, taken) in [
            (0, true),
            (24, true),
            (168, true),
            (169, false),
            (-1, false),
        ] {
            assert_eq!(Overlap::hours(hours).is_ok(), taken, "{hours}");
        }
        assert!(Overlap::hours(i64::MAX).is_err());
        assert_eq!(Overlap::hours(24), Ok(Overlap::default()));
    }
}
