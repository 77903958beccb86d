//! The life of a payment. Its status is derived from its attempts, never set by hand.

words! {
    /// One kind of call to a payment provider.
    pub enum Operation {
        /// Reserve the amount on the card.
        Authorize = "authorize",
        /// Take reserved money.
        Capture = "capture",
        /// Give up a reservation.
        Void = "void",
        /// Give captured money back.
        Refund = "refund",
    }
}

words! {
    /// How one provider call stands.
    pub enum AttemptStatus {
        /// Recorded, perhaps on its way.
        Sending = "sending",
        /// The provider did it.
        Succeeded = "succeeded",
        /// The provider did not do it and never will.
        Failed = "failed",
        /// Nobody knows yet; the sweeper asks.
        Unknown = "unknown",
    }
}

words! {
    /// When money is taken after an authorization.
    pub enum CaptureMode {
        /// At once.
        Automatic = "automatic",
        /// When the merchant asks.
        Manual = "manual",
    }
}

words! {
    /// Where a payment stands.
    pub enum PaymentStatus {
        /// Waits for a card at its checkout page.
        RequiresCard = "requires_card",
        /// A provider call has not ended or its outcome is not known yet.
        Processing = "processing",
        /// The payer has to pass a challenge.
        RequiresAction = "requires_action",
        /// The amount is reserved.
        Authorized = "authorized",
        /// The money is taken.
        Captured = "captured",
        /// Some of the money went back.
        PartiallyRefunded = "partially_refunded",
        /// All of the money went back.
        Refunded = "refunded",
        /// The card was refused.
        Declined = "declined",
        /// Given up, or its reservation voided.
        Canceled = "canceled",
        /// Nobody paid in time, or the reservation lapsed.
        Expired = "expired",
    }
}

words! {
    /// How a refund stands.
    pub enum RefundStatus {
        /// Not known yet.
        Processing = "processing",
        /// The money went back.
        Succeeded = "succeeded",
        /// The money could not go back.
        Failed = "failed",
    }
}

words! {
    /// How a payment was closed without a provider's doing.
    pub enum Closing {
        /// It is open.
        Open = "open",
        /// The merchant gave it up before a card was authorized.
        Canceled = "canceled",
        /// Its time ran out.
        Expired = "expired",
    }
}

/// What one attempt means for its payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptFact {
    /// The kind of call.
    pub operation: Operation,
    /// How it stands.
    pub status: AttemptStatus,
    /// Minor units that it is about.
    pub amount: i64,
    /// It waits for the payer to pass a challenge.
    pub challenged: bool,
    /// It was taken back before anything was sent, so that it is no try of the payer's.
    pub withdrawn: bool,
}

impl AttemptFact {
    /// Whether a card of the payer's was tried.
    #[must_use]
    pub const fn is_try(&self) -> bool {
        matches!(self.operation, Operation::Authorize) && !self.withdrawn
    }
}

/// What is fixed about a payment, beside its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How it was closed, if it was.
    pub closing: Closing,
    /// The payer enters cards at the checkout page, and may try another one.
    pub at_checkout: bool,
    /// Cards that the payer may try there.
    pub tries_max: usize,
}

/// Where a payment stands and how much moved, derived from its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The status.
    pub status: PaymentStatus,
    /// Minor units captured.
    pub captured: i64,
    /// Minor units refunded.
    pub refunded: i64,
}

/// Derives a payment's standing. `attempts` are in the order in which they were made.
#[must_use]
pub fn standing(terms: Terms, attempts: &[AttemptFact]) -> Standing {
    let captured = succeeded(attempts, Operation::Capture);
    let refunded = succeeded(attempts, Operation::Refund);
    let status = if captured > 0 {
        after_capture(captured, refunded)
    } else {
        before_capture(terms, attempts)
    };
    Standing {
        status,
        captured,
        refunded,
    }
}

const fn after_capture(captured: i64, refunded: i64) -> PaymentStatus {
    if refunded >= captured {
        PaymentStatus::Refunded
    } else if refunded > 0 {
        PaymentStatus::PartiallyRefunded
    } else {
        PaymentStatus::Captured
    }
}

fn before_capture(terms: Terms, attempts: &[AttemptFact]) -> PaymentStatus {
    let last = |operation| {
        attempts
            .iter()
            .rev()
            .find(|attempt| attempt.operation == operation)
    };
    let pending = |attempt: &AttemptFact| {
        matches!(
            attempt.status,
            AttemptStatus::Sending | AttemptStatus::Unknown
        )
    };
    let Some(authorize) = last(Operation::Authorize) else {
        return closed(terms.closing).unwrap_or(PaymentStatus::RequiresCard);
    };
    match authorize.status {
        AttemptStatus::Sending | AttemptStatus::Unknown if authorize.challenged => {
            PaymentStatus::RequiresAction
        }
        AttemptStatus::Sending | AttemptStatus::Unknown => PaymentStatus::Processing,
        AttemptStatus::Failed => {
            closed(terms.closing).unwrap_or_else(|| after_decline(terms, attempts))
        }
        AttemptStatus::Succeeded => {
            if last(Operation::Void).is_some_and(|void| void.status == AttemptStatus::Succeeded) {
                closed(terms.closing).unwrap_or(PaymentStatus::Canceled)
            } else if last(Operation::Capture).is_some_and(pending)
                || last(Operation::Void).is_some_and(pending)
            {
                PaymentStatus::Processing
            } else {
                PaymentStatus::Authorized
            }
        }
    }
}

