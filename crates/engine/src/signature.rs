//! Webhook signatures by the Standard Webhooks specification: `v1` (HMAC-SHA256) and `v1a` (Ed25519), both over
//! `id.timestamp.body`.

use coffer_core::Timestamp;
use coffer_crypto::{Key, SigningKey, mac_bytes, random_secret};
use data_encoding::BASE64;

use crate::Error;

/// The two keys of an endpoint.
pub(crate) struct WebhookKeys {
    pub(crate) secret: Key,
    pub(crate) seed: Key,
}

impl WebhookKeys {
    pub(crate) fn generate() -> Result<Self, Error> {
        Ok(Self {
            secret: random_secret()?,
            seed: random_secret()?,
        })
    }

    /// The secret as the specification writes it; shown once.
    pub(crate) fn secret_text(&self) -> String {
        format!("whsec_{}", BASE64.encode(self.secret.expose()))
    }

    /// The public key of `v1a` as the specification writes it.
    pub(crate) fn public_text(&self) -> Result<String, Error> {
        Ok(format!(
            "whpk_{}",
            BASE64.encode(SigningKey::from_seed(&self.seed)?.public().as_bytes())
        ))
    }

    /// The value of `webhook-signature` for one message.
    pub(crate) fn sign(&self, id: &str, time: Timestamp, body: &[u8]) -> Result<String, Error> {
        let head = format!("{id}.{}.", time.as_seconds());
        let shared = mac_bytes(self.secret.expose(), &[head.as_bytes(), body]);
        let message = [head.as_bytes(), body].concat();
        let signed = SigningKey::from_seed(&self.seed)?.sign(&message);
        Ok(format!(
            "v1,{} v1a,{}",
            BASE64.encode(shared.as_bytes()),
            BASE64.encode(&signed)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published example of the Standard Webhooks libraries.
    #[test]
    fn v1_is_the_published_vector() {
        let secret = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let message = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        let signed = mac_bytes(&secret, &[message]);
        assert_eq!(
            BASE64.encode(signed.as_bytes()),
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
