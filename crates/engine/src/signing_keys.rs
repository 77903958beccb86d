//! Signing keys: registered or made, rotated, revoked. Stored is the public half alone, and a key that was registered once
//! never comes back under another id.

mod client;
mod key;
mod public_key;
mod recipient;
mod verify;

use coffer_core::{
    event::EventType,
    id::{ApiKeyId, SigningKeyId},
    limits::{SIGNING_KEY_NAME_MAX, SIGNING_KEYS_MAX},
    rotation::{Overlap, Rotation},
    signing_key::{SignatureAlgorithm, SigningKeyState},
};
use coffer_crypto::{
    SecretBytes,
    public_key::{KeyType, PublicKey, generate_pair},
};
use coffer_db::{Transaction, params};
use coffer_net::contract::Place;

use crate::{
    Done, Engine, Error, Fresh, Listed, Page, Steward, StoredAnswer, Text, commit::By,
    events::Happened, room::Room, rows::key_of, store::signing_keys as sql,
};

pub use client::SigningKeyClient;
pub use key::{SigningKey, SigningKeyRotation};
pub use public_key::RegisteredKey;
pub use recipient::{Recipient, RecipientError};
pub(crate) use verify::VerifierCache;
pub use verify::{SigningKeyError, Verifier};

use key::{StoredState, algorithm_of};

const OBJECT: &str = "signing_key";
static ROOM: Room = Room {
    statement: &sql::ROOM,
    what: "signing keys that work",
    limit: SIGNING_KEYS_MAX,
};

/// Where a new signing key comes from.
pub enum NewSigningKey {
    /// Its owner made it and keeps the private half.
    Registered(RegisteredKey),
    /// Coffer makes it, and shows the private half once.
    Generated(SignatureAlgorithm),
}

/// A signing key that was just made, and its private half (PEM) if Coffer made it, which is returned this once.
pub type MadeSigningKey = (SigningKey, Option<SecretBytes>);

impl Engine {
    /// Registers a signing key, or makes one, which may stand for an API key as a client of OAuth.
    ///
    /// # Errors
    /// [`Error::Unsigned`] when there was one before and the caller has not signed, [`Error::Invalid`] for a public key that was
    /// registered before and for an API key that cannot be stood for, [`Error::BeyondCaller`] for one that may do more than the
    /// caller's, [`Error::LimitReached`] for one too many.
    pub async fn signing_key_create(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        (name, client): (Text<SIGNING_KEY_NAME_MAX>, Option<ApiKeyId>),
        new: NewSigningKey,
    ) -> Result<Done<MadeSigningKey>, Error> {
        let client = match client {
            Some(api_key) => Some(self.new_client(steward, api_key).await?),
            None => None,
        };
        let made = self.unborn_signing_key(steward, (name, client), new);
        let (key, private) = made.await?;
        let steps = ROOM.hold(key.place).one(&sql::INSERT, key.insert());
        let steps = steps.append(self.answered_signing_key(&fresh, &key, 201)?);
        let created = [(EventType::SigningKeyCreated, &key)];
        self.commit_signing_key(steward.by(), &created, steps)
            .await?;
        Ok(Done {
            status: 201,
            object: (key, private),
        })
    }

    /// One signing key.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the account and mode.
    pub async fn signing_key(&self, place: Place, id: SigningKeyId) -> Result<SigningKey, Error> {
        let key = self.signing_key_anywhere(id).await?;
        let key = Some(key).filter(|key| key.place == place);
        key.ok_or(Error::NotFound { object: OBJECT })
    }

