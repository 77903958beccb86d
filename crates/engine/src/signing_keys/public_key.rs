//! A public key as its owner sends it: PEM, or a JSON Web Key (RFC 7517, RFC 8037).

use coffer_core::{Malformed, limits::PUBLIC_KEY_MAX};
use coffer_crypto::public_key::PublicKey;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use crate::Error;

const EXPECTED: Malformed = Malformed {
    expected: "a public key, as PEM (BEGIN PUBLIC KEY) or as an object (JWK): RSA from 3072 to 4096 bits with an exponent from 65537, or Ed25519,",
};
const PRIVATE: Malformed = Malformed {
    expected: "the public half alone (the private key that was sent is not a secret any more: make another one)",
};

/// A public key that can be registered.
pub struct RegisteredKey(pub(super) PublicKey);

impl RegisteredKey {
    /// The key in a PEM text, or in a JWK that was written as a text.
    ///
    /// # Errors
    /// When it is none, or private, or of another type or size.
    pub fn from_text(text: &str) -> Result<Self, Malformed> {
        if text.len() > PUBLIC_KEY_MAX {
            return Err(EXPECTED);
        }
        if text.contains("PRIVATE KEY") {
            return Err(PRIVATE);
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(jwk)) => Self::from_jwk(&jwk),
            Ok(_) => Err(EXPECTED),
            Err(_) => PublicKey::from_pem(text).map(Self).map_err(|_| EXPECTED),
        }
    }

    /// The key in a JWK. What it says of its use is not looked at.
    ///
    /// # Errors
    /// As [`Self::from_text`].
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, Malformed> {
        if jwk.contains_key("d") {
            return Err(PRIVATE);
        }
        let text = |name| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
        let bytes = |name| {
            let text = Some(text(name)).filter(|text| text.len() <= PUBLIC_KEY_MAX);
            let bytes = text.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
            bytes.ok_or(EXPECTED)
        };
        let key = match (text("kty"), text("crv")) {
            ("RSA", _) => PublicKey::rsa(&bytes("n")?, &bytes("e")?),
            ("OKP", "Ed25519") => PublicKey::ed25519(&bytes("x")?),
            _ => return Err(EXPECTED),
        };
        key.map(Self).map_err(|_| EXPECTED)
    }
}

/// The same key was registered before, in this account and mode.
pub(super) const fn known_already() -> Error {
    Error::Invalid {
        field: "public_key",
        expected: "a key that was never registered before",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_public_key_of_the_two_types_is_registered() {
        // RFC 8037, A.2.
        let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = RegisteredKey::from_jwk(okp.as_object().unwrap())
            .ok()
            .unwrap();
        let pem = key.0.pem();
        let again = RegisteredKey::from_text(&pem).ok().unwrap();
        assert_eq!(again.0.fingerprint(), key.0.fingerprint());
        let written = RegisteredKey::from_text(&okp.to_string()).ok().unwrap();
        assert_eq!(written.0.pem(), pem);
        let mut private = okp;
        private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        for private in [private.to_string(), pem.replace("PUBLIC", "PRIVATE")] {
            assert_eq!(RegisteredKey::from_text(&private).err(), Some(PRIVATE));
        }
        let small = json!({"kty": "RSA", "e": "AQAB", "n": BASE64URL_NOPAD.encode(&[0xc1; 256])});
        let no_exponent = json!({"kty": "RSA", "n": BASE64URL_NOPAD.encode(&[0xc1; 384])});
        let curve = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
        let short = json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"});
        for wrong in [
            small.to_string(),
            no_exponent.to_string(),
            curve.to_string(),
            short.to_string(),
            String::new(),
            "null".to_owned(),
            pem.replace("MCow", "MCox"),
            pem.repeat(2),
            "x".repeat(PUBLIC_KEY_MAX + 1),
        ] {
            assert_eq!(
                RegisteredKey::from_text(&wrong).err(),
                Some(EXPECTED),
                "{wrong}"
            );
        }
    }
}
