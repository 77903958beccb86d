//! Signing keys at the operator's desk. Private keys never come here: who makes one keeps it.

use coffer_core::{
    Mode,
    id::{AccountId, ApiKeyId, SigningKeyId},
    rotation::Overlap,
};
use coffer_engine::{
    Done, Fresh, MadeSigningKey, NewSigningKey, Page, RegisteredKey, SigningKey, Steward,
};
use coffer_net::contract::Place;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Desk, KeysWanted, failed,
    keys::{named, wrong},
};
use crate::failure::Failure;

/// Asks for a signing key to be registered.
#[derive(Serialize, Deserialize)]
pub(crate) struct SigningKeyWanted {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) name: String,
    /// PEM or JWK.
    pub(crate) public_key: String,
    /// The API key that it may stand for.
    pub(crate) client: Option<ApiKeyId>,
}

/// What is to be done with a signing key of any account.
#[derive(Serialize, Deserialize)]
pub(crate) struct SigningKeyTask {
    pub(crate) id: SigningKeyId,
    pub(crate) act: SigningKeyAct,
}

/// An act on a signing key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SigningKeyAct {
    Rotate {
        /// Of the successor, PEM or JWK.
        public_key: String,
        overlap_hours: Option<i64>,
    },
    Revoke,
}

fn registered(text: &str) -> Result<NewSigningKey, Failure> {
    let key = RegisteredKey::from_text(text);
    key.map(NewSigningKey::Registered)
        .map_err(|malformed| wrong("public_key", malformed))
}

impl Desk {
    pub(super) async fn signing_key_create(
        &self,
        wanted: SigningKeyWanted,
    ) -> Result<Value, Failure> {
        let steward = Steward::Operator(Place {
            account: wanted.account,
            mode: wanted.mode,
        });
        let new = registered(&wanted.public_key)?;
        let named = (named(wanted.name)?, wanted.client);
        let made = self
            .engine
            .signing_key_create(steward, Fresh::unkeyed(), named, new)
            .await;
        Ok(self.signing_key_made(made.map_err(failed)?))
    }

    pub(super) async fn signing_key_list(&self, wanted: KeysWanted) -> Result<Value, Failure> {
        let place = Place {
            account: wanted.account,
            mode: wanted.mode,
        };
        let page = Page::new(Some(coffer_core::limits::PAGE_MAX), wanted.after)
            .map_err(|malformed| wrong("after", malformed))?;
        let listed = self.engine.signing_key_list(place, page).await;
        let listed = listed.map_err(failed)?;
        let keys = listed.items.into_iter();
        let keys: Vec<_> = keys.map(|key| self.signing_key_shown(key)).collect();
        Ok(json!({"data": keys, "has_more": listed.has_more}))
    }

    pub(super) async fn signing_key_task(&self, task: SigningKeyTask) -> Result<Value, Failure> {
        let SigningKeyTask { id, act } = task;
        let key = self.engine.signing_key_anywhere(id).await.map_err(failed)?;
        let (steward, fresh) = (Steward::Operator(key.place), Fresh::unkeyed());
        match act {
            SigningKeyAct::Revoke => {
                let done = self.engine.signing_key_revoke(steward, fresh, id).await;
                Ok(self.signing_key_shown(done.map_err(failed)?.object))
            }
            SigningKeyAct::Rotate {
                public_key,
                overlap_hours,
            } => {
                let overlap = overlap_hours.map(Overlap::hours).transpose();
                let overlap = overlap.map_err(|malformed| wrong("overlap", malformed))?;
                let rotation = (registered(&public_key)?, overlap.unwrap_or_default());
                let engine = &self.engine;
                let made = engine.signing_key_rotate(steward, fresh, id, rotation);
                Ok(self.signing_key_made(made.await.map_err(failed)?))
            }
        }
    }

    fn signing_key_made(&self, made: Done<MadeSigningKey>) -> Value {
        let (key, _) = made.object;
        self.signing_key_shown(key)
    }

    fn signing_key_shown(&self, key: SigningKey) -> Value {
        coffer_api::signing_key_json(key, self.clock.now())
    }
}
