//! A payment with all its attempts, as read at one version: what changes it, and the steps that store the change.
//!
//! Every change goes through here, so that status, amounts and events always follow from the attempts. Two changes of
//! the same version cannot both commit: the second is a conflict, reads again and decides again.

mod caps;
mod steps;

use coffer_core::{
    Money, Timestamp,
    decline::DeclineReason,
    event::EventType,
    id::{ApiKeyId, AttemptId, RefundId},
    limits::{AUTHORIZATION_TTL_MS, CHECKOUT_ATTEMPTS_MAX},
    payment::{
        AttemptFact, AttemptStatus, CaptureMode, Closing, Operation, PaymentStatus, Terms, standing,
    },
    provider::Provider,
};
use coffer_net::contract::vault::AttemptOutcome;

use crate::{Error, Payment, caps::Reserved, payment::LastAttempt};

/// How long after its start, or after the task that performs it was last heard of, an attempt is looked at by a sweeper.
pub(crate) const SETTLE_AFTER_MS: i64 = 5_000;
/// How long until the sweeper looks again at an attempt whose outcome is not known.
pub(crate) const SETTLE_AGAIN_MS: i64 = 2_000;
/// How long until a payment that could not be closed when its time ran out is looked at again.
pub(crate) const EXPIRE_AGAIN_MS: i64 = 60 * 60 * 1000;
/// How often giving up an expired reservation is tried.
const EXPIRY_VOIDS_MAX: usize = 24;
/// How often an automatic payment tries to take its money; then the merchant decides. The sweeper starts each try but the
/// first, so that together they outlast a provider's short outage.
pub(crate) const CAPTURES_MAX: usize = 20;

/// How an attempt ended that the provider did not do and never will.
pub(crate) const NOT_DONE: AttemptOutcome = AttemptOutcome::Failed {
    reason: DeclineReason::ProcessingError,
};

/// One provider call.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) operation: Operation,
    pub(crate) status: AttemptStatus,
    pub(crate) amount: i64,
    pub(crate) decline_reason: Option<DeclineReason>,
    pub(crate) challenge_url: Option<String>,
    pub(crate) refund: Option<RefundId>,
    /// The object under which the request that waits for this attempt filed its idempotency key.
    pub(crate) answers: String,
    pub(crate) deadline: Timestamp,
    pub(crate) created: Timestamp,
    /// What it has reserved of the caps of its key.
    pub(crate) reserved: Option<Reserved>,
}

impl Attempt {
    const fn fact(&self) -> AttemptFact {
        AttemptFact {
            operation: self.operation,
            status: self.status,
            amount: self.amount,
            challenged: self.challenge_url.is_some(),
            withdrawn: self.is_withdrawn(),
        }
    }

    /// Whether it was taken back before anything was sent: it failed, and nobody declined it.
    pub(crate) const fn is_withdrawn(&self) -> bool {
        matches!(self.status, AttemptStatus::Failed) && self.decline_reason.is_none()
    }

    /// Whether it waits for the payer to pass a challenge.
    pub(crate) const fn is_challenged(&self) -> bool {
        self.challenge_url.is_some()
    }

    pub(crate) const fn is_pending(&self) -> bool {
        matches!(self.status, AttemptStatus::Sending | AttemptStatus::Unknown)
    }
}

/// A payment and its attempts at one version, and what has been changed of them since.
pub(crate) struct Ledger {
    pub(crate) payment: Payment,
    pub(crate) closing: Closing,
    pub(crate) at_checkout: bool,
    pub(crate) provider: Provider,
    pub(crate) expires: Option<Timestamp>,
    /// The key that made the payment.
    pub(crate) maker: Option<ApiKeyId>,
    pub(crate) attempts: Vec<Attempt>,
    /// Attempts as they are stored; those after it are new.
    stored: usize,
    settled: Option<AttemptId>,
    /// To the payment, or to one of its refunds.
    happened: Vec<(EventType, Option<RefundId>)>,
}

impl Ledger {
    /// As read from the store, or not stored yet (version 0).
    pub(crate) fn new(
        payment: Payment,
        provider: Provider,
        (closing, at_checkout, expires): (Closing, bool, Option<Timestamp>),
        attempts: Vec<Attempt>,
    ) -> Self {
        let stored = attempts.len();
        Self {
            payment,
            closing,
            at_checkout,
            provider,
            expires,
            maker: None,
            attempts,
            stored,
            settled: None,
            happened: Vec::new(),
        }
    }