    /// One signing key of any account, for the operator.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn signing_key_anywhere(&self, id: SigningKeyId) -> Result<SigningKey, Error> {
        let found = self.db().read_optional(&sql::FIND, params![id.to_string()]);
        let row = found.await?.ok_or(Error::NotFound { object: OBJECT })?;
        key::read(&row)
    }

    /// Signing keys, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no signing key's id.
    pub async fn signing_key_list(
        &self,
        place: Place,
        page: Page,
    ) -> Result<Listed<SigningKey>, Error> {
        let [account, mode] = key_of(place);
        let before = page.before_id::<SigningKeyId>()?;
        let row = params![account, mode, before, page.fetch()];
        page.read(&self.db().read(&sql::LIST, row).await?, key::read)
    }

    /// Gives a signing key a successor, which has an id of its own and stands for the same API key; the old one works beside it for
    /// `overlap`.
    ///
    /// # Errors
    /// As [`Self::signing_key_create`]; [`Error::State`] for a key that has a successor or was revoked.
    pub async fn signing_key_rotate(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: SigningKeyId,
        (new, overlap): (NewSigningKey, Overlap),
    ) -> Result<Done<MadeSigningKey>, Error> {
        let mut old = self.signing_key(steward.place(), id).await?;
        let (version, state) = (old.version, old.state(self.now()));
        if state != SigningKeyState::Active {
            return Err(Error::State {
                object: OBJECT,
                status: state.as_str(),
                needed: "active",
            });
        }
        let client = match old.client {
            Some(client) => Some(self.client(steward, client.api_key).await?.0),
            None => None,
        };
        let made = self.unborn_signing_key(steward, (old.name.clone(), client), new);
        let (key, private) = made.await?;
        old.rotation = Some(SigningKeyRotation {
            successor: key.id,
            times: Rotation::begun(overlap, key.created),
        });
        if overlap.is_none() {
            old.stored = StoredState::Expired;
        }
        old.version = version.saturating_add(1);
        old.updated = key.created;
        let steps = ROOM
            .hold(key.place)
            .one(&sql::INSERT, key.insert())
            .one(&sql::UPDATE, old.update(version))
            .append(self.answered_signing_key(&fresh, &key, 201)?);
        let happened = [
            (EventType::SigningKeyRotated, &old),
            (EventType::SigningKeyCreated, &key),
        ];
        self.commit_signing_key(steward.by(), &happened, steps)
            .await?;
        Ok(Done {
            status: 201,
            object: (key, private),
        })
    }

    /// Revokes a signing key, for ever: within a second nothing that it signed is accepted on any node. Revoking it again
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key in the account and mode.
    pub async fn signing_key_revoke(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: SigningKeyId,
    ) -> Result<Done<SigningKey>, Error> {
        let key = self.signing_key(steward.place(), id).await?;
        let event = EventType::SigningKeyRevoked;
        let object = self
            .end_signing_key(steward.by(), &fresh, key, (StoredState::Revoked, event))
            .await?;
        Ok(Done {
            status: 200,
            object,
        })
    }

    /// Ends the keys that have a successor and whose time is over, and those that nobody used for a day.
    pub(crate) async fn end_signing_key_rotations(&self) -> Result<(), Error> {
        let unkeyed = Fresh::unkeyed();
        for row in self.rotations_due(&sql::ROTATIONS_DUE).await? {
            let mut key = key::read(&row)?;
            if let Some(rotation) = &mut key.rotation {
                rotation.times = rotation.times.ended(self.now());
            }
            let ended = (StoredState::Expired, EventType::SigningKeyRotationEnded);
            self.end_signing_key(By::System, &unkeyed, key, ended)
                .await?;
        }
        Ok(())
    }

    async fn end_signing_key(
        &self,
        by: By<'_>,
        fresh: &Fresh,
        mut key: SigningKey,
        (ended, event): (StoredState, EventType),
    ) -> Result<SigningKey, Error> {
        let (version, is_over) = (key.version, key.stored == ended);
        if !is_over {
            key.stored = ended;
            key.version = version.saturating_add(1);
            key.updated = self.now();
        }
        let answered = self.answered_signing_key(fresh, &key, 200)?;
        if is_over {
            self.answer_unchanged(answered).await?;
            return Ok(key);
        }
        let steps = Transaction::new()
            .one(&sql::UPDATE, key.update(version))
            .append(answered);
        self.commit_signing_key(by, &[(event, &key)], steps).await?;
        Ok(key)
    }

    async fn unborn_signing_key(
        &self,
        steward: Steward<'_>,
        (name, client): (Text<SIGNING_KEY_NAME_MAX>, Option<SigningKeyClient>),
        new: NewSigningKey,
    ) -> Result<MadeSigningKey, Error> {
        let place = steward.place();
        let [account, mode] = key_of(place);
        let counted = self.db().read_optional(&sql::COUNT, params![account, mode]);
        let counted = counted.await?.ok_or(Error::Defect)?;
        if counted.integer("ever")? > 0 {
            steward.check_signs()?;
        }
        self.check_room(&ROOM, place).await?;
        let (public, private) = match new {
            NewSigningKey::Registered(key) => (key.0, None),
            NewSigningKey::Generated(algorithm) => generate(algorithm).await?,
        };
        let (id, now) = (self.0.clock.id(), self.now());
        let key = SigningKey {
            id,
            place,
            name,
            algorithm: algorithm_of(&public),
            public_key: public.pem(),
            fingerprint: public.fingerprint(),
            generated: private.is_some(),
            client,
            rotation: None,
            last_use: None,
            version: 1,
            created: now,
            updated: now,
            stored: StoredState::Active,
        };
        Ok((key, private))
    }

    /// The steps that store the answer, without the private half.
    fn answered_signing_key(
        &self,
        fresh: &Fresh,
        key: &SigningKey,
        status: u16,
    ) -> Result<Transaction, Error> {
        let body = (self.0.render.signing_key)(key, self.now());
        let filed = format!("{}@{}", key.id, key.version);
        self.answered(fresh, &filed, self.now(), &StoredAnswer { status, body })
    }

    /// Commits what happened to keys, the first of which the record is about, and lets every node know.
    async fn commit_signing_key(
        &self,
        by: By<'_>,
        happened: &[(EventType, &SigningKey)],
        steps: Transaction,
    ) -> Result<(), Error> {
        let Some((event, key)) = happened.first() else {
            return Err(Error::Defect);
        };
        let (place, id) = (key.place, key.id.to_string());
        let told: Vec<_> = happened
            .iter()
            .map(|(event, key)| Happened::to(key.id, key.version, *event))
            .collect();
        let steps = steps
            .append(self.tell(place, &told))
            .append(self.changed(OBJECT, &id));
        let Err(error) = self.commit(by, place, event.as_str(), &id, steps).await else {
            self.0.verifiers.forget(key.id);
            return Ok(());
        };
        Err(if error.is_conflict_at(&sql::INSERT) {
            public_key::known_already()
        } else if error.is_conflict_at(ROOM.statement) {
            ROOM.full()
        } else if error.is_conflict_at(&sql::UPDATE) {
            Error::changing(OBJECT)
        } else {
            error.into()
        })
    }
}

