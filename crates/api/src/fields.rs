//! Reading a request's body field by field, so that what is wrong can be named.
//!
//! `request!` declares an object that is only ever read. Unknown fields are refused; a value is never repeated.

use coffer_core::{
    Currency, Malformed,
    detection::Policy,
    event::EventType,
    id::{Id, Kind},
    limits::{METADATA_KEY_MAX, METADATA_KEYS_MAX, METADATA_VALUE_MAX, ORIGINS_MAX, URL_MAX},
    money::AMOUNT_MAX,
    payment::CaptureMode,
};
use coffer_crypto::SecretBytes;
use coffer_engine::{Metadata, Text, TokenRef, WebhookEndpointState};
use serde_json::{Map, Value};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::ArrayBuilder};

mod rights;
mod signing;

pub(crate) use rights::{Addresses, Granted, KeyFound};
pub(crate) use signing::PublicKeyField;

use crate::{
    problems::Problem,
    shape::{Component, Shape, integer, nullable, text},
};

/// The fields of a body that was checked and not looked at yet.
pub(crate) type Fields = Map<String, Value>;

/// An object that a caller sends.
pub(crate) trait Request: Component + Sized {
    /// Reads it.
    fn read(fields: Fields) -> Result<Self, Problem>;
}

/// Declares an object that is read: a struct, its reader, and its schema.
macro_rules! request {
    ($(#[doc = $about:literal])+ $Name:ident { $( $(#[doc = $doc:literal])+ $field:ident: $Slot:ty, )* }) => {
        $(#[doc = $about])+
        pub(crate) struct $Name { $( $(#[doc = $doc])+ pub(crate) $field: <$Slot as $crate::fields::Slot>::Value, )* }

        impl $crate::shape::Component for $Name {
            const NAME: &'static str = stringify!($Name);
            fn object() -> utoipa::openapi::Object {
                $crate::shape::describe(concat!($($about),+), &[
                    $( $crate::shape::Property {
                        name: stringify!($field),
                        about: concat!($($doc),+),
                        required: <$Slot as $crate::fields::Slot>::REQUIRED,
                        schema: <$Slot as $crate::fields::Slot>::schema,
                    }, )*
                ])
            }
        }

        impl $crate::fields::Request for $Name {
            fn read(mut fields: $crate::fields::Fields) -> Result<Self, $crate::problems::Problem> {
                let read = Self { $( $field: $crate::fields::take::<$Slot>(&mut fields, stringify!($field))?, )* };
                $crate::fields::none_left(&fields)?;
                Ok(read)
            }
        }
    };
}
pub(crate) use request;

/// Takes one field out of a body.
pub(crate) fn take<S: Slot>(fields: &mut Fields, name: &'static str) -> Result<S::Value, Problem> {
    match S::read(fields.remove(name)) {
        Ok(value) => Ok(value),
        Err(None) => Err(Problem::field_missing(name)),
        Err(Some(malformed)) => Err(Problem::malformed(name, malformed)),
    }
}

/// Refuses what nobody took.
pub(crate) fn none_left(fields: &Fields) -> Result<(), Problem> {
    fields
        .keys()
        .next()
        .map_or(Ok(()), |unknown| Err(Problem::field_unknown(unknown)))
}

/// Whether a field must be sent, and what its absence means.
pub(crate) trait Slot {
    /// What the struct holds.
    type Value;
    /// Whether it must be sent.
    const REQUIRED: bool;
    /// Reads it; an error of `None` means that it is missing.
    fn read(value: Option<Value>) -> Result<Self::Value, Option<Malformed>>;
    /// How it looks.
    fn schema() -> RefOr<Schema>;
}

/// Must be sent.
pub(crate) struct Required<T>(T);
/// May be left out or null, which is the same.
pub(crate) struct Optional<T>(T);
/// Left out: unchanged; null: removed.
pub(crate) struct Change<T>(T);
/// Left out: unchanged; cannot be removed.
pub(crate) struct Replace<T>(T);
/// May be left out of a form, which has no null.
pub(crate) type Parameter<T> = Replace<T>;

impl<T: Field> Slot for Required<T> {
    type Value = T;
    const REQUIRED: bool = true;
    fn read(value: Option<Value>) -> Result<T, Option<Malformed>> {
        T::read(value.ok_or(None)?).map_err(Some)
    }
    fn schema() -> RefOr<Schema> {
        T::schema()
    }
}

impl<T: Field> Slot for Optional<T> {
    type Value = Option<T>;
    const REQUIRED: bool = false;
    fn read(value: Option<Value>) -> Result<Option<T>, Option<Malformed>> {
        value
            .filter(|value| !value.is_null())
            .map(T::read)
            .transpose()
            .map_err(Some)
    }
    fn schema() -> RefOr<Schema> {
        nullable(T::schema())
    }
}

impl<T: Field> Slot for Change<T> {
    type Value = Option<Option<T>>;
    const REQUIRED: bool = false;
    fn read(value: Option<Value>) -> Result<Option<Option<T>>, Option<Malformed>> {
        value
            .map(|value| Optional::<T>::read(Some(value)))
            .transpose()
    }
    fn schema() -> RefOr<Schema> {
        nullable(T::schema())
    }
}

impl<T: Field> Slot for Replace<T> {
    type Value = Option<T>;
    const REQUIRED: bool = false;
    fn read(value: Option<Value>) -> Result<Option<T>, Option<Malformed>> {
        value.map(T::read).transpose().map_err(Some)
    }
    fn schema() -> RefOr<Schema> {
        T::schema()
    }
}

/// A type that a caller can send.
pub(crate) trait Field: Shape + Sized {
    /// Reads it from JSON.
    fn read(value: Value) -> Result<Self, Malformed>;
}

fn string(value: Value, expected: &'static str) -> Result<String, Malformed> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Malformed { expected })
        }
    }
}

/// Parses a string by `FromStr`.
fn parsed<T: std::str::FromStr<Err = Malformed>>(
    value: Value,
    expected: &'static str,
) -> Result<T, Malformed> {
    string(value, expected)?.parse()
}

/// A whole number. JSON has one kind of number, and to JSON Schema `26.0` is an integer.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    let text = value.as_number()?.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().ok()
}

/// A positive amount of minor units.
pub(crate) struct Amount(pub(crate) i64);

impl Shape for Amount {
    fn schema() -> RefOr<Schema> {
        integer(1, AMOUNT_MAX)
    }
}

impl Field for Amount {
    fn read(value: Value) -> Result<Self, Malformed> {
        let within = whole(&value).filter(|amount| (1..=AMOUNT_MAX).contains(amount));
        within.map(Self).ok_or(Malformed {
            expected: "an integer of minor units from 1 to 999999999999",
        })
    }
}

/// An http or https address; the engine looks at the rest.
pub(crate) struct WebAddress(pub(crate) String);

impl Shape for WebAddress {
    fn schema() -> RefOr<Schema> {
        text()
            .min_length(Some(1))
            .max_length(Some(URL_MAX))
            // As the engine has it: a host, no user, no fragment, nothing that is not visible ASCII.
            .pattern(Some(
                r#"^https?://[!-"$-.0->A-Z^-~]{1,259}([/?][!-"$-\[\]-~]*)?$"#,
            ))
            .into()
    }
}

impl Field for WebAddress {
    fn read(value: Value) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "an http or https address of at most 2048 characters",
        };
        let address = string(value, malformed.expected)?;
        let web = address.starts_with("https://") || address.starts_with("http://");
        if web && address.len() <= URL_MAX {
            Ok(Self(address))
        } else {
            Err(malformed)
        }
    }
}

