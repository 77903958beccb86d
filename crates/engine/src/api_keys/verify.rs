//! A presented key becomes a [`Caller`], or it is said why not.

use std::{net::IpAddr, sync::Arc};

use coffer_core::{
    Timestamp,
    access_token::{Claims, PREFIX},
    api_key::{KeyKind, KeyState, KeyText},
    id::ApiKeyId,
};
use coffer_crypto::{Context, Mac};
use coffer_db::params;

use super::{
    key::{self, ApiKey, StoredKey},
    uses::{KeyUse, Seen},
};
use crate::{
    AssertionError, CallOrigin, Caller, Engine, Error, Held, cache::ObjectCache, limits::Cells,
    refusals::Whose, store::api_keys as sql,
};

/// API keys held in memory; more are read from the store each time.
const CACHED_MAX: usize = 100_000;
/// How a secret key came that came from a browser, as records name it.
const BROWSER: &str = "a browser";

/// Why a presented key names no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationError {
    /// Not the shape of a key, or its checksum is wrong: mistyped or cut.
    Malformed,
    /// No such key, or its secret is wrong.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It is frozen.
    Frozen,
    /// Its time is over.
    Expired,
    /// It may not be used from this address.
    AddressNotAllowed,
    /// A secret key or an access token, and a browser sent it.
    InBrowser,
    /// An access token that this installation did not issue, or whose key has another secret now.
    TokenUnknown,
    /// An access token whose time is over.
    TokenExpired,
    /// An access token that was revoked.
    TokenRevoked,
    /// A client's assertion does not count.
    Assertion(AssertionError),
    /// Too many keys from this address did not work.
    TooManyFailures {
        /// When to come back.
        retry_after_s: i64,
    },
    /// The store cannot be asked.
    Unavailable,
}

impl From<Held> for AuthenticationError {
    fn from(held: Held) -> Self {
        match held {
            Held::Slowed { retry_after_s } => Self::TooManyFailures { retry_after_s },
            Held::Blocked { .. } => Self::Unknown,
        }
    }
}

/// A key, or an access token, as it comes with a request.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// Its text.
    pub text: &'a str,
    /// What the client calls itself, for the record of the key's use.
    pub client: Option<&'a str>,
    /// Whether a browser sent it: then anybody who uses that browser has it.
    pub by_browser: bool,
}

/// What is known of a key, as long as nothing of it changes.
pub(crate) struct Known {
    pub(crate) stored: StoredKey,
    pub(crate) uses: Arc<KeyUse>,
    pub(crate) cells: Cells,
}

impl Known {
    pub(crate) const fn key(&self) -> &ApiKey {
        &self.stored.key
    }
}

/// Keys by id.
pub(crate) type KeyCache = ObjectCache<ApiKeyId, Known>;

impl KeyCache {
    pub(crate) fn empty() -> Self {
        Self::new(CACHED_MAX)
    }
}

impl Engine {
    /// Verifies a presented key or access token. The only way to a [`Caller`].
    ///
    /// # Errors
    /// Why it is nobody's.
    pub async fn authenticate(
        &self,
        presented: Presented<'_>,
        origin: CallOrigin,
    ) -> Result<Caller, AuthenticationError> {
        // Here and below, what few calls need is kept apart, so that the others have no place for it.
        let (known, secret, token) = if presented.text.starts_with(PREFIX) {
            let verifying = Box::pin(self.verify_token(presented.text, &origin));
            let (known, secret, token) = verifying.await?;
            (known, secret, Some(Arc::new(token)))
        } else {
            let (known, secret) = self.verify(presented.text, &origin).await?;
            (known, secret, None)
        };
        self.admit((known, secret, token), presented, origin).await
    }

    /// Makes a caller of who has proven to be one, unless that is not permitted here.
    pub(crate) async fn admit(
        &self,
        (known, secret, token): (Arc<Known>, i64, Option<Arc<Claims>>),
        presented: Presented<'_>,
        origin: CallOrigin,
    ) -> Result<Caller, AuthenticationError> {
        let key = known.key();
        let refuse = |error| {
            self.note_refused(Whose::Proven(key.place, key.id), error, &origin);
            Err(error)
        };
        if key.canary {
            return refuse(Box::pin(self.canary_used(key, &origin)).await);
        }
        if presented.by_browser && key.kind == KeyKind::Secret {
            match &token {
                Some(token) => Box::pin(self.end_exposed(token, key.place, &origin)).await,
                None => Box::pin(self.mark_exposed(&known.stored, &origin, BROWSER)).await,
            }
            .map_err(|_| AuthenticationError::Unavailable)?;
            return refuse(AuthenticationError::InBrowser);
        }
        if !key.settings.addresses.permit(origin.address) {
            return refuse(AuthenticationError::AddressNotAllowed);
        }
        let (now, observed) = (self.now(), key.observed.addresses.as_ref());
        if observed.is_some_and(|addresses| !addresses.permit(origin.address)) {
            let refused = Seen::RefusedAddress(origin.address);
            self.0.uses.note(&known.uses, secret, refused, now);
        }
        self.0
            .uses
            .call(&known.uses, secret, &origin, presented.client, now);
        Ok(Caller {
            place: key.place,
            api_key: key.id,
            known,
            secret,
            token,
            origin,
            signed_by: None,
        })
    }

