//! One counted rate: what was taken of it, how well who takes listens, and this node's part when nodes share it.
//!
//! The cell of this node always leads. What is shared can refuse more.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};

use coffer_core::{
    lease::{Ask, Grant, Lease, Spend},
    rate::{Left, Rate, Verdict, ceil_s},
};

use super::{Allowance, LimitName, SECOND_US};

/// Whoever comes back before the time that was told, this long after it was told, has not listened.
const HEARD_US: i64 = SECOND_US;
/// The longest wait of who does not listen.
const PENALTY_MAX_US: i64 = 60 * SECOND_US;
/// Whoever listens for this long is forgiven.
const FORGIVEN_US: i64 = 300 * SECOND_US;

/// Whether other nodes count the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// There is nothing to share it by.
    Alone,
    /// The store that it is shared by is away.
    Away,
    /// It is shared.
    Here,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It passes.
    Passed(Left),
    /// It does not, and could after this wait in microseconds.
    Refused(i64),
    /// The store has to be asked first. It is tried again when the number of its answers is another one than this.
    Waits(u32),
}

/// What was taken of one rate, and by how many at this moment.
#[derive(Debug, Default)]
pub(super) struct Cell {
    state: Mutex<State>,
    running: AtomicUsize,
}

/// One of the requests that a key may have at the same time.
#[derive(Debug)]
pub(super) struct Place(Arc<Cell>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    earned_us: i64,
    lease: Lease,
    /// Somebody looks for what is left over of the lease.
    watched: bool,
    /// When a refusal was told, and until when.
    told_us: i64,
    told_until_us: i64,
    /// How often nobody listened, and when last.
    strikes: u32,
    struck_us: i64,
    /// Nothing passes before.
    shut_until_us: i64,
}

impl Cell {
    fn state(&self) -> MutexGuard<'_, State> {
        coffer_net::lock(&self.state)
    }

    /// A place for one more request, of so many at the same time.
    pub(super) fn seat(self: &Arc<Self>, most: usize) -> Option<Place> {
        let running = self.running.fetch_add(1, Ordering::AcqRel);
        // Given back by its drop when it is one too many.
        let place = Place(Arc::clone(self));
        (running < most).then_some(place)
    }

    /// Takes so much, if it may; and whether the store has to be asked now.
    pub(super) fn take(
        &self,
        rate: Rate,
        now_us: i64,
        cost: i64,
        sharing: Sharing,
    ) -> (Taken, bool) {
        let mut state = self.state();
        let taken = state.take(rate, now_us, cost, sharing);
        let asks = sharing == Sharing::Here && state.lease.wants(rate, now_us);
        (taken, asks)
    }

    /// Whether one unit could be taken; otherwise the wait in microseconds.
    pub(super) fn peek(&self, rate: Rate, now_us: i64, sharing: Sharing) -> Result<(), i64> {
        let mut copy = *self.state();
        match copy.take(rate, now_us, 1, sharing) {
            Taken::Passed(_) | Taken::Waits(_) => Ok(()),
            Taken::Refused(wait_us) => Err(wait_us),
        }
    }

    /// Counts what has happened already; and whether the store has to be asked now.
    pub(super) fn count(&self, rate: Rate, now_us: i64, sharing: Sharing) -> bool {
        let without_asking = match sharing {
            Sharing::Alone => Sharing::Alone,
            Sharing::Away | Sharing::Here => Sharing::Away,
        };
        let mut state = self.state();
        // What was tried was answered already; the next try is refused.
        let _ = state.take(rate, now_us, 1, without_asking);
        sharing == Sharing::Here && state.lease.wants(rate, now_us)
    }

    pub(super) fn standing(
        &self,
        limit: LimitName,
        rate: Rate,
        now_us: i64,
        sharing: Sharing,
    ) -> Allowance {
        let state = self.state();
        let shut_us = state.shut_until_us.saturating_sub(now_us);
        let owed_us = state.earned_us.saturating_sub(now_us);
        let left = Left {
            earned_us: state.earned_us,
            // What was earned while nothing passes is not there yet.
            units: if shut_us > 0 {
                0
            } else {
                rate.units_left(state.earned_us, now_us)
            },
            full_in_s: ceil_s(owed_us.max(shut_us)),
        };
        let left = state.told(rate, now_us, left, sharing);
        Allowance {
            limit,
            rate,
            left: left.units,
            full_in_s: left.full_in_s,
        }
    }

    /// What the store is asked for this node.
    pub(super) fn ask(&self, rate: Rate, now_us: i64) -> Ask {
        let mut state = self.state();
        let earned_us = state.earned_us;
        state.lease.ask(rate, earned_us, now_us)
    }

    /// What the store has answered, if it has. Whether from now on somebody has to look for what is left over of it.
    pub(super) fn answered(&self, now_us: i64, grant: Option<Grant>) -> bool {
        let mut state = self.state();
        match grant {
            Some(grant) => state.lease.grant(now_us, grant),
            None => state.lease.missed(),
        }
        let is_news = state.lease.is_in_hand() && !state.watched;
        state.watched |= is_news;
        is_news
    }

    /// How often the store has answered.
    pub(super) fn answers(&self) -> u32 {
        self.state().lease.answers()
    }

    /// Whether the store has to be asked, to take back what nobody has used for a while; none when nobody has to look any more.
    pub(super) fn left_over(&self, now_us: i64) -> Option<bool> {
        let mut state = self.state();
        state.watched = state.lease.is_in_hand();
        state.watched.then(|| state.lease.is_left_over(now_us))
    }
}

