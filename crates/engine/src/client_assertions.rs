//! A client of OAuth that signs what it says it is (`private_key_jwt`: RFC 7521, RFC 7523, with the advice of RFC 8725), in place of
//! sending its key: a signing key that stands for that API key.
//!
//! An assertion counts once, as a signed request does, and what comes of it is the same caller as by the API key's secret: as long as
//! that secret works, the signing key works for it.

mod assertion;

use std::{net::IpAddr, sync::Arc};

use coffer_core::Timestamp;
use coffer_net::contract::Place;

pub use assertion::ASSERTION_ALGORITHMS;
pub(crate) use assertion::Assertion;

use crate::{
    AuthenticationError, CallOrigin, Caller, Engine, Presented, SignatureError, SigningKeyError,
    VerifiedSignature, Verifier,
    api_keys::{Known, check_state},
    refusals::Whose,
    signed_requests::{AGE_MAX_MS, AHEAD_MAX_MS},
};

/// Why a client's assertion does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionError {
    /// It is not what it has to be; the sentence says what to do.
    Malformed(&'static str),
    /// There is no such client, or no such signing key in its account and mode, or it is not this key's signature.
    Mismatch,
    /// The signing key stands for no API key, or for another one.
    OtherClient,
    /// The signing key proves nothing any more.
    Key(SigningKeyError),
    /// The secret works no more beside which the signing key was registered.
    SecretRotated,
    /// Its end has come.
    Expired,
    /// Its end is too far away.
    EndsLate,
    /// It was made too long ago.
    TooOld,
    /// It was made in time to come, or does not count yet.
    Ahead,
    /// It was used before.
    Used,
}

impl From<AssertionError> for AuthenticationError {
    fn from(error: AssertionError) -> Self {
        Self::Assertion(error)
    }
}

