//! The text of an access token: `oat_(test|live)_`, then what it says and a code over that, each 128 bits in 22 digits of
//! base62, then a CRC-32 as in a key's text.
//!
//! What it says is no secret, and worth nothing without the code. Who issues it computes the code over the claims' texts and
//! not over their digits, so that a node to which the digits mean something else refuses the token.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "lengths and places of digits"
)]

use crate::{
    Malformed, Mode, Timestamp,
    api_key::crc32,
    base62::{encode, number},
    id::{AccessTokenId, ApiKeyId},
    limits::{ACCESS_TOKEN_TTL_MAX_S, ACCESS_TOKEN_TTL_S},
    permission::{Access, Permission, Permissions, Resource},
    scope::{ObjectId, ObjectKind, Scope},
};

/// How every access token begins.
pub const PREFIX: &str = "oat_";
/// Key, token, limits, object, and the code in two halves.
const PARTS: usize = 6;
const PART_DIGITS: usize = 22;
const CHECKSUM_DIGITS: usize = 6;
const HEAD: usize = "oat_test_".len();
/// Everything before the checksum.
const BODY: usize = HEAD + PARTS * PART_DIGITS;

/// The length of every access token's text.
pub const ACCESS_TOKEN_LENGTH: usize = BODY + CHECKSUM_DIGITS;

/// How long an access token lasts, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(u16);

impl Lifetime {
    /// So many seconds.
    ///
    /// # Errors
    /// Unless it is at least 1 and at most [`ACCESS_TOKEN_TTL_MAX_S`].
    pub fn seconds(seconds: i64) -> Result<Self, Malformed> {
        u16::try_from(seconds)
            .ok()
            .filter(|seconds| (1..=ACCESS_TOKEN_TTL_MAX_S).contains(seconds))
            .map(Self)
            .ok_or(Malformed {
                expected: "whole seconds from 1 to 3600",
            })
    }

    /// This, or the rest of something's life in milliseconds if that is shorter.
    #[must_use]
    pub fn within(self, rest_ms: i64) -> Self {
        match Self::seconds(rest_ms.saturating_add(999) / 1000) {
            Ok(rest) if rest.0 < self.0 => rest,
            Ok(_) | Err(_) => self,
        }
    }

    /// In seconds.
    #[must_use]
    pub fn as_seconds(self) -> i64 {
        i64::from(self.0)
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self(ACCESS_TOKEN_TTL_S)
    }
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Which token; when it was issued is a part of it.
    pub id: AccessTokenId,
    /// The key that it was issued to.
    pub key: ApiKeyId,
    /// That key's mode.
    pub mode: Mode,
    /// How long it lasts.
    pub lifetime: Lifetime,
    /// What it may do.
    pub scope: Scope,
}

impl Claims {
    /// When it was issued.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.id.created()
    }

    /// When it ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.issued().plus_millis(self.lifetime.as_seconds() * 1000)
    }

    /// Writes a token's text with this code. The result is a secret as long as it lasts.
    #[must_use]
    pub fn compose(&self, code: &[u8; 32]) -> String {
        let mut text = String::with_capacity(ACCESS_TOKEN_LENGTH);
        text.push_str(PREFIX);
        text.push_str(self.mode.as_str());
        text.push('_');
        let object = self.scope.object.map_or([0; 16], |object| object.id);
        let claims = [
            *self.key.as_bytes(),
            *self.id.as_bytes(),
            self.limits(),
            object,
        ];
        for part in claims.iter().chain(code.as_chunks::<16>().0) {
            encode(part, PART_DIGITS, &mut text);
        }
        let checksum = crc32(text.as_bytes());
        encode(&checksum.to_be_bytes(), CHECKSUM_DIGITS, &mut text);
        text
    }

    /// Reads a token and its code. Whether the code is right is not known yet.
    ///
    /// # Errors
    /// When prefix, length, alphabet or checksum is wrong, or what it says has another form.
    pub fn parse(text: &str) -> Result<(Self, [u8; 32]), Malformed> {
        Self::split(text).ok_or(Malformed {
            expected: "an access token: oat_test_ or oat_live_, and 138 letters and digits with their checksum",
        })
    }

    fn split(text: &str) -> Option<(Self, [u8; 32])> {
        if text.len() != ACCESS_TOKEN_LENGTH || !text.is_ascii() {
            return None;
        }
        let (body, checksum) = text.split_at_checked(BODY)?;
        if number(checksum)? != u128::from(crc32(body.as_bytes())) {
            return None;
        }
        let (mode, mut rest) = body.strip_prefix(PREFIX)?.split_once('_')?;
        let mut next = || -> Option<[u8; 16]> {
            let (part, others) = rest.split_at_checked(PART_DIGITS)?;
            rest = others;
            number(part).map(u128::to_be_bytes)
        };
        let (key, id, limits, object) = (next()?, next()?, next()?, next()?);
        let code = [next()?, next()?];
        let (lifetime, scope) = read_limits(limits, object)?;
        let claims = Self {
            id: AccessTokenId::from_bytes(id),
            key: ApiKeyId::from_bytes(key),
            mode: mode.parse().ok()?,
            lifetime,
            scope,
        };
        Some((claims, code.as_flattened().try_into().ok()?))
    }

    /// Seconds, the object's kind, and two bits for each resource.
    fn limits(&self) -> [u8; 16] {
        let kind = self.scope.object.map_or(0, |object| kind_code(object.kind));
        let rights = self.scope.permissions.iter().enumerate();
        let rights = rights.fold(0_u64, |bits, (place, (_, access))| {
            bits | access_code(access) << (2 * place)
        });
        let [high, low] = self.lifetime.0.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = rights.to_be_bytes();
        [high, low, kind, a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0]
    }
}

