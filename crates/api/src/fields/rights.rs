//! What callers say of an API key: its rights, addresses and end.

use coffer_core::{
    Currency, Malformed, Timestamp,
    api_key::KeyKind,
    cap::{Cap, CapKind, Caps},
    limits::{ADDRESSES_MAX, CAPS_MAX, RATE_MAX},
    money::AMOUNT_MAX,
    network::{Network, Networks},
    permission::{Access, Permission, Permissions, Preset, Resource},
    rate::Rate,
    rotation::Overlap,
};
use coffer_engine::Observed;
use serde_json::Value;
use utoipa::openapi::{
    ObjectBuilder, OneOfBuilder, RefOr, Schema,
    schema::{AdditionalProperties, ArrayBuilder},
};

use super::{Field, list, parsed, string, whole};
use crate::shape::{Shape, Time, integer, nullable, text};

/// Rights: access by resource, or the name of a preset.
pub(crate) struct Granted(pub(crate) Permissions);

impl Shape for Granted {
    fn schema() -> RefOr<Schema> {
        let object = Resource::ALL
            .iter()
            .fold(ObjectBuilder::new(), |object, resource| {
                object.property(resource.as_str(), Access::schema())
            });
        OneOfBuilder::new()
            .item(Preset::schema())
            .item(object.additional_properties(Some(AdditionalProperties::FreeForm(false))))
            .into()
    }
}

impl Field for Granted {
    fn read(value: Value) -> Result<Self, Malformed> {
        let expected = "full, read_only, checkout_only, reporting, or an object such as {\"payments\":\"write\"}";
        match value {
            Value::Object(granted) => granted
                .into_iter()
                .try_fold(Permissions::none(), |rights, (resource, access)| {
                    let permission = Permission {
                        resource: resource.parse()?,
                        access: parsed(access, expected)?,
                    };
                    Ok(rights.with(permission))
                })
                .map(Self)
                .map_err(|_: Malformed| Malformed { expected }),
            preset @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)) => parsed::<Preset>(preset, expected)
                .map(|preset| Self(preset.permissions()))
                .map_err(|_| Malformed { expected }),
        }
    }
}

/// Addresses and networks.
pub(crate) struct Addresses(pub(crate) Networks);

impl Shape for Addresses {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(text())
            .max_items(Some(ADDRESSES_MAX))
            .into()
    }
}

impl Field for Addresses {
    fn read(value: Value) -> Result<Self, Malformed> {
        let expected =
            "a list of at most 50 addresses or networks such as 203.0.113.7 or 2001:db8::/32";
        let networks = list(value, expected, |item, expected| {
            parsed::<Network>(item, expected)
        });
        Networks::new(networks.map_err(|_| Malformed { expected })?).map(Self)
    }
}

impl Shape for Observed {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property("permissions", nullable(Granted::schema()))
            .property("addresses", nullable(Addresses::schema()))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

impl Field for Observed {
    fn read(value: Value) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "an object with permissions, addresses, or both",
        };
        let Value::Object(mut fields) = value else {
            return Err(malformed);
        };
        let mut limit = |name| fields.remove(name).filter(|value| !value.is_null());
        let (permissions, addresses) = (limit("permissions"), limit("addresses"));
        if !fields.is_empty() {
            return Err(malformed);
        }
        let permissions = permissions.map(Granted::read).transpose()?;
        let addresses = addresses.map(Addresses::read).transpose()?;
        Ok(Self {
            permissions: permissions.map(|granted| granted.0),
            addresses: addresses.map(|addresses| addresses.0),
        })
    }
}

impl Shape for Rate {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property("per_minute", integer(1, RATE_MAX))
            .property("burst", integer(1, RATE_MAX))
            .required("per_minute")
            .required("burst")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

impl Field for Rate {
    fn read(value: Value) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "an object with per_minute and burst, each from 1 to 10000000",
        };
        let fields = value.as_object().filter(|fields| fields.len() == 2);
        let number = |name| whole(fields?.get(name)?);
        match (number("per_minute"), number("burst")) {
            (Some(per_minute), Some(burst)) => Self::new(per_minute, burst).map_err(|_| malformed),
            (_, _) => Err(malformed),
        }
    }
}

