//! Keys that were seen where anybody could read them, and keys that were put out to be seen. An exposed key is marked, once,
//! and those who can replace it are told; whether it goes on working is the account's choice, unless somebody who found it says
//! so.

use coffer_core::{
    access_token::PREFIX, alert::AlertKind, api_key::KeyKind, event::EventType, id::ApiKeyId,
};

use super::{
    AuthenticationError, UNKEYED,
    change::{Asked, Step, frozen},
    key::{ApiKey, StoredKey},
};
use crate::{CallOrigin, Engine, Error, accounts, commit::By};

/// How a key came that somebody found and reported, as records name it.
const REPORTED: &str = "a report";
impl Engine {
    /// Takes note that this text, which may be an API key, came in a way in which anybody could read it; `origin.route` says
    /// which. Only a secret key that works is worth it, and only the first time. An access token that works is revoked.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn api_key_exposed(&self, presented: &str, origin: CallOrigin) -> Result<(), Error> {
        if presented.starts_with(PREFIX) {
            return self.access_token_exposed(presented, origin).await;
        }
        match self.works(presented, &origin).await? {
            Some(stored) => self.mark_exposed(&stored, &origin, origin.route).await,
            None => Ok(()),
        }
    }

    /// Takes in a key that somebody found. If it works it is marked and frozen at once, whoever says so: who holds a key could
    /// do worse with it. An access token is revoked, and its key goes on.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn api_key_reported(&self, presented: &str, origin: CallOrigin) -> Result<(), Error> {
        if presented.starts_with(PREFIX) {
            return self.access_token_exposed(presented, origin).await;
        }
        let Some(stored) = self.works(presented, &origin).await? else {
            return Ok(());
        };
        self.mark_exposed(&stored, &origin, REPORTED).await?;
        self.freeze_exposed(stored.key.id, &origin).await
    }

    /// A secret key that works, by its text.
    async fn works(
        &self,
        presented: &str,
        origin: &CallOrigin,
    ) -> Result<Option<StoredKey>, Error> {
        match self.verify(presented, origin).await {
            Ok((known, _)) if known.key().kind == KeyKind::Secret => Ok(Some(known.stored.clone())),
            Err(AuthenticationError::Unavailable) => Err(Error::Unavailable),
            Err(AuthenticationError::TooManyFailures { retry_after_s }) => {
                Err(Error::TooManyFailures { retry_after_s })
            }
            Ok(_)
            | Err(
                AuthenticationError::Malformed
                | AuthenticationError::Unknown
                | AuthenticationError::Revoked
                | AuthenticationError::Frozen
                | AuthenticationError::Expired
                | AuthenticationError::AddressNotAllowed
                | AuthenticationError::InBrowser
                | AuthenticationError::TokenUnknown
                | AuthenticationError::TokenExpired
                | AuthenticationError::TokenRevoked
                | AuthenticationError::Assertion(_),
            ) => Ok(None),
        }
    }

    /// As [`Engine::api_key_exposed`], for a key that was verified.
    pub(super) async fn mark_exposed(
        &self,
        stored: &StoredKey,
        origin: &CallOrigin,
        way: &'static str,
    ) -> Result<(), Error> {
        if stored.key.exposed.is_some() {
            return Ok(());
        }
        let (id, place) = (stored.key.id, stored.key.place);
        let key = self
            .change_key(
                id,
                || overheard(origin),
                |mut stored, now| {
                    if stored.key.exposed.is_some() {
                        return Ok(Step::Done);
                    }
                    stored.key.exposed = Some(now);
                    stored.key.exposed_by = Some(way.to_owned());
                    Ok(Step::To(stored, EventType::ApiKeyExposed))
                },
            )
            .await?;
        let kind = AlertKind::ApiKeyExposed;
        self.alert_raise(Some(place), kind, &key.id.to_string())
            .await?;
        if accounts::settings(self, place).await?.freeze_exposed_keys {
            self.freeze_exposed(id, origin).await?;
        }
        Ok(())
    }

    async fn freeze_exposed(&self, id: ApiKeyId, origin: &CallOrigin) -> Result<(), Error> {
        let done = self.change_key(id, || overheard(origin), |stored, _| frozen(stored));
        match done.await {
            // Revoked meanwhile, which is better still.
            Ok(_) | Err(Error::State { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Somebody used a bait. The answer is that there is no such key, so that nobody learns what it was.
    pub(super) async fn canary_used(
        &self,
        key: &ApiKey,
        origin: &CallOrigin,
    ) -> AuthenticationError {
        let subject = format!("{} from {}", key.id, origin.address);
        let raised = self.alert_raise(Some(key.place), AlertKind::CanaryUsed, &subject);
        if let Err(error) = raised.await {
            tracing::error!(%error, api_key.id = %key.id, "the use of a canary key could not be told");
        }
        AuthenticationError::Unknown
    }
}

const fn overheard(origin: &CallOrigin) -> Asked<'_> {
    Asked {
        by: By::Overheard(origin),
        fresh: &UNKEYED,
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{
        api_key::{KeyState, KeyText, compose},
        permission::Permissions,
    };

    use super::*;
    use crate::{
        AccountChange, EventFilter, Page,
        fixture::{Shop, make_key, new_key, origin, presented},
    };

    const PLAIN: &str = "plain HTTP";

    async fn told(shop: &Shop, event: EventType) -> Vec<(String, i64)> {
        // A key of its own, because the shop's may be frozen.
        let (_, reader) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        let caller = shop
            .engine
            .authenticate(presented(&reader), origin("GET /v1/events"))
            .await
            .unwrap();
        let filter = EventFilter {
            event_type: Some(event),
        };
        let page = Page::new(None, None).unwrap();
        let listed = shop.engine.event_list(&caller, filter, page).await.unwrap();
        let events = listed.items.into_iter();
        events
            .map(|event| (event.object.id, event.object.version))
            .collect()
    }

    async fn state(shop: &Shop, id: ApiKeyId) -> KeyState {
        let key = shop.engine.api_key(shop.place, id).await.unwrap();
        key.state(shop.clock.now())
    }

    #[tokio::test]
    async fn a_key_that_works_is_marked_once_however_often_it_is_seen() {
        let shop = Shop::open().await;
        for _ in 0..3 {
            shop.engine
                .api_key_exposed(&shop.key, origin(PLAIN))
                .await
                .unwrap();
        }
        let id = shop.caller("GET /v1/ping").await.api_key();
        assert_eq!(
            told(&shop, EventType::ApiKeyExposed).await,
            [(id.to_string(), 2)]
        );
        let alerts = shop.engine.alerts_newest().await.unwrap();
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].kind, AlertKind::ApiKeyExposed);
        let key = shop.engine.api_key(shop.place, id).await.unwrap();
        assert!(key.exposed.is_some());
        assert_eq!(state(&shop, id).await, KeyState::Active);
    }

    #[tokio::test]
    async fn two_nodes_that_see_it_at_once_tell_of_it_once() {
        let shop = Shop::open().await;
        let other = shop.another_node().await;
        let seen = |engine: Engine| {
            let key = shop.key.clone();
            async move { engine.api_key_exposed(&key, origin(PLAIN)).await }
        };
        let (one, two) = tokio::join!(seen(shop.engine.clone()), seen(other));
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(told(&shop, EventType::ApiKeyExposed).await.len(), 1);
    }

    #[tokio::test]
    async fn what_is_no_secret_key_that_works_changes_nothing() {
        let shop = Shop::open().await;
        let parsed = KeyText::parse(&shop.key).unwrap();
        let forged = compose(parsed.kind, parsed.mode, parsed.id, &[7; 32]);
        let (_, publishable) = shop
            .make_key(KeyKind::Publishable, Permissions::none())
            .await;
        let (id, revoked) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        shop.revoke(id).await;
        for text in [&forged, &publishable, &revoked, "sk_test_cut", ""] {
            let (seen, found) = (origin(PLAIN), origin("POST /v1/exposed_keys"));
            shop.engine.api_key_exposed(text, seen).await.unwrap();
            shop.engine.api_key_reported(text, found).await.unwrap();
        }
        assert!(told(&shop, EventType::ApiKeyExposed).await.is_empty());
        assert!(told(&shop, EventType::ApiKeyFrozen).await.is_empty());
    }

    #[tokio::test]
    async fn an_account_may_have_exposed_keys_frozen_at_once() {
        let shop = Shop::open().await;
        let caller = shop.caller("PATCH /v1/account").await;
        let change = AccountChange {
            freeze_exposed_keys: Some(true),
            ..AccountChange::default()
        };
        shop.engine.account_update(&caller, change).await.unwrap();
        let exposed = shop.engine.api_key_exposed(&shop.key, origin(PLAIN));
        exposed.await.unwrap();
        assert_eq!(state(&shop, caller.api_key()).await, KeyState::Frozen);
    }

    #[tokio::test]
    async fn a_key_that_somebody_found_is_frozen_and_its_owner_told() {
        let shop = Shop::open().await;
        let id = shop.caller("GET /v1/ping").await.api_key();
        for _ in 0..2 {
            let found = origin("POST /v1/exposed_keys");
            let reported = shop.engine.api_key_reported(&shop.key, found);
            reported.await.unwrap();
        }
        let refused = shop
            .engine
            .authenticate(presented(&shop.key), origin("GET /v1/ping"))
            .await;
        assert_eq!(refused.err(), Some(AuthenticationError::Frozen));
        for event in [EventType::ApiKeyExposed, EventType::ApiKeyFrozen] {
            assert_eq!(told(&shop, event).await.len(), 1, "{event}");
        }
        assert_eq!(state(&shop, id).await, KeyState::Frozen);
    }

    #[tokio::test]
    async fn a_secret_key_that_a_browser_sends_calls_nothing_and_is_marked() {
        let shop = Shop::open().await;
        let id = shop.caller("GET /v1/ping").await.api_key();
        let browser = super::super::Presented {
            by_browser: true,
            ..presented(&shop.key)
        };
        for _ in 0..2 {
            let refused = shop
                .engine
                .authenticate(browser, origin("GET /v1/ping"))
                .await;
            assert_eq!(refused.err(), Some(AuthenticationError::InBrowser));
        }
        let key = shop.engine.api_key(shop.place, id).await.unwrap();
        assert_eq!(key.exposed_by.as_deref(), Some("a browser"));
        assert_eq!(told(&shop, EventType::ApiKeyExposed).await.len(), 1);
    }

    #[tokio::test]
    async fn whoever_uses_a_canary_learns_nothing_and_is_noticed() {
        let shop = Shop::open().await;
        let new = crate::NewApiKey {
            canary: true,
            ..new_key(KeyKind::Secret, Permissions::none())
        };
        let (id, text) = make_key(&shop.engine, shop.place, new).await;
        let refused = shop
            .engine
            .authenticate(presented(&text), origin("GET /v1/ping"))
            .await;
        assert_eq!(refused.err(), Some(AuthenticationError::Unknown));
        let alerts = shop.engine.alerts_newest().await.unwrap();
        assert_eq!(alerts[0].kind, AlertKind::CanaryUsed);
        assert_eq!(alerts[0].subject, format!("{id} from 127.0.0.1"));
        assert_eq!(alerts[0].place, Some(shop.place));
    }
}