/// An RSA key takes too long to be made on a thread that serves others.
async fn generate(
    algorithm: SignatureAlgorithm,
) -> Result<(PublicKey, Option<SecretBytes>), Error> {
    let key_type = match algorithm {
        SignatureAlgorithm::RsaPssSha512 => KeyType::Rsa,
        SignatureAlgorithm::Ed25519 => KeyType::Ed25519,
    };
    let made = tokio::task::spawn_blocking(move || generate_pair(key_type)).await;
    let (private, public) = made.map_err(|_| Error::Defect)??;
    Ok((public, Some(private)))
}

#[cfg(test)]
mod tests {
    use coffer_core::time::DAY_MS;
    use tokio::task::JoinSet;

    use super::*;
    use crate::fixture::Shop;

    fn name() -> Text<SIGNING_KEY_NAME_MAX> {
        Text::parse("server".to_owned()).unwrap()
    }

    /// A new key of the shop, made by the operator.
    async fn make(shop: &Shop) -> SigningKey {
        create(shop, NewSigningKey::Generated(SignatureAlgorithm::Ed25519))
            .await
            .unwrap()
    }

    async fn create(shop: &Shop, new: NewSigningKey) -> Result<SigningKey, Error> {
        let steward = Steward::Operator(shop.place);
        let made = shop
            .engine
            .signing_key_create(steward, Fresh::unkeyed(), (name(), None), new);
        Ok(made.await?.object.0)
    }

    async fn rotate(shop: &Shop, id: SigningKeyId, hours: i64) -> Result<SigningKey, Error> {
        let new = NewSigningKey::Generated(SignatureAlgorithm::Ed25519);
        let rotation = (new, Overlap::hours(hours).unwrap());
        let steward = Steward::Operator(shop.place);
        let made = shop
            .engine
            .signing_key_rotate(steward, Fresh::unkeyed(), id, rotation);
        Ok(made.await?.object.0)
    }

    async fn revoke(shop: &Shop, id: SigningKeyId) -> SigningKey {
        let steward = Steward::Operator(shop.place);
        let revoked = shop
            .engine
            .signing_key_revoke(steward, Fresh::unkeyed(), id);
        revoked.await.unwrap().object
    }