impl Engine {
    /// Verifies who asks for tokens: a client whose signing key says so to one of these audiences, under the name that was sent
    /// beside it, if one was. It has to be counted yet ([`Self::assertion_count`]).
    ///
    /// # Errors
    /// Why it is nobody.
    pub async fn authenticate_assertion(
        &self,
        (presented, named): (Presented<'_>, Option<&str>),
        audiences: &[&str],
        origin: CallOrigin,
    ) -> Result<(Caller, VerifiedSignature), AuthenticationError> {
        let mut whose = Whose::Nobody;
        let verified = self
            .verify_assertion((presented, named), audiences, origin.address, &mut whose)
            .await;
        let (known, secret, verified) = verified.inspect_err(|error| {
            let proven = matches!(whose, Whose::Proven(..));
            if let (AuthenticationError::Assertion(_), false) = (error, proven) {
                // The header is the same each time that a client of ours is wrong, and so is one guess.
                let header = presented.text.split('.').next();
                self.failed(origin.address, header.unwrap_or_default());
            }
            self.note_refused(whose, *error, &origin);
        })?;
        let caller = self.admit((known, secret, None), presented, origin).await?;
        Ok((caller, verified))
    }

    /// Counts an assertion: from here on the caller is who it says.
    ///
    /// # Errors
    /// When it was used before, on any node.
    pub async fn assertion_count(
        &self,
        caller: Caller,
        verified: VerifiedSignature,
    ) -> Result<Caller, AuthenticationError> {
        let counted = self.signature_count(caller, verified).await;
        counted.map_err(|error| {
            if error == SignatureError::NonceUsed {
                AssertionError::Used.into()
            } else {
                AuthenticationError::Unavailable
            }
        })
    }

    /// What is known of the client, for which of its secrets its signing key stands, and what is to be counted. What has become of
    /// both keys is told to who has the signing key.
    async fn verify_assertion(
        &self,
        (presented, named): (Presented<'_>, Option<&str>),
        audiences: &[&str],
        address: IpAddr,
        whose: &mut Whose,
    ) -> Result<(Arc<Known>, i64, VerifiedSignature), AuthenticationError> {
        let assertion = Assertion::read(presented.text, audiences);
        let assertion = assertion.map_err(AssertionError::Malformed)?;
        // RFC 7521, 4.2.
        if named.is_some_and(|named| named != assertion.client.to_string()) {
            let wrong = "client_id has to be what sub says, or be left out.";
            return Err(AssertionError::Malformed(wrong).into());
        }
        let known = self.known(assertion.client, address).await?;
        let known = known.ok_or(AssertionError::Mismatch)?;
        let (place, now) = (known.key().place, self.now());
        *whose = Whose::Claimed(place, assertion.client);
        let verifier = self.assertion_verifier(&assertion, place, address).await?;
        let client = verifier.key().client;
        let client = client.filter(|client| client.api_key == assertion.client);
        let client = client.ok_or(AssertionError::OtherClient)?;
        *whose = Whose::Proven(place, assertion.client);
        verifier.check_state(now).map_err(AssertionError::Key)?;
        check_state(known.key(), now)?;
        if !known.key().has_secret(client.secret, now) {
            return Err(AssertionError::SecretRotated.into());
        }
        check_time(&assertion, now)?;
        // What a browser can sign with, anybody has who uses it.
        if presented.by_browser {
            return Err(AuthenticationError::InBrowser);
        }
        let verified = VerifiedSignature {
            verifier,
            nonce: assertion.id,
            until: assertion.expires,
        };
        Ok((known, client.secret, verified))
    }

    /// The signing key of this account and mode that has signed an assertion, whether it works or not.
    async fn assertion_verifier(
        &self,
        assertion: &Assertion<'_>,
        place: Place,
        address: IpAddr,
    ) -> Result<Arc<Verifier>, AuthenticationError> {
        if self.0.verifiers.get(&assertion.key).is_none() {
            self.check_may_try(address)?;
        }
        let verifier = match self.known_verifier(assertion.key).await {
            Err(SigningKeyError::Unavailable) => return Err(AuthenticationError::Unavailable),
            found => found.map_err(|_| AssertionError::Mismatch)?,
        };
        let is_theirs = verifier.key().place == place
            && verifier.algorithm() == assertion.algorithm
            && verifier.verifies(assertion.message, &assertion.signature);
        is_theirs
            .then_some(verifier)
            .ok_or(AssertionError::Mismatch.into())
    }
}

fn check_time(assertion: &Assertion<'_>, now: Timestamp) -> Result<(), AssertionError> {
    let is_ahead =
        |time: Option<Timestamp>| time.is_some_and(|time| time.since(now) > AHEAD_MAX_MS);
    if assertion.expires <= now {
        return Err(AssertionError::Expired);
    }
    if assertion.expires.since(now) > AGE_MAX_MS.saturating_add(AHEAD_MAX_MS) {
        return Err(AssertionError::EndsLate);
    }
    if is_ahead(assertion.issued) || is_ahead(assertion.not_before) {
        return Err(AssertionError::Ahead);
    }
    if assertion
        .issued
        .is_some_and(|issued| now.since(issued) > AGE_MAX_MS)
    {
        return Err(AssertionError::TooOld);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use coffer_core::{
        api_key::KeyKind,
        id::{ApiKeyId, RequestId, SigningKeyId},
        network::Networks,
        permission::Permissions,
        rotation::Overlap,
    };
    use coffer_crypto::SigningKey as Private;
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        ApiKeyChange, Fresh, NewAccessToken, NewSigningKey, RecordFilter, Steward,
        fixture::{Shop, merchant, origin, presented, register},
    };

    const ISSUER: &str = "https://api.example";

    /// An API key of a shop, and a signing key that stands for it.
    struct Client {
        shop: Shop,
        private: Private,
        id: SigningKeyId,
        key: ApiKeyId,
    }

    /// Why not.
    type Refused = Option<AuthenticationError>;

    fn refused(error: AssertionError) -> Refused {
        Some(error.into())
    }

    impl Client {
        async fn open() -> Self {
            let shop = Shop::open().await;
            let (key, _) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
            Self::of(shop, key).await
        }

        /// Another signing key of the same.
        async fn anew(self) -> Self {
            Self::of(self.shop, self.key).await
        }

        async fn of(shop: Shop, key: ApiKeyId) -> Self {
            let private = Private::generate().unwrap();
            let steward = Steward::Operator(shop.place);
            let made = register(&shop.engine, steward, &private, Some(key)).await;
            let id = made.unwrap().id;
            Self {
                shop,
                private,
                id,
                key,
            }
        }

        /// An assertion of now, with a new `jti`, changed before it is signed.
        fn sign(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
            let end = self.shop.clock.now().plus_millis(60_000).as_seconds();
            let jti: RequestId = self.shop.engine.0.clock.id();
            let key = self.key.to_string();
            let mut header = json!({"alg": "EdDSA", "kid": self.id.to_string()});
            let mut claims =
                json!({"iss": key, "sub": key, "aud": ISSUER, "exp": end, "jti": jti.to_string()});
            change(&mut header, &mut claims);
            let [header, claims] =
                [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
            let message = format!("{header}.{claims}");
            let signature = BASE64URL_NOPAD.encode(&self.private.sign(message.as_bytes()));
            format!("{message}.{signature}")
        }

        async fn present(
            &self,
            engine: &Engine,
            text: &str,
        ) -> Result<Caller, AuthenticationError> {
            let (presented, from) = ((presented(text), None), origin("POST /oauth/token"));
            let verifying = engine.authenticate_assertion(presented, &[ISSUER], from);
            let (caller, verified) = verifying.await?;
            engine.assertion_count(caller, verified).await
        }

        async fn call(&self) -> Result<Caller, AuthenticationError> {
            self.present(&self.shop.engine, &self.sign(|_, _| {})).await
        }

        /// What becomes of an assertion that would count without this.
        async fn changed(&self, change: impl FnOnce(&mut Value, &mut Value)) -> Refused {
            self.present(&self.shop.engine, &self.sign(change))
                .await
                .err()
        }

        async fn token(&self) -> String {
            let caller = self.call().await.unwrap();
            let issued = self
                .shop
                .engine
                .access_token_issue(&caller, NewAccessToken::default());
            String::from_utf8(issued.await.unwrap().1.expose().to_vec()).unwrap()
        }

        async fn works(&self, token: &str) -> Refused {
            let from = origin("GET /v1/ping");
            self.shop
                .engine
                .authenticate(presented(token), from)
                .await
                .err()
        }

        async fn rotate(&self, hours: i64) {
            let (steward, overlap) = (Steward::Operator(self.shop.place), Overlap::hours(hours));
            let engine = &self.shop.engine;
            let rotated =
                engine.api_key_rotate(steward, Fresh::unkeyed(), self.key, overlap.unwrap());
            rotated.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_signing_key_gets_what_its_client_s_secret_would_get() {
        let client = Client::open().await;
        let caller = client.call().await.unwrap();
        assert_eq!(
            (caller.api_key(), caller.place()),
            (client.key, client.shop.place)
        );
        assert_eq!(caller.secret, caller.known.key().secret);
        assert_eq!(caller.proofs().collect::<Vec<_>>(), [client.id.to_string()]);
        let token = client.token().await;
        assert_eq!(client.works(&token).await, None);
        let key = client
            .shop
            .engine
            .signing_key(client.shop.place, client.id)
            .await;
        assert_eq!(key.unwrap().last_use, Some(client.shop.clock.now()));
    }

    #[tokio::test]
    async fn an_assertion_counts_once_on_all_nodes_together() {
        let client = Client::open().await;
        let node = client.shop.another_node().await;
        let text = client.sign(|_, _| {});
        client.present(&client.shop.engine, &text).await.unwrap();
        for engine in [&client.shop.engine, &node] {
            let again = client.present(engine, &text).await.err();
            assert_eq!(again, refused(AssertionError::Used));
        }
        // As long as it would count without that.
        client.shop.clock.advance(59_000);
        client.shop.engine.prune_nonces().await.unwrap();
        let again = client.present(&node, &text).await.err();
        assert_eq!(again, refused(AssertionError::Used));
    }

    #[tokio::test]
    async fn of_two_that_come_at_once_one_counts() {
        let client = Client::open().await;
        let text = client.sign(|_, _| {});
        let call = async || client.present(&client.shop.engine, &text).await.is_ok();
        let (one, other) = tokio::join!(call(), call());
        assert!(one != other);
    }

    #[tokio::test]
    async fn whoever_lacks_the_private_key_of_this_client_is_nobody() {
        let client = Client::open().await;
        let mismatch = refused(AssertionError::Mismatch);
        let nobody = "key_00000000000000000000000000";
        let unknown = client.changed(|_, claims| {
            claims["iss"] = json!(nobody);
            claims["sub"] = json!(nobody);
        });
        assert_eq!(unknown.await, mismatch);
        let unknown =
            client.changed(|header, _| header["kid"] = json!("sigkey_00000000000000000000000000"));
        assert_eq!(unknown.await, mismatch);
        // A key has one algorithm, whatever the header says.
        let other = client.changed(|header, _| header["alg"] = json!("PS512"));
        assert_eq!(other.await, mismatch);
        let other = Client {
            private: Private::generate().unwrap(),
            ..client
        };
        assert_eq!(other.call().await.err(), mismatch);
    }

    #[tokio::test]
    async fn what_is_changed_after_it_was_signed_does_not_count() {
        let client = Client::open().await;
        let text = client.sign(|_, claims| claims["exp"] = json!(1));
        let parts: Vec<_> = text.split('.').collect();
        let later = client.sign(|_, _| {});
        let claims = later.split('.').nth(1).unwrap();
        let [header, signature] = [parts[0], parts[2]];
        let mismatch = refused(AssertionError::Mismatch);
        for forged in [
            format!("{header}.{claims}.{signature}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&[0; 64])),
        ] {
            let called = client.present(&client.shop.engine, &forged).await;
            assert_eq!(called.err(), mismatch, "{forged}");
        }
    }

    #[tokio::test]
    async fn a_signing_key_stands_for_its_own_client_alone() {
        let client = Client::open().await;
        let shop = &client.shop;
        let (sibling, _) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        let other = |key: ApiKeyId| {
            client.changed(move |_, claims| {
                claims["iss"] = json!(key.to_string());
                claims["sub"] = json!(key.to_string());
            })
        };
        assert_eq!(other(sibling).await, refused(AssertionError::OtherClient));
        let (_, stranger) = merchant(&shop.engine, "stranger").await;
        let stranger = coffer_core::api_key::KeyText::parse(&stranger).unwrap().id;
        assert_eq!(other(stranger).await, refused(AssertionError::Mismatch));
        let private = Private::generate().unwrap();
        let steward = Steward::Operator(shop.place);
        let signs_only = register(&shop.engine, steward, &private, None)
            .await
            .unwrap();
        let signs_only = Client {
            private,
            id: signs_only.id,
            ..client
        };
        assert_eq!(
            signs_only.call().await.err(),
            refused(AssertionError::OtherClient)
        );
    }

    #[tokio::test]
    async fn the_name_beside_an_assertion_is_its_client_s() {
        let client = Client::open().await;
        let call = async |named: &str| {
            let text = client.sign(|_, _| {});
            let (presented, from) = ((presented(&text), Some(named)), origin("POST /oauth/token"));
            let verified = client
                .shop
                .engine
                .authenticate_assertion(presented, &[ISSUER], from);
            verified.await.err()
        };
        assert_eq!(call(&client.key.to_string()).await, None);
        let other = call("key_00000000000000000000000000").await;
        assert!(matches!(
            other,
            Some(AuthenticationError::Assertion(AssertionError::Malformed(_)))
        ));
    }

    #[tokio::test]
    async fn an_assertion_counts_for_five_minutes_at_most() {
        let client = Client::open().await;
        let now = client.shop.clock.now().as_seconds();
        for (claim, from_now, expected) in [
            ("exp", 330, None),
            ("exp", 331, Some(AssertionError::EndsLate)),
            ("exp", i64::MAX / 1000 - now, Some(AssertionError::EndsLate)),
            ("exp", 1, None),
            ("exp", 0, Some(AssertionError::Expired)),
            ("exp", -now, Some(AssertionError::Expired)),
            ("iat", 30, None),
            ("iat", 31, Some(AssertionError::Ahead)),
            ("iat", -300, None),
            ("iat", -301, Some(AssertionError::TooOld)),
            ("nbf", 30, None),
            ("nbf", 31, Some(AssertionError::Ahead)),
            ("nbf", -100_000, None),
        ] {
            let call = client.changed(|_, claims| claims[claim] = json!(now + from_now));
            let expected = expected.map(AuthenticationError::from);
            assert_eq!(call.await, expected, "{claim} {from_now}");
        }
    }

    #[tokio::test]
    async fn a_key_that_may_not_call_is_stood_for_by_nobody() {
        let client = Client::open().await;
        let (shop, token) = (&client.shop, client.token().await);
        let (engine, steward) = (&shop.engine, Steward::Operator(shop.place));
        let change = async |change: ApiKeyChange| {
            let changed = engine.api_key_update(steward, Fresh::unkeyed(), client.key, change);
            changed.await.unwrap();
        };
        let from = |addresses: &str| ApiKeyChange {
            addresses: Some(addresses.parse::<Networks>().unwrap()),
            ..ApiKeyChange::default()
        };
        change(from("203.0.113.0/24")).await;
        let elsewhere = Some(AuthenticationError::AddressNotAllowed);
        assert_eq!(client.call().await.err(), elsewhere);
        change(from("")).await;
        let by_browser = async || {
            let text = client.sign(|_, _| {});
            let presented = Presented {
                by_browser: true,
                ..presented(&text)
            };
            let from = origin("POST /oauth/token");
            let verifying = engine.authenticate_assertion((presented, None), &[ISSUER], from);
            verifying.await.err()
        };
        assert_eq!(by_browser().await, Some(AuthenticationError::InBrowser));
        // It was not sent itself.
        let key = engine.api_key(shop.place, client.key).await;
        assert_eq!(key.unwrap().exposed, None);
        client.call().await.unwrap();
        let frozen = engine.api_key_freeze(steward, Fresh::unkeyed(), client.key);
        frozen.await.unwrap();
        assert_eq!(client.call().await.err(), Some(AuthenticationError::Frozen));
        let unfrozen = engine.api_key_unfreeze(steward, Fresh::unkeyed(), client.key);
        unfrozen.await.unwrap();
        client.call().await.unwrap();
        change(ApiKeyChange {
            expires: Some(Some(shop.clock.now().plus_millis(1_000))),
            ..ApiKeyChange::default()
        })
        .await;
        shop.clock.advance(1_000);
        engine.poll_changes().await.unwrap();
        assert_eq!(
            client.call().await.err(),
            Some(AuthenticationError::Expired)
        );
        shop.revoke(client.key).await;
        let revoked = Some(AuthenticationError::Revoked);
        assert_eq!(client.call().await.err(), revoked);
        assert_eq!(client.works(&token).await, revoked);
    }

    #[tokio::test]
    async fn a_signing_key_that_is_revoked_or_over_stands_for_nobody() {
        let client = Client::open().await;
        let (shop, place) = (&client.shop, client.shop.place);
        let (engine, node) = (&shop.engine, shop.another_node().await);
        client
            .present(&node, &client.sign(|_, _| {}))
            .await
            .unwrap();
        let rotation = (
            NewSigningKey::Generated(coffer_core::signing_key::SignatureAlgorithm::Ed25519),
            Overlap::hours(1).unwrap(),
        );
        let steward = Steward::Operator(place);
        let rotated = engine.signing_key_rotate(steward, Fresh::unkeyed(), client.id, rotation);
        let successor = rotated.await.unwrap().object.0;
        assert_eq!(successor.client.unwrap().api_key, client.key);
        client.call().await.unwrap();
        shop.clock.advance(3_600_000);
        engine.poll_changes().await.unwrap();
        let over = refused(AssertionError::Key(SigningKeyError::Expired));
        assert_eq!(client.call().await.err(), over);
        let revoked = engine.signing_key_revoke(steward, Fresh::unkeyed(), client.id);
        revoked.await.unwrap();
        node.poll_changes().await.unwrap();
        let revoked = refused(AssertionError::Key(SigningKeyError::Revoked));
        for engine in [engine, &node] {
            let called = client.present(engine, &client.sign(|_, _| {})).await;
            assert_eq!(called.err(), revoked);
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_rotated_away_takes_its_signing_keys_and_their_tokens_with_it() {
        let client = Client::open().await;
        let before = client.token().await;
        client.rotate(24).await;
        // The old secret works on, and so does what was registered beside it.
        let within = client.token().await;
        let caller = client.call().await.unwrap();
        assert_eq!(caller.secret + 1, caller.known.key().secret);
        let (engine, steward) = (&client.shop.engine, Steward::Operator(client.shop.place));
        let ended = engine.api_key_end_rotation(steward, Fresh::unkeyed(), client.key);
        ended.await.unwrap();
        let rotated = refused(AssertionError::SecretRotated);
        assert_eq!(client.call().await.err(), rotated);
        for token in [&before, &within] {
            let unknown = Some(AuthenticationError::TokenUnknown);
            assert_eq!(client.works(token).await, unknown);
        }
        let client = client.anew().await;
        client.rotate(1).await;
        client.call().await.unwrap();
        // At once, and not only when the next pass writes it down.
        client.shop.clock.advance(3_600_000);
        client.shop.engine.poll_changes().await.unwrap();
        assert_eq!(client.call().await.err(), rotated);
        let client = client.anew().await;
        let token = client.token().await;
        client.rotate(0).await;
        assert_eq!(client.call().await.err(), rotated);
        let unknown = Some(AuthenticationError::TokenUnknown);
        assert_eq!(client.works(&token).await, unknown);
    }

    #[tokio::test]
    async fn what_does_not_count_is_on_record_where_it_belongs() {
        let client = Client::open().await;
        let (shop, key) = (&client.shop, client.key.to_string());
        let forged = format!("{}AA", client.sign(|_, _| {}));
        client.present(&shop.engine, &forged).await.err().unwrap();
        client.changed(|_, claims| claims["exp"] = json!(1)).await;
        shop.clock.advance(60_000);
        shop.engine.write_refusals().await.unwrap();
        let filter = RecordFilter {
            action: Some("authentication".to_owned()),
            ..RecordFilter::default()
        };
        let found = shop.engine.record_export(Some(shop.place), &filter, None);
        let entries = found.await.unwrap().items.into_iter();
        let mut actors: Vec<_> = entries
            .map(|record| record.entry.recorded.public)
            .inspect(|public| {
                let expected = [&key, "reason=client_assertion_invalid", "calls=1"];
                assert_eq!(public.objects, expected);
            })
            .map(|public| public.actor.id)
            .collect();
        // Who has proven to be the client, and who only says so.
        actors.sort();
        assert_eq!(actors, ["", &key]);
    }

    #[tokio::test]
    async fn guesses_count_by_address_and_what_is_proven_does_not() {
        let client = Client::open().await;
        let engine = &client.shop.engine;
        let sibling = Client {
            private: Private::generate().unwrap(),
            ..Client::open().await
        };
        let mut last = None;
        for _ in 0..40 {
            let late = client.changed(|_, claims| claims["exp"] = json!(1)).await;
            assert_eq!(late, refused(AssertionError::Expired));
        }
        let strange = || {
            let kid = json!("sigkey_00000000000000000000000000");
            client.changed(|header, _| header["kid"] = kid)
        };
        assert_eq!(strange().await, refused(AssertionError::Mismatch));
        let too_many = |error| matches!(error, AuthenticationError::TooManyFailures { .. });
        for text in ["", "a.b.c"].into_iter().cycle().take(20) {
            let called = client.present(engine, text).await.err();
            assert!(matches!(
                called,
                Some(AuthenticationError::Assertion(AssertionError::Malformed(_)))
            ));
        }
        for _ in 0..20 {
            last = client.present(engine, &sibling.sign(|_, _| {})).await.err();
        }
        assert!(last.is_some_and(too_many), "{last:?}");
        // A client whose key this node knows is let in all the same; another key costs a query.
        client.call().await.unwrap();
        assert!(strange().await.is_some_and(too_many));
    }
}
