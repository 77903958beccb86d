//! Webhook endpoints: where a merchant wants to be told, with secrets of their own that are shown once.

mod rotation;
mod secret;
mod stored;

use coffer_core::{
    Timestamp,
    event::EventType,
    id::{SigningKeyId, WebhookEndpointId},
    limits::{DESCRIPTION_MAX, WEBHOOK_ENDPOINTS_MAX},
    rotation::Rotation,
    words,
};
use coffer_db::{Transaction, params};
use coffer_net::contract::Place;

pub use rotation::SecretRotation;
pub use secret::ShownSecret;
pub(crate) use stored::StoredEndpoint;
use stored::{Column, events_to_store};

use crate::{
    Caller, Done, Engine, Error, Fresh, Listed, Page, StoredAnswer, Text, commit::Intent,
    events::Happened, room::Room, rows::key_of, signature::WebhookKeys, store::webhooks as sql,
    text::check_url,
};

const OBJECT: &str = "webhook_endpoint";
static ROOM: Room = Room {
    statement: &sql::ROOM,
    what: "webhook endpoints",
    limit: WEBHOOK_ENDPOINTS_MAX,
};

words! {
    /// Whether an endpoint is told.
    pub enum WebhookEndpointState {
        /// It is.
        Enabled = "enabled",
        /// It is not: it said so, failed for too long, or the merchant turned it off.
        Disabled = "disabled",
    }
}

/// A webhook endpoint at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Its account and mode.
    pub place: Place,
    /// Where to tell.
    pub url: String,
    /// Of which events; all when empty.
    pub events: Vec<EventType>,
    /// The merchant's own words.
    pub description: Option<Text<DESCRIPTION_MAX>>,
    /// Whether it is told.
    pub state: WebhookEndpointState,
    /// The key that verifies `v1a` signatures.
    pub public_key: String,
    /// The keys before, as long as they sign beside the present ones.
    pub old: Option<OldWebhookSecret>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
}

/// The keys that an endpoint had before its last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldWebhookSecret {
    /// The key that verifies their `v1a` signatures.
    pub public_key: String,
    /// Since when there are new ones, and until when these sign.
    pub times: Rotation,
}

/// A webhook endpoint to be made.
#[derive(Debug, Clone)]
pub struct NewWebhookEndpoint {
    /// Where to tell: https, or http for a receiver that has none.
    pub url: String,
    /// Of which events; all when empty.
    pub events: Vec<EventType>,
    /// The merchant's own words.
    pub description: Option<Text<DESCRIPTION_MAX>>,
    /// For the owner of which signing key alone its secret is; without, for whoever gets the answer.
    pub seal_to: Option<SigningKeyId>,
}

/// What to change of an endpoint; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct WebhookEndpointChange {
    /// A new address.
    pub url: Option<String>,
    /// Other events.
    pub events: Option<Vec<EventType>>,
    /// A new description, or none.
    pub description: Option<Option<Text<DESCRIPTION_MAX>>>,
    /// Turned on or off.
    pub state: Option<WebhookEndpointState>,
}

impl Engine {
    /// Makes an endpoint; its secret is returned once and then only signs.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an address that cannot be told, [`Error::LimitReached`] for one too many, [`Error::NotFound`] or
    /// [`Error::State`] for a key that nothing can be sealed to.
    pub async fn webhook_endpoint_create(
        &self,
        caller: &Caller,
        fresh: Fresh,
        new: NewWebhookEndpoint,
    ) -> Result<Done<(WebhookEndpoint, ShownSecret)>, Error> {
        check_url("url", &new.url)?;
        self.check_room(&ROOM, caller.place).await?;
        let (now, keys) = (self.now(), WebhookKeys::generate()?);
        let secret = self.shown_secret(caller.place, &keys, new.seal_to).await?;
        let endpoint = WebhookEndpoint {
            id: self.0.clock.id(),
            place: caller.place,
            url: new.url,
            events: new.events,
            description: new.description,
            state: WebhookEndpointState::Enabled,
            public_key: keys.public_text()?,
            old: None,
            version: 1,
            created: now,
            updated: now,
        };
        let [account, mode] = key_of(caller.place);
        let id = endpoint.id.to_string();
        let row = params![
            account,
            mode,
            id.as_str(),
            endpoint.url.as_str(),
            events_to_store(&endpoint.events),
            endpoint.description.as_deref(),
            self.seal(caller.place, endpoint.id, Column::Secret, &keys.secret)?,
            self.seal(caller.place, endpoint.id, Column::Seed, &keys.seed)?,
            now.as_millis(),
        ];
        let steps = ROOM.hold(caller.place).one(&sql::INSERT, row);
        let steps = steps.append(self.answered_endpoint(&fresh, &endpoint, 201)?);
        let created = EventType::WebhookEndpointCreated;
        self.change_endpoint(caller, (created, &endpoint), steps)
            .await?;
        Ok(Done {
            status: 201,
            object: (endpoint, secret),
        })
    }