    /// What is known of a presented key that may call, and which of its secrets it is.
    pub(super) async fn verify(
        &self,
        presented: &str,
        origin: &CallOrigin,
    ) -> Result<(Arc<Known>, i64), AuthenticationError> {
        let mut whose = Whose::Nobody;
        let verified = self
            .verify_text(presented, origin.address, &mut whose)
            .await;
        if let Err(AuthenticationError::Malformed | AuthenticationError::Unknown) = verified {
            self.failed(origin.address, presented);
        }
        if let Err(error) = &verified {
            self.note_refused(whose, *error, origin);
        }
        verified
    }

    async fn verify_text(
        &self,
        presented: &str,
        address: IpAddr,
        whose: &mut Whose,
    ) -> Result<(Arc<Known>, i64), AuthenticationError> {
        let text = KeyText::parse(presented).map_err(|_| AuthenticationError::Malformed)?;
        let known = self.known(text.id, address).await?;
        // The same hash is computed whatever is known, so that time tells nothing about it.
        let given = self.hash(&text);
        let known = known.ok_or(AuthenticationError::Unknown)?;
        let (stored, now) = (&known.stored, self.now());
        let (place, id) = (stored.key.place, stored.key.id);
        *whose = Whose::Claimed(place, id);
        let is_present = stored.hash.matches(&given);
        let is_old = stored
            .old_hash
            .is_some_and(|old| old.matches(&given) && stored.key.old_works(now));
        if !is_present && !is_old {
            return Err(AuthenticationError::Unknown);
        }
        *whose = Whose::Proven(place, id);
        check_state(&stored.key, now)?;
        let secret = stored.key.secret.saturating_sub(i64::from(!is_present));
        Ok((known, secret))
    }

    /// Whoever has failed too often is let in by what this node knows already, and costs no query.
    pub(crate) async fn known(
        &self,
        id: ApiKeyId,
        address: IpAddr,
    ) -> Result<Option<Arc<Known>>, AuthenticationError> {
        if let Some(known) = self.cached_key(id) {
            return Ok(Some(known));
        }
        // That there was such a key is known: to ask what has become of it is nobody's guess.
        if self.0.key_cache.get(&id).is_none() && !self.0.limits.has_worked(id) {
            self.check_may_try(address)?;
        }
        let loaded = Box::pin(self.load_key(id)).await;
        loaded.map_err(|_| AuthenticationError::Unavailable)
    }

    /// Whether an address may try what this node does not know.
    pub(crate) fn check_may_try(&self, address: IpAddr) -> Result<(), AuthenticationError> {
        self.check_stranger(address)?;
        let may_try = self.0.limits.may_try(address, self.0.clock.ticks_us());
        may_try.map_err(|retry_after_s| AuthenticationError::TooManyFailures { retry_after_s })
    }

    fn cached_key(&self, id: ApiKeyId) -> Option<Arc<Known>> {
        let fresh = self.0.changes.is_fresh(self.now());
        self.0.key_cache.get(&id).filter(|_| fresh)
    }

    /// A key of this installation, whoever asks.
    pub(crate) async fn known_key(&self, id: ApiKeyId) -> Result<Option<Arc<Known>>, Error> {
        match self.cached_key(id) {
            Some(known) => Ok(Some(known)),
            None => self.load_key(id).await,
        }
    }

    async fn load_key(&self, id: ApiKeyId) -> Result<Option<Arc<Known>>, Error> {
        let before = self.0.key_cache.forgotten();
        let Some(stored) = self.stored_key(id).await? else {
            return Ok(None);
        };
        let uses = KeyUse::of(&stored.key);
        let cells = Cells::default();
        let known = Arc::new(Known {
            stored,
            uses,
            cells,
        });
        self.0.key_cache.keep(id, &known, before);
        Ok(Some(known))
    }

    /// Somebody at this address guesses, or has mistyped.
    pub(crate) fn failed(&self, address: IpAddr, presented: &str) {
        self.0.limits.failed(address, self.0.clock.ticks_us());
        self.note_wrong_key(address, presented);
    }

    pub(super) async fn stored_key(&self, id: ApiKeyId) -> Result<Option<StoredKey>, Error> {
        let found = self
            .db()
            .read_optional(&sql::FIND, params![id.to_string()])
            .await?;
        found.map(|row| key::read(&row)).transpose()
    }

    /// The stored form of a key: over its whole identity, under a pepper that the database does not hold.
    pub(super) fn hash(&self, text: &KeyText<'_>) -> Mac {
        let context = Context::new("coffer api key v1")
            .text(text.kind.as_str())
            .text(text.mode.as_str())
            .bytes(text.id.as_bytes())
            .text(text.secret);
        self.secrets().pepper.mac(&context)
    }
}

