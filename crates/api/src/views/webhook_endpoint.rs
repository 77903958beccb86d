//! A webhook endpoint.

use coffer_core::{Mode, event::EventType, id::WebhookEndpointId};
use coffer_engine::{WebhookEndpoint, WebhookEndpointState};

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

impl WebhookEndpointView {
    /// An endpoint as its merchant sees it; with its secret when that is new.
    pub(crate) fn of(endpoint: WebhookEndpoint, secret: Option<String>) -> Self {
        let WebhookEndpoint {
            id,
            place,
            url,
            events,
            description,
            state,
            public_key,
            version,
            created,
            updated,
        } = endpoint;
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
            version,
            created: Time(created),
            updated: Time(updated),
            code: None,
        }
    }
}
