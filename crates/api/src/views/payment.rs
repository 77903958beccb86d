//! A payment.

use coffer_core::{
    CardSummary, Currency, Last4, Mode,
    brand::Brand,
    decline::DeclineReason,
    id::{CustomerId, PaymentId},
    payment::{AttemptStatus, CaptureMode, Operation, PaymentStatus},
};
use coffer_engine::{LastAttempt, Payment};

use super::owned;
use crate::shape::{ObjectType, Pairs, Time, object};

object! {
    /// A payment.
    pub(crate) struct PaymentView as "Payment" {
        /// Its id.
        id: PaymentId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Mode,
        /// Where it stands.
        status: PaymentStatus,
        /// Minor units to pay.
        amount: i64,
        /// ISO 4217.
        currency: Currency,
        /// Minor units captured.
        amount_captured: i64,
        /// Minor units refunded.
        amount_refunded: i64,
        /// When money is taken.
        capture: CaptureMode,
        /// What may be known of the card.
        card: Option<CardSummaryView>,
        /// The customer's id.
        customer: Option<CustomerId>,
        /// Your own reference.
        reference: Option<String>,
        /// What it is for, shown to the payer.
        description: Option<String>,
        /// Your own pairs.
        metadata: Pairs,
        /// Where the payer goes afterwards.
        return_url: Option<String>,
        /// The page where the payer enters a card, while one is required.
        checkout_url: Option<String>,
        /// What the payer must do next.
        next_action: Option<NextActionView>,
        /// How the last call of the provider stands.
        last_attempt: Option<LastAttemptView>,
        /// Grows with every change.
        version: i64,
        /// When it was made.
        created: Time,
        /// When it changed last.
        updated: Time,
    }
}

object! {
    /// What may be known and stored of a card.
    pub(crate) struct CardSummaryView as "CardSummary" {
        /// The scheme.
        brand: Brand,
        /// The last four digits.
        last4: Last4,
        /// The last month in which it is valid, 1 to 12.
        exp_month: i64,
        /// The year of that month.
        exp_year: i64,
    }
}

object! {
    /// What the payer must do next.
    pub(crate) struct NextActionView as "NextAction" {
        /// Always redirect.
        r#type: &'static str,
        /// Where to send the payer.
        url: String,
    }
}

object! {
    /// How a call of the provider stands.
    pub(crate) struct LastAttemptView as "LastAttempt" {
        /// Its kind.
        operation: Operation,
        /// How it stands.
        status: AttemptStatus,
        /// Why it failed.
        decline_reason: Option<DeclineReason>,
    }
}

impl PaymentView {
    /// A payment as its merchant sees it.
    pub(crate) fn of(payment: Payment) -> Self {
        let Payment {
            id,
            place,
            status,
            amount,
            currency,
            amount_captured,
            amount_refunded,
            capture,
            card,
            customer,
            reference,
            description,
            metadata,
            return_url,
            checkout_url,
            challenge_url,
            last_attempt,
            version,
            created,
            updated,
        } = payment;
        Self {
            id,
            r#type: ObjectType::Payment,
            mode: place.mode,
            status,
            amount,
            currency,
            amount_captured,
            amount_refunded,
            capture,
            card: card.map(CardSummaryView::of),
            customer,
            reference: owned(reference),
            description: owned(description),
            metadata: Pairs(metadata),
            return_url,
            checkout_url,
            next_action: challenge_url.map(|url| NextActionView {
                r#type: "redirect",
                url,
            }),
            last_attempt: last_attempt.map(LastAttemptView::of),
            version,
            created: Time(created),
            updated: Time(updated),
        }
    }
}

impl CardSummaryView {
    /// A card as a merchant may know it.
    pub(crate) const fn of(card: CardSummary) -> Self {
        let CardSummary {
            brand,
            last4,
            expiry,
        } = card;
        Self {
            brand,
            last4,
            exp_month: expiry.month(),
            exp_year: expiry.year(),
        }
    }
}

impl LastAttemptView {
    const fn of(attempt: LastAttempt) -> Self {
        let LastAttempt {
            operation,
            status,
            decline_reason,
        } = attempt;
        Self {
            operation,
            status,
            decline_reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{Expiry, Timestamp, id::AccountId};
    use coffer_engine::Metadata;
    use coffer_net::contract::Place;

    use super::*;

    #[test]
    fn a_payment_is_written_as_documented() {
        let now = Timestamp::from_millis(1_795_341_600_123);
        let payment = Payment {
            id: PaymentId::from_bytes([1; 16]),
            place: Place {
                account: AccountId::from_bytes([2; 16]),
                mode: Mode::Test,
            },
            status: PaymentStatus::RequiresAction,
            amount: 1999,
            currency: "EUR".parse().unwrap(),
            amount_captured: 0,
            amount_refunded: 0,
            capture: CaptureMode::Automatic,
            card: Some(CardSummary {
                brand: Brand::Visa,
                last4: "4242".parse().unwrap(),
                expiry: Expiry::new(12, 2030).unwrap(),
            }),
            customer: None,
            reference: None,
            description: None,
            metadata: Metadata::from_pairs([("a".to_owned(), "b".to_owned())]).unwrap(),
            return_url: None,
            checkout_url: None,
            challenge_url: Some("https://bank.example/3ds".to_owned()),
            last_attempt: Some(LastAttempt {
                operation: Operation::Authorize,
                status: AttemptStatus::Sending,
                decline_reason: None,
            }),
            version: 4,
            created: now,
            updated: now,
        };
        let json = String::from_utf8((crate::RENDER.payment)(&payment)).unwrap();
        let expected = format!(
            r#"{{"id":"{}","type":"payment","mode":"test","status":"requires_action","amount":1999,"currency":"EUR","amount_captured":0,"amount_refunded":0,"capture":"automatic","card":{{"brand":"visa","last4":"4242","exp_month":12,"exp_year":2030}},"customer":null,"reference":null,"description":null,"metadata":{{"a":"b"}},"return_url":null,"checkout_url":null,"next_action":{{"type":"redirect","url":"https://bank.example/3ds"}},"last_attempt":{{"operation":"authorize","status":"sending","decline_reason":null}},"version":4,"created":"2026-11-22T10:00:00.123Z","updated":"2026-11-22T10:00:00.123Z"}}"#,
            payment.id
        );
        assert_eq!(json, expected);
    }
}