/// What a key may not do at all in its state.
pub(crate) fn check_state(key: &ApiKey, now: Timestamp) -> Result<(), AuthenticationError> {
    match key.state(now) {
        KeyState::Active | KeyState::Rotating => Ok(()),
        KeyState::Frozen => Err(AuthenticationError::Frozen),
        KeyState::Revoked => Err(AuthenticationError::Revoked),
        KeyState::Expired => Err(AuthenticationError::Expired),
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{Mode, api_key::compose, network::Networks};
    use coffer_db::Transaction;

    use super::*;
    use crate::{
        ApiKeyChange, Fresh, Steward,
        fixture::{Shop, origin, presented},
    };

    async fn refused(shop: &Shop, text: &str) -> AuthenticationError {
        let calling = shop
            .engine
            .authenticate(presented(text), origin("GET /v1/ping"));
        calling.await.err().unwrap()
    }

    #[tokio::test]
    async fn only_the_whole_key_names_a_caller() {
        let shop = Shop::open().await;
        let parsed = KeyText::parse(&shop.key).unwrap();
        for forged in [
            compose(parsed.kind, parsed.mode, parsed.id, &[7; 32]),
            compose(KeyKind::Publishable, parsed.mode, parsed.id, &[7; 32]),
            compose(parsed.kind, Mode::Live, parsed.id, &[7; 32]),
            compose(
                parsed.kind,
                parsed.mode,
                ApiKeyId::from_bytes([3; 16]),
                &[7; 32],
            ),
        ] {
            assert_eq!(refused(&shop, &forged).await, AuthenticationError::Unknown);
        }
        let cut = &shop.key[..shop.key.len() - 1];
        assert_eq!(refused(&shop, cut).await, AuthenticationError::Malformed);
    }

    #[tokio::test]
    async fn a_revoked_key_calls_nothing_though_it_was_cached() {
        let shop = Shop::open().await;
        let caller = shop.caller("GET /v1/ping").await;
        shop.revoke(caller.api_key()).await;
        assert_eq!(
            refused(&shop, &shop.key).await,
            AuthenticationError::Revoked
        );
    }

    /// As another node would revoke it, which tells this one by the list of changes or not at all.
    async fn revoke_elsewhere(shop: &Shop, told: bool) {
        let id = shop.caller("GET /v1/ping").await.api_key();
        let mut stored = shop.engine.stored_key(id).await.unwrap().unwrap();
        stored.key.stored = key::StoredState::Revoked;
        let revoked = Transaction::new().one(&sql::UPDATE, stored.update(1));
        let told = if told {
            shop.engine.changed("api_key", &id.to_string())
        } else {
            Transaction::new()
        };
        shop.engine
            .db()
            .transact(revoked.append(told))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_key_revoked_by_another_node_is_noticed_by_the_poll() {
        let shop = Shop::open().await;
        revoke_elsewhere(&shop, true).await;
        shop.caller("GET /v1/ping").await;
        shop.engine.poll_changes().await.unwrap();
        assert_eq!(
            refused(&shop, &shop.key).await,
            AuthenticationError::Revoked
        );
    }

    #[tokio::test]
    async fn a_node_that_slept_longer_than_changes_are_kept_forgets_what_it_knew() {
        let shop = Shop::open().await;
        // As after the pruning: revoked, and no row says so.
        revoke_elsewhere(&shop, false).await;
        shop.clock.advance(crate::changes::CHANGES_KEPT_MS);
        shop.engine.poll_changes().await.unwrap();
        assert_eq!(
            refused(&shop, &shop.key).await,
            AuthenticationError::Revoked
        );
    }

    #[tokio::test]
    async fn what_was_read_before_a_revocation_is_not_kept_after_it() {
        let shop = Shop::open().await;
        let id = shop.caller("GET /v1/ping").await.api_key();
        let cache = &shop.engine.0.key_cache;
        let (known, before) = (cache.get(&id).unwrap(), cache.forgotten());
        cache.forget(id);
        cache.keep(id, &known, before);
        assert!(cache.get(&id).is_none());
    }

    #[tokio::test]
    async fn a_key_calls_from_its_own_addresses_only() {
        let shop = Shop::open().await;
        let id = shop.caller("GET /v1/ping").await.api_key();
        let only = async |addresses: &str| {
            let change = ApiKeyChange {
                addresses: Some(addresses.parse::<Networks>().unwrap()),
                ..ApiKeyChange::default()
            };
            let steward = Steward::Operator(shop.place);
            let changed = shop
                .engine
                .api_key_update(steward, Fresh::unkeyed(), id, change);
            changed.await.unwrap();
        };
        only("203.0.113.0/24").await;
        assert_eq!(
            refused(&shop, &shop.key).await,
            AuthenticationError::AddressNotAllowed
        );
        only("203.0.113.0/24 127.0.0.1").await;
        shop.caller("GET /v1/ping").await;
    }
}