fn after_decline(terms: Terms, attempts: &[AttemptFact]) -> PaymentStatus {
    let tries = attempts.iter().filter(|attempt| attempt.is_try()).count();
    if terms.at_checkout && tries < terms.tries_max {
        PaymentStatus::RequiresCard
    } else {
        PaymentStatus::Declined
    }
}

const fn closed(closing: Closing) -> Option<PaymentStatus> {
    match closing {
        Closing::Open => None,
        Closing::Canceled => Some(PaymentStatus::Canceled),
        Closing::Expired => Some(PaymentStatus::Expired),
    }
}

fn succeeded(attempts: &[AttemptFact], operation: Operation) -> i64 {
    attempts
        .iter()
        .filter(|attempt| {
            attempt.operation == operation && attempt.status == AttemptStatus::Succeeded
        })
        .fold(0, |sum, attempt| sum.saturating_add(attempt.amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: Terms = Terms {
        closing: Closing::Open,
        at_checkout: false,
        tries_max: 1,
    };
    const CHECKOUT: Terms = Terms {
        closing: Closing::Open,
        at_checkout: true,
        tries_max: 2,
    };

    fn fact(operation: Operation, status: AttemptStatus, amount: i64) -> AttemptFact {
        AttemptFact {
            operation,
            status,
            amount,
            challenged: false,
            withdrawn: false,
        }
    }

    fn status(terms: Terms, attempts: &[AttemptFact]) -> PaymentStatus {
        standing(terms, attempts).status
    }

    #[test]
    fn an_unknown_outcome_is_processing_and_never_a_guess() {
        use AttemptStatus::{Sending, Succeeded, Unknown};
        for doubt in [Sending, Unknown] {
            assert_eq!(
                status(API, &[fact(Operation::Authorize, doubt, 5)]),
                PaymentStatus::Processing
            );
            for operation in [Operation::Capture, Operation::Void] {
                let attempts = [
                    fact(Operation::Authorize, Succeeded, 5),
                    fact(operation, doubt, 5),
                ];
                assert_eq!(status(API, &attempts), PaymentStatus::Processing);
            }
        }
    }

    #[test]
    fn a_decline_ends_a_payment_by_api_and_another_card_may_be_tried_at_checkout() {
        let failed = fact(Operation::Authorize, AttemptStatus::Failed, 5);
        assert_eq!(status(API, &[failed]), PaymentStatus::Declined);
        assert_eq!(status(CHECKOUT, &[failed]), PaymentStatus::RequiresCard);
        assert_eq!(status(CHECKOUT, &[failed, failed]), PaymentStatus::Declined);
        let withdrawn = AttemptFact {
            withdrawn: true,
            ..failed
        };
        assert_eq!(
            status(CHECKOUT, &[failed, withdrawn, withdrawn]),
            PaymentStatus::RequiresCard
        );
    }

    #[test]
    fn money_that_moved_decides_whatever_else_is_pending() {
        use AttemptStatus::{Failed, Succeeded, Unknown};
        let paid = [
            fact(Operation::Authorize, Succeeded, 9),
            fact(Operation::Capture, Succeeded, 9),
        ];
        let refund = |status, amount| fact(Operation::Refund, status, amount);
        let after = |refunds: &[AttemptFact]| standing(API, &[&paid[..], refunds].concat());
        assert_eq!(after(&[]).status, PaymentStatus::Captured);
        assert_eq!(after(&[refund(Unknown, 9)]).status, PaymentStatus::Captured);
        assert_eq!(after(&[refund(Failed, 9)]).status, PaymentStatus::Captured);
        assert_eq!(
            after(&[refund(Succeeded, 4)]).status,
            PaymentStatus::PartiallyRefunded
        );
        assert_eq!(
            after(&[refund(Succeeded, 4), refund(Succeeded, 5)]).status,
            PaymentStatus::Refunded
        );
    }

    #[test]
    fn a_failed_capture_leaves_the_authorization() {
        let attempts = [
            fact(Operation::Authorize, AttemptStatus::Succeeded, 9),
            fact(Operation::Capture, AttemptStatus::Failed, 9),
        ];
        assert_eq!(status(API, &attempts), PaymentStatus::Authorized);
    }
}