/// The secret in the address of a checkout page.
pub(crate) struct CheckoutSecret(pub(crate) SecretBytes);

impl Shape for CheckoutSecret {
    fn schema() -> RefOr<Schema> {
        text().min_length(Some(1)).write_only(true).into()
    }
}

impl Field for CheckoutSecret {
    fn read(value: Value) -> Result<Self, Malformed> {
        string(value, "the secret from the checkout_url")
            .map(|text| Self(SecretBytes::from_vec(text.into_bytes())))
    }
}

/// The web origins of an account.
pub(crate) struct Origins(pub(crate) Vec<String>);

impl Shape for Origins {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(text().pattern(Some(
                r"^https?://[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[1-9][0-9]{0,4})?$",
            )))
            .max_items(Some(ORIGINS_MAX))
            .into()
    }
}

impl Field for Origins {
    fn read(value: Value) -> Result<Self, Malformed> {
        list(
            value,
            "a list of at most 20 origins such as https://shop.example",
            string,
        )
        .map(Self)
    }
}

/// Types of events.
pub(crate) struct EventTypes(pub(crate) Vec<EventType>);

impl Shape for EventTypes {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(EventType::schema())
            .max_items(Some(EventType::ALL.len()))
            .into()
    }
}

impl Field for EventTypes {
    fn read(value: Value) -> Result<Self, Malformed> {
        let expected = "a list of event types such as payment.captured";
        let events = list(value, expected, |item, expected| {
            parsed(item, expected).map_err(|_| Malformed { expected })
        })?;
        if events.len() <= EventType::ALL.len() {
            Ok(Self(events))
        } else {
            Err(Malformed { expected })
        }
    }
}

