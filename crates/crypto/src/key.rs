//! Secrets in memory: a 256-bit key and a buffer of secret bytes.
//!
//! Neither can be printed, compared, copied by accident or serialised; both are overwritten when
//! dropped. Whoever needs the bytes calls `expose` and so can be found by name.

use aws_lc_rs::hkdf;
use zeroize::{Zeroize, Zeroizing};

use crate::{Context, Error};

const KEY_LEN: usize = 32;

/// Separates derivation from every other use of HMAC in this crate.
const DERIVE_SALT: &[u8] = b"coffer/derive/v1";

/// A 256-bit secret key.
///
/// It works:
/// ```
/// let key = coffer_crypto::Key::from_array([7; 32]);
/// assert_eq!(key.duplicate().expose(), &[7; 32]);
/// ```
/// It cannot be printed, copied, compared or serialised:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_crypto::Key>();
/// ```
/// ```compile_fail
/// fn copyable<T: Clone>() {}
/// copyable::<coffer_crypto::Key>();
/// ```
/// ```compile_fail
/// fn comparable<T: PartialEq>() {}
/// comparable::<coffer_crypto::Key>();
/// ```
/// ```compile_fail
/// fn serialisable<T: serde::Serialize>() {}
/// serialisable::<coffer_crypto::Key>();
/// ```
pub struct Key(Box<[u8; KEY_LEN]>);

impl Key {
    /// A key from exactly 32 bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        Self::try_fill(|key| {
            if bytes.len() != KEY_LEN {
                return Err(Error::Malformed);
            }
            key.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// A key from an array, whose local copy is overwritten. Copies that the caller kept are the
    /// caller's to overwrite.
    #[must_use]
    pub fn from_array(bytes: [u8; KEY_LEN]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(Box::new(*bytes))
    }

    /// The key's bytes. For handing the key to a cipher or a wire format that is itself protected;
    /// each call outside this crate explains why it needs the bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// A second copy of the key. Not `Clone`, so that copies are made on purpose.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// The key for one purpose (HKDF-SHA256, RFC 5869). Keys for different purposes tell nothing
    /// about each other or about this one. The purpose itself must not be secret.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "RFC 5869 allows up to 255 hash lengths of output; this asks for one"
    )]
    pub fn derive(&self, purpose: &Context) -> Self {
        let info = [purpose.as_bytes()];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, DERIVE_SALT).extract(self.0.as_slice());
        Self::try_fill(|key| {
            extracted
                .expand(&info, hkdf::HKDF_SHA256)
                .and_then(|output| output.fill(key))
                .map_err(|_| Error::Malformed)
        })
        .expect("one hash length is always available")
    }

    /// Creates the key where it will stay, so that no copy is left on the stack.
    pub(crate) fn try_fill(
        fill: impl FnOnce(&mut [u8; KEY_LEN]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut key = Self(Box::new([0; KEY_LEN]));
        fill(&mut key.0)?;
        Ok(key)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Secret bytes of any length: an opened record, a private key, a passphrase. The buffer never
/// grows, since growing would leave a copy behind.
///
/// It works:
/// ```
/// let secret = coffer_crypto::SecretBytes::from_vec(vec![1, 2, 3]);
/// assert_eq!(secret.expose(), &[1, 2, 3]);
/// ```
/// It cannot be printed, copied, compared or serialised:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_crypto::SecretBytes>();
/// ```
/// ```compile_fail
/// fn copyable<T: Clone>() {}
/// copyable::<coffer_crypto::SecretBytes>();
/// ```
/// ```compile_fail
/// fn comparable<T: PartialEq>() {}
/// comparable::<coffer_crypto::SecretBytes>();
/// ```
/// ```compile_fail
/// fn serialisable<T: serde::Serialize>() {}
/// serialisable::<coffer_crypto::SecretBytes>();
/// ```
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over the buffer; its whole capacity is overwritten in the end.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Each call outside this crate explains why it needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are, which is not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the ciphers, which already hold their output in such a buffer.
    pub(crate) fn from_zeroizing(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, SecretBytes};
    use crate::{Context, Error};

    #[test]
    fn key_of_another_length_is_malformed() {
        for length in [0, 16, 31, 33, 64] {
            let outcome = Key::from_slice(&vec![1; length]);
            assert_eq!(outcome.err(), Some(Error::Malformed), "length {length}");
        }
        assert_eq!(Key::from_slice(&[1; 32]).unwrap().expose(), &[1; 32]);
    }

    #[test]
    fn derived_key_depends_on_key_and_purpose() {
        let parent = Key::from_array([1; 32]);
        let seal = parent.derive(&Context::new("seal"));
        assert_eq!(
            seal.expose(),
            parent.duplicate().derive(&Context::new("seal")).expose()
        );
        assert_ne!(seal.expose(), parent.expose());
        assert_ne!(seal.expose(), parent.derive(&Context::new("sign")).expose());
        assert_ne!(
            seal.expose(),
            Key::from_array([2; 32])
                .derive(&Context::new("seal"))
                .expose()
        );
    }

    #[test]
    fn derived_key_accepts_a_long_purpose() {
        let key = Key::from_array([1; 32]);
        let long = key.derive(&Context::new("long").bytes(&[7; 4096]));
        let longer = key.derive(&Context::new("long").bytes(&[7; 4097]));
        assert_ne!(long.expose(), longer.expose());
    }

    #[test]
    fn secret_bytes_know_their_length() {
        assert!(SecretBytes::from_vec(Vec::new()).is_empty());
        assert_eq!(SecretBytes::from_vec(vec![1, 2]).len(), 2);
    }
}