    /// As it is in the store after its steps were committed: no different from one that is read.
    pub(crate) fn once_stored(mut self) -> Self {
        self.stored = self.attempts.len();
        self.settled = None;
        self.happened.clear();
        self
    }

    pub(crate) fn money(&self) -> Result<Money, Error> {
        Money::new(self.payment.amount, self.payment.currency).map_err(crate::error::corrupt)
    }

    pub(crate) fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }

    /// The attempt that holds the reservation.
    pub(crate) fn authorization(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| {
            attempt.operation == Operation::Authorize && attempt.status == AttemptStatus::Succeeded
        })
    }

    /// Minor units that may still be refunded: captured, not refunded, and not on their way back.
    pub(crate) fn refundable(&self) -> i64 {
        let pending = self
            .attempts
            .iter()
            .filter(|attempt| attempt.operation == Operation::Refund && attempt.is_pending());
        let reserved = pending.fold(self.payment.amount_refunded, |sum, attempt| {
            sum.saturating_add(attempt.amount)
        });
        self.payment.amount_captured.saturating_sub(reserved)
    }

    /// Adds an attempt that is about to be sent.
    pub(crate) fn begin(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    /// Gives the payment up, or lets it expire.
    pub(crate) fn close(&mut self, closing: Closing, event: EventType) {
        self.closing = closing;
        self.expires = None;
        self.happened.push((event, None));
    }

    /// Gives up a payment that no one was told of: nothing was sent, so nothing happened.
    pub(crate) fn abandon(&mut self, attempt: AttemptId, now: Timestamp) {
        self.settle(attempt, &NOT_DONE, now);
        self.closing = Closing::Canceled;
        self.expires = None;
        self.happened.clear();
    }

    /// Takes back an attempt at the checkout page of which nothing was sent: the payer may try again, and has lost no try.
    pub(crate) fn withdraw(&mut self, id: AttemptId) {
        let pending = |attempt: &&mut Attempt| attempt.id == id && attempt.is_pending();
        if let Some(attempt) = self.attempts.iter_mut().find(pending) {
            attempt.status = AttemptStatus::Failed;
            self.settled = Some(id);
        }
    }

    /// Cards that the payer may still try at the checkout page.
    pub(crate) fn tries_left(&self) -> usize {
        let tries = self
            .attempts
            .iter()
            .filter(|attempt| attempt.fact().is_try());
        CHECKOUT_ATTEMPTS_MAX.saturating_sub(tries.count())
    }

    /// Takes in how a pending attempt ended, or what is known of it now. False when there is nothing new.
    pub(crate) fn settle(
        &mut self,
        id: AttemptId,
        outcome: &AttemptOutcome,
        now: Timestamp,
    ) -> bool {
        let Some(attempt) = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.id == id && attempt.is_pending())
        else {
            return false;
        };
        let before = (attempt.status, attempt.challenge_url.clone());
        (
            attempt.status,
            attempt.decline_reason,
            attempt.challenge_url,
        ) = match outcome {
            AttemptOutcome::Succeeded => (AttemptStatus::Succeeded, None, None),
            AttemptOutcome::Failed { reason } => (AttemptStatus::Failed, Some(*reason), None),
            AttemptOutcome::Challenged { url } => (AttemptStatus::Sending, None, Some(url.clone())),
            AttemptOutcome::Unknown => (AttemptStatus::Unknown, None, attempt.challenge_url.take()),
        };
        if before == (attempt.status, attempt.challenge_url.clone()) {
            return false;
        }
        self.settled = Some(id);
        let (operation, status, refund) = (attempt.operation, attempt.status, attempt.refund);
        let challenged = attempt.challenge_url.is_some();
        let event = event_of(operation, status, challenged, self.closing);
        self.happened.extend(event.map(|event| (event, refund)));
        if operation == Operation::Authorize && status == AttemptStatus::Succeeded {
            self.expires = Some(now.plus_millis(AUTHORIZATION_TTL_MS));
        }
        if operation == Operation::Capture && status == AttemptStatus::Succeeded {
            self.expires = None;
        }
        if operation == Operation::Void && status == AttemptStatus::Failed {
            self.reopen(now);
        }
        true
    }

    /// The reservation that was to be given up stands: the payment is open again, and expires later if it was to expire.
    fn reopen(&mut self, now: Timestamp) {
        let expired = matches!(self.closing, Closing::Expired);
        self.closing = Closing::Open;
        let voids = self
            .attempts
            .iter()
            .filter(|attempt| attempt.operation == Operation::Void)
            .count();
        if expired && voids < EXPIRY_VOIDS_MAX {
            self.expires = Some(now.plus_millis(EXPIRE_AGAIN_MS));
        } else if expired {
            tracing::error!(payment.id = %self.payment.id, "a reservation cannot be given up: ask the provider");
        }
    }

    /// Whether money that was reserved is to be taken now: right after the authorization, and again when the provider was
    /// never asked or could not do it.
    pub(crate) fn wants_capture(&self) -> bool {
        let came_to_nothing = |attempt: &Attempt| {
            attempt.operation == Operation::Capture
                && attempt.status == AttemptStatus::Failed
                && attempt.decline_reason == Some(DeclineReason::ProcessingError)
        };
        let mut later = self
            .attempts
            .iter()
            .filter(|attempt| attempt.operation != Operation::Authorize);
        self.payment.capture == CaptureMode::Automatic
            && self.authorization().is_some()
            && self.captures() < CAPTURES_MAX
            && later.all(came_to_nothing)
    }

    /// How often a capture was begun.
    pub(crate) fn captures(&self) -> usize {
        self.attempts
            .iter()
            .filter(|attempt| attempt.operation == Operation::Capture)
            .count()
    }

    /// Whether this attempt takes the money of an automatic payment by itself: nobody asked for it but the payment.
    pub(crate) fn is_own_capture(&self, attempt: &Attempt) -> bool {
        attempt.operation == Operation::Capture && attempt.answers == self.payment.id.to_string()
    }

    /// Derives what follows from the attempts.
    fn derive(&mut self, now: Timestamp) {
        let facts: Vec<_> = self.attempts.iter().map(Attempt::fact).collect();
        let terms = Terms {
            closing: self.closing,
            at_checkout: self.at_checkout,
            tries_max: CHECKOUT_ATTEMPTS_MAX,
        };
        let derived = standing(terms, &facts);
        let last = self.attempts.last();
        let payment = &mut self.payment;
        payment.status = derived.status;
        payment.amount_captured = derived.captured;
        payment.amount_refunded = derived.refunded;
        payment.last_attempt = last.map(|attempt| LastAttempt {
            operation: attempt.operation,
            status: attempt.status,
            decline_reason: attempt.decline_reason,
        });
        let challenged = payment.status == PaymentStatus::RequiresAction;
        payment.challenge_url = last
            .filter(|_| challenged)
            .and_then(|attempt| attempt.challenge_url.clone());
        if payment.status != PaymentStatus::RequiresCard {
            payment.checkout_url = None;
        }
        payment.version = payment.version.saturating_add(1);
        payment.updated = now;
    }
}

const fn event_of(
    operation: Operation,
    status: AttemptStatus,
    challenged: bool,
    closing: Closing,
) -> Option<EventType> {
    match (operation, status) {
        (Operation::Authorize, AttemptStatus::Sending) if challenged => {
            Some(EventType::PaymentRequiresAction)
        }
        (Operation::Authorize, AttemptStatus::Succeeded) => Some(EventType::PaymentAuthorized),
        (Operation::Authorize, AttemptStatus::Failed) => Some(EventType::PaymentDeclined),
        (Operation::Capture, AttemptStatus::Succeeded) => Some(EventType::PaymentCaptured),
        (Operation::Refund, AttemptStatus::Succeeded) => Some(EventType::RefundSucceeded),
        (Operation::Refund, AttemptStatus::Failed) => Some(EventType::RefundFailed),
        (Operation::Void, AttemptStatus::Succeeded) => Some(match closing {
            Closing::Expired => EventType::PaymentExpired,
            Closing::Open | Closing::Canceled => EventType::PaymentCanceled,
        }),
        (
            Operation::Authorize | Operation::Capture | Operation::Void | Operation::Refund,
            AttemptStatus::Sending | AttemptStatus::Unknown | AttemptStatus::Failed,
        ) => None,
    }
}
