//! Access tokens (RFC 6749): issued to a key for a while, with no more rights than it has, and used in its place.
//!
//! What is issued is stored nowhere. A token carries what it says under a code that needs both the api's service key and the
//! stored hash of the secret that it was issued for: neither file alone makes tokens, and a secret that is rotated away takes
//! its tokens with it. Stored are the tokens that were revoked, until they would have ended anyway.

use std::{net::IpAddr, sync::Arc};

use coffer_core::{
    Timestamp,
    access_token::{Claims, Lifetime},
    api_key::KeyKind,
    id::AccessTokenId,
    permission::Permissions,
    scope::Scope,
};
use coffer_crypto::{Context, Mac, SecretBytes, mac};
use coffer_db::{Transaction, params};
use coffer_net::contract::Place;

use crate::{
    AuthenticationError, CallOrigin, Caller, Engine, Error, Presented,
    api_keys::{Known, check_state},
    cache::ObjectCache,
    commit::By,
    refusals::Whose,
    rows::key_of,
    store::access_tokens as sql,
};

const OBJECT: &str = "access_token";
/// Tokens of which this node remembers whether they were revoked; for more the store is asked each time.
const CACHED_MAX: usize = 100_000;

/// Whether tokens were revoked, by their ids.
pub(crate) type TokenCache = ObjectCache<AccessTokenId, bool>;

impl TokenCache {
    pub(crate) fn empty() -> Self {
        Self::new(CACHED_MAX)
    }
}

/// A token to be issued.
#[derive(Debug, Clone, Default)]
pub struct NewAccessToken {
    /// What it may do; all that the key may unless told.
    pub scope: Option<Scope>,
    /// How long it lasts; it never outlasts its key.
    pub lifetime: Lifetime,
}

/// A token that works, as who may know of it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// What it says.
    pub claims: Claims,
    /// The account and mode that it reaches.
    pub place: Place,
    /// What it may do now: what it says, and its key may.
    pub scope: Scope,
}

impl Engine {
    /// Verifies who asks for tokens: a key's id, and the whole key as its secret (RFC 6749, 2.3.1).
    ///
    /// # Errors
    /// Why it is nobody. An id that is not the key's own is a guess like any other.
    pub async fn authenticate_client(
        &self,
        client: &str,
        presented: Presented<'_>,
        origin: CallOrigin,
    ) -> Result<Caller, AuthenticationError> {
        let caller = self.authenticate(presented, origin).await?;
        if caller.by_token() || caller.api_key().to_string() != client {
            let (error, key) = (AuthenticationError::Unknown, caller.api_key());
            self.failed(origin.address, client);
            self.note_refused(Whose::Proven(caller.place(), key), error, &origin);
            return Err(error);
        }
        Ok(caller)
    }

    /// Issues a token to the caller's key; its text is returned once.
    ///
    /// # Errors
    /// [`Error::BeyondCaller`] for rights that the key does not have, [`Error::Invalid`] for none at all, [`Error::Refused`]
    /// for a publishable key, and for a caller who has a token only.
    pub async fn access_token_issue(
        &self,
        caller: &Caller,
        new: NewAccessToken,
    ) -> Result<(AccessToken, SecretBytes), Error> {
        if caller.kind() != KeyKind::Secret || caller.by_token() {
            return Err(Error::Refused("tokens are issued to secret keys"));
        }
        let own = &caller.settings().permissions;
        let scope = new.scope.unwrap_or_else(|| Scope::whole(own.clone()));
        if !scope.permissions.within(own) {
            return Err(Error::BeyondCaller { field: "scope" });
        }
        if scope.permissions == Permissions::none() {
            return Err(Error::Invalid {
                field: "scope",
                expected: "rights of a key that has some",
            });
        }
        let (place, now) = (caller.place(), self.now());
        let rest_ms = caller.settings().expires.map(|expires| expires.since(now));
        let claims = Claims {
            id: self.0.clock.id(),
            key: caller.api_key(),
            mode: place.mode,
            lifetime: rest_ms.map_or(new.lifetime, |rest_ms| new.lifetime.within(rest_ms)),
            scope: scope.clone(),
        };
        let stored = &caller.known.stored;
        let hash = if caller.secret == stored.key.secret {
            Some(&stored.hash)
        } else {
            stored.old_hash.as_ref()
        };
        let code = self.code(&claims, hash.ok_or(Error::Defect)?);
        let (by, id) = (By::Caller(caller), claims.id.to_string());
        let nothing = Transaction::new();
        self.commit(by, place, "access_token.issued", &id, nothing)
            .await?;
        let text = SecretBytes::from_vec(claims.compose(code.as_bytes()).into_bytes());
        let token = AccessToken {
            claims,
            place,
            scope,
        };
        Ok((token, text))
    }