fn list<T>(
    value: Value,
    expected: &'static str,
    item: fn(Value, &'static str) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    match value {
        Value::Array(items) => items.into_iter().map(|one| item(one, expected)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(Malformed { expected })
        }
    }
}

impl Field for Currency {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "an ISO 4217 currency code in capitals, such as EUR")
    }
}

impl Field for CaptureMode {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "automatic or manual")
    }
}

impl Field for Policy {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "watch, slow or block")
    }
}

impl Field for WebhookEndpointState {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "enabled or disabled")
    }
}

impl<K: Kind> Field for Id<K> {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "an id")
    }
}

impl Shape for TokenRef {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^tok_[0-9a-z_]+$")).into()
    }
}

impl Field for TokenRef {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(
            value,
            "a token (tok_…), or in test mode tok_test_approved and its kin",
        )
    }
}

impl<const MAX: usize> Field for Text<MAX> {
    fn read(value: Value) -> Result<Self, Malformed> {
        string(value, "a text").and_then(Self::parse)
    }
}

impl Shape for Metadata {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .additional_properties(Some(text().max_length(Some(METADATA_VALUE_MAX))))
            .property_names(Some(
                text()
                    .min_length(Some(1))
                    .max_length(Some(METADATA_KEY_MAX)),
            ))
            .max_properties(Some(METADATA_KEYS_MAX))
            .into()
    }
}

impl Field for Metadata {
    fn read(value: Value) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "an object of at most 32 texts, keys of up to 40 and values of up to 500 characters,",
        };
        let Value::Object(pairs) = value else {
            return Err(malformed);
        };
        let pairs: Result<Vec<_>, _> = pairs
            .into_iter()
            .map(|(key, value)| string(value, malformed.expected).map(|text| (key, text)))
            .collect();
        Self::from_pairs(pairs?).map_err(|_| malformed)
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::limits::REFERENCE_MAX;
    use serde_json::json;

    use super::*;
    use crate::problems::Code;

    request! {
        /// For tests.
        Sample {
            /// How much.
            amount: Required<Amount>,
            /// A reference.
            reference: Optional<Text<REFERENCE_MAX>>,
            /// A description.
            description: Change<Text<REFERENCE_MAX>>,
        }
    }

    fn read(value: Value) -> Result<Sample, Problem> {
        let Value::Object(fields) = value else {
            panic!("an object")
        };
        Sample::read(fields)
    }

    fn refused(value: Value) -> (Code, Option<String>) {
        let Err(problem) = read(value) else {
            panic!("was accepted")
        };
        (problem.code(), problem.field().map(str::to_owned))
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_nothing() {
        for (text, number) in [
            ("26", Some(26)),
            ("26.0", Some(26)),
            ("-3.0", Some(-3)),
            ("26.5", None),
            ("1e3", Some(1000)),
            ("1e300", None),
            ("\"26\"", None),
        ] {
            assert_eq!(
                whole(&serde_json::from_str(text).unwrap()),
                number,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_missing_unknown_or_of_another_type_is_named() {
        let named = |code, field: &str| (code, Some(field.to_owned()));
        assert_eq!(refused(json!({})), named(Code::FieldMissing, "amount"));
        assert_eq!(
            refused(json!({"amount": 1, "status": "captured"})),
            named(Code::FieldUnknown, "status")
        );
        for wrong in [
            json!("1999"),
            json!(19.99),
            json!(0),
            json!(-1),
            json!(1_000_000_000_000_i64),
            json!(null),
            json!([1]),
        ] {
            assert_eq!(
                refused(json!({"amount": wrong})),
                named(Code::FieldInvalid, "amount")
            );
        }
        assert_eq!(
            refused(json!({"amount": 1, "reference": 7})),
            named(Code::FieldInvalid, "reference")
        );
    }

    #[test]
    fn an_amount_is_read_up_to_its_limit() {
        let sample = read(json!({"amount": AMOUNT_MAX})).unwrap_or_else(|_| panic!("was refused"));
        assert_eq!(sample.amount.0, AMOUNT_MAX);
    }

    #[test]
    fn left_out_is_unchanged_and_null_is_removed() {
        assert!(
            read(json!({"amount": 1}))
                .unwrap_or_else(|_| panic!())
                .description
                .is_none()
        );
        assert!(matches!(
            read(json!({"amount": 1, "description": null})),
            Ok(Sample {
                description: Some(None),
                ..
            })
        ));
        assert!(matches!(
            read(json!({"amount": 1, "reference": null})),
            Ok(Sample {
                reference: None,
                ..
            })
        ));
    }

    #[test]
    fn the_document_says_which_fields_there_are_and_which_must_be_sent() {
        let object = Sample::object();
        assert_eq!(object.required, ["amount"]);
        assert_eq!(object.properties.len(), 3);
    }
}
