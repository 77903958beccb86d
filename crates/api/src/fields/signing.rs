//! What callers say of a signing key.

use coffer_core::{
    Malformed, api_key::SignedRequests, limits::PUBLIC_KEY_MAX, signing_key::SignatureAlgorithm,
};
use coffer_engine::RegisteredKey;
use serde_json::Value;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema};

use super::{Field, parsed, string};
use crate::shape::{Shape, text};

/// A public key: PEM, or a JWK.
pub(crate) struct PublicKeyField(pub(crate) RegisteredKey);

impl Shape for PublicKeyField {
    fn schema() -> RefOr<Schema> {
        let jwk = ObjectBuilder::new().property("kty", text()).required("kty");
        OneOfBuilder::new()
            .item(text().max_length(Some(PUBLIC_KEY_MAX)))
            .item(jwk)
            .into()
    }
}

impl Field for PublicKeyField {
    fn read(value: Value) -> Result<Self, Malformed> {
        let key = match &value {
            Value::Object(jwk) => RegisteredKey::from_jwk(jwk),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => RegisteredKey::from_text(&string(
                value,
                "a public key, as PEM or as an object (JWK)",
            )?),
        };
        key.map(Self)
    }
}

impl Field for SignatureAlgorithm {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "rsa-pss-sha512 or ed25519")
    }
}

impl Field for SignedRequests {
    fn read(value: Value) -> Result<Self, Malformed> {
        parsed(value, "none, money or all")
    }
}
