//! Authenticated encryption: AES-256-GCM-SIV (RFC 8452) with a random nonce.
//!
//! Layout: version byte, 12-byte nonce, ciphertext, 16-byte tag. The version byte is part of what is
//! authenticated, and a wrapped key has a version of its own, so neither can pass for the other.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::{Context, Error, Key, SecretBytes, scrubbed};

const SEALED: u8 = 1;
const WRAPPED: u8 = 2;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// Encrypts a value for one place. Only the same key and the same context open it.
///
/// # Errors
/// [`Error::Unavailable`] when the machine has no randomness to give.
pub fn seal(key: &Key, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    scrubbed(|| encrypt(SEALED, key, context, plaintext))
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`Error::Refused`] when key, context or contents are not those of the sealing;
/// [`Error::Malformed`] when it is too short to have been sealed.
pub fn open(key: &Key, context: &Context, sealed: &[u8]) -> Result<SecretBytes, Error> {
    scrubbed(|| decrypt(SEALED, key, context, sealed))
}

/// Encrypts a key under its parent, for one purpose.
///
/// # Errors
/// [`Error::Unavailable`] when the machine has no randomness to give.
pub fn wrap(parent: &Key, context: &Context, key: &Key) -> Result<Vec<u8>, Error> {
    scrubbed(|| encrypt(WRAPPED, parent, context, key.expose()))
}

/// Opens what [`wrap`] made.
///
/// # Errors
/// As [`open`].
pub fn unwrap(parent: &Key, context: &Context, wrapped: &[u8]) -> Result<Key, Error> {
    scrubbed(|| {
        let bytes = decrypt(WRAPPED, parent, context, wrapped)?;
        Key::from_slice(bytes.expose())
    })
}

fn encrypt(version: u8, key: &Key, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let mut body = Zeroizing::new(plaintext.to_vec());
    let (nonce, tag) = cipher(key)?
        .seal_in_place_separate_tag(Aad::from(associated(version, context)), &mut body)
        .map_err(|_| Error::Unavailable)?;
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len() + TAG_LEN);
    sealed.push(version);
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&body);
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn decrypt(version: u8, key: &Key, context: &Context, sealed: &[u8]) -> Result<SecretBytes, Error> {
    let (found, rest) = sealed.split_first().ok_or(Error::Malformed)?;
    let (nonce, body) = rest
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(Error::Malformed)?;
    let plain_len = body.len().checked_sub(TAG_LEN).ok_or(Error::Malformed)?;
    // A changed version byte is told like any other changed byte.
    if *found != version {
        return Err(Error::Refused);
    }
    let mut buffer = Zeroizing::new(body.to_vec());
    cipher(key)?
        .open_in_place(
            Nonce::from(nonce),
            Aad::from(associated(version, context)),
            &mut buffer,
        )
        .map_err(|_| Error::Refused)?;
    buffer.truncate(plain_len);
    Ok(SecretBytes::from_zeroizing(buffer))
}

fn cipher(key: &Key) -> Result<RandomizedNonceKey, Error> {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key.expose()).map_err(|_| Error::Unavailable)
}

/// The authenticated but not encrypted part: the version byte, then the context.
fn associated(version: u8, context: &Context) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 + context.as_bytes().len()));
    bytes.push(version);
    bytes.extend_from_slice(context.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::{open, seal, unwrap, wrap};
    use crate::{Context, Error, Key};

    fn key() -> Key {
        Key::from_array([1; 32])
    }

    fn place() -> Context {
        Context::new("test").text("row").number(1)
    }

    #[test]
    fn flipped_bit_anywhere_is_refused() {
        let sealed = seal(&key(), &place(), b"4 apples").unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                let outcome = open(&key(), &place(), &flipped);
                assert_eq!(outcome.err(), Some(Error::Refused), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn flipped_bit_in_a_wrapped_key_is_refused() {
        let wrapped = wrap(&key(), &place(), &Key::from_array([2; 32])).unwrap();
        for at in 0..wrapped.len() {
            let mut flipped = wrapped.clone();
            flipped[at] ^= 0x80;
            let outcome = unwrap(&key(), &place(), &flipped);
            assert_eq!(outcome.err(), Some(Error::Refused), "byte {at}");
        }
    }

    #[test]
    fn wrong_context_is_refused() {
        let sealed = seal(&key(), &place(), b"4 apples").unwrap();
        for other in [
            Context::new("test").text("row").number(2),
            Context::new("test").text("row"),
            Context::new("other").text("row").number(1),
        ] {
            assert_eq!(open(&key(), &other, &sealed).err(), Some(Error::Refused));
        }
    }

    #[test]
    fn wrong_key_is_refused() {
        let sealed = seal(&key(), &place(), b"4 apples").unwrap();
        let other = Key::from_array([3; 32]);
        assert_eq!(open(&other, &place(), &sealed).err(), Some(Error::Refused));
    }

    #[test]
    fn wrapped_key_does_not_open_as_a_sealed_value() {
        let mut wrapped = wrap(&key(), &place(), &Key::from_array([2; 32])).unwrap();
        assert_eq!(open(&key(), &place(), &wrapped).err(), Some(Error::Refused));
        wrapped[0] = super::SEALED;
        assert_eq!(open(&key(), &place(), &wrapped).err(), Some(Error::Refused));
    }

    #[test]
    fn sealed_value_does_not_unwrap_as_a_key() {
        let mut sealed = seal(&key(), &place(), &[2; 32]).unwrap();
        assert_eq!(
            unwrap(&key(), &place(), &sealed).err(),
            Some(Error::Refused)
        );
        sealed[0] = super::WRAPPED;
        assert_eq!(
            unwrap(&key(), &place(), &sealed).err(),
            Some(Error::Refused)
        );
    }

    #[test]
    fn every_truncation_fails() {
        let sealed = seal(&key(), &place(), b"4 apples").unwrap();
        for length in 0..sealed.len() {
            let outcome = open(&key(), &place(), &sealed[..length]).err();
            let expected = if length < 29 {
                Error::Malformed
            } else {
                Error::Refused
            };
            assert_eq!(outcome, Some(expected), "length {length}");
        }
    }

    #[test]
    fn same_value_is_never_sealed_alike() {
        let first = seal(&key(), &place(), b"4 apples").unwrap();
        let second = seal(&key(), &place(), b"4 apples").unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn opens_what_it_sealed() {
        for plain in [&b""[..], b"4 apples", &[7; 100_000]] {
            let sealed = seal(&key(), &place(), plain).unwrap();
            assert_eq!(sealed.len(), plain.len() + 29);
            let opened = open(&key(), &place(), &sealed).unwrap();
            assert_eq!(opened.expose(), plain);
        }
        let wrapped = wrap(&key(), &place(), &Key::from_array([2; 32])).unwrap();
        let unwrapped = unwrap(&key(), &place(), &wrapped).unwrap();
        assert_eq!(unwrapped.expose(), &[2; 32]);
    }
}
