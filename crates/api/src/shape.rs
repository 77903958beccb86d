//! What public JSON looks like: each type that can stand in it says so itself, and the OpenAPI document is made of that.
//!
//! `object!` declares an object that is only ever written. Leaves serialise themselves; domain aggregates never do.

use std::borrow::Cow;

use coffer_core::{
    Currency, Last4, Timestamp,
    alert::AlertKind,
    api_key::{KeyKind, KeyState, SignedRequests},
    brand::Brand,
    cap::CapKind,
    decline::DeclineReason,
    detection::{Policy, Signal},
    event::EventType,
    id::{Id, Kind},
    money::AMOUNT_MAX,
    payment::{AttemptStatus, CaptureMode, Operation, PaymentStatus, RefundStatus},
    permission::{Access, Preset},
    signing_key::{SignatureAlgorithm, SigningKeyState},
};
use coffer_core::{Mode, words};
use coffer_engine::{
    ActorKind, LimitName, Metadata, Outcome, RecordName, Text, UsageName, WebhookEndpointState,
};
use serde::{Serialize, Serializer};
use utoipa::openapi::{
    Object, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
    schema::{AdditionalProperties, ArrayBuilder, KnownFormat, SchemaFormat, SchemaType, Type},
};

use crate::{
    audit_records::ExportFormat,
    oauth::{ClientAuthentication, GrantType},
};

/// The digits of an id; the last one has three bits only.
const ID_DIGITS: &str = "[0-9a-hjkmnp-tv-z]{25}[048cgmrw]";

/// A type that can stand in public JSON.
pub(crate) trait Shape {
    /// How it looks.
    fn schema() -> RefOr<Schema>;
}

/// An object with a name of its own in the OpenAPI document.
pub(crate) trait Component {
    /// The name.
    const NAME: &'static str;
    /// The object, spelled out.
    fn object() -> Object;
}

impl<T: Component> Shape for T {
    fn schema() -> RefOr<Schema> {
        RefOr::Ref(Ref::from_schema_name(T::NAME))
    }
}

