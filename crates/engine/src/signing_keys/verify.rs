//! What a signing key says is its signature, and when it is one.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use coffer_core::{
    Timestamp,
    id::SigningKeyId,
    signing_key::{SignatureAlgorithm, SigningKeyState},
};
use coffer_crypto::public_key::PublicKey;
use coffer_net::contract::Place;

use super::key::SigningKey;
use crate::{Engine, Error, cache::ObjectCache};

/// Signing keys held in memory.
const CACHED_MAX: usize = 20_000;

/// Keys by id.
pub(crate) type VerifierCache = ObjectCache<SigningKeyId, Verifier>;

impl VerifierCache {
    pub(crate) fn empty() -> Self {
        Self::new(CACHED_MAX)
    }
}

/// Why a signing key proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKeyError {
    /// There is none in this account and mode.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It has a successor, and its time is over.
    Expired,
    /// The store cannot be asked.
    Unavailable,
}

/// A signing key that works, ready to verify.
pub struct Verifier {
    key: SigningKey,
    pub(super) public: PublicKey,
    /// The last use that was stored, in milliseconds.
    noted: AtomicI64,
}

impl Verifier {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// How it signs, and no otherwise.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm
    }

    /// Whether its use now is to be stored: not when one was stored so shortly before.
    pub(crate) fn used(&self, now: Timestamp, pause_ms: i64) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        let now = now.as_millis();
        now.saturating_sub(noted) >= pause_ms
            && self
                .noted
                .compare_exchange(noted, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether the key proves something at this time.
    pub(crate) fn check_state(&self, now: Timestamp) -> Result<(), SigningKeyError> {
        match self.key.state(now) {
            SigningKeyState::Active | SigningKeyState::Rotating => Ok(()),
            SigningKeyState::Revoked => Err(SigningKeyError::Revoked),
            SigningKeyState::Expired => Err(SigningKeyError::Expired),
        }
    }

    /// Whether this is the key's signature of the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify(message, signature).is_ok()
    }
}

impl Engine {
    /// The signing key of this id, if it belongs to the account and mode and works now. It costs no query when it was used
    /// before.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub async fn signing_key_verifier(
        &self,
        place: Place,
        id: SigningKeyId,
    ) -> Result<Arc<Verifier>, SigningKeyError> {
        let verifier = self.known_verifier(id).await?;
        if verifier.key.place != place {
            return Err(SigningKeyError::Unknown);
        }
        verifier.check_state(self.now())?;
        Ok(verifier)
    }

    /// The signing key of this id, whatever its account and its state.
    pub(crate) async fn known_verifier(
        &self,
        id: SigningKeyId,
    ) -> Result<Arc<Verifier>, SigningKeyError> {
        let (cache, fresh) = (&self.0.verifiers, self.0.changes.is_fresh(self.now()));
        if let Some(verifier) = cache.get(&id).filter(|_| fresh) {
            return Ok(verifier);
        }
        let before = cache.forgotten();
        let key = self.signing_key_anywhere(id).await.map_err(|error| {
            if matches!(error, Error::NotFound { .. }) {
                SigningKeyError::Unknown
            } else {
                SigningKeyError::Unavailable
            }
        })?;
        let public = PublicKey::from_pem(&key.public_key);
        let public = public.map_err(|_| SigningKeyError::Unavailable)?;
        let noted = AtomicI64::new(key.last_use.map_or(0, Timestamp::as_millis));
        let verifier = Arc::new(Verifier { key, public, noted });
        cache.keep(id, &verifier, before);
        Ok(verifier)
    }
}