    /// Ends a token of the caller's key before its time (RFC 7009): within a second it works on no node. What does not work
    /// anyway stays as it is.
    ///
    /// # Errors
    /// [`Error::Refused`] for a token of another key.
    pub async fn access_token_revoke(&self, caller: &Caller, text: &str) -> Result<(), Error> {
        let of_caller = |claims: Claims| claims.key == caller.api_key();
        if Claims::parse(text).is_ok_and(|(claims, _)| !of_caller(claims)) {
            return Err(Error::Refused("the token was issued to another key"));
        }
        match self.working_token(text, caller.origin.address).await? {
            Some((_, claims)) => self.end(By::Caller(caller), caller.place(), &claims).await,
            None => Ok(()),
        }
    }

    /// What a token of the caller's account and mode may do (RFC 7662); nothing for one that does not work there.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn access_token(
        &self,
        caller: &Caller,
        text: &str,
    ) -> Result<Option<AccessToken>, Error> {
        let found = self.working_token(text, caller.origin.address).await?;
        let here = found.filter(|(known, _)| known.key().place == caller.place());
        Ok(here.map(|(known, claims)| AccessToken {
            scope: Scope {
                permissions: claims
                    .scope
                    .permissions
                    .both(&known.key().settings.permissions),
                object: claims.scope.object,
            },
            place: known.key().place,
            claims,
        }))
    }

    /// Takes note that this text, which may be a token, came in a way in which anybody could read it. One that works is
    /// revoked: who needs it gets another one.
    pub(crate) async fn access_token_exposed(
        &self,
        text: &str,
        origin: CallOrigin,
    ) -> Result<(), Error> {
        match self.verify_token(text, &origin).await {
            Ok((known, _, claims)) => self.end_exposed(&claims, known.key().place, &origin).await,
            Err(AuthenticationError::Unavailable) => Err(Error::Unavailable),
            Err(AuthenticationError::TooManyFailures { retry_after_s }) => {
                Err(Error::TooManyFailures { retry_after_s })
            }
            Err(_) => Ok(()),
        }
    }

    /// As [`Engine::access_token_exposed`], for a token that was verified.
    pub(crate) async fn end_exposed(
        &self,
        claims: &Claims,
        place: Place,
        origin: &CallOrigin,
    ) -> Result<(), Error> {
        self.end(By::Overheard(origin), place, claims).await
    }

    async fn end(&self, by: By<'_>, place: Place, claims: &Claims) -> Result<(), Error> {
        let ([account, mode], id) = (key_of(place), claims.id.to_string());
        let row = params![account, mode, id.as_str(), claims.expires().as_millis()];
        let steps = Transaction::new()
            .any(&sql::REVOKE, row)
            .append(self.changed(OBJECT, &id));
        self.commit(by, place, "access_token.revoked", &id, steps)
            .await?;
        self.0.token_cache.forget(claims.id);
        Ok(())
    }

    /// A token that works, for who was told of it by its holder: what does not is nobody's guess.
    async fn working_token(
        &self,
        text: &str,
        address: IpAddr,
    ) -> Result<Option<(Arc<Known>, Claims)>, Error> {
        match self
            .verify_token_text(text, address, &mut Whose::Nobody)
            .await
        {
            Ok((known, _, claims)) => Ok(Some((known, claims))),
            Err(AuthenticationError::Unavailable) => Err(Error::Unavailable),
            Err(AuthenticationError::TooManyFailures { retry_after_s }) => {
                Err(Error::TooManyFailures { retry_after_s })
            }
            Err(_) => Ok(None),
        }
    }

    /// What is known of the key of a presented token, and which of its secrets the token was issued for.
    pub(crate) async fn verify_token(
        &self,
        presented: &str,
        origin: &CallOrigin,
    ) -> Result<(Arc<Known>, i64, Claims), AuthenticationError> {
        let (mut whose, address) = (Whose::Nobody, origin.address);
        let verified = self.verify_token_text(presented, address, &mut whose).await;
        if let Err(AuthenticationError::TokenUnknown) = verified {
            self.failed(address, presented);
        }
        if let Err(error) = &verified {
            self.note_refused(whose, *error, origin);
        }
        verified
    }

    async fn verify_token_text(
        &self,
        presented: &str,
        address: IpAddr,
        whose: &mut Whose,
    ) -> Result<(Arc<Known>, i64, Claims), AuthenticationError> {
        let unknown = AuthenticationError::TokenUnknown;
        let (claims, code) = Claims::parse(presented).map_err(|_| unknown)?;
        let known = self.known(claims.key, address).await?.ok_or(unknown)?;
        let (stored, now, code) = (&known.stored, self.now(), Mac::from_array(code));
        let place = stored.key.place;
        *whose = Whose::Claimed(place, claims.key);
        let issued_for = |hash: &Mac| self.code(&claims, hash).matches(&code);
        let is_present = issued_for(&stored.hash);
        let old = stored.old_hash.filter(|_| stored.key.old_works(now));
        if !is_present && !old.is_some_and(|old| issued_for(&old)) {
            return Err(unknown);
        }
        *whose = Whose::Proven(place, claims.key);
        check_state(&stored.key, now)?;
        if claims.expires() <= now {
            return Err(AuthenticationError::TokenExpired);
        }
        if self.is_revoked(&claims, place, now).await? {
            return Err(AuthenticationError::TokenRevoked);
        }
        let secret = stored.key.secret.saturating_sub(i64::from(!is_present));
        Ok((known, secret, claims))
    }

    async fn is_revoked(
        &self,
        claims: &Claims,
        place: Place,
        now: Timestamp,
    ) -> Result<bool, AuthenticationError> {
        let cache = &self.0.token_cache;
        let fresh = self.0.changes.is_fresh(now);
        if let Some(revoked) = cache.get(&claims.id).filter(|_| fresh) {
            return Ok(*revoked);
        }
        let before = cache.forgotten();
        let [account, mode] = key_of(place);
        let row = params![account, mode, claims.id.to_string()];
        let found = self.db().read_optional(&sql::FIND, row).await;
        let revoked = found
            .map_err(|_| AuthenticationError::Unavailable)?
            .is_some();
        cache.keep(claims.id, &Arc::new(revoked), before);
        Ok(revoked)
    }

    /// What makes a token one of ours: over all that it says, under the service key, and for one secret of its key.
    fn code(&self, claims: &Claims, hash: &Mac) -> Mac {
        let context = Context::new("coffer access token v1")
            .bytes(hash.as_bytes())
            .text(claims.mode.as_str())
            .bytes(claims.key.as_bytes())
            .bytes(claims.id.as_bytes())
            .number(claims.lifetime.as_seconds())
            .text(&claims.scope.to_string());
        mac(&self.secrets().tokens, &context)
    }

    /// Forgets revocations of tokens that have ended.
    pub(crate) async fn prune_revoked_tokens(&self) -> Result<(), Error> {
        let ended = params![self.now().as_millis()];
        let forget = Transaction::new().any(&sql::PRUNE, ended);
        self.db().transact(forget).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{
        permission::{Permission, Resource},
        rotation::Overlap,
    };

    use super::*;
    use crate::{
        ApiKeyChange, Fresh, NewApiKey, Steward,
        fixture::{Shop, make_key, new_key, origin, presented},
    };

    const PING: &str = "GET /v1/ping";

    /// A shop with a key that writes payments and keys, and reads refunds.
    struct Issuer {
        shop: Shop,
        text: String,
        key: Caller,
    }

    impl Issuer {
        async fn open() -> Self {
            let shop = Shop::open().await;
            let rights = "payments:write refunds:read api_keys:write";
            let new = new_key(KeyKind::Secret, rights.parse().unwrap());
            let (_, text) = make_key(&shop.engine, shop.place, new).await;
            let key = call(&shop.engine, &text).await.unwrap();
            Self { shop, text, key }
        }

        async fn issue(&self, scope: &str) -> Result<(AccessToken, String), Error> {
            let scope = Some(scope.parse().unwrap());
            let new = NewAccessToken {
                scope,
                ..NewAccessToken::default()
            };
            let key = self.call(&self.text).await.unwrap();
            let (token, text) = self.shop.engine.access_token_issue(&key, new).await?;
            let text = String::from_utf8(text.expose().to_vec()).unwrap();
            Ok((token, text))
        }

        async fn token(&self, scope: &str) -> String {
            self.issue(scope).await.unwrap().1
        }

        async fn call(&self, text: &str) -> Result<Caller, AuthenticationError> {
            call(&self.shop.engine, text).await
        }

        /// What becomes of a token that worked before.
        async fn refused(&self, text: &str) -> Option<AuthenticationError> {
            self.call(text).await.err()
        }

        /// What the operator does with the key.
        async fn change(&self, change: ApiKeyChange) {
            let (steward, id) = (Steward::Operator(self.shop.place), self.key.api_key());
            let engine = &self.shop.engine;
            let changed = engine.api_key_update(steward, Fresh::unkeyed(), id, change);
            changed.await.unwrap();
        }
    }

    async fn call(engine: &Engine, text: &str) -> Result<Caller, AuthenticationError> {
        engine.authenticate(presented(text), origin(PING)).await
    }

    fn writes(resource: Resource) -> Permission {
        Permission::write(resource)
    }

    #[tokio::test]
    async fn a_token_may_do_what_both_its_scope_and_its_key_permit_at_the_time() {
        let issuer = Issuer::open().await;
        let engine = &issuer.shop.engine;
        let text = issuer.token("payments:read refunds:read").await;
        let caller = issuer.call(&text).await.unwrap();
        let payments = Permission::read(Resource::Payments);
        assert!(engine.allows(&caller, payments));
        for beyond in [Resource::Payments, Resource::ApiKeys, Resource::Refunds] {
            assert!(!engine.allows(&caller, writes(beyond)), "{beyond}");
        }
        issuer
            .change(ApiKeyChange {
                permissions: Some("payments:write customers:write".parse().unwrap()),
                ..ApiKeyChange::default()
            })
            .await;
        let caller = issuer.call(&text).await.unwrap();
        assert!(engine.allows(&caller, payments));
        assert!(!engine.allows(&caller, Permission::read(Resource::Refunds)));
        assert!(!engine.allows(&caller, writes(Resource::Customers)));
    }

    #[tokio::test]
    async fn no_token_is_wider_than_its_key() {
        let issuer = Issuer::open().await;
        for wider in [
            "refunds:write",
            "payments:read audit:read",
            "refunds:write:pay_06ajfp8e7kvq3z8m2d5t9c4xgr",
        ] {
            let refused = issuer.issue(wider).await;
            let beyond = Error::BeyondCaller { field: "scope" };
            assert_eq!(refused, Err(beyond), "{wider}");
        }
    }

    #[tokio::test]
    async fn tokens_are_issued_to_secret_keys_alone() {
        let issuer = Issuer::open().await;
        let (shop, new) = (&issuer.shop, NewAccessToken::default);
        let token = issuer.token("payments:read").await;
        let none = Permissions::none();
        let (_, publishable) = shop.make_key(KeyKind::Publishable, none.clone()).await;
        for text in [&token, &publishable] {
            let caller = issuer.call(text).await.unwrap();
            let issued = shop.engine.access_token_issue(&caller, new()).await;
            assert!(matches!(issued, Err(Error::Refused(_))));
        }
        let (_, powerless) = shop.make_key(KeyKind::Secret, none).await;
        let caller = issuer.call(&powerless).await.unwrap();
        let issued = shop.engine.access_token_issue(&caller, new()).await;
        assert!(matches!(issued, Err(Error::Invalid { field: "scope", .. })));
    }

    #[tokio::test]
    async fn a_client_is_a_key_and_its_own_id() {
        let issuer = Issuer::open().await;
        let shop = &issuer.shop;
        let id = shop.caller(PING).await.api_key().to_string();
        let other = issuer.key.api_key().to_string();
        let token = issuer.token("payments:read").await;
        let client = async |id: &str, text: &str| {
            let client =
                shop.engine
                    .authenticate_client(id, presented(text), origin("POST /oauth/token"));
            client.await.err()
        };
        assert_eq!(client(&id, &shop.key).await, None);
        let unknown = Some(AuthenticationError::Unknown);
        assert_eq!(client(&other, &shop.key).await, unknown);
        assert_eq!(client("", &shop.key).await, unknown);
        assert_eq!(client(&other, &token).await, unknown);
    }

    #[tokio::test]
    async fn what_a_token_says_cannot_be_changed_nor_made_up() {
        let issuer = Issuer::open().await;
        let text = issuer.token("payments:read").await;
        let (claims, code) = Claims::parse(&text).unwrap();
        let mut forged = vec![claims.compose(&[7; 32])];
        for scope in [
            "payments:write",
            "payments:read:pay_06ajfp8e7kvq3z8m2d5t9c4xgr",
        ] {
            let scope = scope.parse().unwrap();
            let wider = Claims {
                scope,
                ..claims.clone()
            };
            forged.push(wider.compose(&code));
        }
        let lifetime = Lifetime::seconds(3600).unwrap();
        forged.push(
            Claims {
                lifetime,
                ..claims.clone()
            }
            .compose(&code),
        );
        let id = AccessTokenId::from_parts(claims.issued().plus_millis(1), [1; 10]);
        forged.push(
            Claims {
                id,
                ..claims.clone()
            }
            .compose(&code),
        );
        let mode = coffer_core::Mode::Live;
        forged.push(
            Claims {
                mode,
                ..claims.clone()
            }
            .compose(&code),
        );
        let key = issuer.shop.caller(PING).await.api_key();
        forged.push(Claims { key, ..claims }.compose(&code));
        for text in forged {
            let refused = issuer.refused(&text).await;
            assert_eq!(refused, Some(AuthenticationError::TokenUnknown), "{text}");
        }
        assert!(issuer.call(&text).await.is_ok());
    }

    #[tokio::test]
    async fn guessed_tokens_count_as_guessed_keys() {
        let issuer = Issuer::open().await;
        let text = issuer.token("payments:read").await;
        let (claims, _) = Claims::parse(&text).unwrap();
        let mut last = None;
        for byte in 0..100_u8 {
            let key = coffer_core::id::ApiKeyId::from_bytes([byte; 16]);
            let guess = Claims {
                key,
                ..claims.clone()
            }
            .compose(&[7; 32]);
            last = issuer.refused(&guess).await;
        }
        let too_many = |error| matches!(error, AuthenticationError::TooManyFailures { .. });
        assert!(last.is_some_and(too_many), "{last:?}");
        assert!(issuer.call(&text).await.is_ok());
    }

    #[tokio::test]
    async fn a_token_ends_in_time_and_never_outlasts_its_key() {
        let issuer = Issuer::open().await;
        let (shop, text) = (&issuer.shop, issuer.token("payments:read").await);
        shop.clock.advance(599_999);
        shop.engine.poll_changes().await.unwrap();
        assert_eq!(issuer.refused(&text).await, None);
        shop.clock.advance(1);
        let expired = Some(AuthenticationError::TokenExpired);
        assert_eq!(issuer.refused(&text).await, expired);
        let ends = shop.clock.now().plus_millis(60_500);
        issuer
            .change(ApiKeyChange {
                expires: Some(Some(ends)),
                ..ApiKeyChange::default()
            })
            .await;
        let (token, text) = issuer.issue("payments:read").await.unwrap();
        assert_eq!(token.claims.lifetime, Lifetime::seconds(61).unwrap());
        shop.clock.advance(60_500);
        shop.engine.poll_changes().await.unwrap();
        let over = Some(AuthenticationError::Expired);
        assert_eq!(issuer.refused(&text).await, over);
    }

    #[tokio::test]
    async fn a_frozen_or_revoked_key_ends_its_tokens_on_every_node() {
        let issuer = Issuer::open().await;
        let (shop, text) = (&issuer.shop, issuer.token("payments:read").await);
        let (steward, id) = (Steward::Operator(shop.place), issuer.key.api_key());
        let (one, other) = (&shop.engine, shop.another_node().await);
        assert!(call(&other, &text).await.is_ok());
        one.api_key_freeze(steward, Fresh::unkeyed(), id)
            .await
            .unwrap();
        other.poll_changes().await.unwrap();
        for node in [one, &other] {
            let refused = call(node, &text).await.err();
            assert_eq!(refused, Some(AuthenticationError::Frozen));
        }
        one.api_key_unfreeze(steward, Fresh::unkeyed(), id)
            .await
            .unwrap();
        other.poll_changes().await.unwrap();
        assert!(call(&other, &text).await.is_ok());
        shop.revoke(id).await;
        other.poll_changes().await.unwrap();
        let refused = call(&other, &text).await.err();
        assert_eq!(refused, Some(AuthenticationError::Revoked));
    }

    #[tokio::test]
    async fn a_revoked_token_works_on_no_node_and_others_of_its_key_go_on() {
        let issuer = Issuer::open().await;
        let (revoked, kept) = (
            issuer.token("payments:read").await,
            issuer.token("payments:read").await,
        );
        let (one, other) = (&issuer.shop.engine, issuer.shop.another_node().await);
        for text in [&revoked, &kept] {
            assert!(call(&other, text).await.is_ok());
        }
        for _ in 0..2 {
            one.access_token_revoke(&issuer.key, &revoked)
                .await
                .unwrap();
        }
        other.poll_changes().await.unwrap();
        let late = issuer.shop.another_node().await;
        for node in [one, &other, &late] {
            let refused = call(node, &revoked).await.err();
            assert_eq!(refused, Some(AuthenticationError::TokenRevoked));
            assert!(call(node, &kept).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_node_that_hears_nothing_asks_the_store() {
        let issuer = Issuer::open().await;
        let text = issuer.token("payments:read").await;
        let (one, deaf) = (&issuer.shop.engine, issuer.shop.another_node().await);
        assert!(call(&deaf, &text).await.is_ok());
        one.access_token_revoke(&issuer.key, &text).await.unwrap();
        issuer.shop.clock.advance(1_001);
        let refused = call(&deaf, &text).await.err();
        assert_eq!(refused, Some(AuthenticationError::TokenRevoked));
    }

    #[tokio::test]
    async fn a_secret_that_is_rotated_away_takes_its_tokens_with_it() {
        let issuer = Issuer::open().await;
        let (shop, text) = (&issuer.shop, issuer.token("payments:read").await);
        let (steward, id) = (Steward::Operator(shop.place), issuer.key.api_key());
        let rotate = async |hours: i64| {
            let overlap = Overlap::hours(hours).unwrap();
            let rotated = shop
                .engine
                .api_key_rotate(steward, Fresh::unkeyed(), id, overlap);
            let (_, text) = rotated.await.unwrap().object;
            String::from_utf8(text.expose().to_vec()).unwrap()
        };
        let new = rotate(24).await;
        // The old secret works on, its tokens too, and one can still get such; the uses tell them apart.
        assert!(issuer.call(&text).await.is_ok());
        let by_old = issuer.token("payments:read").await;
        let (old, present) = (issuer.call(&by_old).await.unwrap(), issuer.call(&new).await);
        assert_eq!(old.secret + 1, present.unwrap().secret);
        shop.engine
            .api_key_end_rotation(steward, Fresh::unkeyed(), id)
            .await
            .unwrap();
        for text in [&text, &by_old] {
            let refused = issuer.refused(text).await;
            assert_eq!(refused, Some(AuthenticationError::TokenUnknown));
        }
        rotate(0).await;
    }

    #[tokio::test]
    async fn a_token_is_ended_by_its_own_key_alone_and_known_to_its_account_alone() {
        let issuer = Issuer::open().await;
        let shop = &issuer.shop;
        let (token, text) = issuer.issue("payments:write").await.unwrap();
        let sibling = shop.caller(PING).await;
        let (_, stranger) = crate::fixture::merchant(&shop.engine, "stranger").await;
        let stranger = issuer.call(&stranger).await.unwrap();
        for other in [&sibling, &stranger] {
            let ended = shop.engine.access_token_revoke(other, &text).await;
            assert!(matches!(ended, Err(Error::Refused(_))));
        }
        let told = |caller: Caller| {
            let (engine, text) = (shop.engine.clone(), text.clone());
            async move { engine.access_token(&caller, &text).await.unwrap() }
        };
        assert_eq!(told(stranger).await, None);
        assert_eq!(told(sibling.clone()).await, Some(token));
        issuer
            .change(ApiKeyChange {
                permissions: Some("payments:read".parse().unwrap()),
                ..ApiKeyChange::default()
            })
            .await;
        let narrower = told(sibling.clone()).await.unwrap().scope;
        assert_eq!(narrower.to_string(), "payments:read");
        let ended = shop.engine.access_token_revoke(&issuer.key, &text);
        ended.await.unwrap();
        assert_eq!(told(sibling).await, None);
    }

    #[tokio::test]
    async fn what_a_token_makes_outlasts_it_in_nothing() {
        let issuer = Issuer::open().await;
        let engine = &issuer.shop.engine;
        let make = async |scope: &str, change: fn(&mut NewApiKey)| {
            let caller = issuer.call(&issuer.token(scope).await).await.unwrap();
            let rights = "payments:read".parse().unwrap();
            let mut new = new_key(KeyKind::Secret, rights);
            new.settings.expires = Some(issuer.shop.clock.now().plus_millis(600_000));
            change(&mut new);
            let steward = Steward::Caller(&caller);
            let made = engine.api_key_create(steward, Fresh::unkeyed(), new).await;
            made.map(|done| done.object.0.settings.permissions.to_string())
        };
        let beyond = |field| Err(Error::BeyondCaller { field });
        let scope = "api_keys:write payments:read";
        assert_eq!(make(scope, |_| {}).await, Ok("payments:read".to_owned()));
        let for_ever = |new: &mut NewApiKey| new.settings.expires = None;
        assert_eq!(make(scope, for_ever).await, beyond("expires"));
        assert_eq!(make("api_keys:write", |_| {}).await, beyond("permissions"));
        let one = "key_06ajfp8e7kvq3z8m2d5t9c4xgr";
        let one = format!("api_keys:write:{one} payments:read:{one}");
        assert_eq!(make(&one, |_| {}).await, beyond("permissions"));
    }

    #[tokio::test]
    async fn a_token_that_anybody_could_read_is_ended_and_its_key_is_not() {
        let issuer = Issuer::open().await;
        let engine = &issuer.shop.engine;
        let revoked = Some(AuthenticationError::TokenRevoked);
        let in_address = issuer.token("payments:read").await;
        let exposed = engine.api_key_exposed(&in_address, origin("an address"));
        exposed.await.unwrap();
        assert_eq!(issuer.refused(&in_address).await, revoked);
        let found = issuer.token("payments:read").await;
        let reported = engine.api_key_reported(&found, origin("POST /v1/exposed_keys"));
        reported.await.unwrap();
        assert_eq!(issuer.refused(&found).await, revoked);
        let in_page = issuer.token("payments:read").await;
        let browser = Presented {
            by_browser: true,
            ..presented(&in_page)
        };
        let refused = engine.authenticate(browser, origin(PING)).await.err();
        assert_eq!(refused, Some(AuthenticationError::InBrowser));
        assert_eq!(issuer.refused(&in_page).await, revoked);
        let key = engine.api_key(issuer.shop.place, issuer.key.api_key());
        assert_eq!(key.await.unwrap().exposed, None);
        engine
            .api_key_exposed("oat_cut", origin("an address"))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_revocation_is_forgotten_when_the_token_has_ended() {
        let issuer = Issuer::open().await;
        let (shop, text) = (&issuer.shop, issuer.token("payments:read").await);
        let revoked = shop.engine.access_token_revoke(&issuer.key, &text);
        revoked.await.unwrap();
        let count = async || {
            let (claims, _) = Claims::parse(&text).unwrap();
            let [account, mode] = key_of(shop.place);
            let row = params![account, mode, claims.id.to_string()];
            let found = shop.engine.db().read_optional(&sql::FIND, row).await;
            usize::from(found.unwrap().is_some())
        };
        shop.engine.prune().await.unwrap();
        assert_eq!(count().await, 1);
        shop.clock.advance(600_001);
        shop.engine.prune().await.unwrap();
        assert_eq!(count().await, 0);
    }
}
