//! Rates: how much may be done in a minute, how much of it at once, and the decision (GCRA, the generic cell rate algorithm).
//!
//! A cell's whole state is one instant: when what was taken so far will have been earned. Time is whole microseconds.

use crate::{Malformed, limits::RATE_MAX};

const MINUTE_US: i64 = 60_000_000;
const SECOND_US: i64 = 1_000_000;
/// The window that rates are told in, in seconds.
pub const WINDOW_S: i64 = 60;

/// So many units a minute, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_minute: i64,
    burst: i64,
}

impl Rate {
    /// `per_minute` units in a minute on the average, `burst` of them at once after a quiet time.
    ///
    /// # Errors
    /// Unless both are from 1 to ten million.
    pub const fn new(per_minute: i64, burst: i64) -> Result<Self, Malformed> {
        let sound = per_minute >= 1 && per_minute <= RATE_MAX && burst >= 1 && burst <= RATE_MAX;
        if sound {
            Ok(Self { per_minute, burst })
        } else {
            Err(Malformed {
                expected: "a rate and a burst from 1 to 10000000",
            })
        }
    }

    /// Units a minute.
    #[must_use]
    pub const fn per_minute(self) -> i64 {
        self.per_minute
    }

    /// Units at once.
    #[must_use]
    pub const fn burst(self) -> i64 {
        self.burst
    }

    /// Whether nothing passes here that would not pass `other`.
    #[must_use]
    pub const fn within(self, other: Self) -> bool {
        self.per_minute <= other.per_minute && self.burst <= other.burst
    }

    /// In how many microseconds so many units are earned, rounded up, so that no rate is ever exceeded by rounding.
    pub(crate) const fn earned_in_us(self, units: i64) -> i64 {
        let time = units.saturating_mul(MINUTE_US);
        let rounded = time.saturating_add(self.per_minute.saturating_sub(1));
        // Never divided by zero: a rate is at least 1.
        match rounded.checked_div(self.per_minute) {
            Some(us) => us,
            None => i64::MAX,
        }
    }

    /// Decides on taking `cost` units at `now_us` from a cell whose state is `earned_us`.
    #[must_use]
    pub fn decide(self, earned_us: i64, now_us: i64, cost: i64) -> Verdict {
        let begun = earned_us.max(now_us);
        let after = begun.saturating_add(self.earned_in_us(cost));
        let capacity = self.earned_in_us(self.burst);
        let wait_us = after.saturating_sub(now_us).saturating_sub(capacity);
        if wait_us > 0 && cost <= self.burst {
            return Verdict::Refused { wait_us };
        }
        if wait_us > 0 && begun > now_us {
            // More than can ever be at once: it passes when the cell is full.
            return Verdict::Refused {
                wait_us: begun.saturating_sub(now_us),
            };
        }
        Verdict::Passed(Left {
            earned_us: after,
            units: self.units_left(after, now_us),
            full_in_s: ceil_s(after.saturating_sub(now_us)),
        })
    }

    /// Units that could be taken at `now_us` from a cell with this state.
    #[must_use]
    pub const fn units_left(self, earned_us: i64, now_us: i64) -> i64 {
        let owed = earned_us.saturating_sub(now_us);
        let owed = if owed > 0 { owed } else { 0 };
        let free = self.earned_in_us(self.burst).saturating_sub(owed);
        if free <= 0 {
            return 0;
        }
        free.saturating_mul(self.per_minute) / MINUTE_US
    }
}

/// Whether something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Passed(Left),
    /// It may not, and could in so many microseconds if nothing else is taken.
    Refused {
        /// The wait.
        wait_us: i64,
    },
}

/// How a cell stands after something was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The cell's new state.
    pub earned_us: i64,
    /// Units that could still be taken at once.
    pub units: i64,
    /// Seconds until all of the burst is there again.
    pub full_in_s: i64,
}

/// Whole seconds, rounded up, as `Retry-After` has them.
#[must_use]
pub const fn ceil_s(us: i64) -> i64 {
    if us <= 0 {
        return 0;
    }
    us.saturating_add(SECOND_US - 1) / SECOND_US
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    fn rate(per_minute: i64, burst: i64) -> Rate {
        Rate::new(per_minute, burst).unwrap()
    }

    /// Takes one unit at each of these times; how many passed.
    fn passed(rate: Rate, times_us: impl IntoIterator<Item = i64>) -> usize {
        let mut earned = 0;
        let mut count = 0;
        for now in times_us {
            if let Verdict::Passed(left) = rate.decide(earned, now, 1) {
                earned = left.earned_us;
                count += 1;
            }
        }
        count
    }

    #[test]
    fn of_three_hundred_at_once_a_hundred_pass() {
        assert_eq!(passed(rate(100, 100), vec![1_000; 300]), 100);
    }

    #[test]
    fn after_a_burst_the_average_holds() {
        // One every millisecond for ten minutes: the burst, and then 100 a minute.
        let all = passed(rate(100, 20), (0..600_000).map(|ms| ms * 1_000));
        assert!((1019..=1020).contains(&all), "{all}");
    }

    #[test]
    fn what_is_refused_passes_after_the_wait_that_was_told_and_not_before() {
        let rate = rate(90, 7);
        let mut earned = 0;
        while let Verdict::Passed(left) = rate.decide(earned, 5, 3) {
            earned = left.earned_us;
        }
        let Verdict::Refused { wait_us } = rate.decide(earned, 5, 3) else {
            unreachable!()
        };
        let at = |now| matches!(rate.decide(earned, now, 3), Verdict::Passed(_));
        assert!(!at(5 + wait_us - 1) && at(5 + wait_us));
    }

    #[test]
    fn the_units_left_are_those_that_pass() {
        let rate = rate(1_000, 10);
        let mut earned = 0;
        for left in (0..10).rev() {
            let Verdict::Passed(now) = rate.decide(earned, 0, 1) else {
                panic!("{left} left")
            };
            assert_eq!(now.units, left);
            earned = now.earned_us;
        }
        assert!(matches!(rate.decide(earned, 0, 1), Verdict::Refused { .. }));
    }

    #[test]
    fn a_cost_beyond_the_burst_passes_when_the_cell_is_full() {
        let rate = rate(60, 2);
        let Verdict::Passed(left) = rate.decide(0, 0, 5) else {
            panic!("a full cell")
        };
        let Verdict::Refused { wait_us } = rate.decide(left.earned_us, 0, 5) else {
            panic!("an empty one")
        };
        assert_eq!(wait_us, 5 * SECOND_US);
    }

    #[test]
    fn no_numbers_break_it() {
        for per_minute in [1, RATE_MAX] {
            for burst in [1, RATE_MAX] {
                let _ = rate(per_minute, burst).decide(i64::MAX, i64::MIN, i64::MAX);
                let _ = rate(per_minute, burst).decide(i64::MIN, i64::MAX, 1);
            }
        }
        assert!(Rate::new(0, 1).is_err() && Rate::new(1, RATE_MAX + 1).is_err());
    }
}
