//! What happened, told without telling anything: an event has a type, a time and the id and version of its object.
//!
//! The type has no field that could hold anything else, so a webhook cannot carry what it must not (R17).

use crate::{Mode, Timestamp, id::EventId};

words! {
    /// What happened to an object.
    pub enum EventType {
        /// The payer has to pass a challenge.
        PaymentRequiresAction = "payment.requires_action",
        /// The amount is reserved on the card.
        PaymentAuthorized = "payment.authorized",
        /// The money is taken.
        PaymentCaptured = "payment.captured",
        /// The card was refused.
        PaymentDeclined = "payment.declined",
        /// The payment was given up or its authorization voided.
        PaymentCanceled = "payment.canceled",
        /// Nobody paid in time, or the authorization lapsed.
        PaymentExpired = "payment.expired",
        /// Money went back.
        RefundSucceeded = "refund.succeeded",
        /// Money could not go back.
        RefundFailed = "refund.failed",
        /// A customer was made.
        CustomerCreated = "customer.created",
        /// A customer was changed.
        CustomerUpdated = "customer.updated",
        /// A customer was deleted.
        CustomerDeleted = "customer.deleted",
        /// A card was kept with a customer.
        CardCreated = "card.created",
        /// A kept card was deleted.
        CardDeleted = "card.deleted",
        /// An API key was made.
        ApiKeyCreated = "api_key.created",
        /// What an API key may do was changed.
        ApiKeyUpdated = "api_key.updated",
        /// An API key has a new secret, and its old one for a while.
        ApiKeyRotated = "api_key.rotated",
        /// The old secret of an API key works no more.
        ApiKeyRotationEnded = "api_key.rotation_ended",
        /// An API key works no more until it is unfrozen.
        ApiKeyFrozen = "api_key.frozen",
        /// A frozen API key works again.
        ApiKeyUnfrozen = "api_key.unfrozen",
        /// An API key ends in 30, 7 or 1 days.
        ApiKeyExpiring = "api_key.expiring",
        /// An API key's time is over.
        ApiKeyExpired = "api_key.expired",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// An API key was seen where it must not be.
        ApiKeyExposed = "api_key.exposed",
        /// An API key has used 80 % of a cap; told once a day of each.
        ApiKeyCapNearlyReached = "api_key.cap_nearly_reached",
        /// A signing key was registered, or made.
        SigningKeyCreated = "signing_key.created",
        /// A signing key has a successor, beside which it works for a while.
        SigningKeyRotated = "signing_key.rotated",
        /// A signing key that has a successor works no more.
        SigningKeyRotationEnded = "signing_key.rotation_ended",
        /// A signing key was revoked.
        SigningKeyRevoked = "signing_key.revoked",
        /// A webhook endpoint was made.
        WebhookEndpointCreated = "webhook_endpoint.created",
        /// A webhook endpoint was changed.
        WebhookEndpointUpdated = "webhook_endpoint.updated",
        /// A webhook endpoint has a new secret, and its old one for a while.
        WebhookEndpointRotated = "webhook_endpoint.rotated",
        /// The old secret of a webhook endpoint signs no more.
        WebhookEndpointRotationEnded = "webhook_endpoint.rotation_ended",
        /// A webhook endpoint was deleted.
        WebhookEndpointDeleted = "webhook_endpoint.deleted",
        /// A webhook endpoint answered 410 or failed for too long, and gets nothing more.
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
        /// Something needs a person's attention.
        AlertRaised = "alert.raised",
    }
}

impl EventType {
    /// The type of object that it happens to: the word before the dot.
    #[must_use]
    pub fn object_type(self) -> &'static str {
        self.as_str()
            .split_once('.')
            .map_or("", |(object, _)| object)
    }
}

/// The object that an event is about: its type, id and the version it had right after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventObject {
    /// `payment`, `refund`, `customer` …
    pub kind: &'static str,
    /// The object's id.
    pub id: String,
    /// The object's version right after what happened.
    pub version: i64,
}

/// One event, as it is stored, listed and sent. Every field is safe for anyone to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, the same on every repeat.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// In which mode.
    pub mode: Mode,
    /// When.
    pub created: Timestamp,
    /// To which object.
    pub object: EventObject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_happens_to_a_type_of_object() {
        let mut types: Vec<_> = EventType::ALL
            .iter()
            .map(|event| event.object_type())
            .collect();
        types.dedup();
        assert_eq!(
            types,
            [
                "payment",
                "refund",
                "customer",
                "card",
                "api_key",
                "signing_key",
                "webhook_endpoint",
                "alert"
            ]
        );
    }
}
