//! API keys: made, verified, revoked. Stored are the id, the last four characters and a keyed hash, never the key.

mod exposure;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use coffer_core::{
    Timestamp,
    api_key::{KeyKind, KeyText, compose},
    event::EventType,
    id::ApiKeyId,
    permission::Permissions,
};
use coffer_crypto::{Context, Mac, SecretBytes, mac, random_secret};
use coffer_db::{Transaction, params};
use coffer_net::contract::Place;
use quick_cache::sync::Cache;

use crate::{
    CallOrigin, Caller, Engine, Error,
    commit::By,
    events::Happened,
    rows::{self, key_of},
    store::accounts as sql,
};

/// API keys held in memory; more are read from the store each time.
const CACHED_MAX: usize = 100_000;
/// How often a change of a key is begun anew because the key changed meanwhile.
const CHANGE_TRIES_MAX: usize = 5;

/// An API key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Publishable or secret.
    pub kind: KeyKind,
    /// For people.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// Until when.
    pub expires: Option<Timestamp>,
}

/// A new API key; the only time its text is seen.
pub struct CreatedApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The whole key, ASCII.
    pub text: SecretBytes,
    /// What is kept to recognise it by.
    pub last4: String,
}

/// Why a presented key names no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationError {
    /// Not the shape of a key, or its checksum is wrong: mistyped or cut.
    Malformed,
    /// No such key, or its secret is wrong.
    Unknown,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// The store cannot be asked.
    Unavailable,
}

/// What is known of a key that may call.
pub(crate) struct Known {
    place: Place,
    kind: KeyKind,
    permissions: Permissions,
    hash: Mac,
    revoked: bool,
    version: i64,
    expires: Option<Timestamp>,
    /// Whether it was seen where anybody could read it.
    exposed: bool,
}

/// A change of a key that exists.
struct KeyChange<'a> {
    id: ApiKeyId,
    by: By<'a>,
    action: &'static str,
    event: EventType,
    update: Transaction,
}

/// Keys by id, so that a call costs no query. A change empties it on every node within a second.
pub(crate) struct KeyCache {
    keys: Cache<ApiKeyId, Arc<Known>>,
    /// Grows with each forgetting, so that what was read before it is not put in after it.
    forgotten: AtomicU64,
}

impl KeyCache {
    pub(crate) fn new() -> Self {
        Self {
            keys: Cache::new(CACHED_MAX),
            forgotten: AtomicU64::new(0),
        }
    }

    pub(crate) fn forget(&self, id: ApiKeyId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.keys.remove(&id);
    }

    pub(crate) fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.keys.clear();
    }

    fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Keeps what was read when [`KeyCache::forgotten`] was `before`. A revocation that came between may have missed it.
    fn keep(&self, id: ApiKeyId, known: &Arc<Known>, before: u64) {
        self.keys.insert(id, Arc::clone(known));
        if self.forgotten() != before {
            self.keys.remove(&id);
        }
    }
}

impl Engine {
    /// Makes an API key.
    ///
    /// # Errors
    /// [`Error::Refused`] for a live key in the development profile.
    pub async fn api_key_create(
        &self,
        place: Place,
        new: NewApiKey,
    ) -> Result<CreatedApiKey, Error> {
        if place.mode == coffer_core::Mode::Live && self.0.development {
            return Err(Error::Refused(
                "live keys cannot be made in the development profile",
            ));
        }
        let (id, now): (ApiKeyId, _) = (self.0.clock.id(), self.now());
        let secret = random_secret()?;
        let text = compose(new.kind, place.mode, id, secret.expose());
        let parsed = KeyText::parse(&text).map_err(|_| Error::Defect)?;
        let hash = self.hash(&parsed);
        let last4 = text
            .get(text.len().saturating_sub(4)..)
            .unwrap_or_default()
            .to_owned();
        let text = SecretBytes::from_vec(text.into_bytes());
        let [account, mode] = key_of(place);
        let row = params![
            account,
            mode,
            id.to_string(),
            new.kind.as_str(),
            new.name,
            new.permissions.to_string(),
            last4.as_str(),
            hash.as_bytes().as_slice(),
            now.as_millis(),
            new.expires.map(Timestamp::as_millis),
        ];
        let change = Transaction::new().one(&sql::API_KEY_INSERT, row);
        let created = Happened::to(id, 1, EventType::ApiKeyCreated);
        let change = change.append(self.tell(place, &[created]));
        self.commit(
            By::Operator,
            place,
            "api_key.create",
            &id.to_string(),
            change,
        )
        .await?;
        Ok(CreatedApiKey { id, text, last4 })
    }

