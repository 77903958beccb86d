//! What becomes of the caps that attempts have reserved: given back once it is certain that nothing was taken of them.

use coffer_core::{
    cap::CapKind,
    decline::DeclineReason,
    payment::{AttemptStatus, Operation},
};
use coffer_db::{Expect, Transaction, params};

use super::{Attempt, Ledger};
use crate::{
    caps::{Reserved, count},
    store::payments as sql,
};

impl Attempt {
    /// Whether it ended without anybody's decision: nothing was sent, or the provider could not do it.
    fn came_to_nothing(&self) -> bool {
        let undecided = [None, Some(DeclineReason::ProcessingError)];
        self.status == AttemptStatus::Failed && undecided.contains(&self.decline_reason)
    }
}

impl Ledger {
    /// The steps that give back what stored attempts hold no longer. A second change of the same version does not commit, so
    /// nothing is given back twice.
    pub(super) fn release_caps(&mut self) -> Transaction {
        let mut steps = Transaction::new();
        for at in 0..self.stored.min(self.attempts.len()) {
            let Some(attempt) = self.attempts.get(at) else {
                continue;
            };
            let Some(reserved) = attempt.reserved.clone() else {
                continue;
            };
            let (held, released): (Vec<_>, Vec<_>) = reserved
                .kinds
                .iter()
                .partition(|kind| self.holds(attempt, **kind));
            if released.is_empty() {
                continue;
            }
            let rest = (!held.is_empty()).then(|| Reserved {
                kinds: held.into_iter().copied().collect(),
                ..reserved
            });
            let mut row = self.key_of_attempt(attempt);
            row.extend(params![rest.as_ref().map(ToString::to_string)]);
            steps.push(&sql::ATTEMPT_RELEASE, row, Expect::Exactly(1));
            for kind in released {
                let (currency, units) = if kind.is_money() {
                    (Some(self.payment.currency), attempt.amount)
                } else {
                    (None, 1)
                };
                let less = (units.saturating_neg(), i64::MAX);
                let of = (reserved.key, reserved.day);
                steps = steps.append(count(self.payment.place, of, (*kind, currency), less));
            }
            if let Some(attempt) = self.attempts.get_mut(at) {
                attempt.reserved = rest;
            }
        }
        steps
    }

    /// Whether an attempt still takes, or may take, what it reserved of a cap.
    fn holds(&self, attempt: &Attempt, kind: CapKind) -> bool {
        let failed = attempt.status == AttemptStatus::Failed;
        match (kind, attempt.operation) {
            // Declined by whoever issued the card, so it was opened.
            (CapKind::CardsPerDay, _) => !attempt.came_to_nothing(),
            (_, Operation::Authorize) if attempt.status == AttemptStatus::Succeeded => {
                self.is_taking()
            }
            (_, _) => !failed,
        }
    }

    /// Whether the money of an authorized automatic payment was taken, or is going to be.
    fn is_taking(&self) -> bool {
        let taking = |attempt: &Attempt| {
            attempt.operation == Operation::Capture && attempt.status != AttemptStatus::Failed
        };
        self.attempts.iter().any(taking) || self.wants_capture()
    }
}
