//! An endpoint's new keys, and the end of the old ones: when their time is over, or when somebody says so. Until then both sign
//! every message. By which of them a receiver verifies is not seen here, so nothing ends by silence.

use coffer_core::{
    event::EventType,
    id::{SigningKeyId, WebhookEndpointId},
    rotation::Overlap,
};
use coffer_db::{Transaction, params};

use super::{OBJECT, OldWebhookSecret, ShownSecret, WebhookEndpoint, stored::Column};
use crate::{
    Caller, Done, Engine, Error, Fresh, commit::By, events::Happened, rotation, rows::key_of,
    signature::WebhookKeys, store::webhooks as sql,
};

/// How an endpoint gets a new secret.
#[derive(Debug, Clone, Copy)]
pub struct SecretRotation {
    /// How long the old one signs beside it.
    pub overlap: Overlap,
    /// For the owner of which signing key alone the new one is; without, for whoever gets the answer.
    pub seal_to: Option<SigningKeyId>,
}

impl Engine {
    /// Gives an endpoint new keys; the old ones sign beside them for a while. The new secret is returned once.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::State`] when nothing can be sealed to the key, another change came between, or the endpoint
    /// rotates already: then only a rotation without overlap is possible, which ends both old secrets.
    pub async fn webhook_endpoint_rotate_secret(
        &self,
        caller: &Caller,
        fresh: Fresh,
        id: WebhookEndpointId,
        wanted: SecretRotation,
    ) -> Result<Done<(WebhookEndpoint, ShownSecret)>, Error> {
        let mut endpoint = self.webhook_endpoint(caller, id).await?;
        let (read_version, now) = (endpoint.version, self.now());
        let under_way = endpoint.old.as_ref().map(|old| old.times);
        let begun = rotation::begin(OBJECT, under_way, wanted.overlap, now)?;
        let keys = WebhookKeys::generate()?;
        let secret = self
            .shown_secret(caller.place, &keys, wanted.seal_to)
            .await?;
        let public_key = std::mem::replace(&mut endpoint.public_key, keys.public_text()?);
        endpoint.old = begun.map(|times| OldWebhookSecret { public_key, times });
        endpoint.version = read_version.saturating_add(1);
        endpoint.updated = now;
        let ([account, mode], [rotated, closes]) = (key_of(caller.place), rotation::columns(begun));
        let row = params![
            account,
            mode,
            id.to_string(),
            read_version,
            rotated,
            closes,
            self.seal(caller.place, id, Column::Secret, &keys.secret)?,
            self.seal(caller.place, id, Column::Seed, &keys.seed)?,
            now.as_millis(),
        ];
        let steps = Transaction::new().one(&sql::ROTATE, row);
        let steps = steps.append(self.answered_endpoint(&fresh, &endpoint, 200)?);
        let event = EventType::WebhookEndpointRotated;
        self.change_endpoint(caller, (event, &endpoint), steps)
            .await?;
        Ok(Done {
            status: 200,
            object: (endpoint, secret),
        })
    }

    /// Ends the old keys of an endpoint before their time. There may be none any more.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::State`] when another change came between.
    pub async fn webhook_endpoint_end_rotation(
        &self,
        caller: &Caller,
        fresh: Fresh,
        id: WebhookEndpointId,
    ) -> Result<Done<WebhookEndpoint>, Error> {
        let mut endpoint = self.webhook_endpoint(caller, id).await?;
        if endpoint.old.is_none() {
            let answered = self.answered_endpoint(&fresh, &endpoint, 200)?;
            self.answer_unchanged(answered).await?;
        } else {
            let steps = self.ended(&mut endpoint);
            let steps = steps.append(self.answered_endpoint(&fresh, &endpoint, 200)?);
            let event = EventType::WebhookEndpointRotationEnded;
            self.change_endpoint(caller, (event, &endpoint), steps)
                .await?;
        }
        Ok(Done {
            status: 200,
            object: endpoint,
        })
    }

