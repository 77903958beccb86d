//! Rotation of a secret: the new one works at once, the old one beside it for a while, so that nobody has to change all
//! clients in the same instant.

use crate::{Malformed, Timestamp};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// An old secret works at most this long beside the new one: 7 days.
const OVERLAP_MAX_MS: i64 = 7 * 24 * HOUR_MS;
/// And this long unless told: 24 hours.
const OVERLAP_DEFAULT_MS: i64 = 24 * HOUR_MS;
/// An old secret that nobody used for this long closes by itself: 24 hours.
const SILENCE_MS: i64 = 24 * HOUR_MS;

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
}

impl Default for Overlap {
    fn default() -> Self {
        Self(OVERLAP_DEFAULT_MS)
    }
}

/// A rotation of an API key, a signing key or a webhook endpoint: the same for all, whatever is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Since when the new secret works.
    pub rotated: Timestamp,
    /// When the old one stops working, or did; before, if it falls silent.
    pub closes: Timestamp,
}

impl Rotation {
    /// A rotation at `now`.
    #[must_use]
    pub const fn begun(overlap: Overlap, now: Timestamp) -> Self {
        Self {
            rotated: now,
            closes: now.plus_millis(overlap.0),
        }
    }

    /// The same, ended at `now` if it was not over before.
    #[must_use]
    pub fn ended(self, now: Timestamp) -> Self {
        Self {
            closes: self.closes.min(now),
            ..self
        }
    }

    /// Whether the old secret works at this time.
    #[must_use]
    pub fn overlaps(self, now: Timestamp) -> bool {
        self.closes > now
    }

    /// Whether nobody has used the old secret, which was used last at `last_use`, for as long as it takes to end it.
    #[must_use]
    pub fn is_silent(self, last_use: Option<Timestamp>, now: Timestamp) -> bool {
        let since = Self::silent_since(now);
        self.rotated <= since && last_use.is_none_or(|last| last <= since)
    }

    /// What began, and was used last, at this time or before, is silent at `now`.
    #[must_use]
    pub const fn silent_since(now: Timestamp) -> Timestamp {
        now.plus_millis(-SILENCE_MS)
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

    #[test]
    fn an_old_secret_works_until_it_closes_and_not_at_that_time() {
        let now = Timestamp::from_millis(0);
        let rotation = Rotation::begun(Overlap::hours(1).unwrap(), now);
        for (at, works) in [(0, true), (HOUR_MS - 1, true), (HOUR_MS, false)] {
            assert_eq!(rotation.overlaps(now.plus_millis(at)), works, "{at}");
        }
        assert!(!Rotation::begun(Overlap::hours(0).unwrap(), now).overlaps(now));
        let (ended, later) = (rotation.ended(now.plus_millis(1)), now.plus_millis(2));
        assert!(!ended.overlaps(later));
        assert_eq!(ended.ended(later), ended);
    }

    #[test]
    fn silence_counts_from_the_last_use_and_no_earlier_than_the_rotation() {
        let now = Timestamp::from_millis(0);
        let rotation = Rotation::begun(Overlap::default(), now);
        for (last_use, at, silent) in [
            (None, SILENCE_MS - 1, false),
            (None, SILENCE_MS, true),
            (Some(-HOUR_MS), SILENCE_MS - 1, false),
            (Some(HOUR_MS), SILENCE_MS, false),
            (Some(HOUR_MS), HOUR_MS + SILENCE_MS, true),
        ] {
            let last_use = last_use.map(|at| now.plus_millis(at));
            let found = rotation.is_silent(last_use, now.plus_millis(at));
            assert_eq!(found, silent, "{last_use:?} {at}");
        }
    }
}
