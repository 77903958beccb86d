//! What only a signing key's owner is to read: sealed to the public half of an RSA key, as a JWE (RFC 7516).

use std::sync::Arc;

use coffer_core::id::SigningKeyId;
use coffer_crypto::{JweHeader, jwe_encrypt, public_key::KeyType};
use coffer_db::params;
use coffer_net::contract::Place;

use super::{
    OBJECT,
    verify::{SigningKeyError, Verifier},
};
use crate::{
    Engine, Error,
    rows::{self, key_of},
    store::signing_keys as sql,
};

/// A signing key to which something can be sealed: an RSA key that works.
pub struct Recipient(Arc<Verifier>);

/// Why nothing can be sealed to a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientError {
    /// It does not work here.
    Key(SigningKeyError),
    /// It is no RSA key.
    OnlySigns,
}

impl From<RecipientError> for Error {
    fn from(error: RecipientError) -> Self {
        let (status, needed) = match error {
            RecipientError::Key(SigningKeyError::Unavailable) => return Self::Unavailable,
            RecipientError::Key(SigningKeyError::Unknown) => {
                return Self::NotFound { object: OBJECT };
            }
            RecipientError::Key(SigningKeyError::Revoked) => ("revoked", "an RSA key that works"),
            RecipientError::Key(SigningKeyError::Expired) => {
                ("expired", "an RSA key that works, such as its successor")
            }
            RecipientError::OnlySigns => ("ed25519", "an RSA key: an Ed25519 key only signs"),
        };
        Self::State {
            object: OBJECT,
            status,
            needed,
        }
    }
}

impl Recipient {
    /// Seals content of this media type so that the key's owner alone can read it. It does not prove who sealed it.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn seal(&self, media_type: &str, content: &[u8]) -> Result<String, Error> {
        let key_id = self.0.key().id.to_string();
        let essence = media_type.split(';').next().unwrap_or_default();
        let header = JweHeader {
            key_id: &key_id,
            // RFC 7516, 4.1.12.
            content_type: essence.trim_start_matches("application/"),
        };
        Ok(jwe_encrypt(&self.0.public, header, content)?)
    }
}

impl Engine {
    /// The signing key of this id, if it belongs to the account and mode and something can be sealed to it.
    ///
    /// # Errors
    /// Why nothing can.
    pub async fn recipient(
        &self,
        place: Place,
        id: SigningKeyId,
    ) -> Result<Recipient, RecipientError> {
        let key = self.signing_key_verifier(place, id).await;
        let key = key.map_err(RecipientError::Key)?;
        if key.public.key_type() != KeyType::Rsa {
            return Err(RecipientError::OnlySigns);
        }
        Ok(Recipient(key))
    }

    /// The newest signing key of the account and mode to which something can be sealed.
    ///
    /// # Errors
    /// [`SigningKeyError::Unknown`] when there is none.
    pub async fn newest_recipient(&self, place: Place) -> Result<Recipient, RecipientError> {
        let unavailable = RecipientError::Key(SigningKeyError::Unavailable);
        let [account, mode] = key_of(place);
        let row = params![account, mode, self.now().as_millis()];
        let found = self.db().read_optional(&sql::NEWEST_RSA, row).await;
        let row = found.map_err(|_| unavailable)?;
        let row = row.ok_or(RecipientError::Key(SigningKeyError::Unknown))?;
        let id = rows::word(&row, "signing_key").map_err(|_| unavailable)?;
        self.recipient(place, id).await
    }

