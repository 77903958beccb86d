//! An endpoint's secret on the one time that it is shown.

use coffer_core::id::SigningKeyId;
use coffer_net::contract::Place;

use crate::{Engine, Error, signature::WebhookKeys};

/// A new secret on its way to its owner.
pub enum ShownSecret {
    /// For whoever gets the answer.
    Plain(String),
    /// For the owner of a signing key alone: a JWE.
    Sealed(String),
}

impl Engine {
    /// Before anything is made: what cannot be sealed is not made.
    pub(super) async fn shown_secret(
        &self,
        place: Place,
        keys: &WebhookKeys,
        seal_to: Option<SigningKeyId>,
    ) -> Result<ShownSecret, Error> {
        let secret = keys.secret_text();
        let Some(id) = seal_to else {
            return Ok(ShownSecret::Plain(secret));
        };
        let recipient = self.recipient(place, id).await?;
        let sealed = recipient.seal("text/plain", secret.as_bytes())?;
        Ok(ShownSecret::Sealed(sealed))
    }
}
