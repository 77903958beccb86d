//! How many cards one intake ticket may try. Each try costs a call of the account's fingerprint budget in `keys`, and a
//! ticket is free for everyone who opens a page, so one ticket must not be able to use the budget up.
//!
//! Counted in the memory of this process: a ticket lives for minutes, and the budget itself still holds behind it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use coffer_core::id::IntakeId;
use quick_cache::sync::Cache;

/// Cards that one ticket may try. A payer who mistypes is stopped by the check digit, long before a try is counted.
pub(crate) const TICKET_TRIES_MAX: usize = 20;
/// Tickets counted at a time. Beyond it the ones that are tried least are forgotten, not the one that is tried most.
const TICKETS_MAX: usize = 65_536;

/// The tries of the tickets that were used lately.
pub(crate) struct Tries(Cache<IntakeId, Arc<AtomicUsize>>);

impl Tries {
    pub(crate) fn new() -> Self {
        Self(Cache::new(TICKETS_MAX))
    }

    /// Counts one try; `false` when it is one too many.
    pub(crate) fn count(&self, intake: IntakeId) -> bool {
        let Ok(tried) = self
            .0
            .get_or_insert_with(&intake, || Ok::<_, Infallible>(Arc::default()));
        let next = |count: usize| (count < TICKET_TRIES_MAX).then(|| count.saturating_add(1));
        tried
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ticket_has_its_own_tries_and_no_more() {
        let tries = Tries::new();
        let [one, other] = [1, 2].map(|id| IntakeId::from_bytes([id; 16]));
        assert!((0..TICKET_TRIES_MAX).all(|_| tries.count(one)));
        assert!(!tries.count(one) && !tries.count(one));
        assert!(tries.count(other));
    }

    #[test]
    fn a_flood_of_other_tickets_does_not_give_a_busy_one_its_tries_back() {
        let tries = Tries::new();
        let busy = IntakeId::from_bytes([255; 16]);
        for _ in 0..TICKET_TRIES_MAX {
            tries.count(busy);
        }
        for id in (0_u128..).take(2 * TICKETS_MAX) {
            tries.count(IntakeId::from_bytes(id.to_be_bytes()));
        }
        assert!(!tries.count(busy));
    }
}
