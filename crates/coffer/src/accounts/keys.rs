//! API keys at the operator's desk: the engine's own rules, and no limit of what a key may give.

use coffer_core::{
    Malformed, Mode,
    api_key::{KeyKind, SignedRequests},
    cap::Caps,
    id::{AccountId, ApiKeyId},
    network::Networks,
    permission::{Permissions, Preset},
    rate::Rate,
    rotation::Overlap,
};
use coffer_crypto::SecretBytes;
use coffer_engine::{ApiKey, ApiKeyChange, Fresh, KeySettings, NewApiKey, Page, Steward, Text};
use coffer_net::contract::Place;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Desk, failed};
use crate::failure::Failure;

/// Asks for a new API key.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyWanted {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) kind: KeyKind,
    pub(crate) name: String,
    /// A preset, or rights such as `payments:write`; all that its kind may have, unless told.
    pub(crate) permissions: Option<String>,
    pub(crate) lasts_ms: Option<i64>,
    /// From anywhere unless told.
    #[serde(default)]
    pub(crate) addresses: String,
    #[serde(default)]
    pub(crate) canary: bool,
    /// Requests a minute, and as many at once; as the installation says unless told.
    #[serde(default)]
    pub(crate) per_minute: Option<i64>,
    /// Such as `captured_per_day:EUR:500000`; none unless told.
    #[serde(default)]
    pub(crate) caps: String,
    /// None unless told.
    #[serde(default)]
    pub(crate) signed_requests: Option<SignedRequests>,
}

/// The new key. Its text is shown once.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyMade {
    pub(crate) id: ApiKeyId,
    pub(crate) key: String,
}

/// Asks for the keys of an account, the newest first.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeysWanted {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) after: Option<String>,
}

/// What is to be done with a key of any account.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyTask {
    pub(crate) id: ApiKeyId,
    pub(crate) act: KeyAct,
}

/// An act on a key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyAct {
    Show,
    Uses,
    Change {
        name: Option<String>,
        permissions: Option<String>,
        addresses: Option<String>,
        per_minute: Option<i64>,
        #[serde(default)]
        caps: Option<String>,
        #[serde(default)]
        signed_requests: Option<SignedRequests>,
    },
    Rotate {
        overlap_hours: Option<i64>,
    },
    EndRotation,
    Freeze,
    Unfreeze,
    Revoke,
}

/// A preset's name, or single rights.
fn rights(text: &str) -> Result<Permissions, Failure> {
    let preset = text.parse::<Preset>().map(Preset::permissions);
    preset
        .or_else(|_| text.parse())
        .map_err(|malformed| wrong("permissions", malformed))
}

fn networks(text: &str) -> Result<Networks, Failure> {
    text.parse()
        .map_err(|malformed| wrong("addresses", malformed))
}

fn rate(per_minute: Option<i64>) -> Result<Option<Rate>, Failure> {
    let rate = per_minute.map(|per_minute| Rate::new(per_minute, per_minute));
    rate.transpose()
        .map_err(|malformed| wrong("per_minute", malformed))
}

fn caps(text: &str) -> Result<Caps, Failure> {
    text.parse().map_err(|malformed| wrong("caps", malformed))
}

pub(super) fn named<const MAX: usize>(name: String) -> Result<Text<MAX>, Failure> {
    Text::parse(name).map_err(|malformed| wrong("name", malformed))
}

pub(super) fn wrong(field: &str, malformed: Malformed) -> Failure {
    Failure::Operator(format!("{field}: {malformed}"))
}

fn text(secret: &SecretBytes) -> Result<String, Failure> {
    // Exposed because this is the one time that it is shown.
    String::from_utf8(secret.expose().to_vec())
        .map_err(|error| Failure::doing("reading the new key", error))
}

impl Desk {
    pub(super) async fn key_create(&self, wanted: KeyWanted) -> Result<KeyMade, Failure> {
        let permissions = match (&wanted.permissions, wanted.kind) {
            (Some(text), _) => rights(text)?,
            (None, KeyKind::Secret) if !wanted.canary => Permissions::full(),
            (None, KeyKind::Secret | KeyKind::Publishable) => Permissions::none(),
        };
        let expires = wanted
            .lasts_ms
            .map(|lasts_ms| self.clock.now().plus_millis(lasts_ms));
        let new = NewApiKey {
            kind: wanted.kind,
            name: named(wanted.name)?,
            settings: KeySettings {
                permissions,
                addresses: networks(&wanted.addresses)?,
                origins: Vec::new(),
                expires,
                rate: rate(wanted.per_minute)?,
                caps: caps(&wanted.caps)?,
                signed_requests: wanted.signed_requests.unwrap_or(SignedRequests::None),
            },
            canary: wanted.canary,
        };
        let steward = Steward::Operator(Place {
            account: wanted.account,
            mode: wanted.mode,
        });
        let made = self
            .engine
            .api_key_create(steward, Fresh::unkeyed(), new)
            .await
            .map_err(failed)?;
        let (key, secret) = made.object;
        Ok(KeyMade {
            id: key.id,
            key: text(&secret)?,
        })
    }

