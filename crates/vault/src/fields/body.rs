//! The body of a deposit: read into one buffer that is wiped, and parsed in place, so that no text of it is copied.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use coffer_core::{Expiry, Timestamp};
use http_body_util::BodyExt as _;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, Visitor},
};
use zeroize::Zeroizing;

use super::problem::{Code, Field, Problem};
use crate::{CardNumber, Cvc, NumberFault, deposit::Deposit};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A form cannot send JSON, so another site cannot post here without asking first.
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Problem::new(Code::ContentTypeNotSupported))
    }
}

/// The whole body, if it arrives in time.
pub(super) async fn read(body: Body, max: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let read = tokio::time::timeout(BODY_TIMEOUT, collect(body, max)).await;
    read.unwrap_or(Err(Problem::new(Code::RequestTimeout)))
}

/// The buffer has its full size from the start: growing would leave a copy behind.
async fn collect(mut body: Body, max: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(max));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::RequestMalformed))?;
        let Ok(part) = frame.into_data() else {
            continue;
        };
        if part.len() > max.saturating_sub(bytes.len()) {
            return Err(Problem::new(Code::RequestTooLarge));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The card, every part of it proven.
pub(crate) fn parse(bytes: &[u8], now: Timestamp) -> Result<Deposit, Problem> {
    // The parser's own words may repeat a value, so they go nowhere. It would let pass what is no UTF-8 in a name, which it
    // does not look at (RFC 8259, 8.1).
    let malformed = || Problem::new(Code::RequestMalformed);
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let entered: Entered<'_> = serde_json::from_str(text).map_err(|_| malformed())?;
    let number = CardNumber::parse(entered.number.0).map_err(number_problem)?;
    let expiry = Expiry::new(entered.exp_month, entered.exp_year)
        .map_err(|_| Problem::in_field(Code::ExpiryInvalid, Field::ExpMonth))?;
    if expiry.is_past(now) {
        return Err(Problem::in_field(Code::ExpiryPast, Field::ExpMonth));
    }
    let cvc_problem = || Problem::in_field(Code::CvcInvalid, Field::Cvc);
    let cvc = match entered.cvc {
        Some(text) => Some(Cvc::parse(text.0, number.brand()).map_err(|_| cvc_problem())?),
        None if number.brand().cvc_required() => return Err(cvc_problem()),
        None => None,
    };
    Ok(Deposit {
        number,
        expiry,
        cvc,
        address: None,
    })
}

fn number_problem(fault: NumberFault) -> Problem {
    let code = match fault {
        NumberFault::Incomplete => Code::NumberIncomplete,
        NumberFault::Invalid => Code::NumberInvalid,
        NumberFault::BrandNotSupported => Code::BrandNotSupported,
    };
    Problem::in_field(code, Field::Number)
}

/// What the page sends. No Debug. The name on the card is accepted, because browsers fill it in, and not kept, because
/// nobody needs it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entered<'a> {
    #[serde(borrow)]
    number: InPlace<'a>,
    exp_month: i64,
    exp_year: i64,
    #[serde(borrow, default)]
    cvc: Option<InPlace<'a>>,
    #[serde(default, rename = "name")]
    _name: Option<IgnoredAny>,
}

/// A text that stays in the request's own buffer. Anything that the parser would have to copy or to quote (escapes,
/// numbers) is refused with fixed words.
struct InPlace<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for InPlace<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InPlaceVisitor).map(InPlace)
    }
}

struct InPlaceVisitor;

const PLAIN: &str = "a string without escapes";

impl<'de> Visitor<'de> for InPlaceVisitor {
    type Value = &'de str;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(PLAIN)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom(PLAIN))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(E::custom(PLAIN))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(E::custom(PLAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    fn code(json: &str) -> String {
        match parse(json.as_bytes(), NOW) {
            Ok(_) => "accepted".to_owned(),
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[test]
    fn a_body_is_utf_8_in_what_is_not_looked_at_too() {
        let body = br#"{"number":"4242424242424242","exp_month":12,"exp_year":2030,"cvc":"123","name":"?"}"#;
        assert!(parse(body, NOW).is_ok());
        let broken = body.map(|byte| if byte == b'?' { 0xff } else { byte });
        assert!(parse(&broken, NOW).is_err());
    }

    #[test]
    fn what_is_wrong_is_named_and_never_repeated() {
        for (json, expected) in [
            ("", "RequestMalformed"),
            (
                r#"{"number":4242424242424242,"exp_month":12,"exp_year":2030,"cvc":"123"}"#,
                "RequestMalformed",
            ),
            (
                r#"{"number":"\u0034242424242424242","exp_month":12,"exp_year":2030,"cvc":"123"}"#,
                "RequestMalformed",
            ),
            (
                r#"{"number":"4242424242424242","exp_month":12,"exp_year":2030,"cvc":"123","pin":"1"}"#,
                "RequestMalformed",
            ),
            (
                r#"{"number":"4242424242424241","exp_month":12,"exp_year":2030,"cvc":"123"}"#,
                "NumberInvalid",
            ),
            (
                r#"{"number":"42424242","exp_month":12,"exp_year":2030,"cvc":"123"}"#,
                "NumberIncomplete",
            ),
            (
                r#"{"number":"9999999999999995","exp_month":12,"exp_year":2030,"cvc":"123"}"#,
                "BrandNotSupported",
            ),
            (
                r#"{"number":"4242424242424242","exp_month":13,"exp_year":2030,"cvc":"123"}"#,
                "ExpiryInvalid",
            ),
            (
                r#"{"number":"4242424242424242","exp_month":1,"exp_year":2020,"cvc":"123"}"#,
                "ExpiryPast",
            ),
            (
                r#"{"number":"4242424242424242","exp_month":12,"exp_year":2030,"cvc":"1234"}"#,
                "CvcInvalid",
            ),
            (
                r#"{"number":"4242424242424242","exp_month":12,"exp_year":2030}"#,
                "CvcInvalid",
            ),
        ] {
            let found = code(json);
            assert!(found.contains(expected), "{expected}: {found}");
            assert!(!found.contains("4242"), "{found}");
        }
    }

    #[test]
    fn a_card_with_a_name_is_accepted() {
        let json = r#"{"number":"4242 4242 4242 4242","exp_month":12,"exp_year":2030,"cvc":"123","name":"A\u00e9"}"#;
        assert_eq!(code(json), "accepted");
    }
}
