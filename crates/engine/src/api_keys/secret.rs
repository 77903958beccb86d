//! A new secret of a key: its text, which is shown once, and what is kept of it.

use coffer_core::api_key::{KeyText, compose};
use coffer_crypto::{Mac, SecretBytes, random_secret};

use super::key::ApiKey;
use crate::{Engine, Error};

/// How many characters at the end of a key are kept to recognise it by.
const LAST: usize = 4;

/// A secret that was just made.
pub(super) struct NewSecret {
    /// The whole key, ASCII.
    pub(super) text: SecretBytes,
    pub(super) hash: Mac,
    pub(super) last4: String,
}

impl NewSecret {
    /// One for this key.
    pub(super) fn make(engine: &Engine, key: &ApiKey) -> Result<Self, Error> {
        let secret = random_secret()?;
        // Exposed to be written as the key's text, which is the secret itself.
        let text = compose(key.kind, key.place.mode, key.id, secret.expose());
        let parsed = KeyText::parse(&text).map_err(|_| Error::Defect)?;
        let hash = engine.hash(&parsed);
        let shown = text.len().saturating_sub(LAST);
        let last4 = text.get(shown..).unwrap_or_default().to_owned();
        Ok(Self {
            text: SecretBytes::from_vec(text.into_bytes()),
            hash,
            last4,
        })
    }
}
