//! A key's new secret, and the end of the old one: when its time is over, when somebody says so, or when nobody used it for a
//! day.

use coffer_core::{
    event::EventType,
    id::ApiKeyId,
    rotation::{Overlap, Rotation},
};
use coffer_crypto::SecretBytes;

use super::{
    OBJECT, UNKEYED,
    change::{Asked, Step, check_alive},
    key::{ApiKey, OldSecret, StoredKey},
    secret::NewSecret,
};
use crate::{
    Done, Engine, Error, Fresh, Steward, commit::By, rotation, rows, store::api_keys as sql,
};

impl Engine {
    /// Gives a key a new secret; the old one works beside it for `overlap`. The new key is returned once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BeyondCaller`] for a key that may do more than the caller's, or [`Error::State`] for one
    /// that is revoked, or rotates already: then only a rotation without overlap is possible, which ends both old secrets.
    pub async fn api_key_rotate(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: ApiKeyId,
        overlap: Overlap,
    ) -> Result<Done<(ApiKey, SecretBytes)>, Error> {
        let key = self.api_key(steward.place(), id).await?;
        let made = NewSecret::make(self, &key)?;
        let done = self
            .steward_change(steward, &fresh, id, |mut stored, now| {
                check_alive(&stored.key)?;
                steward.check_gives(&stored.key)?;
                let under_way = stored.key.old.as_ref().map(|old| old.times);
                let begun = rotation::begin(OBJECT, under_way, overlap, now)?;
                rotate(&mut stored, &made, begun);
                Ok(Step::To(stored, EventType::ApiKeyRotated))
            })
            .await?;
        Ok(Done {
            status: done.status,
            object: (done.object, made.text),
        })
    }

    /// Ends the old secret of a key before its time. There may be none any more.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key in the account and mode.
    pub async fn api_key_end_rotation(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: ApiKeyId,
    ) -> Result<Done<ApiKey>, Error> {
        self.steward_change(steward, &fresh, id, |stored, _| Ok(end(stored)))
            .await
    }

    /// Ends the old secrets whose time is over, and those that nobody used for a day.
    pub(crate) async fn end_rotations(&self) -> Result<(), Error> {
        for row in self.rotations_due(&sql::ROTATIONS_DUE).await? {
            let id: ApiKeyId = rows::word(&row, "api_key")?;
            if self.is_due(id).await? {
                let asked = || Asked {
                    by: By::System,
                    fresh: &UNKEYED,
                };
                self.change_key(id, asked, |stored, _| Ok(end(stored)))
                    .await?;
            }
        }
        Ok(())
    }

    async fn is_due(&self, id: ApiKeyId) -> Result<bool, Error> {
        let Some(StoredKey { key, .. }) = self.stored_key(id).await? else {
            return Ok(false);
        };
        let Some(old) = &key.old else {
            return Ok(false);
        };
        let now = self.now();
        if !old.times.overlaps(now) {
            return Ok(true);
        }
        let last = self
            .secret_last_use(&key, key.secret.saturating_sub(1))
            .await?;
        Ok(old.times.is_silent(last, now))
    }
}

fn rotate(stored: &mut StoredKey, made: &NewSecret, begun: Option<Rotation>) {
    let key = &mut stored.key;
    let last4 = std::mem::replace(&mut key.last4, made.last4.clone());
    let hash = std::mem::replace(&mut stored.hash, made.hash);
    key.secret = key.secret.saturating_add(1);
    stored.old_hash = begun.map(|_| hash);
    key.old = begun.map(|times| OldSecret { last4, times });
}

fn end(mut stored: Box<StoredKey>) -> Step {
    if stored.key.old.take().is_none() {
        return Step::Done;
    }
    stored.old_hash = None;
    Step::To(stored, EventType::ApiKeyRotationEnded)
}

#[cfg(test)]
mod tests {
    use coffer_core::{
        api_key::{KeyKind, KeyState},
        permission::Permissions,
        time::DAY_MS,
    };

    use super::*;
    use crate::{
        AuthenticationError,
        fixture::{Shop, origin, presented},
    };

    struct Rotated {
        shop: Shop,
        id: ApiKeyId,
        old: String,
        new: String,
    }

    impl Rotated {
        async fn by(overlap: Overlap) -> Self {
            let shop = Shop::open().await;
            let (id, old) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
            let new = rotate(&shop, id, overlap).await.unwrap();
            Self { shop, id, old, new }
        }

        async fn calls(&self, text: &str) -> Result<(), AuthenticationError> {
            let calling = self
                .shop
                .engine
                .authenticate(presented(text), origin("GET /v1/ping"));
            calling.await.map(drop)
        }

        async fn key(&self) -> ApiKey {
            let found = self.shop.engine.api_key(self.shop.place, self.id);
            found.await.unwrap()
        }

        /// So many hours go by, in which the old secret is used every hour or not at all.
        async fn hours(&self, hours: i64, used: bool) {
            for _ in 0..hours {
                self.shop.clock.advance(DAY_MS / 24);
                self.shop.engine.poll_changes().await.unwrap();
                if used {
                    self.calls(&self.old).await.unwrap();
                }
                self.shop.engine.keep_keys().await.unwrap();
            }
        }
    }