    /// Ends the old keys whose time is over.
    pub(crate) async fn end_webhook_rotations(&self) -> Result<(), Error> {
        let due = self
            .db()
            .read(&sql::ROTATIONS_DUE, params![self.now().as_millis()]);
        for row in due.await? {
            let mut endpoint = self.read_endpoint(&row)?.endpoint;
            let (place, id) = (endpoint.place, endpoint.id.to_string());
            let steps = self.ended(&mut endpoint);
            let event = EventType::WebhookEndpointRotationEnded;
            let happened = Happened::to(&id, endpoint.version, event);
            let steps = steps.append(self.tell(place, &[happened]));
            match self
                .commit(By::System, place, event.as_str(), &id, steps)
                .await
            {
                // Who changed it meanwhile may have ended it too; if not, the next pass does.
                Ok(_) | Err(coffer_db::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The step that forgets an endpoint's old keys, and what the endpoint is then.
    fn ended(&self, endpoint: &mut WebhookEndpoint) -> Transaction {
        let (read_version, now) = (endpoint.version, self.now());
        endpoint.old = None;
        endpoint.version = read_version.saturating_add(1);
        endpoint.updated = now;
        let [account, mode] = key_of(endpoint.place);
        let row = params![
            account,
            mode,
            endpoint.id.to_string(),
            read_version,
            now.as_millis()
        ];
        Transaction::new().one(&sql::END_ROTATION, row)
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::time::DAY_MS;
    use coffer_db::Row;

    use super::*;
    use crate::{EventFilter, NewWebhookEndpoint, Page, fixture::Shop, webhooks::StoredEndpoint};

    const HOUR_MS: i64 = DAY_MS / 24;

    struct Rotated {
        shop: Shop,
        id: WebhookEndpointId,
    }

    impl Rotated {
        /// A new endpoint, rotated with this overlap.
        async fn by(hours: i64) -> Self {
            let shop = Shop::open().await;
            let new = NewWebhookEndpoint {
                url: "https://shop.test/hook".to_owned(),
                events: Vec::new(),
                description: None,
                seal_to: None,
            };
            let caller = shop.caller("POST /v1/webhook_endpoints").await;
            let made = shop
                .engine
                .webhook_endpoint_create(&caller, Fresh::unkeyed(), new);
            let id = made.await.unwrap().object.0.id;
            let rotated = Self { shop, id };
            rotated.again(Fresh::unkeyed(), hours).await.unwrap();
            rotated
        }

        async fn caller(&self) -> Caller {
            self.shop.engine.poll_changes().await.unwrap();
            self.shop.caller("POST /v1/webhook_endpoints/{id}").await
        }

        async fn again(&self, fresh: Fresh, hours: i64) -> Result<WebhookEndpoint, Error> {
            let caller = self.caller().await;
            let rotation = SecretRotation {
                overlap: Overlap::hours(hours).unwrap(),
                seal_to: None,
            };
            let engine = &self.shop.engine;
            let done = engine.webhook_endpoint_rotate_secret(&caller, fresh, self.id, rotation);
            Ok(done.await?.object.0)
        }

        async fn ended(&self, fresh: Fresh) -> Result<WebhookEndpoint, Error> {
            let caller = self.caller().await;
            let engine = &self.shop.engine;
            let done = engine.webhook_endpoint_end_rotation(&caller, fresh, self.id);
            Ok(done.await?.object)
        }

        async fn row(&self) -> Row {
            let found = self
                .shop
                .engine
                .find(&sql::FIND, OBJECT, self.shop.place, self.id);
            found.await.unwrap()
        }

        async fn stored(&self) -> StoredEndpoint {
            self.shop.engine.read_endpoint(&self.row().await).unwrap()
        }

        /// So many hours go by, with a pass of the sweeper after each.
        async fn hours(&self, hours: i64) {
            for _ in 0..hours {
                self.shop.clock.advance(HOUR_MS);
                self.shop.engine.end_webhook_rotations().await.unwrap();
            }
        }

        async fn told(&self) -> Vec<EventType> {
            let (caller, page) = (self.caller().await, Page::new(Some(100), None).unwrap());
            let filter = EventFilter { event_type: None };
            let listed = self.shop.engine.event_list(&caller, filter, page).await;
            let events = listed.unwrap().items.into_iter();
            let events = events.filter(|event| event.object.id == self.id.to_string());
            events.map(|event| event.event_type).collect()
        }
    }

    fn holds_old_keys(row: &Row) -> bool {
        ["previous_secret", "previous_seed"]
            .iter()
            .any(|column| row.optional_bytes(column).unwrap().is_some())
    }

    #[tokio::test]
    async fn old_keys_sign_until_their_time_is_over_and_are_forgotten_then() {
        let rotated = Rotated::by(48).await;
        let first = rotated.stored().await.endpoint;
        // Nobody sees whether they are still used: a day of silence ends nothing.
        rotated.hours(47).await;
        let still = rotated.stored().await;
        assert!(still.previous.is_some());
        assert_eq!(still.endpoint, first);
        rotated.shop.clock.advance(HOUR_MS);
        // At once, and not only when the next pass writes it down.
        let over = rotated.stored().await;
        assert!(over.previous.is_none() && over.endpoint.old.is_none());
        assert!(holds_old_keys(&rotated.row().await));
        rotated.hours(2).await;
        assert!(!holds_old_keys(&rotated.row().await));
        assert_eq!(
            rotated.told().await,
            [
                EventType::WebhookEndpointCreated,
                EventType::WebhookEndpointRotated,
                EventType::WebhookEndpointRotationEnded
            ]
        );
    }

    #[tokio::test]
    async fn in_an_emergency_nothing_of_the_old_keys_is_left() {
        let rotated = Rotated::by(0).await;
        let stored = rotated.stored().await;
        assert!(stored.previous.is_none() && stored.endpoint.old.is_none());
        assert!(!holds_old_keys(&rotated.row().await));
        rotated.hours(1).await;
        let told = rotated.told().await;
        assert_eq!(told.last(), Some(&EventType::WebhookEndpointRotated));
    }

    #[tokio::test]
    async fn an_endpoint_that_rotates_rotates_again_only_by_ending_both_old_secrets() {
        let rotated = Rotated::by(24).await;
        let before = rotated.stored().await.endpoint;
        let again = rotated.again(Fresh::unkeyed(), 24).await;
        assert!(matches!(again, Err(Error::State { .. })));
        assert_eq!(rotated.stored().await.endpoint, before);
        rotated.again(Fresh::unkeyed(), 0).await.unwrap();
        assert!(rotated.stored().await.previous.is_none());
        rotated.again(Fresh::unkeyed(), 24).await.unwrap();
    }

    #[tokio::test]
    async fn a_rotation_that_is_ended_ends_the_old_keys_only_and_once() {
        let rotated = Rotated::by(24).await;
        let before = rotated.stored().await.endpoint;
        let ended = rotated.ended(Fresh::unkeyed()).await.unwrap();
        assert_eq!(ended.public_key, before.public_key);
        assert!(!holds_old_keys(&rotated.row().await));
        assert_eq!(rotated.ended(Fresh::unkeyed()).await.unwrap(), ended);
        rotated.hours(25).await;
        let told = rotated.told().await;
        let ends = told
            .iter()
            .filter(|event| **event == EventType::WebhookEndpointRotationEnded);
        assert_eq!(ends.count(), 1);
    }

    #[tokio::test]
    async fn a_twin_of_a_rotation_gets_its_answer_and_not_that_the_endpoint_rotates() {
        let rotated = Rotated::by(0).await;
        let caller = rotated.caller().await;
        let again = |fresh| rotated.again(fresh, 24);
        let (shop, caller) = (&rotated.shop, &caller);
        shop.once(caller, "once", again).await.unwrap();
        let answered = shop.once(caller, "once", again).await;
        assert!(matches!(answered, Err(Error::Answered(_))), "{answered:?}");
        let end = |fresh| rotated.ended(fresh);
        shop.once(caller, "end", end).await.unwrap();
        let answered = shop.once(caller, "end", end).await;
        assert!(matches!(answered, Err(Error::Answered(_))), "{answered:?}");
    }
}