/// Declares an object that is written: a struct with `Serialize`, and its schema. A field that may be left out carries
/// `skip_serializing_if`; every other one is always there.
macro_rules! object {
    ($(#[doc = $about:literal])+ $vis:vis struct $Name:ident as $name:literal {
        $( $(#[doc = $doc:literal])+ $(#[serde($($skip:tt)+)])? $field:ident: $Type:ty, )+
    }) => {
        $(#[doc = $about])+
        #[derive(serde::Serialize)]
        $vis struct $Name { $( $(#[doc = $doc])+ $(#[serde($($skip)+)])? pub(crate) $field: $Type, )+ }

        impl $crate::shape::Component for $Name {
            const NAME: &'static str = $name;
            fn object() -> utoipa::openapi::Object {
                $crate::shape::describe(concat!($($about),+), &[
                    $( $crate::shape::Property {
                        name: stringify!($field),
                        about: concat!($($doc),+),
                        required: true $( && stringify!($($skip)+).is_empty() )?,
                        schema: <$Type as $crate::shape::Shape>::schema,
                    }, )+
                ])
            }
        }
    };
}
pub(crate) use object;

/// One field of an object.
pub(crate) struct Property {
    /// The field, as Rust spells it.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// Whether it is always there, or must be sent.
    pub(crate) required: bool,
    /// How it looks.
    pub(crate) schema: fn() -> RefOr<Schema>,
}

/// An object of these fields and no others.
pub(crate) fn describe(about: &str, properties: &[Property]) -> Object {
    let start = ObjectBuilder::new()
        .description(Some(about.trim()))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let object = properties.iter().fold(start, |object, property| {
        let name = json_name(property.name);
        let object = object.property(name, described((property.schema)(), property.about.trim()));
        if property.required {
            object.required(name)
        } else {
            object
        }
    });
    object.build()
}

/// A field's name in JSON: Rust writes `r#type` for `type`.
pub(crate) fn json_name(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

fn described(mut schema: RefOr<Schema>, about: &str) -> RefOr<Schema> {
    let about = Some(about.to_owned());
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.description = about;
    } else if let RefOr::T(Schema::OneOf(one_of)) = &mut schema {
        one_of.description = about;
    } else if let RefOr::T(Schema::Array(array)) = &mut schema {
        array.description = about;
    }
    schema
}

/// A text of this form.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

/// One of these words.
pub(crate) fn words<'a>(all: impl Iterator<Item = &'a str>) -> RefOr<Schema> {
    text().enum_values(Some(all)).into()
}

/// This, or null.
pub(crate) fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
    OneOfBuilder::new().item(schema).item(null).into()
}

/// A whole number within these bounds.
pub(crate) fn integer(least: i64, most: i64) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least))
        .maximum(Some(most))
        .into()
}

/// A point in time, written as RFC 3339.
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Shape for Time {
    fn schema() -> RefOr<Schema> {
        text()
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

/// A merchant's pairs, written as an object.
pub(crate) struct Pairs(pub(crate) Metadata);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl Shape for Pairs {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .additional_properties(Some(text()))
            .into()
    }
}

words! {
    /// The kind of an object, in its `type`.
    pub enum ObjectType {
        /// A payment.
        Payment = "payment",
        /// A refund.
        Refund = "refund",
        /// A customer.
        Customer = "customer",
        /// A card kept with a customer.
        Card = "card",
        /// An API key.
        ApiKey = "api_key",
        /// A signing key.
        SigningKey = "signing_key",
        /// Usage in an hour.
        Usage = "usage",
        /// An entry of the log.
        AuditRecord = "audit_record",
        /// A webhook endpoint.
        WebhookEndpoint = "webhook_endpoint",
        /// Somebody who is slowed or blocked.
        Block = "block",
        /// An intake.
        Intake = "intake",
        /// An account.
        Account = "account",
    }
}

macro_rules! word_shapes {
    ($($Word:ty),+ $(,)?) => {$(
        impl Shape for $Word {
            fn schema() -> RefOr<Schema> {
                words(Self::ALL.iter().map(|word| word.as_str()))
            }
        }
    )+};
}
word_shapes!(
    Access,
    ActorKind,
    AttemptStatus,
    Brand,
    CapKind,
    CaptureMode,
    ClientAuthentication,
    DeclineReason,
    AlertKind,
    EventType,
    ExportFormat,
    GrantType,
    KeyKind,
    KeyState,
    LimitName,
    Mode,
    ObjectType,
    Operation,
    Outcome,
    PaymentStatus,
    Policy,
    Preset,
    RefundStatus,
    Signal,
    SignatureAlgorithm,
    SignedRequests,
    SigningKeyState,
    WebhookEndpointState,
);

impl Shape for String {
    fn schema() -> RefOr<Schema> {
        text().into()
    }
}

impl Shape for &'static str {
    fn schema() -> RefOr<Schema> {
        text().into()
    }
}

impl Shape for Cow<'static, str> {
    fn schema() -> RefOr<Schema> {
        text().into()
    }
}

impl Shape for bool {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Boolean))
            .into()
    }
}

impl Shape for i64 {
    fn schema() -> RefOr<Schema> {
        integer(0, AMOUNT_MAX)
    }
}

impl Shape for Currency {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[A-Z]{3}$")).into()
    }
}

impl Shape for Last4 {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[0-9]{4}$")).into()
    }
}

impl<K: Kind> Shape for Id<K> {
    fn schema() -> RefOr<Schema> {
        text()
            .pattern(Some(format!("^{}_{ID_DIGITS}$", K::PREFIX)))
            .into()
    }
}

impl<const MAX: usize> Shape for Text<MAX> {
    fn schema() -> RefOr<Schema> {
        text()
            .min_length(Some(1))
            .max_length(Some(MAX))
            // Without control characters.
            .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$"))
            .into()
    }
}

impl Shape for UsageName {
    fn schema() -> RefOr<Schema> {
        text()
            .pattern(Some(format!(r"^[0-9]{{1,9}}\.key_{ID_DIGITS}\.[a-z_]+$")))
            .into()
    }
}

impl Shape for RecordName {
    fn schema() -> RefOr<Schema> {
        text()
            .pattern(Some(format!(r"^leaf_{ID_DIGITS}\.[0-9]{{1,9}}$")))
            .into()
    }
}

impl<T: Shape> Shape for Option<T> {
    fn schema() -> RefOr<Schema> {
        nullable(T::schema())
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(T::schema()).into()
    }
}