    /// Revokes an API key: within a second it calls nothing on any node. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no active key with this id in the account and mode.
    pub async fn api_key_revoke(&self, place: Place, id: ApiKeyId) -> Result<(), Error> {
        let revoke = |version: i64| {
            let [account, mode] = key_of(place);
            let row = params![account, mode, id.to_string(), version];
            Transaction::new().one(&sql::API_KEY_REVOKE, row)
        };
        for _ in 0..CHANGE_TRIES_MAX {
            let known = self.read_key(id).await?;
            let known = known.filter(|known| known.place == place && !known.revoked);
            let known = known.ok_or(Error::NotFound { object: "api_key" })?;
            let change = KeyChange {
                id,
                by: By::Operator,
                action: "api_key.revoke",
                event: EventType::ApiKeyRevoked,
                update: revoke(known.version),
            };
            match self.change_key(&known, change).await {
                // Something else about it changed meanwhile.
                Err(error) if error.is_conflict_at(&sql::API_KEY_REVOKE) => {}
                done => return Ok(done?),
            }
        }
        Err(Error::Unavailable)
    }

    /// Commits a change of a key, with its event and record, and lets every node know.
    async fn change_key(
        &self,
        known: &Known,
        change: KeyChange<'_>,
    ) -> Result<(), coffer_db::Error> {
        let id = change.id.to_string();
        let version = known.version.saturating_add(1);
        let happened = Happened::to(&id, version, change.event);
        let steps = change
            .update
            .append(self.tell(known.place, &[happened]))
            .append(self.changed("api_key", &id));
        self.commit(change.by, known.place, change.action, &id, steps)
            .await?;
        self.0.key_cache.forget(change.id);
        Ok(())
    }

    /// Verifies a presented key. The only way to a [`Caller`].
    ///
    /// # Errors
    /// Why it is nobody's.
    pub async fn authenticate(
        &self,
        presented: &str,
        origin: CallOrigin,
    ) -> Result<Caller, AuthenticationError> {
        let (api_key, known) = self.verify(presented).await?;
        Ok(Caller {
            place: known.place,
            kind: known.kind,
            api_key,
            permissions: known.permissions.clone(),
            origin,
        })
    }

    /// What is known of a presented key that may call.
    async fn verify(&self, presented: &str) -> Result<(ApiKeyId, Arc<Known>), AuthenticationError> {
        let text = KeyText::parse(presented).map_err(|_| AuthenticationError::Malformed)?;
        let known = self.known(text.id).await?;
        // The same hash is computed whatever is known, so that time tells nothing about it.
        let given = self.hash(&text);
        let known = known
            .filter(|known| known.hash.matches(&given))
            .ok_or(AuthenticationError::Unknown)?;
        if known.revoked {
            return Err(AuthenticationError::Revoked);
        }
        if known.expires.is_some_and(|expires| expires <= self.now()) {
            return Err(AuthenticationError::Expired);
        }
        Ok((text.id, known))
    }

    async fn known(&self, id: ApiKeyId) -> Result<Option<Arc<Known>>, AuthenticationError> {
        let fresh = self.0.changes.is_fresh(self.now());
        if let Some(known) = self.0.key_cache.keys.get(&id).filter(|_| fresh) {
            return Ok(Some(known));
        }
        let before = self.0.key_cache.forgotten();
        let known = self
            .read_key(id)
            .await
            .map_err(|_| AuthenticationError::Unavailable)?
            .map(Arc::new);
        if let Some(known) = &known {
            self.0.key_cache.keep(id, known, before);
        }
        Ok(known)
    }

    async fn read_key(&self, id: ApiKeyId) -> Result<Option<Known>, Error> {
        let Some(row) = self
            .db()
            .read_optional(&sql::API_KEY_FIND, params![id.to_string()])
            .await?
        else {
            return Ok(None);
        };
        Ok(Some(Known {
            place: rows::place(&row)?,
            kind: rows::word(&row, "kind")?,
            permissions: rows::word(&row, "permissions")?,
            hash: Mac::from_slice(row.bytes("hash")?)?,
            revoked: row.text("state")? != "active",
            version: row.integer("version")?,
            expires: row.optional_integer("expires")?.map(Timestamp::from_millis),
            exposed: row.optional_integer("exposed")?.is_some(),
        }))
    }

