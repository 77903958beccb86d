//! Keys that were seen where anybody could read them. Such a key still works: only its owner knows what would stop with it.
//! But it is marked, once, and those who can replace it are told.

use coffer_core::{alert::AlertKind, api_key::KeyKind, event::EventType};
use coffer_db::{Transaction, params};

use super::{AuthenticationError, KeyChange};
use crate::{CallOrigin, Engine, Error, commit::By, rows::key_of, store::accounts as sql};

impl Engine {
    /// Takes note that this text, which may be an API key, came in a way in which anybody could read it; `origin.route` says
    /// which. Only a secret key that works is worth it, and only the first time.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn api_key_exposed(&self, presented: &str, origin: CallOrigin) -> Result<(), Error> {
        let (id, known) = match self.verify(presented).await {
            Ok(found) => found,
            Err(AuthenticationError::Unavailable) => return Err(Error::Unavailable),
            Err(
                AuthenticationError::Malformed
                | AuthenticationError::Unknown
                | AuthenticationError::Revoked
                | AuthenticationError::Expired,
            ) => return Ok(()),
        };
        if known.kind != KeyKind::Secret || known.exposed {
            return Ok(());
        }
        let [account, mode] = key_of(known.place);
        let row = params![
            account,
            mode,
            id.to_string(),
            known.version,
            self.now().as_millis(),
            origin.route,
        ];
        let change = KeyChange {
            id,
            by: By::Overheard(&origin),
            action: "api_key.expose",
            event: EventType::ApiKeyExposed,
            update: Transaction::new().one(&sql::API_KEY_EXPOSE, row),
        };
        match self.change_key(&known, change).await {
            // Another node, or another request, was faster with this or another change; a key that is exposed once more
            // comes again.
            Err(error) if error.is_conflict_at(&sql::API_KEY_EXPOSE) => {
                self.0.key_cache.forget(id);
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(()) => {
                let (place, kind) = (Some(known.place), AlertKind::ApiKeyExposed);
                self.alert_raise(place, kind, &id.to_string()).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{
        api_key::{KeyText, compose},
        permission::Permissions,
    };

    use super::*;
    use crate::{
        EventFilter, NewApiKey, Page,
        fixture::{Shop, origin},
    };

    const PLAIN: &str = "plain HTTP";

    async fn exposures(shop: &Shop) -> Vec<(String, i64)> {
        let caller = shop.caller("GET /v1/events").await;
        let exposed = EventFilter {
            event_type: Some(EventType::ApiKeyExposed),
        };
        let listed = shop
            .engine
            .event_list(&caller, exposed, Page::new(None, None).unwrap());
        let events = listed.await.unwrap().items.into_iter();
        events
            .map(|event| (event.object.id, event.object.version))
            .collect()
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
        assert_eq!(exposures(&shop).await, [(id.to_string(), 2)]);
        let alerts = shop.engine.alerts_newest().await.unwrap();
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].kind, AlertKind::ApiKeyExposed);
        assert!(shop.engine.read_key(id).await.unwrap().unwrap().exposed);

        shop.engine.api_key_revoke(shop.place, id).await.unwrap();
        assert_eq!(shop.engine.read_key(id).await.unwrap().unwrap().version, 3);
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
        assert_eq!(exposures(&shop).await.len(), 1);
    }

    #[tokio::test]
    async fn what_is_no_secret_key_that_works_changes_nothing() {
        let shop = Shop::open().await;
        let parsed = KeyText::parse(&shop.key).unwrap();
        let forged = compose(parsed.kind, parsed.mode, parsed.id, &[7; 32]);
        let new = |kind| NewApiKey {
            kind,
            name: "test".to_owned(),
            permissions: Permissions::full(),
            expires: None,
        };
        let make = async |kind| {
            let made = shop.engine.api_key_create(shop.place, new(kind)).await;
            let made = made.unwrap();
            let text = String::from_utf8(made.text.expose().to_vec()).unwrap();
            (made.id, text)
        };
        let (_, publishable) = make(KeyKind::Publishable).await;
        let (id, revoked) = make(KeyKind::Secret).await;
        shop.engine.api_key_revoke(shop.place, id).await.unwrap();
        for text in [&forged, &publishable, &revoked, "sk_test_cut", ""] {
            let noted = shop.engine.api_key_exposed(text, origin(PLAIN)).await;
            noted.unwrap();
        }
        assert!(exposures(&shop).await.is_empty());
    }
}
