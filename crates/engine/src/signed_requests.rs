//! Signed requests: whose signature it is, whether it still counts, and that it counts once.
//!
//! A signature has a nonce. It is claimed by a unique row, durable and the same for every node, after the signature was verified and
//! before anything is done. Rows are kept for as long as the signature would be young enough without them, so that there are as many
//! as the account's rate lets through in six minutes.

use std::sync::Arc;

use coffer_core::{Timestamp, id::SigningKeyId, signing_key::SignatureAlgorithm};
use coffer_crypto::Context;
use coffer_db::{Transaction, params};
use data_encoding::BASE64URL_NOPAD;

use crate::{
    Caller, Engine, Error, SigningKeyError, Verifier, rows::key_of, store::signing_keys as sql,
};

/// A signature counts for five minutes.
pub(crate) const AGE_MAX_MS: i64 = 300_000;
/// How far a signer's clock may be ahead of ours.
pub(crate) const AHEAD_MAX_MS: i64 = 30_000;
/// How exactly is stored when a key was last used.
const LAST_USE_MS: i64 = 60_000;
/// Nonces that are forgotten by one transaction.
const PRUNE_MAX: i64 = 1_000;

/// What somebody says to be a signature.
pub struct PresentedSignature<'a> {
    /// By which key.
    pub key: SigningKeyId,
    /// How, if that was said.
    pub algorithm: Option<SignatureAlgorithm>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it counts, if that was said.
    pub expires: Option<Timestamp>,
    /// What makes it count once.
    pub nonce: &'a str,
    /// What was signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// The key proves nothing.
    Key(SigningKeyError),
    /// The key signs by another algorithm.
    OtherAlgorithm(SignatureAlgorithm),
    /// It was made more than five minutes ago.
    TooOld,
    /// It was made in time to come.
    Ahead,
    /// Its own end has come.
    Expired,
    /// It is not this key's signature of this message.
    Mismatch,
    /// Its nonce was used before.
    NonceUsed,
}

/// A signature that was verified and has not counted yet.
#[must_use = "it has to be counted"]
pub struct VerifiedSignature {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) nonce: String,
    pub(crate) until: Timestamp,
}

impl Engine {
    /// Verifies what a caller presents.
    ///
    /// # Errors
    /// Why it does not count.
    pub async fn signature_verify(
        &self,
        caller: &Caller,
        presented: PresentedSignature<'_>,
    ) -> Result<VerifiedSignature, SignatureError> {
        let PresentedSignature {
            key,
            algorithm,
            created,
            expires,
            nonce,
            message,
            signature,
        } = presented;
        let now = self.now();
        if now.since(created) > AGE_MAX_MS {
            return Err(SignatureError::TooOld);
        }
        if created.since(now) > AHEAD_MAX_MS {
            return Err(SignatureError::Ahead);
        }
        if expires.is_some_and(|expires| expires <= now) {
            return Err(SignatureError::Expired);
        }
        let verifier = self.signing_key_verifier(caller.place, key).await;
        let verifier = verifier.map_err(SignatureError::Key)?;
        if algorithm.is_some_and(|algorithm| algorithm != verifier.algorithm()) {
            return Err(SignatureError::OtherAlgorithm(verifier.algorithm()));
        }
        if !verifier.verifies(message, signature) {
            return Err(SignatureError::Mismatch);
        }
        let young = created.plus_millis(AGE_MAX_MS);
        Ok(VerifiedSignature {
            verifier,
            nonce: nonce.to_owned(),
            until: expires.map_or(young, |expires| expires.min(young)),
        })
    }

    /// Counts a signature: from here on the caller is one who signed.
    ///
    /// # Errors
    /// When its nonce was used before, on any node.
    pub async fn signature_count(
        &self,
        caller: Caller,
        verified: VerifiedSignature,
    ) -> Result<Caller, SignatureError> {
        let VerifiedSignature {
            verifier,
            nonce,
            until,
        } = verified;
        let ([account, mode], id) = (key_of(caller.place), verifier.key().id);
        let (nonce, now) = (self.nonce_claimed(&nonce), self.now());
        let row = params![
            account.clone(),
            mode.clone(),
            id.to_string(),
            nonce,
            until.as_millis()
        ];
        let steps = Transaction::new().one(&sql::NONCE_CLAIM, row);
        let steps = if verifier.used(now, LAST_USE_MS) {
            let row = params![account, mode, id.to_string(), now.as_millis()];
            steps.any(&sql::LAST_USE, row)
        } else {
            steps
        };
        match self.db().transact(steps).await {
            Ok(_) => Ok(Caller {
                signed_by: Some(id),
                ..caller
            }),
            Err(error) if error.is_conflict_at(&sql::NONCE_CLAIM) => Err(SignatureError::NonceUsed),
            Err(error) => {
                let _: Error = error.into();
                Err(SignatureError::Key(SigningKeyError::Unavailable))
            }
        }
    }

