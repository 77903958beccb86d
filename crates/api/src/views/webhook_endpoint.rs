//! A webhook endpoint.

use coffer_core::{Mode, event::EventType, id::WebhookEndpointId, rotation::Rotation};
use coffer_engine::{OldWebhookSecret, ShownSecret, WebhookEndpoint, WebhookEndpointState};

use super::owned;
use crate::shape::{ObjectType, Time, object};

object! {
    /// Where you want to be told of events.
    pub(crate) struct WebhookEndpointView as "WebhookEndpoint" {
        /// Its id.
        id: WebhookEndpointId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Mode,
        /// Where events are sent.
        url: String,
        /// Which events are sent; all when empty.
        events: Vec<EventType>,
        /// Your own words.
        description: Option<String>,
        /// Whether it is told.
        state: WebhookEndpointState,
        /// The key that verifies v1a signatures (Ed25519).
        public_key: String,
        /// The secret that verifies v1 signatures; shown only when it is made.
        secret: Option<String>,
        /// The secret for the owner of the key in seal_to alone: a JWE (RFC 7516), shown in place of secret.
        sealed_secret: Option<String>,
        /// The secret before the last rotation, as long as it signs beside the present one.
        old_secret: Option<OldWebhookSecretView>,
        /// Grows with every change.
        version: i64,
        /// When it was made.
        created: Time,
        /// When it changed last.
        updated: Time,
        /// That the secret was shown before, on a repetition.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'static str>,
    }
}

object! {
    /// The secret that a webhook endpoint had before.
    pub(crate) struct OldWebhookSecretView as "OldWebhookSecret" {
        /// The key that verifies its v1a signatures (Ed25519).
        public_key: String,
        /// Since when the new one signs.
        rotated: Time,
        /// When it stops signing.
        closes: Time,
    }
}

impl OldWebhookSecretView {
    fn of(old: OldWebhookSecret) -> Self {
        let OldWebhookSecret { public_key, times } = old;
        let Rotation { rotated, closes } = times;
        Self {
            public_key,
            rotated: Time(rotated),
            closes: Time(closes),
        }
    }
}

impl WebhookEndpointView {
    /// An endpoint as its merchant sees it; with its secret when that is new.
    pub(crate) fn of(endpoint: WebhookEndpoint, secret: Option<ShownSecret>) -> Self {
        let WebhookEndpoint {
            id,
            place,
            url,
            events,
            description,
            state,
            public_key,
            old,
            version,
            created,
            updated,
        } = endpoint;
        let (secret, sealed_secret) = match secret {
            Some(ShownSecret::Plain(secret)) => (Some(secret), None),
            Some(ShownSecret::Sealed(sealed)) => (None, Some(sealed)),
            None => (None, None),
        };
        Self {
            id,
            r#type: ObjectType::WebhookEndpoint,
            mode: place.mode,
            url,
            events,
            description: owned(description),
            state,
            public_key,
            secret,
            sealed_secret,
            old_secret: old.map(OldWebhookSecretView::of),
            version,
            created: Time(created),
            updated: Time(updated),
            code: None,
        }
    }
}
