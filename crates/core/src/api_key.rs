//! The text of an API key: `(pk|sk)_(test|live)_` then a 128-bit id, a 256-bit secret and a CRC-32, each in fixed-width
//! base62, so that a scanner finds every key and nothing else, and a typing error is told from an unknown key.
//!
//! The secret passes through here only as borrowed text or into a buffer of the caller's, who zeroizes it.

use crate::{
    Malformed, Mode,
    base62::{encode, is_digit, number},
    id::ApiKeyId,
};

words! {
    /// What an API key may be used for.
    pub enum KeyKind {
        /// Public: names the account in a browser and may only ask for intakes.
        Publishable = "pk",
        /// Secret: acts for the account.
        Secret = "sk",
    }
}

words! {
    /// What an API key is at the moment.
    pub enum KeyState {
        /// It works.
        Active = "active",
        /// It works, and so does the secret that it had before.
        Rotating = "rotating",
        /// It works again when somebody unfreezes it.
        Frozen = "frozen",
        /// It never works again.
        Revoked = "revoked",
        /// Its time is over.
        Expired = "expired",
    }
}

words! {
    /// Which requests of an API key have to be signed, from the fewest to all.
    pub enum SignedRequests {
        /// None has to.
        None = "none",
        /// Those that move money.
        Money = "money",
        /// All.
        All = "all",
    }
}

const PREFIX: usize = "sk_test_".len();
const ID_DIGITS: usize = 22;
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;

/// The length of every key's text.
pub const KEY_TEXT_LENGTH: usize = PREFIX + ID_DIGITS + SECRET_DIGITS + CHECKSUM_DIGITS;

/// The parts of a key whose shape and checksum are right; whether the key exists is not known yet.
#[derive(Clone, Copy)]
pub struct KeyText<'a> {
    /// `pk` or `sk`.
    pub kind: KeyKind,
    /// Test or live.
    pub mode: Mode,
    /// Which key.
    pub id: ApiKeyId,
    /// The secret's digits.
    pub secret: &'a str,
}

impl<'a> KeyText<'a> {
    /// Reads a key.
    ///
    /// # Errors
    /// When prefix, length, alphabet or checksum is wrong.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::split(text).ok_or(Malformed {
            expected: "an API key: pk_ or sk_, test_ or live_, and 71 letters and digits with their checksum",
        })
    }

    fn split(text: &'a str) -> Option<Self> {
        if text.len() != KEY_TEXT_LENGTH || !text.is_ascii() {
            return None;
        }
        let (kind, rest) = text.split_at_checked(2)?;
        let (mode, rest) = rest.strip_prefix('_')?.split_at_checked(4)?;
        let (id, rest) = rest.strip_prefix('_')?.split_at_checked(ID_DIGITS)?;
        let (secret, checksum) = rest.split_at_checked(SECRET_DIGITS)?;
        let body = text.get(..KEY_TEXT_LENGTH - CHECKSUM_DIGITS)?;
        if number(checksum)? != u128::from(crc32(body.as_bytes())) || !secret.bytes().all(is_digit)
        {
            return None;
        }
        let (kind, mode) = (kind.parse().ok()?, mode.parse().ok()?);
        Some(Self {
            kind,
            mode,
            id: ApiKeyId::from_bytes(number(id)?.to_be_bytes()),
            secret,
        })
    }
}

/// Writes a key's text. The result is the secret itself: show it once, keep only its keyed hash, zeroize it.
#[must_use]
pub fn compose(kind: KeyKind, mode: Mode, id: ApiKeyId, secret: &[u8; 32]) -> String {
    let mut text = String::with_capacity(KEY_TEXT_LENGTH);
    text.push_str(kind.as_str());
    text.push('_');
    text.push_str(mode.as_str());
    text.push('_');
    encode(id.as_bytes(), ID_DIGITS, &mut text);
    encode(secret, SECRET_DIGITS, &mut text);
    let checksum = crc32(text.as_bytes());
    encode(&checksum.to_be_bytes(), CHECKSUM_DIGITS, &mut text);
    text
}

/// CRC-32 as in ISO-HDLC: a checksum against typing errors, no protection.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        compose(
            KeyKind::Secret,
            Mode::Test,
            ApiKeyId::from_bytes([0xab; 16]),
            &[0xff; 32],
        )
    }

    #[test]
    fn crc32_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_key_reads_back() {
        let text = key();
        assert_eq!(text.len(), KEY_TEXT_LENGTH);
        let parsed = KeyText::parse(&text).unwrap();
        assert_eq!((parsed.kind, parsed.mode), (KeyKind::Secret, Mode::Test));
        assert_eq!(parsed.id, ApiKeyId::from_bytes([0xab; 16]));
    }

    #[test]
    fn any_single_changed_character_is_noticed() {
        let text = key();
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            let slot = &mut changed[place];
            *slot = if *slot == b'7' { b'8' } else { b'7' };
            assert!(
                KeyText::parse(std::str::from_utf8(&changed).unwrap()).is_err(),
                "place {place}"
            );
        }
        assert!(KeyText::parse(&format!("{text}0")).is_err());
        assert!(KeyText::parse("").is_err());
    }
}