impl Shape for Caps {
    fn schema() -> RefOr<Schema> {
        let cap = ObjectBuilder::new()
            .property("kind", CapKind::schema())
            .property("currency", nullable(Currency::schema()))
            .property("limit", integer(1, AMOUNT_MAX))
            .required("kind")
            .required("limit")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        ArrayBuilder::new()
            .items(cap)
            .max_items(Some(CAPS_MAX))
            .into()
    }
}

impl Field for Caps {
    fn read(value: Value) -> Result<Self, Malformed> {
        let expected = "a list of caps such as {\"kind\": \"captured_per_day\", \"currency\": \"EUR\", \"limit\": 500000}, \
            no two of the same kind and currency,";
        let caps = list(value, expected, cap);
        caps.and_then(Self::new).map_err(|_| Malformed { expected })
    }
}

fn cap(value: Value, expected: &'static str) -> Result<Cap, Malformed> {
    let malformed = Malformed { expected };
    let Value::Object(mut fields) = value else {
        return Err(malformed);
    };
    let kind = parsed(fields.remove("kind").unwrap_or_default(), expected)?;
    let currency = fields.remove("currency").filter(|value| !value.is_null());
    let currency = currency.map(|value| parsed(value, expected)).transpose()?;
    let limit = fields.remove("limit").and_then(|limit| limit.as_i64());
    match limit {
        Some(limit) if fields.is_empty() => Cap::new(kind, currency, limit),
        Some(_) | None => Err(malformed),
    }
}

impl Field for KeyKind {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "sk (secret) or pk (publishable)")
    }
}

impl Shape for Overlap {
    fn schema() -> RefOr<Schema> {
        integer(0, Self::HOURS_MAX)
    }
}

impl Field for Overlap {
    fn read(value: Value) -> Result<Self, Malformed> {
        Self::hours(whole(&value).unwrap_or(-1))
    }
}

impl Field for Time {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed::<Timestamp>(value, "an RFC 3339 time such as 2026-11-22T10:00:00Z").map(Self)
    }
}

impl Field for bool {
    fn read(value: Value) -> Result<Self, Malformed> {
        value.as_bool().ok_or(Malformed {
            expected: "true or false",
        })
    }
}

/// A text that may be an API key; the engine finds out.
pub(crate) struct KeyFound(pub(crate) zeroize::Zeroizing<String>);

impl Shape for KeyFound {
    fn schema() -> RefOr<Schema> {
        text().write_only(true).into()
    }
}

impl Field for KeyFound {
    fn read(value: Value) -> Result<Self, Malformed> {
        string(value, "the whole key").map(|text| Self(zeroize::Zeroizing::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rights_are_a_preset_or_access_by_resource_and_nothing_else() {
        let read = |value| Granted::read(value).map(|granted| granted.0.to_string());
        assert_eq!(
            read(json!({"refunds": "write", "payments": "read", "audit": "none"})).unwrap(),
            "payments:read refunds:write"
        );
        assert_eq!(read(json!({})).unwrap(), "");
        assert!(read(json!("full")).unwrap().contains("api_keys:write"));
        for wrong in [
            json!("everything"),
            json!({"payment": "read"}),
            json!({"payments": "all"}),
            json!({"payments": true}),
            json!(["payments:read"]),
            json!(null),
        ] {
            assert!(read(wrong).is_err());
        }
    }

    #[test]
    fn observed_limits_are_named_or_refused() {
        let read = |value| Observed::read(value).ok();
        let observed = read(json!({"addresses": ["203.0.113.9/24"], "permissions": null})).unwrap();
        assert_eq!(observed.addresses.unwrap().to_string(), "203.0.113.0/24");
        assert_eq!(observed.permissions, None);
        for wrong in [
            json!({"adresses": []}),
            json!([]),
            json!({"addresses": [1]}),
        ] {
            assert!(read(wrong).is_none());
        }
    }
}