fn read_limits(limits: [u8; 16], object: [u8; 16]) -> Option<(Lifetime, Scope)> {
    let [high, low, kind, a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0] = limits else {
        return None;
    };
    let lifetime = Lifetime::seconds(i64::from(u16::from_be_bytes([high, low]))).ok()?;
    let object = match ObjectKind::ALL
        .iter()
        .find(|known| kind_code(**known) == kind)
    {
        Some(&kind) => Some(ObjectId { kind, id: object }),
        None if kind == 0 && object == [0; 16] => None,
        None => return None,
    };
    let mut rights = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let mut permissions = Permissions::none();
    for &resource in Resource::ALL {
        let access = Access::ALL
            .iter()
            .find(|known| access_code(**known) == rights & 0b11)?;
        permissions = permissions.with(Permission {
            resource,
            access: *access,
        });
        rights >>= 2;
    }
    let scope = Scope {
        permissions,
        object,
    };
    (rights == 0).then_some((lifetime, scope))
}

const fn access_code(access: Access) -> u64 {
    match access {
        Access::None => 0,
        Access::Read => 1,
        Access::Write => 2,
    }
}

const fn kind_code(kind: ObjectKind) -> u8 {
    match kind {
        ObjectKind::Payment => 1,
        ObjectKind::Refund => 2,
        ObjectKind::Customer => 3,
        ObjectKind::Card => 4,
        ObjectKind::WebhookEndpoint => 5,
        ObjectKind::Event => 6,
        ObjectKind::ApiKey => 7,
        ObjectKind::Alert => 8,
        ObjectKind::Block => 10,
        ObjectKind::SigningKey => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(scope: &str) -> Claims {
        Claims {
            id: AccessTokenId::from_parts(Timestamp::from_millis(1_795_341_600_123), [7; 10]),
            key: ApiKeyId::from_bytes([0xab; 16]),
            mode: Mode::Test,
            lifetime: Lifetime::default(),
            scope: scope.parse().unwrap(),
        }
    }

    #[test]
    fn a_token_reads_back() {
        for scope in [
            "payments:read",
            "payments:write refunds:write api_keys:read audit:read privacy:write",
            "payments:write:pay_06ajfp8e7kvq3z8m2d5t9c4xgr",
            "events:read:evt_zzzzzzzzzzzzzzzzzzzzzzzzzw",
        ] {
            let claims = claims(scope);
            let text = claims.compose(&[0xff; 32]);
            assert_eq!(text.len(), ACCESS_TOKEN_LENGTH);
            let (read, code) = Claims::parse(&text).unwrap();
            assert_eq!((&read, code), (&claims, [0xff; 32]));
            assert_eq!(read.expires().since(read.issued()), 600_000);
        }
        let every = Permissions::full().to_string();
        let text = claims(&every).compose(&[0; 32]);
        assert_eq!(Claims::parse(&text).unwrap().0.scope.to_string(), every);
    }

    #[test]
    fn any_single_changed_character_is_noticed() {
        let text = claims("payments:read").compose(&[0xff; 32]);
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            let slot = &mut changed[place];
            *slot = if *slot == b'7' { b'8' } else { b'7' };
            let changed = std::str::from_utf8(&changed).unwrap();
            assert!(Claims::parse(changed).is_err(), "place {place}");
        }
        for wrong in ["", &text[1..], &format!("{text}0")] {
            assert!(Claims::parse(wrong).is_err());
        }
    }

    #[test]
    fn what_nobody_writes_is_not_read() {
        let good = claims("payments:read:pay_06ajfp8e7kvq3z8m2d5t9c4xgr");
        let (limits, object) = (good.limits(), good.scope.object.unwrap().id);
        assert!(read_limits(limits, object).is_some());
        let with = |place: usize, byte: u8| {
            let mut limits = limits;
            limits[place] = byte;
            read_limits(limits, object)
        };
        // No such access, no such resource, no such kind, an object of no kind, too long a life, and what is always zero.
        for (place, byte) in [(10, 3), (3, 1), (2, 99), (2, 0), (0, 255), (11, 1), (15, 1)] {
            assert_eq!(with(place, byte), None, "{place}: {byte}");
        }
    }

    #[test]
    fn a_life_is_between_a_second_and_an_hour() {
        for wrong in [i64::MIN, -1, 0, 3601, 65_537, i64::MAX] {
            assert!(Lifetime::seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Lifetime::seconds(3600).map(Lifetime::as_seconds), Ok(3600));
    }
}
