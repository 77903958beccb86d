//! Misbehaviour on order: what the next calls do wrong, so that tests can see what Coffer makes of it. Kept in memory
//! only; a restart behaves.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use coffer_core::{Malformed, words};
use serde::Deserialize;

use crate::operation::Operation;

/// Switches that can wait at a time.
const SWITCHES_MAX: usize = 64;
/// The longest delay: far beyond any deadline of Coffer's.
const DELAY_MAX_MS: u64 = 120_000;
/// The most operations of one switch.
const COUNT_MAX: u32 = 1_000_000;

words! {
    /// What goes wrong.
    pub enum Behaviour {
        /// Charges, waits, then answers.
        Late = "late",
        /// Charges, then answers 500.
        ErrorAfterCharging = "error_after_charging",
        /// Charges, then closes the connection without an answer.
        DropAfterCharging = "drop_after_charging",
        /// Charges once and notifies twice.
        Twice = "twice",
        /// Charges, then answers 200 with something that is not JSON.
        Garbage = "garbage",
        /// Charges, and notifies before it answers.
        NotifyFirst = "notify_first",
        /// Answers 500 and charges nothing.
        ErrorBeforeCharging = "error_before_charging",
    }
}

/// One order to misbehave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// What goes wrong.
    pub behaviour: Behaviour,
    /// In which operation; any, when absent.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// How many times.
    pub count: u32,
    /// How late, for [`Behaviour::Late`].
    #[serde(default)]
    pub delay_ms: u64,
}

impl Switch {
    /// How late.
    pub(crate) const fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    fn matches(&self, operation: Operation) -> bool {
        self.operation.is_none_or(|only| only == operation)
    }
}

/// The orders that wait, the oldest first. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Switches(Arc<Mutex<VecDeque<Switch>>>);

impl Switches {
    /// Adds an order.
    ///
    /// # Errors
    /// When it orders nothing or too much, or too many wait.
    pub fn set(&self, switch: Switch) -> Result<(), Malformed> {
        if !(1..=COUNT_MAX).contains(&switch.count) || switch.delay_ms > DELAY_MAX_MS {
            return Err(Malformed {
                expected: "a count from 1 to 1000000 and a delay of at most 120000 ms",
            });
        }
        let mut waiting = self.lock();
        if waiting.len() >= SWITCHES_MAX {
            return Err(Malformed {
                expected: "at most 64 switches at a time",
            });
        }
        waiting.push_back(switch);
        Ok(())
    }

    /// Uses up one of the oldest order's count that matches the operation.
    pub(crate) fn take(&self, operation: Operation) -> Option<Switch> {
        let mut waiting = self.lock();
        let place = waiting
            .iter()
            .position(|switch| switch.matches(operation))?;
        let switch = waiting.get_mut(place)?;
        let taken = switch.clone();
        switch.count = switch.count.saturating_sub(1);
        if switch.count == 0 {
            waiting.remove(place);
        }
        Some(taken)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Switch>> {
        coffer_net::lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(operation: Option<Operation>, count: u32) -> Switch {
        Switch {
            behaviour: Behaviour::Garbage,
            operation,
            count,
            delay_ms: 0,
        }
    }

    #[test]
    fn a_switch_is_used_up_by_matching_operations_only() {
        let switches = Switches::default();
        switches.set(switch(Some(Operation::Capture), 2)).unwrap();
        assert!(switches.take(Operation::Authorize).is_none());
        assert!(switches.take(Operation::Capture).is_some());
        assert!(switches.take(Operation::Capture).is_some());
        assert!(switches.take(Operation::Capture).is_none());
    }

    #[test]
    fn a_switch_that_orders_nothing_or_too_much_is_refused() {
        let switches = Switches::default();
        assert!(switches.set(switch(None, 0)).is_err());
        let late = Switch {
            delay_ms: DELAY_MAX_MS + 1,
            ..switch(None, 1)
        };
        assert!(switches.set(late).is_err());
        for _ in 0..SWITCHES_MAX {
            switches.set(switch(None, 1)).unwrap();
        }
        assert!(switches.set(switch(None, 1)).is_err());
    }
}
