//! Identifiers: a prefix that names the kind, `_`, and a UUIDv7 (RFC 9562) in lowercase Crockford base32, 26 digits.
//!
//! The kind is part of the Rust type, so that a payment's id cannot be used where a refund's is needed.

#![expect(clippy::arithmetic_side_effects, reason = "bit positions below 130")]

use std::{fmt, marker::PhantomData, str::FromStr};

use uuid::Uuid;

use crate::{Malformed, Timestamp};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 26;
/// No id is longer: a prefix, an underscore, the digits.
const TEXT_MAX: usize = 40;

/// What an [`Id`] identifies.
pub trait Kind {
    /// The word before the underscore.
    const PREFIX: &'static str;
}

/// An identifier of one kind of object, unique everywhere and sortable by its time of creation.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

impl<K: Kind> Id<K> {
    /// A new id from the current time and ten random bytes, which the caller takes from a cryptographic source.
    #[must_use]
    pub fn from_parts(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Self(
            uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
            PhantomData,
        )
    }

    /// The id with these 128 bits.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes), PhantomData)
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        let [a, b, c, d, e, f, ..] = *self.as_bytes();
        Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The 128 bits of the id, without its kind.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// The value of a digit: its place in [`ALPHABET`], which leaves out i, l, o and u.
const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'h' => Some(digit - b'a' + 10),
        b'j' | b'k' => Some(digit - b'j' + 18),
        b'm' | b'n' => Some(digit - b'm' + 20),
        b'p'..=b't' => Some(digit - b'p' + 22),
        b'v'..=b'z' => Some(digit - b'v' + 27),
        _ => None,
    }
}

pub(crate) fn decode(text: &str) -> Option<Uuid> {
    if text.len() != DIGITS {
        return None;
    }
    let mut bits: u128 = 0;
    for (place, digit) in text.bytes().enumerate() {
        let value = u128::from(value(digit)?);
        // 26 digits carry 130 bits; the last two are padding and must be zero, or one id would have four spellings.
        if place == DIGITS - 1 {
            if value & 0b11 != 0 {
                return None;
            }
            bits = (bits << 3) | (value >> 2);
        } else {
            bits = (bits << 5) | value;
        }
    }
    Some(Uuid::from_u128(bits))
}

/// In one piece, so that a string that takes it is made once and not grown.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, prefix: &str, id: &[u8; 16]) -> fmt::Result {
    let mut text = [b'_'; TEXT_MAX];
    let (before, digits) = text.split_at_mut(prefix.len() + 1);
    let name = before.iter_mut().zip(prefix.bytes());
    name.for_each(|(place, byte)| *place = byte);
    let places = digits.iter_mut().zip(encode(id));
    places.for_each(|(place, digit)| *place = digit);
    let text = text.get(..prefix.len() + 1 + DIGITS).unwrap_or_default();
    f.write_str(std::str::from_utf8(text).unwrap_or_default())
}

/// The digits: five bits each from the highest on, the last two bits of the last one zero. Every answer has several ids, so
/// this is done by numbers of a register's size: three times five bytes are eight digits, and the last byte is two.
fn encode(id: &[u8; 16]) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for (bytes, places) in id.chunks(5).zip(digits.chunks_mut(8)) {
        let bits = bytes
            .iter()
            .fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
        let bits = bits << (40 - 8 * bytes.len());
        for (at, place) in (1..).zip(places) {
            let value = usize::try_from((bits >> (40 - 5 * at)) & 31).unwrap_or_default();
            *place = ALPHABET.get(value).copied().unwrap_or_default();
        }
    }
    digits
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, K::PREFIX, self.as_bytes())
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .and_then(decode)
            .map(|uuid| Self(uuid, PhantomData))
            .ok_or(Malformed {
                expected: "an id: the prefix of its kind, an underscore and 26 characters",
            })
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K: Kind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: Kind> serde::Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident, $id:ident = $prefix:literal;)+) => {$(
        $(#[$meta])*
        pub enum $kind {}
        impl Kind for $kind { const PREFIX: &'static str = $prefix; }
        $(#[$meta])*
        pub type $id = Id<$kind>;
    )+};
}

kinds! {
    /// A merchant's account.
    Account, AccountId = "acct";
    /// A payment.
    Payment, PaymentId = "pay";
    /// One call of a payment provider.
    Attempt, AttemptId = "att";
    /// A refund.
    Refund, RefundId = "ref";
    /// A single-use, expiring pointer to a card in the vault.
    Token, TokenId = "tok";
    /// A card kept with a customer.
    Card, CardId = "card";
    /// A sealed card in the vault; known to api and vault only, never shown to a merchant.
    Record, RecordId = "rec";
    /// A merchant's customer.
    Customer, CustomerId = "cus";
    /// A permission to deposit one card.
    Intake, IntakeId = "itk";
    /// Something that happened to an object.
    Event, EventId = "evt";
    /// Where a merchant wants to be told of events.
    WebhookEndpoint, WebhookEndpointId = "we";
    /// An API key.
    ApiKey, ApiKeyId = "key";
    /// A key that signs requests.
    SigningKey, SigningKeyId = "sigkey";
    /// An access token, which is not its text.
    AccessToken, AccessTokenId = "at";
    /// A request to a public face.
    Request, RequestId = "req";
    /// Something that needs a person's attention.
    Alert, AlertId = "alr";
    /// Somebody who is slowed or blocked for a while.
    Block, BlockId = "blk";
    /// One entry of the tamper-evident log.
    Leaf, LeafId = "leaf";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let earlier = PaymentId::from_parts(Timestamp::from_millis(1_795_341_600_000), [7; 10]);
        let later = PaymentId::from_parts(Timestamp::from_millis(1_795_341_600_001), [0; 10]);
        assert!(earlier.to_string() < later.to_string());
        assert_eq!(earlier.to_string().parse(), Ok(earlier));
        assert_eq!(earlier.to_string().len(), "pay_".len() + 26);
        assert_eq!(earlier.created(), Timestamp::from_millis(1_795_341_600_000));
    }

    #[test]
    fn a_digit_stands_for_its_place_and_nothing_else_is_a_digit() {
        for byte in 0..=u8::MAX {
            let place = ALPHABET.iter().position(|digit| *digit == byte);
            assert_eq!(value(byte).map(usize::from), place, "{byte}");
        }
    }

    #[test]
    fn another_kind_a_wrong_digit_or_a_second_spelling_is_refused() {
        let id = PaymentId::from_bytes([0xff; 16]).to_string();
        assert!(id.replace("pay_", "ref_").parse::<PaymentId>().is_err());
        assert!(id.to_uppercase().parse::<PaymentId>().is_err());
        let mut second_spelling = id.clone();
        second_spelling.pop();
        second_spelling.push('z');
        assert_ne!(second_spelling, id);
        assert!(second_spelling.parse::<PaymentId>().is_err());
        for text in [
            "",
            "pay",
            "pay_",
            "pay_u",
            "pay_0000000000000000000000000u",
            "pay_000000000000000000000000000",
        ] {
            assert!(text.parse::<PaymentId>().is_err(), "{text}");
        }
    }
}
