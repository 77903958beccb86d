//! What the store holds of a webhook endpoint: its keys only as ciphertext, bound to their place.

use coffer_core::{Timestamp, event::EventType, id::WebhookEndpointId};
use coffer_crypto::{Context, Key, unwrap, wrap};
use coffer_db::Row;
use coffer_net::contract::Place;

use super::{OldWebhookSecret, WebhookEndpoint};
use crate::{Engine, Error, error::corrupt, rotation, rows, signature::WebhookKeys};

/// An endpoint with what only the delivery worker needs.
pub(crate) struct StoredEndpoint {
    pub(crate) endpoint: WebhookEndpoint,
    pub(crate) keys: WebhookKeys,
    pub(crate) previous: Option<WebhookKeys>,
    pub(crate) failing_since: Option<Timestamp>,
}

impl Engine {
    pub(super) fn seal(
        &self,
        place: Place,
        id: WebhookEndpointId,
        column: Column,
        key: &Key,
    ) -> Result<Vec<u8>, Error> {
        Ok(wrap(
            &self.secrets().webhooks,
            &context(place, id, column),
            key,
        )?)
    }

    fn open_keys(
        &self,
        place: Place,
        id: WebhookEndpointId,
        secret: &[u8],
        seed: &[u8],
    ) -> Result<WebhookKeys, Error> {
        let key = &self.secrets().webhooks;
        Ok(WebhookKeys {
            secret: unwrap(key, &context(place, id, Column::Secret), secret)?,
            seed: unwrap(key, &context(place, id, Column::Seed), seed)?,
        })
    }

    pub(crate) fn read_endpoint(&self, row: &Row) -> Result<StoredEndpoint, Error> {
        let (place, id) = (rows::place(row)?, rows::word(row, "webhook_endpoint")?);
        let keys = self.open_keys(place, id, row.bytes("secret")?, row.bytes("signing_seed")?)?;
        let rotation = rotation::read(row)?.filter(|rotation| rotation.overlaps(self.now()));
        let previous = match (
            row.optional_bytes("previous_secret")?,
            row.optional_bytes("previous_seed")?,
        ) {
            (Some(secret), Some(seed)) if rotation.is_some() => {
                Some(self.open_keys(place, id, secret, seed)?)
            }
            (Some(_) | None, Some(_) | None) => None,
        };
        let old = match (rotation, &previous) {
            (Some(times), Some(keys)) => Some(OldWebhookSecret {
                public_key: keys.public_text()?,
                times,
            }),
            (Some(_) | None, Some(_) | None) => None,
        };
        let endpoint = WebhookEndpoint {
            id,
            place,
            url: row.text("url")?.to_owned(),
            events: events_from_store(row.text("events")?)?,
            description: rows::maybe_text(row, "description")?,
            state: rows::word(row, "state")?,
            public_key: keys.public_text()?,
            old,
            version: row.integer("version")?,
            created: rows::time(row, "created")?,
            updated: rows::time(row, "updated")?,
        };
        let failing_since = row
            .optional_integer("failing_since")?
            .map(Timestamp::from_millis);
        Ok(StoredEndpoint {
            endpoint,
            keys,
            previous,
            failing_since,
        })
    }
}

/// The sealed columns of an endpoint.
#[derive(Clone, Copy)]
pub(super) enum Column {
    Secret,
    Seed,
}

/// A previous key keeps the context of the current one, because rotation moves it from column to column unopened.
fn context(place: Place, id: WebhookEndpointId, column: Column) -> Context {
    Context::new("coffer webhook endpoint v1")
        .bytes(place.account.as_bytes())
        .text(place.mode.as_str())
        .bytes(id.as_bytes())
        .text(match column {
            Column::Secret => "secret",
            Column::Seed => "signing_seed",
        })
}

/// Each type between spaces, so that a search for ` type ` finds it whole; empty for all.
pub(super) fn events_to_store(events: &[EventType]) -> String {
    if events.is_empty() {
        return String::new();
    }
    events
        .iter()
        .fold(" ".to_owned(), |text, event| text + event.as_str() + " ")
}

fn events_from_store(text: &str) -> Result<Vec<EventType>, Error> {
    text.split_ascii_whitespace()
        .map(|word| word.parse().map_err(corrupt))
        .collect()
}