    /// The stored form of a key: over its whole identity, under a pepper that the database does not hold.
    fn hash(&self, text: &KeyText<'_>) -> Mac {
        let context = Context::new("coffer api key v1")
            .text(text.kind.as_str())
            .text(text.mode.as_str())
            .bytes(text.id.as_bytes())
            .text(text.secret);
        mac(&self.secrets().pepper, &context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Shop, origin};

    #[tokio::test]
    async fn only_the_whole_key_names_a_caller() {
        let shop = Shop::open().await;
        let parsed = KeyText::parse(&shop.key).unwrap();
        let forged = compose(parsed.kind, parsed.mode, parsed.id, &[7; 32]);
        let as_other_kind = compose(KeyKind::Publishable, parsed.mode, parsed.id, &[7; 32]);
        let missing = compose(
            parsed.kind,
            parsed.mode,
            ApiKeyId::from_bytes([3; 16]),
            &[7; 32],
        );
        for presented in [&forged, &as_other_kind, &missing] {
            let refused = shop
                .engine
                .authenticate(presented, origin("GET /v1/ping"))
                .await
                .unwrap_err();
            assert_eq!(refused, AuthenticationError::Unknown);
        }
        let cut = &shop.key[..shop.key.len() - 1];
        let refused = shop
            .engine
            .authenticate(cut, origin("GET /v1/ping"))
            .await
            .unwrap_err();
        assert_eq!(refused, AuthenticationError::Malformed);
    }

    #[tokio::test]
    async fn a_revoked_key_calls_nothing_though_it_was_cached() {
        let shop = Shop::open().await;
        let caller = shop.caller("GET /v1/ping").await;
        shop.engine
            .api_key_revoke(shop.place, caller.api_key())
            .await
            .unwrap();
        let refused = shop
            .engine
            .authenticate(&shop.key, origin("GET /v1/ping"))
            .await
            .unwrap_err();
        assert_eq!(refused, AuthenticationError::Revoked);
    }

    #[tokio::test]
    async fn a_key_revoked_by_another_node_is_noticed_by_the_poll_or_without_it() {
        let shop = Shop::open().await;
        let caller = shop.caller("GET /v1/ping").await;
        let [account, mode] = key_of(shop.place);
        let elsewhere = Transaction::new()
            .one(
                &sql::API_KEY_REVOKE,
                params![account, mode, caller.api_key().to_string(), 1_i64],
            )
            .append(
                shop.engine
                    .changed("api_key", &caller.api_key().to_string()),
            );
        shop.engine.db().transact(elsewhere).await.unwrap();
        shop.caller("GET /v1/ping").await;
        shop.engine.poll_changes().await.unwrap();
        assert!(
            shop.engine
                .authenticate(&shop.key, origin("GET /v1/ping"))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn live_keys_are_not_made_in_development() {
        let shop = Shop::open().await;
        let live = Place {
            mode: coffer_core::Mode::Live,
            ..shop.place
        };
        let new = NewApiKey {
            kind: KeyKind::Secret,
            name: "live".to_owned(),
            permissions: Permissions::full(),
            expires: None,
        };
        assert!(matches!(
            shop.engine.api_key_create(live, new).await,
            Err(Error::Refused(_))
        ));
    }

    #[tokio::test]
    async fn what_was_read_before_a_revocation_is_not_kept_after_it() {
        let shop = Shop::open().await;
        let id = shop.caller("GET /v1/ping").await.api_key();
        let cache = &shop.engine.0.key_cache;
        let (known, before) = (cache.keys.get(&id).unwrap(), cache.forgotten());
        cache.forget(id);
        cache.keep(id, &known, before);
        assert!(cache.keys.get(&id).is_none());
    }

    #[tokio::test]
    async fn a_node_that_slept_longer_than_changes_are_kept_forgets_what_it_knew() {
        let shop = Shop::open().await;
        let caller = shop.caller("GET /v1/ping").await;
        let [account, mode] = key_of(shop.place);
        // As after the pruning: revoked, and no row says so.
        let revoked = Transaction::new().one(
            &sql::API_KEY_REVOKE,
            params![account, mode, caller.api_key().to_string(), 1_i64],
        );
        shop.engine.db().transact(revoked).await.unwrap();
        shop.clock.advance(crate::changes::CHANGES_KEPT_MS);
        shop.engine.poll_changes().await.unwrap();
        let refused = shop
            .engine
            .authenticate(&shop.key, origin("GET /v1/ping"))
            .await;
        assert_eq!(refused.unwrap_err(), AuthenticationError::Revoked);
    }
}