    pub(super) async fn key_list(&self, wanted: KeysWanted) -> Result<Value, Failure> {
        let place = Place {
            account: wanted.account,
            mode: wanted.mode,
        };
        let page = Page::new(Some(coffer_core::limits::PAGE_MAX), wanted.after)
            .map_err(|malformed| wrong("after", malformed))?;
        let listed = self
            .engine
            .api_key_list(place, page)
            .await
            .map_err(failed)?;
        let keys = listed
            .items
            .into_iter()
            .map(|(key, seen)| coffer_api::api_key_json(&key, self.clock.now(), seen));
        Ok(json!({"data": keys.collect::<Vec<_>>(), "has_more": listed.has_more}))
    }

    pub(super) async fn key_task(&self, task: KeyTask) -> Result<Value, Failure> {
        let KeyTask { id, act } = task;
        let key = self.engine.api_key_anywhere(id).await.map_err(failed)?;
        let (engine, fresh) = (&self.engine, Fresh::unkeyed());
        let steward = Steward::Operator(key.place);
        let done = match act {
            KeyAct::Show => Ok(key),
            KeyAct::Uses => return self.key_uses(&key).await,
            KeyAct::Rotate { overlap_hours } => return self.key_rotate(key, overlap_hours).await,
            KeyAct::Change {
                name,
                permissions,
                addresses,
                per_minute,
                caps: others,
                signed_requests,
            } => {
                let change = ApiKeyChange {
                    name: name.map(named).transpose()?,
                    permissions: permissions.as_deref().map(rights).transpose()?,
                    addresses: addresses.as_deref().map(networks).transpose()?,
                    caps: others.as_deref().map(caps).transpose()?,
                    rate: per_minute.map(|one| rate(Some(one))).transpose()?,
                    signed_requests,
                    ..ApiKeyChange::default()
                };
                engine.api_key_update(steward, fresh, id, change).await
            }
            KeyAct::EndRotation => engine
                .api_key_end_rotation(steward, fresh, id)
                .await
                .map(|done| done.object),
            KeyAct::Freeze => engine
                .api_key_freeze(steward, fresh, id)
                .await
                .map(|done| done.object),
            KeyAct::Unfreeze => engine
                .api_key_unfreeze(steward, fresh, id)
                .await
                .map(|done| done.object),
            KeyAct::Revoke => engine
                .api_key_revoke(steward, fresh, id)
                .await
                .map(|done| done.object),
        };
        self.key_shown(&done.map_err(failed)?).await
    }

    async fn key_rotate(&self, key: ApiKey, hours: Option<i64>) -> Result<Value, Failure> {
        let overlap = hours.map(Overlap::hours).transpose();
        let overlap = overlap.map_err(|malformed| wrong("overlap", malformed))?;
        let steward = Steward::Operator(key.place);
        let rotated = self
            .engine
            .api_key_rotate(
                steward,
                Fresh::unkeyed(),
                key.id,
                overlap.unwrap_or_default(),
            )
            .await
            .map_err(failed)?;
        let (key, secret) = rotated.object;
        let mut shown = self.key_shown(&key).await?;
        if let Some(object) = shown.as_object_mut() {
            object.insert("secret".to_owned(), text(&secret)?.into());
        }
        Ok(shown)
    }

    async fn key_shown(&self, key: &ApiKey) -> Result<Value, Failure> {
        let seen = self.engine.api_key_seen(key).await.map_err(failed)?;
        Ok(coffer_api::api_key_json(key, self.clock.now(), seen))
    }

    async fn key_uses(&self, key: &ApiKey) -> Result<Value, Failure> {
        let uses = self.engine.api_key_uses(key.place, key.id).await;
        Ok(coffer_api::api_key_uses_json(uses.map_err(failed)?))
    }
}
