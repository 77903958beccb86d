//! Changes of a key: each is decided on one version of it and commits on that version only, with its record, its event and
//! word to every node.

use coffer_core::{
    Timestamp, api_key::SignedRequests, cap::Caps, event::EventType, id::ApiKeyId,
    limits::API_KEY_NAME_MAX, network::Networks, permission::Permissions, rate::Rate,
};
use coffer_db::Transaction;

use super::{
    OBJECT, Observed,
    key::{ApiKey, StoredKey, StoredState},
};
use crate::{
    Done, Engine, Error, Fresh, Steward, StoredAnswer, Text, commit::By, events::Happened,
    store::api_keys as sql,
};

/// How often a change of a key is begun anew because the key changed meanwhile.
const CHANGE_TRIES_MAX: usize = 5;

/// What to change of an API key; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// Another name.
    pub name: Option<Text<API_KEY_NAME_MAX>>,
    /// Other rights.
    pub permissions: Option<Permissions>,
    /// Other addresses.
    pub addresses: Option<Networks>,
    /// Other origins.
    pub origins: Option<Vec<String>>,
    /// Another end, or none.
    pub expires: Option<Option<Timestamp>>,
    /// Another rate, or the installation's.
    pub rate: Option<Option<Rate>>,
    /// Other caps, in place of all the old ones.
    pub caps: Option<Caps>,
    /// Other requests that have to be signed.
    pub signed_requests: Option<SignedRequests>,
    /// Other limits to try out, or none.
    pub observed: Option<Observed>,
}

/// What a change does to a key.
pub(super) enum Step {
    /// It becomes this, and that happened.
    To(Box<StoredKey>, EventType),
    /// It is as asked for already.
    Done,
}

/// Who changes a key, and for which request.
pub(super) struct Asked<'a> {
    pub(super) by: By<'a>,
    pub(super) fresh: &'a Fresh,
}

impl Engine {
    /// Changes what a key may do. A caller's key gives no more than it has, to itself neither.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`], [`Error::BeyondCaller`], or [`Error::State`] for a revoked key.
    pub async fn api_key_update(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: ApiKeyId,
        change: ApiKeyChange,
    ) -> Result<ApiKey, Error> {
        let changed = self.steward_change(steward, &fresh, id, |mut stored, now| {
            let key = &mut stored.key;
            check_alive(key)?;
            apply(key, change.clone());
            self.check_settings(key, now)?;
            steward.check_gives(key)?;
            key.days_told = super::expiry::days_told(key.settings.expires, now);
            Ok(Step::To(stored, EventType::ApiKeyUpdated))
        });
        Ok(changed.await?.object)
    }

    /// Stops a key until it is unfrozen: within a second it calls nothing on any node. Freezing a frozen key changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::State`] for a revoked key.
    pub async fn api_key_freeze(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: ApiKeyId,
    ) -> Result<Done<ApiKey>, Error> {
        self.steward_change(steward, &fresh, id, |stored, _| frozen(stored))
            .await
    }

    /// Lets a frozen key call again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::State`] for a revoked key, [`Error::BeyondCaller`] for one that may do more than the
    /// caller's.
    pub async fn api_key_unfreeze(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: ApiKeyId,
    ) -> Result<Done<ApiKey>, Error> {
        self.steward_change(steward, &fresh, id, |mut stored, _| {
            check_alive(&stored.key)?;
            steward.check_gives(&stored.key)?;
            if stored.key.stored == StoredState::Active {
                return Ok(Step::Done);
            }
            stored.key.stored = StoredState::Active;
            Ok(Step::To(stored, EventType::ApiKeyUnfrozen))
        })
        .await
    }

    /// Revokes a key, for ever: within a second it calls nothing on any node. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key in the account and mode.
    pub async fn api_key_revoke(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: ApiKeyId,
    ) -> Result<Done<ApiKey>, Error> {
        self.steward_change(steward, &fresh, id, |mut stored, _| {
            if stored.key.stored == StoredState::Revoked {
                return Ok(Step::Done);
            }
            stored.key.stored = StoredState::Revoked;
            stored.key.old = None;
            stored.old_hash = None;
            Ok(Step::To(stored, EventType::ApiKeyRevoked))
        })
        .await
    }

