//! The four operations of a provider, and the rules of money between them. Pure: no store, no HTTP.

use coffer_core::{decline::DeclineReason, words};

/// The words of the field, so the same as Coffer's. How they stand is the provider's own.
pub use coffer_core::payment::Operation;

words! {
    /// How an operation stands. An authorization is approved, declined or challenged; the others succeed or fail.
    pub enum Status {
        /// The money is reserved.
        Approved = "approved",
        /// The money is not reserved.
        Declined = "declined",
        /// The payer must pass a challenge first.
        Challenge = "challenge",
        /// It was done.
        Succeeded = "succeeded",
        /// It was not done.
        Failed = "failed",
    }
}

/// How the money of one authorization is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) approved: bool,
    pub(crate) amount: i64,
    pub(crate) captured: i64,
    pub(crate) voided: i64,
    pub(crate) refunded: i64,
}

impl Position {
    /// Reserved, and neither captured nor voided.
    pub(crate) const fn open(self) -> i64 {
        self.amount
            .saturating_sub(self.captured)
            .saturating_sub(self.voided)
    }

    /// The position after the operation, or why the provider does not do it.
    pub(crate) fn after(self, operation: Operation, amount: i64) -> Result<Self, DeclineReason> {
        let within = |limit: i64| {
            let fits = (1..=limit).contains(&amount);
            fits.then_some(amount).ok_or(DeclineReason::LimitExceeded)
        };
        match operation {
            Operation::Capture if self.approved && self.captured == 0 && self.open() > 0 => {
                Ok(Self {
                    captured: within(self.open())?,
                    ..self
                })
            }
            Operation::Void if self.approved && self.open() > 0 => Ok(Self {
                voided: self.voided.saturating_add(within(self.open())?),
                ..self
            }),
            Operation::Refund if self.captured > 0 => Ok(Self {
                refunded: self
                    .refunded
                    .saturating_add(within(self.captured.saturating_sub(self.refunded))?),
                ..self
            }),
            Operation::Authorize | Operation::Capture | Operation::Void | Operation::Refund => {
                Err(DeclineReason::NotSupported)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPROVED: Position = Position {
        approved: true,
        amount: 1000,
        captured: 0,
        voided: 0,
        refunded: 0,
    };

    #[test]
    fn capture_cannot_exceed_the_authorization_or_happen_twice() {
        let limit = Err(DeclineReason::LimitExceeded);
        for amount in [i64::MIN, -1, 0, 1001, i64::MAX] {
            assert_eq!(APPROVED.after(Operation::Capture, amount), limit);
        }
        let captured = APPROVED.after(Operation::Capture, 400).unwrap();
        let again = captured.after(Operation::Capture, 100);
        assert_eq!(again, Err(DeclineReason::NotSupported));
    }

    #[test]
    fn refunds_cannot_exceed_the_capture() {
        let captured = APPROVED.after(Operation::Capture, 400).unwrap();
        let refunded = captured.after(Operation::Refund, 300).unwrap();
        let limit = Err(DeclineReason::LimitExceeded);
        assert_eq!(refunded.after(Operation::Refund, 101), limit);
        assert_eq!(
            refunded.after(Operation::Refund, 100).unwrap().refunded,
            400
        );
        assert_eq!(
            APPROVED.after(Operation::Refund, 1),
            Err(DeclineReason::NotSupported)
        );
    }

    #[test]
    fn what_is_voided_cannot_be_captured() {
        let voided = APPROVED.after(Operation::Void, 1000).unwrap();
        let not_supported = Err(DeclineReason::NotSupported);
        assert_eq!(voided.after(Operation::Capture, 1), not_supported);
        assert_eq!(voided.after(Operation::Void, 1), not_supported);
        let captured = APPROVED.after(Operation::Capture, 400).unwrap();
        assert_eq!(captured.open(), 600);
        assert_eq!(captured.after(Operation::Void, 600).unwrap().open(), 0);
    }

    #[test]
    fn nothing_follows_an_authorization_that_is_not_approved() {
        let declined = Position {
            approved: false,
            ..APPROVED
        };
        for &operation in Operation::ALL {
            assert_eq!(
                declined.after(operation, 1),
                Err(DeclineReason::NotSupported)
            );
        }
    }
}