    /// The signing key that an operator names, if any: of this account and mode, or of any for what belongs to none.
    ///
    /// # Errors
    /// [`Error::Refused`] for a key of another account or mode, [`Error::State`] when nothing can be sealed to it.
    pub async fn recipient_of_operator(
        &self,
        of: Option<Place>,
        id: Option<SigningKeyId>,
    ) -> Result<Option<Recipient>, Error> {
        let Some(id) = id else {
            return Ok(None);
        };
        let place = match of {
            Some(place) => place,
            None => self.signing_key_anywhere(id).await?.place,
        };
        match self.recipient(place, id).await {
            Err(RecipientError::Key(SigningKeyError::Unknown)) => Err(Error::Refused(
                "the signing key is not of this account and mode: coffer signing-keys list shows those that are",
            )),
            found => Ok(Some(found?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{Mode, rotation::Overlap, signing_key::SignatureAlgorithm, time::DAY_MS};

    use super::*;
    use crate::{
        EventFilter, Fresh, NewSigningKey, NewWebhookEndpoint, Page, SecretRotation, ShownSecret,
        SigningKey, Steward, Text, WebhookEndpoint, fixture::Shop,
    };

    async fn key(shop: &Shop, algorithm: SignatureAlgorithm) -> SigningKey {
        let (steward, name) = (
            Steward::Operator(shop.place),
            Text::parse("server".to_owned()).unwrap(),
        );
        let new = NewSigningKey::Generated(algorithm);
        let made = shop
            .engine
            .signing_key_create(steward, Fresh::unkeyed(), (name, None), new);
        made.await.ok().unwrap().object.0
    }

    /// Gives a key an Ed25519 successor, beside which it works for a day, or not at all.
    async fn rotate(shop: &Shop, id: SigningKeyId, overlap: Overlap) {
        let rotation = (
            NewSigningKey::Generated(SignatureAlgorithm::Ed25519),
            overlap,
        );
        let steward = Steward::Operator(shop.place);
        let rotated = shop
            .engine
            .signing_key_rotate(steward, Fresh::unkeyed(), id, rotation);
        rotated.await.ok().unwrap();
    }

    async fn refused(shop: &Shop, id: SigningKeyId) -> Option<RecipientError> {
        shop.engine.recipient(shop.place, id).await.err()
    }

    #[tokio::test]
    async fn nothing_is_sealed_to_what_only_signs_or_belongs_elsewhere() {
        let shop = Shop::open().await;
        let signs = key(&shop, SignatureAlgorithm::Ed25519).await;
        assert_eq!(
            refused(&shop, signs.id).await,
            Some(RecipientError::OnlySigns)
        );
        let unknown = Some(RecipientError::Key(SigningKeyError::Unknown));
        assert_eq!(
            refused(&shop, SigningKeyId::from_bytes([7; 16])).await,
            unknown
        );
        let reads = key(&shop, SignatureAlgorithm::RsaPssSha512).await;
        assert_eq!(refused(&shop, reads.id).await, None);
        let (elsewhere, _) = crate::fixture::merchant(&shop.engine, "another").await;
        let mode = Mode::Live;
        for place in [elsewhere, Place { mode, ..shop.place }] {
            let engine = &shop.engine;
            assert_eq!(engine.recipient(place, reads.id).await.err(), unknown);
            assert_eq!(engine.newest_recipient(place).await.err(), unknown);
            let named = engine.recipient_of_operator(Some(place), Some(reads.id));
            assert!(matches!(named.await, Err(Error::Refused(_))));
        }
        // What belongs to no account may be sealed to a key of any.
        let own = shop.engine.recipient_of_operator(None, Some(reads.id));
        assert!(own.await.is_ok_and(|own| own.is_some()));
    }

    #[tokio::test]
    async fn nothing_is_sealed_to_a_key_that_works_no_more() {
        let shop = Shop::open().await;
        let old = key(&shop, SignatureAlgorithm::RsaPssSha512).await;
        rotate(&shop, old.id, Overlap::default()).await;
        assert_eq!(refused(&shop, old.id).await, None);
        shop.clock.advance(DAY_MS);
        shop.engine.poll_changes().await.unwrap();
        let expired = Some(RecipientError::Key(SigningKeyError::Expired));
        assert_eq!(refused(&shop, old.id).await, expired);
        let steward = Steward::Operator(shop.place);
        let revoked = shop
            .engine
            .signing_key_revoke(steward, Fresh::unkeyed(), old.id);
        revoked.await.ok().unwrap();
        let revoked = Some(RecipientError::Key(SigningKeyError::Revoked));
        assert_eq!(refused(&shop, old.id).await, revoked);
    }

    fn endpoint(seal_to: SigningKeyId) -> NewWebhookEndpoint {
        NewWebhookEndpoint {
            url: "https://shop.test/hook".to_owned(),
            events: Vec::new(),
            description: None,
            seal_to: Some(seal_to),
        }
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_sealed_is_not_made() {
        let shop = Shop::open().await;
        let (signs, reads) = (
            key(&shop, SignatureAlgorithm::Ed25519).await.id,
            key(&shop, SignatureAlgorithm::RsaPssSha512).await.id,
        );
        let (engine, caller) = (
            &shop.engine,
            shop.caller("POST /v1/webhook_endpoints").await,
        );
        let create = |key| engine.webhook_endpoint_create(&caller, Fresh::unkeyed(), endpoint(key));
        let told = async || {
            let (filter, page) = (EventFilter { event_type: None }, Page::new(Some(100), None));
            let listed = engine.event_list(&caller, filter, page.unwrap()).await;
            listed.unwrap().items.len()
        };
        let before = told().await;
        let refused = create(signs).await.err();
        assert!(matches!(refused, Some(Error::State { .. })));
        assert_eq!(told().await, before);
        let made = create(reads).await.ok().unwrap().object;
        let (made, sealed): (WebhookEndpoint, _) = made;
        assert!(matches!(sealed, ShownSecret::Sealed(_)));
        let rotation = SecretRotation {
            overlap: Overlap::default(),
            seal_to: Some(signs),
        };
        let rotated = engine
            .webhook_endpoint_rotate_secret(&caller, Fresh::unkeyed(), made.id, rotation)
            .await;
        assert!(matches!(rotated.err(), Some(Error::State { .. })));
        assert_eq!(
            engine.webhook_endpoint(&caller, made.id).await.unwrap(),
            made
        );
    }
}