    /// Changes a key of the steward's account and mode.
    pub(super) async fn steward_change(
        &self,
        steward: Steward<'_>,
        fresh: &Fresh,
        id: ApiKeyId,
        step: impl Fn(Box<StoredKey>, Timestamp) -> Result<Step, Error>,
    ) -> Result<Done<ApiKey>, Error> {
        let place = steward.place();
        let asked = || Asked {
            by: steward.by(),
            fresh,
        };
        let object = self
            .change_key(id, asked, |stored, now| {
                if stored.key.place != place {
                    return Err(Error::NotFound { object: OBJECT });
                }
                step(stored, now)
            })
            .await?;
        Ok(Done {
            status: 200,
            object,
        })
    }

    /// Changes a key, again from its newest version when something else changed it meanwhile.
    pub(super) async fn change_key<'a>(
        &self,
        id: ApiKeyId,
        asked: impl Fn() -> Asked<'a>,
        step: impl Fn(Box<StoredKey>, Timestamp) -> Result<Step, Error>,
    ) -> Result<ApiKey, Error> {
        for _ in 0..CHANGE_TRIES_MAX {
            let stored = self.stored_key(id).await?;
            let stored = stored.ok_or(Error::NotFound { object: OBJECT })?;
            let (version, now) = (stored.key.version, self.now());
            let before = stored.key.clone();
            let Asked { by, fresh } = asked();
            let (key, steps, event) = match step(Box::new(stored), now)? {
                Step::Done => {
                    let answered = self.answered_key(fresh, &before, 200)?;
                    self.answer_unchanged(answered).await?;
                    return Ok(before);
                }
                Step::To(mut stored, event) => {
                    stored.key.version = version.saturating_add(1);
                    stored.key.updated = now;
                    let update = Transaction::new().one(&sql::UPDATE, stored.update(version));
                    (stored.key, update, event)
                }
            };
            let steps = steps.append(self.answered_key(fresh, &key, 200)?);
            match self.commit_key(by, &key, event, steps).await {
                Ok(()) => return Ok(key),
                Err(error) if error.is_conflict_at(&sql::UPDATE) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::changing(OBJECT))
    }

    /// The steps that store the answer, without the secret. It is filed under the version too: a key's making and each change
    /// of it are answers of their own.
    pub(super) fn answered_key(
        &self,
        fresh: &Fresh,
        key: &ApiKey,
        status: u16,
    ) -> Result<Transaction, Error> {
        let body = (self.0.render.api_key)(key, self.now());
        let filed = format!("{}@{}", key.id, key.version);
        self.answered(fresh, &filed, self.now(), &StoredAnswer { status, body })
    }

    /// Commits a change of a key, with its record and event, and lets every node know.
    pub(super) async fn commit_key(
        &self,
        by: By<'_>,
        key: &ApiKey,
        event: EventType,
        steps: Transaction,
    ) -> Result<(), coffer_db::Error> {
        let id = key.id.to_string();
        let happened = Happened::to(&id, key.version, event);
        let steps = steps
            .append(self.tell(key.place, &[happened]))
            .append(self.changed(OBJECT, &id));
        self.commit(by, key.place, event.as_str(), &id, steps)
            .await?;
        self.0.key_cache.forget(key.id);
        Ok(())
    }
}

/// Freezes what is neither frozen nor revoked.
pub(super) fn frozen(mut stored: Box<StoredKey>) -> Result<Step, Error> {
    check_alive(&stored.key)?;
    if stored.key.stored == StoredState::Frozen {
        return Ok(Step::Done);
    }
    stored.key.stored = StoredState::Frozen;
    Ok(Step::To(stored, EventType::ApiKeyFrozen))
}

/// A revoked key stays as it was.
pub(super) fn check_alive(key: &ApiKey) -> Result<(), Error> {
    if key.stored == StoredState::Revoked {
        return Err(Error::State {
            object: OBJECT,
            status: "revoked",
            needed: "active, rotating or frozen",
        });
    }
    Ok(())
}

fn apply(key: &mut ApiKey, change: ApiKeyChange) {
    let ApiKeyChange {
        name,
        permissions,
        addresses,
        origins,
        expires,
        rate,
        caps,
        signed_requests,
        observed,
    } = change;
    let settings = &mut key.settings;
    if let Some(name) = name {
        key.name = name;
    }
    if let Some(permissions) = permissions {
        settings.permissions = permissions;
    }
    if let Some(addresses) = addresses {
        settings.addresses = addresses;
    }
    if let Some(origins) = origins {
        settings.origins = origins;
    }
    if let Some(expires) = expires {
        settings.expires = expires;
    }
    if let Some(rate) = rate {
        settings.rate = rate;
    }
    if let Some(caps) = caps {
        settings.caps = caps;
    }
    if let Some(signed_requests) = signed_requests {
        settings.signed_requests = signed_requests;
    }
    if let Some(observed) = observed {
        key.observed = observed;
    }
}
