//! The address of a request: its query parameters, and what must never stand in it.

use std::{borrow::Cow, fmt::Write as _, str::FromStr};

use axum::extract::Query as UriQuery;
use coffer_core::{
    Malformed, Timestamp,
    access_token::{ACCESS_TOKEN_LENGTH, PREFIX},
    api_key::KEY_TEXT_LENGTH,
    brand::holds_card_number,
    event::EventType,
    id::{ApiKeyId, CustomerId, EventId, PaymentId, RefundId},
    limits::{PAGE_DEFAULT, PAGE_MAX, REFERENCE_MAX},
    payment::PaymentStatus,
};
use coffer_engine::{Outcome, Page, RecordName, Text, UsageName};
use http::Uri;
use utoipa::openapi::{RefOr, Schema};
use zeroize::Zeroizing;

use crate::{
    audit_records::ExportFormat,
    card_numbers,
    problems::{Code, Problem},
    shape::{Shape, Time, integer},
};

/// One query parameter that a route knows.
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// How it looks.
    pub(crate) schema: fn() -> RefOr<Schema>,
}

const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "Objects per page; 20 when not said.",
    schema: || integer(1, PAGE_MAX),
};

/// The cursor of a list of objects with ids of this kind.
const fn after<T: Shape>() -> Parameter {
    Parameter {
        name: "after",
        about: "The id of the last object of the page before.",
        schema: T::schema,
    }
}

/// Of a list of objects with ids of this kind, which nothing else selects.
pub(crate) const fn page<T: Shape>() -> &'static [Parameter] {
    const { &[LIMIT, after::<T>()] }
}

const CREATED_AFTER: Parameter = Parameter {
    name: "created_after",
    about: "Only what was made or done at or after this time.",
    schema: Time::schema,
};
const CREATED_BEFORE: Parameter = Parameter {
    name: "created_before",
    about: "Only what was made or done before this time.",
    schema: Time::schema,
};

/// Of the list of payments.
pub(crate) const PAYMENTS: &[Parameter] = &[
    LIMIT,
    after::<PaymentId>(),
    Parameter {
        name: "status",
        about: "Only payments that stand here.",
        schema: PaymentStatus::schema,
    },
    Parameter {
        name: "reference",
        about: "Only payments with this reference.",
        schema: Text::<REFERENCE_MAX>::schema,
    },
    Parameter {
        name: "customer",
        about: "Only payments of this customer.",
        schema: CustomerId::schema,
    },
    CREATED_AFTER,
    CREATED_BEFORE,
];

/// Of the list of refunds.
pub(crate) const REFUNDS: &[Parameter] = &[
    LIMIT,
    after::<RefundId>(),
    Parameter {
        name: "payment",
        about: "Only refunds of this payment.",
        schema: PaymentId::schema,
    },
];

/// Of the list of events.
pub(crate) const EVENTS: &[Parameter] = &[
    LIMIT,
    after::<EventId>(),
    Parameter {
        name: "type",
        about: "Only events of this type.",
        schema: EventType::schema,
    },
];

const ACTOR: Parameter = Parameter {
    name: "actor",
    about: "Only what this key, member or process did.",
    schema: String::schema,
};
const ACTION: Parameter = Parameter {
    name: "action",
    about: "Only this action, such as payment.captured or payment_list.",
    schema: String::schema,
};
const OBJECT: Parameter = Parameter {
    name: "object",
    about: "Only what concerned the object with this id.",
    schema: String::schema,
};
const OUTCOME: Parameter = Parameter {
    name: "outcome",
    about: "Only what ended like this.",
    schema: Outcome::schema,
};

/// Of the record of what was done.
pub(crate) const RECORDS: &[Parameter] = &[
    LIMIT,
    after::<RecordName>(),
    ACTOR,
    ACTION,
    OBJECT,
    OUTCOME,
    CREATED_AFTER,
    CREATED_BEFORE,
];

/// Of its export.
pub(crate) const RECORDS_EXPORT: &[Parameter] = &[
    Parameter {
        name: "format",
        about: "JSON Lines, unless told otherwise.",
        schema: ExportFormat::schema,
    },
    after::<RecordName>(),
    ACTOR,
    ACTION,
    OBJECT,
    OUTCOME,
    CREATED_AFTER,
    CREATED_BEFORE,
];

