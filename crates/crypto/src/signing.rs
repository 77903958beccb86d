//! Ed25519 signatures (RFC 8032), for checkpoints and webhooks.
//!
//! A signing key is kept as its 32-byte seed, so that it can be wrapped like any other key.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{Error, Key, random_secret};

/// A private key. It cannot be printed:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_crypto::SigningKey>();
/// ```
pub struct SigningKey {
    seed: Key,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the machine has no randomness to give.
    pub fn generate() -> Result<Self, Error> {
        Self::from_seed(&random_secret()?)
    }

    /// The key that belongs to a seed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the machine has no memory to give; every seed is valid.
    pub fn from_seed(seed: &Key) -> Result<Self, Error> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| Error::Unavailable)?;
        Ok(Self {
            seed: seed.duplicate(),
            pair,
        })
    }

    /// The seed, to be wrapped and stored.
    #[must_use]
    pub fn seed(&self) -> Key {
        self.seed.duplicate()
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        VerifyingKey(bytes)
    }
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// A public key that was stored or received.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it is 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        <[u8; 32]>::try_from(bytes)
            .map(Self)
            .map_err(|_| Error::Malformed)
    }

    /// The key's bytes, for storing and publishing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not this key's signature of this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .map_err(|_| Error::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::{SigningKey, VerifyingKey};
    use crate::{Error, Key};

    #[test]
    fn changed_message_signature_or_key_is_refused() {
        let key = SigningKey::generate().unwrap();
        let signature = key.sign(b"message");
        let public = key.public();
        assert_eq!(public.verify(b"message", &signature), Ok(()));
        assert_eq!(public.verify(b"Message", &signature), Err(Error::Refused));
        assert_eq!(public.verify(b"message", &[]), Err(Error::Refused));
        assert_eq!(
            public.verify(b"message", &signature[..63]),
            Err(Error::Refused)
        );
        for at in 0..64 {
            let mut changed = signature;
            changed[at] ^= 1;
            let outcome = public.verify(b"message", &changed);
            assert_eq!(outcome, Err(Error::Refused), "byte {at}");
        }
        let other = SigningKey::generate().unwrap().public();
        assert_eq!(other.verify(b"message", &signature), Err(Error::Refused));
    }

    #[test]
    fn key_survives_storage_as_its_seed() {
        let key = SigningKey::generate().unwrap();
        let restored = SigningKey::from_seed(&key.seed()).unwrap();
        assert_eq!(restored.public(), key.public());
        assert_eq!(restored.sign(b"message"), key.sign(b"message"));
    }

    #[test]
    fn verifying_key_of_another_length_is_malformed() {
        assert_eq!(VerifyingKey::from_slice(&[1; 31]), Err(Error::Malformed));
        let public = SigningKey::from_seed(&Key::from_array([1; 32]))
            .unwrap()
            .public();
        assert_eq!(VerifyingKey::from_slice(public.as_bytes()), Ok(public));
    }
}
