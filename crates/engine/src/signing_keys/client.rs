//! The API key that a signing key may stand for, as a client of OAuth: who may say so, and how long it holds.

use coffer_core::{
    api_key::{KeyKind, KeyState},
    id::ApiKeyId,
};

use crate::{ApiKey, Engine, Error, Steward};

/// The API key that a signing key may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningKeyClient {
    /// Which.
    pub api_key: ApiKeyId,
    /// As long as which of its secrets works: the one that said so, or the present one. A secret that is rotated away, because it was
    /// stolen perhaps, takes with it what was registered by it.
    pub(crate) secret: i64,
}

impl Engine {
    /// The API key that a new signing key is to stand for: one that can call.
    pub(super) async fn new_client(
        &self,
        steward: Steward<'_>,
        api_key: ApiKeyId,
    ) -> Result<SigningKeyClient, Error> {
        let wrong = Error::Invalid {
            field: "client",
            expected: "the id of a secret API key of the same account and mode, which works",
        };
        let (client, key) = match self.client(steward, api_key).await {
            Err(Error::NotFound { .. }) => return Err(wrong),
            found => found?,
        };
        let works = matches!(key.state(self.now()), KeyState::Active | KeyState::Rotating);
        if key.kind != KeyKind::Secret || key.canary || !works {
            return Err(wrong);
        }
        Ok(client)
    }

    /// An API key that a signing key is to stand for from now on. It is given to whoever has the signing key, as by a rotation.
    pub(super) async fn client(
        &self,
        steward: Steward<'_>,
        api_key: ApiKeyId,
    ) -> Result<(SigningKeyClient, ApiKey), Error> {
        let key = self.api_key(steward.place(), api_key).await?;
        steward.check_gives(&key)?;
        let secret = match steward {
            // What is done by a secret that is to end is not to outlive it.
            Steward::Caller(caller) if caller.api_key == api_key => caller.secret,
            Steward::Caller(_) | Steward::Operator(_) => key.secret,
        };
        Ok((SigningKeyClient { api_key, secret }, key))
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{
        permission::Permissions, rotation::Overlap, signing_key::SignatureAlgorithm,
    };
    use coffer_crypto::SigningKey as Private;

    use super::*;
    use crate::{
        Caller, Fresh, NewSigningKey, SigningKey,
        fixture::{Shop, make_key, merchant, new_key, origin, presented, register},
    };

    const WRONG: Error = Error::Invalid {
        field: "client",
        expected: "the id of a secret API key of the same account and mode, which works",
    };

    async fn made(
        shop: &Shop,
        steward: Steward<'_>,
        client: ApiKeyId,
    ) -> Result<SigningKey, Error> {
        let private = Private::generate().unwrap();
        register(&shop.engine, steward, &private, Some(client)).await
    }

    /// A caller with these rights, who signs, and the text of its key.
    async fn signing(shop: &Shop, rights: &str) -> (Caller, String) {
        let new = new_key(KeyKind::Secret, rights.parse().unwrap());
        let (_, text) = make_key(&shop.engine, shop.place, new).await;
        let caller = shop
            .engine
            .authenticate(presented(&text), origin("POST /v1/signing_keys"));
        let signed_by = Some(coffer_core::id::SigningKeyId::from_bytes([7; 16]));
        let caller = caller.await.unwrap();
        (
            Caller {
                signed_by,
                ..caller
            },
            text,
        )
    }

    #[tokio::test]
    async fn only_a_key_that_can_call_is_stood_for() {
        let shop = Shop::open().await;
        let steward = Steward::Operator(shop.place);
        let full = Permissions::full();
        let (revoked, _) = shop.make_key(KeyKind::Secret, full.clone()).await;
        shop.revoke(revoked).await;
        let (frozen, _) = shop.make_key(KeyKind::Secret, full).await;
        let freezing = shop
            .engine
            .api_key_freeze(steward, Fresh::unkeyed(), frozen);
        freezing.await.unwrap();
        let (page, _) = shop
            .make_key(KeyKind::Publishable, Permissions::none())
            .await;
        let mut bait = new_key(KeyKind::Secret, Permissions::none());
        bait.canary = true;
        let (bait, _) = make_key(&shop.engine, shop.place, bait).await;
        let (_, stranger) = merchant(&shop.engine, "stranger").await;
        let stranger = coffer_core::api_key::KeyText::parse(&stranger).unwrap().id;
        let nobody = ApiKeyId::from_bytes([3; 16]);
        for client in [revoked, frozen, page, bait, stranger, nobody] {
            assert_eq!(made(&shop, steward, client).await, Err(WRONG), "{client}");
        }
    }

    #[tokio::test]
    async fn nobody_lets_a_signing_key_stand_for_more_than_his_own_key() {
        let shop = Shop::open().await;
        let (narrow, _) = signing(&shop, "api_keys:write payments:read").await;
        let (wide, _) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        let steward = Steward::Caller(&narrow);
        let beyond = Err(Error::BeyondCaller {
            field: "permissions",
        });
        assert_eq!(made(&shop, steward, wide).await, beyond);
        let own = made(&shop, steward, narrow.api_key()).await.unwrap();
        assert_eq!(own.client.unwrap().api_key, narrow.api_key());
        // Nor is one of somebody else's given another private half.
        let theirs = made(&shop, Steward::Operator(shop.place), wide)
            .await
            .unwrap();
        let rotation = (
            NewSigningKey::Generated(SignatureAlgorithm::Ed25519),
            Overlap::default(),
        );
        let rotating =
            shop.engine
                .signing_key_rotate(steward, Fresh::unkeyed(), theirs.id, rotation);
        assert_eq!(rotating.await.map(|done| done.object.0), beyond);
    }

    #[tokio::test]
    async fn what_an_old_secret_registers_ends_with_it() {
        let shop = Shop::open().await;
        let (thief, text) = signing(&shop, "api_keys:write").await;
        let steward = Steward::Operator(shop.place);
        let overlap = Overlap::hours(24).unwrap();
        let rotating =
            shop.engine
                .api_key_rotate(steward, Fresh::unkeyed(), thief.api_key(), overlap);
        let present = rotating.await.unwrap().object.0.secret;
        let again = shop
            .engine
            .authenticate(presented(&text), origin("POST /v1/signing_keys"));
        let thief = Caller {
            signed_by: thief.signed_by,
            ..again.await.unwrap()
        };
        let by_old = made(&shop, Steward::Caller(&thief), thief.api_key()).await;
        let by_operator = made(&shop, steward, thief.api_key()).await;
        let secret = |made: Result<SigningKey, Error>| made.unwrap().client.unwrap().secret;
        assert_eq!(
            (secret(by_old), secret(by_operator)),
            (present - 1, present)
        );
    }
}
