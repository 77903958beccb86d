//! The steps that store a payment and its attempts: all of it the first time, what changed later.

use coffer_core::{Timestamp, decline::DeclineReason};
use coffer_db::{Expect, Transaction, Value, params};

use super::{Attempt, Ledger, SETTLE_AFTER_MS, SETTLE_AGAIN_MS};
use crate::{
    events::Happened,
    rows::key_of,
    store::{payments as sql, refunds},
};

/// A refund changes once: when it ends.
const REFUND_ENDED_VERSION: i64 = 2;

impl Ledger {
    /// The steps that store the payment for the first time.
    pub(crate) fn insert(&mut self, now: Timestamp) -> Transaction {
        self.derive(now);
        let p = &self.payment;
        let mut row = self.key_at(p.version);
        row.extend(self.changing());
        row.extend(params![
            i64::from(self.at_checkout),
            p.amount,
            p.currency.code(),
            p.capture.as_str(),
            self.provider.as_str(),
            p.customer.map(|id| id.to_string()),
            p.reference.as_deref(),
            p.description.as_deref(),
            p.metadata.to_store(),
            p.return_url.as_deref(),
            p.created.as_millis(),
            self.maker.map(|key| key.to_string()),
        ]);
        let mut steps = Transaction::new().one(&sql::PAYMENT_INSERT, row);
        self.push_attempts(&mut steps, now);
        steps
    }

    /// The steps that store what changed, provided that nobody changed it meanwhile; and what happened, for the events.
    pub(crate) fn update(&mut self, now: Timestamp) -> (Transaction, Vec<Happened>) {
        let mut row = self.key_at(self.payment.version);
        self.derive(now);
        row.extend(self.changing());
        let mut steps = Transaction::new().one(&sql::PAYMENT_UPDATE, row);
        self.push_attempts(&mut steps, now);
        let steps = steps.append(self.release_caps());
        let (id, version) = (self.payment.id, self.payment.version);
        let happened = std::mem::take(&mut self.happened)
            .into_iter()
            .map(|(event, refund)| match refund {
                Some(refund) => Happened::to(refund, REFUND_ENDED_VERSION, event),
                None => Happened::to(id, version, event),
            })
            .collect();
        (steps, happened)
    }

    /// The payment's key and a version.
    fn key_at(&self, version: i64) -> Vec<Value> {
        let [account, mode] = key_of(self.payment.place);
        params![account, mode, self.payment.id.to_string(), version]
    }

    /// The columns that can change, in the order of both statements.
    fn changing(&self) -> Vec<Value> {
        let (p, card, last) = (&self.payment, self.payment.card, self.payment.last_attempt);
        params![
            p.status.as_str(),
            self.closing.as_str(),
            p.amount_captured,
            p.amount_refunded,
            card.map(|card| card.brand.as_str()),
            card.map(|card| card.last4.to_string()),
            card.map(|card| card.expiry.month()),
            card.map(|card| card.expiry.year()),
            p.challenge_url.as_deref(),
            last.map(|last| last.operation.as_str()),
            last.map(|last| last.status.as_str()),
            last.and_then(|last| last.decline_reason)
                .map(DeclineReason::as_str),
            p.updated.as_millis(),
            self.expires.map(Timestamp::as_millis),
        ]
    }

    fn push_attempts(&self, steps: &mut Transaction, now: Timestamp) {
        for (place, attempt) in self.attempts.iter().enumerate() {
            if place >= self.stored {
                self.push_new(steps, place, attempt, now);
            } else if self.settled == Some(attempt.id) {
                self.push_settled(steps, attempt, now);
                self.push_refund(steps, attempt, now);
            }
        }
    }

    fn push_new(&self, steps: &mut Transaction, place: usize, attempt: &Attempt, now: Timestamp) {
        let mut row = self.key_of_attempt(attempt);
        row.extend(params![
            i64::try_from(place).unwrap_or(i64::MAX),
            attempt.operation.as_str(),
            attempt.status.as_str(),
            attempt.amount,
            attempt.decline_reason.map(DeclineReason::as_str),
            attempt.challenge_url.as_deref(),
            attempt.refund.map(|id| id.to_string()),
            attempt.answers.as_str(),
            attempt.deadline.as_millis(),
            settle_at(attempt, now),
            attempt.created.as_millis(),
            now.as_millis(),
            attempt.reserved.as_ref().map(ToString::to_string),
        ]);
        steps.push(&sql::ATTEMPT_INSERT, row, Expect::Exactly(1));
    }

    fn push_settled(&self, steps: &mut Transaction, attempt: &Attempt, now: Timestamp) {
        let mut row = self.key_of_attempt(attempt);
        row.extend(params![
            attempt.status.as_str(),
            attempt.decline_reason.map(DeclineReason::as_str),
            attempt.challenge_url.as_deref(),
            settle_at(attempt, now),
            now.as_millis(),
        ]);
        steps.push(&sql::ATTEMPT_UPDATE, row, Expect::Exactly(1));
    }

    pub(super) fn key_of_attempt(&self, attempt: &Attempt) -> Vec<Value> {
        let [account, mode] = key_of(self.payment.place);
        let payment = self.payment.id.to_string();
        params![account, mode, payment, attempt.id.to_string()]
    }

    fn push_refund(&self, steps: &mut Transaction, attempt: &Attempt, now: Timestamp) {
        let Some(refund) = attempt.refund.filter(|_| !attempt.is_pending()) else {
            return;
        };
        let [account, mode] = key_of(self.payment.place);
        let reason = attempt.decline_reason.map(DeclineReason::as_str);
        let status = crate::refunds::status_of(attempt.status).as_str();
        let row = params![
            account,
            mode,
            refund.to_string(),
            status,
            reason,
            now.as_millis()
        ];
        steps.push(&refunds::REFUND_UPDATE, row, Expect::Exactly(1));
    }
}

/// When the sweeper looks at an attempt; never, once it has ended.
fn settle_at(attempt: &Attempt, now: Timestamp) -> Option<i64> {
    let again = now.plus_millis(SETTLE_AGAIN_MS);
    // While a task is at work there is nothing to settle; a payer at a challenge is nobody's task.
    let first = if attempt.challenge_url.is_some() {
        again
    } else {
        attempt.created.plus_millis(SETTLE_AFTER_MS).max(again)
    };
    attempt.is_pending().then(|| first.as_millis())
}