impl State {
    fn take(&mut self, rate: Rate, now_us: i64, cost: i64, sharing: Sharing) -> Taken {
        let shut_us = self.shut_until_us.saturating_sub(now_us);
        let left = match rate.decide(self.earned_us, now_us, cost) {
            Verdict::Passed(left) if shut_us <= 0 => left,
            Verdict::Passed(_) => return Taken::Refused(self.refuse(now_us, shut_us)),
            Verdict::Refused { wait_us } => {
                return Taken::Refused(self.refuse(now_us, wait_us.max(shut_us)));
            }
        };
        match sharing {
            Sharing::Alone => {}
            Sharing::Away => self.lease.overspend(rate, now_us, cost),
            Sharing::Here => match self.lease.spend(rate, self.earned_us, now_us, cost) {
                Spend::Spent => {}
                Spend::Ask => return Taken::Waits(self.lease.answers()),
                Spend::Dry { wait_us } => return Taken::Refused(self.refuse(now_us, wait_us)),
            },
        }
        self.earned_us = left.earned_us;
        if now_us.saturating_sub(self.struck_us) >= FORGIVEN_US {
            self.strikes = 0;
        }
        Taken::Passed(self.told(rate, now_us, left, sharing))
    }

    /// How the rate stands, by what is known of other nodes too.
    fn told(&self, rate: Rate, now_us: i64, left: Left, sharing: Sharing) -> Left {
        match sharing {
            Sharing::Alone | Sharing::Away => left,
            Sharing::Here => self.lease.tightened(rate, now_us, left),
        }
    }

    /// The wait that is told, in whole seconds.
    fn refuse(&mut self, now_us: i64, wait_us: i64) -> i64 {
        let wait_us = ceil_s(wait_us).saturating_mul(SECOND_US);
        let heard = now_us.saturating_sub(self.told_us) >= HEARD_US;
        if self.told_until_us <= now_us {
            (self.told_us, self.told_until_us) = (now_us, now_us.saturating_add(wait_us));
            return wait_us;
        }
        if !heard {
            return wait_us;
        }
        let penalty_us = SECOND_US
            .checked_shl(self.strikes.min(30))
            .map_or(PENALTY_MAX_US, |penalty| penalty.min(PENALTY_MAX_US));
        let wait_us = wait_us.max(penalty_us);
        self.strikes = self.strikes.saturating_add(1);
        self.struck_us = now_us;
        self.shut_until_us = now_us.saturating_add(wait_us);
        (self.told_us, self.told_until_us) = (now_us, self.shut_until_us);
        wait_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_minute: i64, burst: i64) -> Rate {
        Rate::new(per_minute, burst).unwrap()
    }

    fn taken(cell: &Cell, rate: Rate, now_us: i64, cost: i64) -> Result<Left, i64> {
        match cell.take(rate, now_us, cost, Sharing::Alone).0 {
            Taken::Passed(left) => Ok(left),
            Taken::Refused(wait_us) => Err(wait_us),
            Taken::Waits(_) => panic!("for whom?"),
        }
    }

    /// Takes until the first refusal; the seconds that are told.
    fn drained(cell: &Cell, rate: Rate, now_us: i64) -> i64 {
        loop {
            if let Err(wait_us) = taken(cell, rate, now_us, 1) {
                return ceil_s(wait_us);
            }
        }
    }

    #[test]
    fn who_comes_back_when_told_is_let_in_however_often_it_was_refused_before() {
        let (cell, rate) = (Cell::default(), rate(60, 10));
        let mut now = 0;
        for _ in 0..50 {
            let wait = drained(&cell, rate, now);
            // A burst that was under way when the first refusal was told.
            for _ in 0..300 {
                assert!(taken(&cell, rate, now + HEARD_US / 2, 1).is_err());
            }
            now += wait * SECOND_US;
            assert!(taken(&cell, rate, now, 1).is_ok());
        }
    }

    #[test]
    fn who_does_not_listen_waits_longer_up_to_a_ceiling_and_is_forgiven() {
        let (cell, rate) = (Cell::default(), rate(60, 10));
        let mut now = 0;
        let mut told = vec![drained(&cell, rate, now)];
        for _ in 0..20 {
            // Always a little too soon, and always long enough after it was told.
            now += (told.last().unwrap() * SECOND_US - 1).max(HEARD_US);
            match taken(&cell, rate, now, 10) {
                Err(wait_us) => told.push(ceil_s(wait_us)),
                Ok(_) => told.push(1),
            }
        }
        assert_eq!(told.iter().max(), Some(&60), "{told:?}");
        now += 60 * SECOND_US;
        assert!(
            taken(&cell, rate, now, 1).is_ok(),
            "after the wait it is over"
        );
        now += FORGIVEN_US;
        assert_eq!(drained(&cell, rate, now), 1);
        now += HEARD_US * 3 / 2;
        drained(&cell, rate, now);
        assert!(cell.state().strikes <= 1);
    }

    #[test]
    fn who_waits_longer_than_the_rate_says_is_told_that_nothing_is_left_until_then() {
        let (cell, rate) = (Cell::default(), rate(20, 10));
        let told = |now_us| {
            let told = cell.standing(LimitName::Key, rate, now_us, Sharing::Alone);
            (told.left, told.full_in_s)
        };
        let mut now = 0;
        while drained(&cell, rate, now) < 60 {
            now += HEARD_US;
        }
        assert_eq!(told(now + 50 * SECOND_US), (0, 10));
        assert_eq!(told(now + 60 * SECOND_US), (10, 0));
        assert!(taken(&cell, rate, now + 60 * SECOND_US, 10).is_ok());
    }
}
