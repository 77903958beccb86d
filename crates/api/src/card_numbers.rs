//! Keeping card numbers out: every text that a caller sends is looked at, before anything else is done with it.
//!
//! A text that is an id of ours in a place where only an id can stand is no text of the caller's, and is let through:
//! its digits are random, and one in some millions would look like a card number.

use coffer_core::{
    brand::holds_card_number,
    id::{ApiKeyId, CardId, CustomerId, EventId, PaymentId, RefundId, TokenId, WebhookEndpointId},
    scope::Scope,
};
use serde_json::Value;

use crate::fields::Fields;

/// Whether a body holds a card number, in a key or a value, at any depth.
pub(crate) fn in_body(fields: &Fields) -> bool {
    fields.iter().any(|(name, value)| match value {
        Value::String(text) => holds_card_number(name) || in_named(name, text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            holds_card_number(name) || in_value(value)
        }
    })
}

/// Whether a parameter's value, or a top-level field's, holds a card number.
pub(crate) fn in_named(name: &str, text: &str) -> bool {
    let is_own = || match name {
        "payment" | "customer" | "card" | "token" | "after" => is_id(text),
        "client" => text.parse::<ApiKeyId>().is_ok(),
        "scope" => text.parse::<Scope>().is_ok(),
        _ => false,
    };
    holds_card_number(text) && !is_own()
}

/// Whether a part of a path holds a card number.
pub(crate) fn in_path(part: &str) -> bool {
    holds_card_number(part) && !is_id(part)
}

/// Whether an idempotency key holds a card number. A UUID (RFC 9562) is what most callers send, and one in some
/// ten thousand of them would look like one.
pub(crate) fn in_idempotency_key(key: &str) -> bool {
    holds_card_number(key) && !is_uuid(key)
}

fn in_value(value: &Value) -> bool {
    match value {
        Value::String(text) => holds_card_number(text),
        Value::Array(items) => items.iter().any(in_value),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| holds_card_number(name) || in_value(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_id(text: &str) -> bool {
    text.parse::<PaymentId>().is_ok()
        || text.parse::<RefundId>().is_ok()
        || text.parse::<CustomerId>().is_ok()
        || text.parse::<CardId>().is_ok()
        || text.parse::<TokenId>().is_ok()
        || text.parse::<EventId>().is_ok()
        || text.parse::<WebhookEndpointId>().is_ok()
}

/// Five groups of hexadecimal digits with a version and a variant, and at least one letter among them.
fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    let lengths_fit = [8, 4, 4, 4, 12]
        .iter()
        .all(|length| groups.next().is_some_and(|group| group.len() == *length));
    let digits_fit = text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let version = text
        .as_bytes()
        .get(14)
        .is_some_and(|version| matches!(version, b'1'..=b'8'));
    let variant = text
        .as_bytes()
        .get(19)
        .is_some_and(|variant| matches!(variant, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'));
    let letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    lengths_fit && groups.next().is_none() && digits_fit && version && variant && letter
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NUMBER: &str = "4242 4242 4242 4242";

    fn holds(body: Value) -> bool {
        let Value::Object(fields) = body else {
            panic!("an object")
        };
        in_body(&fields)
    }

    #[test]
    fn a_card_number_is_found_wherever_it_stands() {
        assert!(holds(json!({"reference": NUMBER})));
        assert!(holds(json!({"metadata": {"note": NUMBER}})));
        assert!(holds(json!({"metadata": {NUMBER: "note"}})));
        assert!(holds(json!({NUMBER: 1})));
        assert!(holds(json!({"events": [["payment.captured", NUMBER]]})));
        assert!(holds(json!({"token": NUMBER})));
        assert!(
            in_path(NUMBER)
                && in_named("after", NUMBER)
                && in_idempotency_key("4242-4242-4242-4242")
        );
    }

    #[test]
    fn an_id_of_ours_is_none_whatever_its_digits() {
        let id = "pay_44242424242424242000000000";
        assert!(!holds(json!({"payment": id})) && !in_path(id));
        assert_eq!(holds(json!({"reference": id})), holds_card_number(id));
    }

    #[test]
    fn a_uuid_is_no_card_number_and_digits_alone_are_no_uuid() {
        assert!(!in_idempotency_key("42424242-4242-4242-a4f1-1c0de0000000"));
        assert!(!is_uuid("42424242-4242-4242-8242-424242424242"));
        assert!(is_uuid("0198c1a2-7d3e-7abc-8def-0123456789ab"));
        assert!(!is_uuid("0198c1a2-7d3e-7abc-8def-0123456789ab-1"));
    }
}