    async fn rotate(shop: &Shop, id: ApiKeyId, overlap: Overlap) -> Result<String, Error> {
        let steward = Steward::Operator(shop.place);
        let done = shop
            .engine
            .api_key_rotate(steward, Fresh::unkeyed(), id, overlap)
            .await?;
        Ok(String::from_utf8(done.object.1.expose().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn both_secrets_work_until_the_old_one_s_time_is_over() {
        let rotated = Rotated::by(Overlap::hours(48).unwrap()).await;
        rotated.calls(&rotated.new).await.unwrap();
        rotated.hours(47, true).await;
        let key = rotated.key().await;
        assert_eq!(key.state(rotated.shop.clock.now()), KeyState::Rotating);
        rotated.shop.clock.advance(DAY_MS / 24);
        rotated.shop.engine.poll_changes().await.unwrap();
        // At once, and not only when the next pass writes it down.
        let refused = rotated.calls(&rotated.old).await;
        assert_eq!(refused, Err(AuthenticationError::Unknown));
        rotated.shop.engine.keep_keys().await.unwrap();
        assert_eq!(rotated.key().await.old, None);
        rotated.calls(&rotated.new).await.unwrap();
    }

    #[tokio::test]
    async fn an_old_secret_that_nobody_uses_for_a_day_closes_by_itself() {
        let rotated = Rotated::by(Overlap::hours(168).unwrap()).await;
        rotated.hours(30, true).await;
        rotated.hours(23, false).await;
        assert!(rotated.key().await.old.is_some());
        rotated.hours(2, false).await;
        assert_eq!(rotated.key().await.old, None);
        assert!(rotated.calls(&rotated.old).await.is_err());
    }

    #[tokio::test]
    async fn in_an_emergency_the_old_secret_ends_at_once() {
        let rotated = Rotated::by(Overlap::hours(0).unwrap()).await;
        assert!(rotated.calls(&rotated.old).await.is_err());
        rotated.calls(&rotated.new).await.unwrap();
    }

    #[tokio::test]
    async fn a_key_that_rotates_rotates_again_only_by_ending_both_old_secrets() {
        let rotated = Rotated::by(Overlap::default()).await;
        let again = rotate(&rotated.shop, rotated.id, Overlap::default()).await;
        assert!(matches!(again, Err(Error::State { .. })));
        let third = rotate(&rotated.shop, rotated.id, Overlap::hours(0).unwrap()).await;
        rotated.calls(&third.unwrap()).await.unwrap();
        for ended in [&rotated.old, &rotated.new] {
            assert!(rotated.calls(ended).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_twin_of_a_rotation_gets_its_answer_and_not_that_the_key_rotates() {
        let shop = Shop::open().await;
        let (id, _) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        let caller = shop.caller("POST /v1/api_keys/{id}/rotate").await;
        let rotate = |fresh| {
            let steward = Steward::Caller(&caller);
            shop.engine
                .api_key_rotate(steward, fresh, id, Overlap::default())
        };
        shop.once(&caller, "once", rotate).await.ok().unwrap();
        let answered = shop.once(&caller, "once", rotate).await.err();
        assert!(matches!(answered, Some(Error::Answered(_))), "{answered:?}");
    }

    #[tokio::test]
    async fn one_sees_who_still_uses_the_old_secret() {
        let rotated = Rotated::by(Overlap::default()).await;
        rotated.calls(&rotated.old).await.unwrap();
        rotated.calls(&rotated.new).await.unwrap();
        rotated.calls(&rotated.new).await.unwrap();
        let shop = &rotated.shop;
        let uses = shop.engine.api_key_uses(shop.place, rotated.id).await;
        let uses = uses.unwrap();
        let counted = |uses: &[crate::UseCount]| -> Vec<_> {
            let uses = uses.iter();
            uses.map(|count| (count.value.clone(), count.calls))
                .collect()
        };
        assert_eq!(counted(&uses.present), [("127.0.0.1".to_owned(), 2)]);
        assert_eq!(counted(&uses.old), [("127.0.0.1".to_owned(), 1)]);
        let last = shop.engine.api_key_seen(&rotated.key().await).await;
        let last = last.unwrap().last_use.unwrap();
        assert_eq!(
            (&*last.route, last.client.as_deref()),
            ("GET /v1/ping", Some("tests/1"))
        );
    }

    #[tokio::test]
    async fn a_rotation_that_is_ended_ends_the_old_secret_only() {
        let rotated = Rotated::by(Overlap::default()).await;
        let steward = Steward::Operator(rotated.shop.place);
        for _ in 0..2 {
            let ended =
                rotated
                    .shop
                    .engine
                    .api_key_end_rotation(steward, Fresh::unkeyed(), rotated.id);
            ended.await.unwrap();
        }
        assert!(rotated.calls(&rotated.old).await.is_err());
        rotated.calls(&rotated.new).await.unwrap();
    }
}