/// Of usage.
pub(crate) const USAGE: &[Parameter] = &[
    LIMIT,
    after::<UsageName>(),
    Parameter {
        name: "api_key",
        about: "Only of this key.",
        schema: ApiKeyId::schema,
    },
    CREATED_AFTER,
    CREATED_BEFORE,
];

/// A request's query parameters, each known to its route and given once.
#[derive(Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the parameters of an address that [`check_address`] has let through.
    pub(crate) fn read(uri: &Uri, known: &[Parameter]) -> Result<Self, Problem> {
        let pairs = pairs(uri)?;
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !known.iter().any(|parameter| parameter.name == name) {
                return Err(Problem::field_unknown(name));
            }
            if pairs.iter().skip(place + 1).any(|(other, _)| other == name) {
                return Err(Problem::field_invalid(name, "one value"));
            }
        }
        Ok(Self(pairs))
    }

    /// A parameter's text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }

    /// The same parameters with this one, percent-encoded (RFC 3986, 2.1).
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(other, _)| other != name);
        let all = others.map(|(name, value)| (name.as_str(), value.as_str()));
        let all = all.chain([(name, value)]);
        let pairs: Vec<_> = all
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        pairs.join("&")
    }

    /// A parameter of this type.
    pub(crate) fn parse<T: FromStr<Err = Malformed>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let parsed = self.text(name).map(|text| text.parse()).transpose();
        parsed.map_err(|malformed| Problem::malformed(name, malformed))
    }

    /// Which part of a list.
    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let malformed = |_| Problem::field_invalid("limit", "a number from 1 to 100");
        let limit = self
            .text("limit")
            .map(|text| text.parse::<i64>())
            .transpose()
            .map_err(malformed)?;
        Page::new(Some(limit.unwrap_or(PAGE_DEFAULT)), self.text("after"))
            .map_err(|malformed| Problem::malformed("limit", malformed))
    }
}

/// Times are read as parameters by their own reader, so that a `+` that became a space is understood.
pub(crate) fn time(query: &Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let parsed = query
        .text(name)
        .map(|text| text.replace(' ', "+").parse())
        .transpose();
    parsed.map_err(|malformed| Problem::malformed(name, malformed))
}

fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    if uri.query().is_none() {
        return Ok(Vec::new());
    }
    UriQuery::try_from_uri(uri)
        .map(|UriQuery(pairs)| pairs)
        .map_err(|_| {
            Problem::with_detail(
                Code::FieldInvalid,
                "Send query parameters as name=value, percent-encoded.",
            )
        })
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}

/// How every API key and every access token begins.
const KEY_STARTS: [&[u8; 8]; 6] = [
    b"sk_test_",
    b"sk_live_",
    b"pk_test_",
    b"pk_live_",
    b"oat_test",
    b"oat_live",
];
/// How many keys of one address are looked at.
const KEYS_LOOKED_AT_MAX: usize = 4;