    async fn works(shop: &Shop, id: SigningKeyId) -> Result<(), SigningKeyError> {
        let verifier = shop.engine.signing_key_verifier(shop.place, id).await;
        verifier.map(drop)
    }

    #[tokio::test]
    async fn what_was_registered_once_is_not_registered_again_not_even_after_its_revocation() {
        let shop = Shop::open().await;
        let key = make(&shop).await;
        revoke(&shop, key.id).await;
        let again = RegisteredKey::from_text(&key.public_key).unwrap_or_else(|_| panic!());
        let again = create(&shop, NewSigningKey::Registered(again)).await;
        assert_eq!(again, Err(public_key::known_already()));
        // Another account knows nothing of it.
        let (place, _) = crate::fixture::merchant(&shop.engine, "another").await;
        let theirs = RegisteredKey::from_text(&key.public_key).unwrap_or_else(|_| panic!());
        let theirs = NewSigningKey::Registered(theirs);
        let steward = Steward::Operator(place);
        let theirs = shop
            .engine
            .signing_key_create(steward, Fresh::unkeyed(), (name(), None), theirs)
            .await;
        let theirs = theirs.unwrap().object.0;
        assert_eq!(
            (theirs.fingerprint, theirs.generated),
            (key.fingerprint, false)
        );
    }

    #[tokio::test]
    async fn a_revoked_key_proves_nothing_though_it_was_cached() {
        let shop = Shop::open().await;
        let (key, node) = (make(&shop).await, shop.another_node().await);
        assert_eq!(works(&shop, key.id).await, Ok(()));
        node.signing_key_verifier(shop.place, key.id)
            .await
            .ok()
            .unwrap();
        let revoked = revoke(&shop, key.id).await;
        assert_eq!(works(&shop, key.id).await, Err(SigningKeyError::Revoked));
        node.poll_changes().await.unwrap();
        let elsewhere = node.signing_key_verifier(shop.place, key.id).await;
        assert_eq!(elsewhere.err(), Some(SigningKeyError::Revoked));
        // Again changes nothing.
        assert_eq!(revoke(&shop, key.id).await, revoked);
        let refused = rotate(&shop, key.id, 1).await;
        assert!(matches!(
            refused,
            Err(Error::State {
                status: "revoked",
                ..
            })
        ));
    }

    #[tokio::test]
    async fn a_key_of_another_account_or_mode_is_unknown() {
        let shop = Shop::open().await;
        let key = make(&shop).await;
        works(&shop, key.id).await.unwrap();
        let (elsewhere, _) = crate::fixture::merchant(&shop.engine, "another").await;
        let mode = coffer_core::Mode::Live;
        for place in [elsewhere, Place { mode, ..shop.place }] {
            let verifier = shop.engine.signing_key_verifier(place, key.id).await;
            assert_eq!(verifier.err(), Some(SigningKeyError::Unknown));
        }
    }

    #[tokio::test]
    async fn a_rotated_key_works_beside_its_successor_until_it_closes() {
        let shop = Shop::open().await;
        let old = make(&shop).await;
        let new = rotate(&shop, old.id, 2).await.unwrap();
        let rotated = shop.engine.signing_key(shop.place, old.id).await.unwrap();
        assert_eq!(rotated.state(shop.clock.now()), SigningKeyState::Rotating);
        assert_eq!(rotated.rotation.unwrap().successor, new.id);
        let again = rotate(&shop, old.id, 2).await;
        assert!(matches!(again, Err(Error::State { .. })));
        assert_eq!(works(&shop, old.id).await, Ok(()));
        shop.clock.advance(2 * 60 * 60 * 1000);
        shop.engine.poll_changes().await.unwrap();
        assert_eq!(works(&shop, old.id).await, Err(SigningKeyError::Expired));
        assert_eq!(works(&shop, new.id).await, Ok(()));
        let at_once = rotate(&shop, new.id, 0).await.unwrap();
        assert_eq!(works(&shop, new.id).await, Err(SigningKeyError::Expired));
        assert_eq!(works(&shop, at_once.id).await, Ok(()));
    }