    /// What is stored of a nonce. Not itself: it is a text of the caller's, which could hold anything, a card number too.
    fn nonce_claimed(&self, nonce: &str) -> String {
        let context = Context::new("coffer signature nonce v1").text(nonce);
        BASE64URL_NOPAD.encode(self.secrets().pepper.mac(&context).as_bytes())
    }

    /// Forgets the nonces of signatures that are too old to count without them.
    pub(crate) async fn prune_nonces(&self) -> Result<(), Error> {
        loop {
            let due = params![self.now().as_millis(), PRUNE_MAX];
            let prune = Transaction::new().any(&sql::NONCES_PRUNE, due);
            let pruned = self.db().transact(prune).await?.touched(&sql::NONCES_PRUNE);
            if pruned < PRUNE_MAX.unsigned_abs() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_crypto::SigningKey as Private;

    use super::*;
    use crate::{
        Steward,
        fixture::{Shop, register},
    };

    struct Signer {
        private: Private,
        id: SigningKeyId,
    }

    impl Signer {
        async fn of(shop: &Shop) -> Self {
            let private = Private::generate().unwrap();
            let steward = Steward::Operator(shop.place);
            let made = register(&shop.engine, steward, &private, None).await;
            let id = made.unwrap().id;
            Self { private, id }
        }

        /// Signs and presents at once, on this node.
        async fn call(
            &self,
            (shop, engine): (&Shop, &Engine),
            change: impl FnOnce(&mut PresentedSignature<'_>),
        ) -> Result<Caller, SignatureError> {
            let caller = shop.caller("POST /v1/payments").await;
            let signature = self.private.sign(b"message");
            let mut presented = PresentedSignature {
                key: self.id,
                algorithm: None,
                created: shop.clock.now(),
                expires: None,
                nonce: "0123456789abcdef",
                message: b"message",
                signature: &signature,
            };
            change(&mut presented);
            let verified = engine.signature_verify(&caller, presented).await?;
            engine.signature_count(caller, verified).await
        }
    }

    #[tokio::test]
    async fn a_signature_counts_once_on_all_nodes_together() {
        let shop = Shop::open().await;
        let (signer, node) = (Signer::of(&shop).await, shop.another_node().await);
        let signed = signer.call((&shop, &shop.engine), |_| {}).await;
        assert_eq!(signed.ok().unwrap().signed_by, Some(signer.id));
        for engine in [&shop.engine, &node] {
            let again = signer.call((&shop, engine), |_| {}).await;
            assert_eq!(again.err(), Some(SignatureError::NonceUsed));
            let other = signer.call((&shop, engine), |signature| {
                signature.nonce = if std::ptr::eq(engine, &raw const node) {
                    "b"
                } else {
                    "a"
                };
            });
            other.await.ok().unwrap();
        }
        // Another key's nonces are its own.
        let other = Signer::of(&shop).await;
        other.call((&shop, &node), |_| {}).await.ok().unwrap();
    }

    #[tokio::test]
    async fn a_nonce_is_claimed_without_being_stored() {
        let shop = Shop::open().await;
        let signer = Signer::of(&shop).await;
        let nonce = "4242424242424242";
        let claim = async |nonce: String| {
            let [account, mode] = key_of(shop.place);
            let row = params![account, mode, signer.id.to_string(), nonce, 0_i64];
            let steps = Transaction::new().one(&sql::NONCE_CLAIM, row);
            shop.engine.db().transact(steps).await
        };
        let call = signer.call((&shop, &shop.engine), |one| one.nonce = nonce);
        call.await.ok().unwrap();
        assert!(claim(shop.engine.nonce_claimed(nonce)).await.is_err());
        claim(nonce.to_owned()).await.unwrap();
    }

    #[tokio::test]
    async fn of_two_that_come_at_once_one_counts() {
        let shop = Shop::open().await;
        let signer = Signer::of(&shop).await;
        let call = async || signer.call((&shop, &shop.engine), |_| {}).await.is_ok();
        let (one, other) = tokio::join!(call(), call());
        assert!(one != other);
    }

    #[tokio::test]
    async fn a_signature_counts_for_five_minutes_or_until_its_own_end() {
        let shop = Shop::open().await;
        let signer = Signer::of(&shop).await;
        let now = shop.clock.now();
        for (created_ms, expires_ms, expected) in [
            (-AGE_MAX_MS, None, None),
            (-AGE_MAX_MS - 1, None, Some(SignatureError::TooOld)),
            (AHEAD_MAX_MS, None, None),
            (AHEAD_MAX_MS + 1, None, Some(SignatureError::Ahead)),
            (0, Some(1), None),
            (0, Some(0), Some(SignatureError::Expired)),
            (-AGE_MAX_MS - 1, Some(1), Some(SignatureError::TooOld)),
        ] {
            let nonce = format!("{created_ms} {expires_ms:?}");
            let call = signer.call((&shop, &shop.engine), |signature| {
                signature.created = now.plus_millis(created_ms);
                signature.expires = expires_ms.map(|expires_ms| now.plus_millis(expires_ms));
                // It is not part of the message here.
                signature.nonce = nonce.clone().leak();
            });
            assert_eq!(call.await.err(), expected, "{nonce}");
        }
    }

    #[tokio::test]
    async fn a_nonce_is_forgotten_when_its_signature_is_too_old_without_it() {
        let shop = Shop::open().await;
        let signer = Signer::of(&shop).await;
        let created = shop.clock.now();
        let again = async || {
            shop.engine.prune_nonces().await.unwrap();
            let call = signer.call((&shop, &shop.engine), |one| one.created = created);
            call.await.err()
        };
        assert_eq!(again().await, None);
        shop.clock.advance(AGE_MAX_MS);
        shop.engine.poll_changes().await.unwrap();
        assert_eq!(again().await, Some(SignatureError::NonceUsed));
        shop.clock.advance(1);
        assert_eq!(again().await, Some(SignatureError::TooOld));
        let anew = signer.call((&shop, &shop.engine), |_| {}).await;
        assert_eq!(anew.err(), None);
    }

    #[tokio::test]
    async fn what_is_signed_otherwise_does_not_count_and_uses_no_nonce() {
        let shop = Shop::open().await;
        let (signer, other) = (Signer::of(&shop).await, Signer::of(&shop).await);
        let refused = async |change: fn(&mut PresentedSignature<'_>)| {
            let call = signer.call((&shop, &shop.engine), change);
            call.await.err().unwrap()
        };
        assert_eq!(
            refused(|one| one.message = b"Message").await,
            SignatureError::Mismatch
        );
        assert_eq!(
            refused(|one| one.signature = &[7; 64]).await,
            SignatureError::Mismatch
        );
        let other_key = signer.call((&shop, &shop.engine), |one| one.key = other.id);
        assert_eq!(other_key.await.err(), Some(SignatureError::Mismatch));
        let rsa = |one: &mut PresentedSignature<'_>| {
            one.algorithm = Some(SignatureAlgorithm::RsaPssSha512);
        };
        let ed25519 = SignatureAlgorithm::Ed25519;
        assert_eq!(refused(rsa).await, SignatureError::OtherAlgorithm(ed25519));
        let nobody = |one: &mut PresentedSignature<'_>| one.key = SigningKeyId::from_bytes([3; 16]);
        let unknown = SignatureError::Key(SigningKeyError::Unknown);
        assert_eq!(refused(nobody).await, unknown);
        signer
            .call((&shop, &shop.engine), |_| {})
            .await
            .ok()
            .unwrap();
    }

    #[tokio::test]
    async fn a_key_tells_when_it_was_used_last() {
        let shop = Shop::open().await;
        let signer = Signer::of(&shop).await;
        let used = async || {
            let key = shop.engine.signing_key(shop.place, signer.id).await;
            key.unwrap().last_use
        };
        assert_eq!(used().await, None);
        let first = shop.clock.now();
        for nonce in ["a", "b"] {
            let call = signer.call((&shop, &shop.engine), |one| one.nonce = nonce);
            call.await.ok().unwrap();
            assert_eq!(used().await, Some(first));
            shop.clock.advance(1_000);
        }
        shop.clock.advance(LAST_USE_MS);
        signer
            .call((&shop, &shop.engine), |_| {})
            .await
            .ok()
            .unwrap();
        assert_eq!(used().await, Some(shop.clock.now()));
    }
}