/// Refuses an address that holds an API key, an access token or a card number; it is kept in too many places on its way.
pub(crate) fn check_address(uri: &Uri) -> Result<(), Problem> {
    let pairs = pairs(uri)?;
    let key = |text: &[u8]| key_starts(text).next().is_some();
    // A key's id is no secret, and may be asked for.
    let named = |name: &str, value: &str| {
        let is_for_keys = ["api_key", "apikey", "key", "access_token", "authorization"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        is_for_keys && value.parse::<ApiKeyId>().is_err()
    };
    let mut holds_number = false;
    for (name, value) in &pairs {
        if key(name.as_bytes()) || key(value.as_bytes()) || named(name, value) {
            return Err(Problem::new(Code::KeyInUrl));
        }
        holds_number |= holds_card_number(name) || card_numbers::in_named(name, value);
    }
    for part in uri.path().split('/').map(decoded) {
        if key(&part) {
            return Err(Problem::new(Code::KeyInUrl));
        }
        holds_number |= card_numbers::in_path(&String::from_utf8_lossy(&part));
    }
    if holds_number {
        Err(Problem::new(Code::CardNumberNotAllowed))
    } else {
        Ok(())
    }
}

/// Where API keys may begin in a text.
fn key_starts(text: &[u8]) -> impl Iterator<Item = usize> {
    // Of nearly all places the third or fourth byte tells at once.
    let may_begin = |part: &[u8; 8]| matches!(part, [_, _, b'_', ..] | [_, _, _, b'_', ..]);
    text.array_windows()
        .enumerate()
        .filter(move |(_, part)| may_begin(part) && KEY_STARTS.contains(part))
        .map(|(at, _)| at)
}

/// What may be a key in an address, for whoever has to be told of it.
pub(crate) fn keys_in(uri: &Uri) -> Vec<Zeroizing<String>> {
    let parts = [uri.path(), uri.query().unwrap_or_default()].map(decoded);
    let found = parts.iter().flat_map(|part| {
        key_starts(part).filter_map(|at| {
            let rest = part.get(at..)?;
            let length = if rest.starts_with(PREFIX.as_bytes()) {
                ACCESS_TOKEN_LENGTH
            } else {
                KEY_TEXT_LENGTH
            };
            rest.get(..length)
        })
    });
    found
        .filter_map(|bytes| std::str::from_utf8(bytes).ok())
        .take(KEYS_LOOKED_AT_MAX)
        .map(|text| Zeroizing::new(text.to_owned()))
        .collect()
}

/// A part of a path with its percent-encoding undone.
pub(crate) fn decoded(part: &str) -> Cow<'_, [u8]> {
    let mut rest = part.as_bytes();
    if !rest.contains(&b'%') {
        return Cow::Borrowed(rest);
    }
    let mut bytes = Vec::with_capacity(part.len());
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'%')
            .then(|| after.split_at_checked(2))
            .flatten()
            .and_then(|(digits, left)| {
                let digits = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(digits, 16).ok().map(|byte| (byte, left))
            });
        let (byte, left) = escape.unwrap_or((first, after));
        bytes.push(byte);
        rest = left;
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &'static str) -> Result<Query, Problem> {
        Query::read(&Uri::from_static(uri), PAYMENTS)
    }

    #[test]
    fn whatever_a_key_begins_with_is_found_anywhere_in_a_text() {
        for start in KEY_STARTS {
            let text = [b"a_b_".as_slice(), start, b"_"].concat();
            assert_eq!(key_starts(&text).collect::<Vec<_>>(), [4]);
        }
    }

    #[test]
    fn parameters_are_written_as_they_are_read() {
        let query = read("/p?reference=a%26b%3D%C3%A4+%2B&limit=3").unwrap();
        let with = query.with("limit", "4&5");
        assert_eq!(with, "reference=a%26b%3D%C3%A4%20%2B&limit=4%265");
        let again = Query::read(&format!("/p?{with}").parse().unwrap(), PAYMENTS).unwrap();
        assert_eq!(again.text("reference"), query.text("reference"));
        assert_eq!(again.text("limit").as_deref(), Some("4&5"));
    }

    #[test]
    fn unknown_repeated_and_malformed_parameters_are_refused() {
        let code = |uri| read(uri).err().map(|problem| problem.code());
        assert_eq!(
            code("/v1/payments?statsu=captured"),
            Some(Code::FieldUnknown)
        );
        assert_eq!(
            code("/v1/payments?limit=1&limit=2"),
            Some(Code::FieldInvalid)
        );
        for uri in ["/p?limit=0", "/p?limit=101", "/p?limit=ten", "/p?limit="] {
            assert_eq!(
                read(uri).unwrap_or_default().page().unwrap_err().code(),
                Code::FieldInvalid,
                "{uri}"
            );
        }
        let query = read("/p?status=paid&created_after=yesterday").unwrap_or_default();
        assert!(
            query.parse::<PaymentStatus>("status").is_err()
                && time(&query, "created_after").is_err()
        );
    }

    #[test]
    fn a_time_with_an_offset_is_understood_with_or_without_encoding() {
        for uri in [
            "/p?created_after=2026-11-22T11:00:00+01:00",
            "/p?created_after=2026-11-22T11:00:00%2B01:00",
        ] {
            let query = read(uri).unwrap_or_default();
            assert_eq!(
                time(&query, "created_after"),
                Ok("2026-11-22T10:00:00Z".parse().ok())
            );
        }
    }

    #[test]
    fn an_address_is_looked_at_with_its_encoding_undone() {
        assert_eq!(*decoded("a%2Fb%zz%2"), *b"a/b%zz%2");
        assert!(check_address(&Uri::from_static("/v1/payments/%34242424242424242")).is_err());
        assert!(
            check_address(&Uri::from_static(
                "/v1/payments/pay_44242424242424242000000000"
            ))
            .is_ok()
        );
    }
}
