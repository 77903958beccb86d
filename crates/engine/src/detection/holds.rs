//! Who is slowed or blocked now, on this node. While nobody is, asking costs the reading of one number.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use coffer_core::{
    Timestamp,
    detection::Policy,
    id::BlockId,
    rate::{Rate, ceil_s},
};

use super::Subject;
use crate::limits::OwnRate;

/// Why somebody gets nothing done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Too much of what is slowed.
    Slowed {
        /// When to come back.
        retry_after_s: i64,
    },
    /// Nothing at all.
    Blocked {
        /// Until then.
        until: Timestamp,
    },
}

/// One block, as it holds.
pub(super) struct Hold {
    pub(super) id: BlockId,
    pub(super) policy: Policy,
    pub(super) until: Timestamp,
    rate: OwnRate,
}

impl Hold {
    pub(super) fn new(id: BlockId, policy: Policy, until: Timestamp) -> Self {
        Self {
            id,
            policy,
            until,
            rate: OwnRate::default(),
        }
    }
}

/// All that hold.
#[derive(Default)]
pub(crate) struct Holds {
    any: AtomicBool,
    held: RwLock<HashMap<Subject, Arc<Hold>>>,
}

impl Holds {
    /// These hold from now on. What held before goes on counting where it was.
    pub(super) fn replace(&self, holding: impl Iterator<Item = (Subject, Hold)>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *held);
        for (subject, hold) in holding {
            let same = before.get(&subject).filter(|one| one.id == hold.id);
            let hold = same.cloned().unwrap_or_else(|| Arc::new(hold));
            held.insert(subject, hold);
        }
        self.any.store(!held.is_empty(), Ordering::Release);
    }

    pub(super) fn of(&self, subject: &Subject, now: Timestamp) -> Option<Arc<Hold>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(subject).filter(|hold| hold.until > now).cloned()
    }

    /// Whether it may do one thing more.
    pub(super) fn check(
        &self,
        subject: &Subject,
        slow: Rate,
        (now, now_us): (Timestamp, i64),
    ) -> Result<(), Held> {
        let Some(hold) = self.of(subject, now) else {
            return Ok(());
        };
        match hold.policy {
            Policy::Watch => Ok(()),
            Policy::Block => Err(Held::Blocked { until: hold.until }),
            Policy::Slow => match hold.rate.take(slow, now_us) {
                Ok(()) => Ok(()),
                Err(wait_us) => Err(Held::Slowed {
                    retry_after_s: ceil_s(wait_us),
                }),
            },
        }
    }
}
