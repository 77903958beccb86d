//! Keyed codes (HMAC-SHA256) and plain digests (SHA-256; SHA-384 and SHA-512 where others compare them).
//!
//! A digest hides nothing that can be guessed; whatever is guessable takes a [`mac`].

use aws_lc_rs::{digest as sha, hmac};
use subtle::ConstantTimeEq;

use crate::{Context, Error, Key};

const MAC_LEN: usize = 32;

/// An authentication code. There is no `==`, because that would tell by its timing how much of a
/// forged code is right:
/// ```compile_fail
/// fn comparable<T: PartialEq>() {}
/// comparable::<coffer_crypto::Mac>();
/// ```
#[derive(Clone, Copy)]
pub struct Mac([u8; MAC_LEN]);

impl Mac {
    /// From the bytes of a MAC that was stored or received.
    #[must_use]
    pub const fn from_array(bytes: [u8; MAC_LEN]) -> Self {
        Self(bytes)
    }

    /// A code that was stored or received.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it is 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        <[u8; MAC_LEN]>::try_from(bytes)
            .map(Self)
            .map_err(|_| Error::Malformed)
    }

    /// The code's bytes, for storing and sending.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; MAC_LEN] {
        &self.0
    }

    /// Whether both are the same, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A key that makes codes again and again: what follows from the key alone is computed once. As secret as the [`Key`]:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_crypto::MacKey>();
/// ```
/// ```compile_fail
/// fn copyable<T: Clone>() {}
/// copyable::<coffer_crypto::MacKey>();
/// ```
pub struct MacKey(Box<hmac::Key>);

impl MacKey {
    /// Makes the same codes as [`mac`] with this key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self(Box::new(hmac_key(key.expose())))
    }

    /// HMAC-SHA256 over the context's unambiguous bytes.
    #[must_use]
    pub fn mac(&self, context: &Context) -> Mac {
        code(&self.0, &[context.as_bytes()])
    }
}

/// HMAC-SHA256 over the context's unambiguous bytes.
#[must_use]
pub fn mac(key: &Key, context: &Context) -> Mac {
    mac_bytes(key.expose(), &[context.as_bytes()])
}

/// HMAC-SHA256 over the plain concatenation of the parts, for formats that others define (RFC 2104,
/// Standard Webhooks). Our own formats use [`mac`], whose input cannot be read in two ways.
#[must_use]
pub fn mac_bytes(key: &[u8], message: &[&[u8]]) -> Mac {
    code(&hmac_key(key), message)
}

fn hmac_key(key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key)
}

fn code(key: &hmac::Key, message: &[&[u8]]) -> Mac {
    let mut context = hmac::Context::with_key(key);
    for part in message {
        context.update(part);
    }
    let mut code = [0; MAC_LEN];
    code.copy_from_slice(context.sign().as_ref());
    Mac(code)
}

/// SHA-256 of the plain concatenation of the parts.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = sha::Context::new(&sha::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// SHA-384, as pages name it for browsers to check what they load (Subresource Integrity, 3.1).
#[must_use]
pub fn digest_384(bytes: &[u8]) -> [u8; 48] {
    let mut hash = [0; 48];
    hash.copy_from_slice(sha::digest(&sha::SHA384, bytes).as_ref());
    hash
}

/// SHA-512, as `Content-Digest` writes it (RFC 9530).
#[must_use]
pub fn digest_512(bytes: &[u8]) -> [u8; 64] {
    let mut hash = [0; 64];
    hash.copy_from_slice(sha::digest(&sha::SHA512, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::{Mac, digest, mac, mac_bytes};
    use crate::{Context, Error, Key};

    #[test]
    fn code_with_any_bit_changed_does_not_match() {
        let code = mac(&Key::from_array([1; 32]), &Context::new("test"));
        for at in 0..32 {
            let mut bytes = *code.as_bytes();
            bytes[at] ^= 1;
            assert!(
                !code.matches(&Mac::from_slice(&bytes).unwrap()),
                "byte {at}"
            );
        }
        assert!(code.matches(&Mac::from_slice(code.as_bytes()).unwrap()));
    }

    #[test]
    fn code_depends_on_key_and_context() {
        let code = mac(&Key::from_array([1; 32]), &Context::new("test"));
        let other_key = mac(&Key::from_array([2; 32]), &Context::new("test"));
        let other_context = mac(&Key::from_array([1; 32]), &Context::new("test").text(""));
        assert!(!code.matches(&other_key));
        assert!(!code.matches(&other_context));
    }

    #[test]
    fn code_of_another_length_is_malformed() {
        for length in [0, 16, 31, 33] {
            let outcome = Mac::from_slice(&vec![0; length]);
            assert_eq!(outcome.err(), Some(Error::Malformed), "length {length}");
        }
    }

    #[test]
    fn parts_are_concatenated() {
        let whole = mac_bytes(b"key", &[b"abc"]);
        assert!(whole.matches(&mac_bytes(b"key", &[b"a", b"", b"bc"])));
        assert_eq!(digest(&[b"abc"]), digest(&[b"ab", b"c"]));
    }
}