    /// One endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn webhook_endpoint(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
    ) -> Result<WebhookEndpoint, Error> {
        let row = self.find(&sql::FIND, OBJECT, caller.place, id).await?;
        Ok(self.read_endpoint(&row)?.endpoint)
    }

    /// Endpoints, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no endpoint's id.
    pub async fn webhook_endpoint_list(
        &self,
        caller: &Caller,
        page: Page,
    ) -> Result<Listed<WebhookEndpoint>, Error> {
        let [account, mode] = key_of(caller.place);
        let row = params![
            account,
            mode,
            page.before_id::<WebhookEndpointId>()?,
            page.fetch()
        ];
        let rows = self.db().read(&sql::LIST, row).await?;
        page.read(&rows, |row| Ok(self.read_endpoint(row)?.endpoint))
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`], or [`Error::State`] when another change came between.
    pub async fn webhook_endpoint_update(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        change: WebhookEndpointChange,
    ) -> Result<WebhookEndpoint, Error> {
        let mut endpoint = self.webhook_endpoint(caller, id).await?;
        let (read_version, now) = (endpoint.version, self.now());
        if let Some(url) = change.url {
            check_url("url", &url)?;
            endpoint.url = url;
        }
        endpoint.events = change.events.unwrap_or(endpoint.events);
        endpoint.description = change.description.unwrap_or(endpoint.description);
        endpoint.state = change.state.unwrap_or(endpoint.state);
        endpoint.version = read_version.saturating_add(1);
        endpoint.updated = now;
        let [account, mode] = key_of(caller.place);
        let row = params![
            account,
            mode,
            id.to_string(),
            read_version,
            endpoint.url.as_str(),
            events_to_store(&endpoint.events),
            endpoint.description.as_deref(),
            endpoint.state.as_str(),
            now.as_millis(),
        ];
        let steps = Transaction::new().one(&sql::UPDATE, row);
        let updated = EventType::WebhookEndpointUpdated;
        self.change_endpoint(caller, (updated, &endpoint), steps)
            .await?;
        Ok(endpoint)
    }

    /// Deletes an endpoint and what was on its way to it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn webhook_endpoint_delete(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
    ) -> Result<(), Error> {
        let mut endpoint = self.webhook_endpoint(caller, id).await?;
        endpoint.version = endpoint.version.saturating_add(1);
        let [account, mode] = key_of(caller.place);
        let steps = Transaction::new()
            .one(&sql::DELETE, params![account, mode, id.to_string()])
            .any(&sql::QUEUE_DROP, params![queue_of(id)]);
        let deleted = EventType::WebhookEndpointDeleted;
        self.change_endpoint(caller, (deleted, &endpoint), steps)
            .await
    }

    /// The steps that store the answer, without the secret. It is filed under the version too: an endpoint's making and
    /// each rotation are answers of their own.
    fn answered_endpoint(
        &self,
        fresh: &Fresh,
        endpoint: &WebhookEndpoint,
        status: u16,
    ) -> Result<Transaction, Error> {
        let body = (self.0.render.webhook_endpoint)(endpoint);
        let filed = format!("{}@{}", endpoint.id, endpoint.version);
        self.answered(fresh, &filed, self.now(), &StoredAnswer { status, body })
    }

    /// Commits a change of an endpoint with its event.
    async fn change_endpoint(
        &self,
        caller: &Caller,
        (event, endpoint): (EventType, &WebhookEndpoint),
        steps: Transaction,
    ) -> Result<(), Error> {
        let happened = Happened::to(endpoint.id, endpoint.version, event);
        let steps = steps.append(self.tell(caller.place, &[happened]));
        let intent = Intent::new(event.as_str(), endpoint.id, steps)
            .or(ROOM.statement, ROOM.full())
            .or(&sql::UPDATE, Error::changing(OBJECT))
            .or(&sql::ROTATE, Error::changing(OBJECT))
            .or(&sql::END_ROTATION, Error::changing(OBJECT))
            .or(&sql::DELETE, Error::NotFound { object: OBJECT });
        self.intend(caller, intent).await.map(drop)
    }
}

/// The queue of an endpoint's deliveries.
pub(crate) fn queue_of(id: WebhookEndpointId) -> String {
    format!("webhook:{id}")
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::fixture::Shop;

    #[tokio::test]
    async fn of_endpoints_made_at_the_same_instant_one_is_the_last_for_which_there_is_room() {
        let shop = Shop::open().await;
        let caller = shop.caller("POST /v1/webhook_endpoints").await;
        let make = |_| {
            let (engine, caller) = (shop.engine.clone(), caller.clone());
            let new = NewWebhookEndpoint {
                url: "https://shop.test/hook".to_owned(),
                events: Vec::new(),
                description: None,
                seal_to: None,
            };
            async move {
                let made = engine.webhook_endpoint_create(&caller, Fresh::unkeyed(), new);
                made.await.err()
            }
        };
        let made = (0..WEBHOOK_ENDPOINTS_MAX + 5).map(make);
        let refused = made.collect::<JoinSet<_>>().join_all().await;
        let refused: Vec<Error> = refused.into_iter().flatten().collect();
        assert_eq!(refused, vec![ROOM.full(); 5]);
    }
}