    #[tokio::test]
    async fn a_rotated_key_that_is_silent_for_a_day_closes_by_itself() {
        let shop = Shop::open().await;
        let old = make(&shop).await;
        rotate(&shop, old.id, 168).await.unwrap();
        shop.clock.advance(DAY_MS - 1);
        shop.engine.end_signing_key_rotations().await.unwrap();
        assert_eq!(works(&shop, old.id).await, Ok(()));
        shop.clock.advance(1);
        shop.engine.end_signing_key_rotations().await.unwrap();
        assert_eq!(works(&shop, old.id).await, Err(SigningKeyError::Expired));
        let ended = shop.engine.signing_key(shop.place, old.id).await.unwrap();
        assert_eq!(ended.rotation.unwrap().times.closes, shop.clock.now());
        shop.engine.end_signing_key_rotations().await.unwrap();
        let still = shop.engine.signing_key(shop.place, old.id).await.unwrap();
        assert_eq!(still, ended);
    }

    #[tokio::test]
    async fn an_account_has_so_many_keys_that_work() {
        let shop = Shop::open().await;
        let mut last = make(&shop).await;
        for _ in 1..SIGNING_KEYS_MAX {
            last = make(&shop).await;
        }
        let new = || NewSigningKey::Generated(SignatureAlgorithm::Ed25519);
        let refused = create(&shop, new()).await;
        assert!(matches!(refused, Err(Error::LimitReached { .. })));
        revoke(&shop, last.id).await;
        create(&shop, new()).await.unwrap();
    }

    #[tokio::test]
    async fn of_keys_made_at_the_same_instant_one_is_the_last_for_which_there_is_room() {
        let shop = Shop::open().await;
        // Another's successor is one of them.
        let old = make(&shop).await;
        let ways = 0..SIGNING_KEYS_MAX + 4;
        let made = ways.map(|which| {
            let (engine, steward) = (shop.engine.clone(), Steward::Operator(shop.place));
            let new = NewSigningKey::Generated(SignatureAlgorithm::Ed25519);
            let (fresh, id) = (Fresh::unkeyed(), old.id);
            async move {
                let made = if which == 0 {
                    let rotation = (new, Overlap::default());
                    engine
                        .signing_key_rotate(steward, fresh, id, rotation)
                        .await
                } else {
                    let created = engine.signing_key_create(steward, fresh, (name(), None), new);
                    created.await
                };
                made.err()
            }
        });
        let refused = made.collect::<JoinSet<_>>().join_all().await;
        let refused: Vec<Error> = refused.into_iter().flatten().collect();
        assert_eq!(refused, vec![ROOM.full(); 5]);
    }

    #[tokio::test]
    async fn a_twin_of_a_rotation_gets_its_answer_and_not_that_the_key_rotates() {
        let shop = Shop::open().await;
        let (old, caller) = (
            make(&shop).await,
            shop.caller("POST /v1/signing_keys").await,
        );
        let rotate = |fresh| {
            let new = NewSigningKey::Generated(SignatureAlgorithm::Ed25519);
            let steward = Steward::Operator(shop.place);
            shop.engine
                .signing_key_rotate(steward, fresh, old.id, (new, Overlap::default()))
        };
        shop.once(&caller, "once", rotate).await.ok().unwrap();
        let answered = shop.once(&caller, "once", rotate).await.err();
        assert!(matches!(answered, Some(Error::Answered(_))), "{answered:?}");
    }

    #[tokio::test]
    async fn of_twins_one_makes_a_key_and_both_get_it() {
        let shop = Shop::open().await;
        let caller = shop.caller("POST /v1/signing_keys").await;
        let make = async || {
            let create = |fresh| {
                let new = NewSigningKey::Generated(SignatureAlgorithm::Ed25519);
                let steward = Steward::Caller(&caller);
                shop.engine
                    .signing_key_create(steward, fresh, (name(), None), new)
            };
            match shop.once(&caller, "once", create).await {
                Ok(done) => done.object.0.id.to_string().into_bytes(),
                Err(Error::Answered(answer)) => answer.body,
                Err(error) => panic!("{error}"),
            }
        };
        let (one, other) = tokio::join!(make(), make());
        assert_eq!(one, other);
        let page = Page::new(None, None).unwrap();
        let listed = shop
            .engine
            .signing_key_list(shop.place, page)
            .await
            .unwrap();
        assert_eq!(listed.items.len(), 1);
    }
}
