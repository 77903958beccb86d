//! An API key as it is stored: what it may do, in which state it is, and the keyed hashes of its secrets.

use coffer_core::{
    Timestamp,
    api_key::{KeyKind, KeyState, SignedRequests},
    cap::{CapKind, Caps},
    id::ApiKeyId,
    limits::API_KEY_NAME_MAX,
    network::Networks,
    permission::{Permission, Permissions, Resource},
    rate::Rate,
    rotation::Rotation,
    words,
};
use coffer_crypto::Mac;
use coffer_db::{Row, Value, params};
use coffer_net::contract::Place;

use crate::{
    Error, Text,
    error::corrupt,
    rotation,
    rows::{self, key_of},
};

/// What an API key may do, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    /// On which resources.
    pub permissions: Permissions,
    /// From which addresses.
    pub addresses: Networks,
    /// On pages of which origins, for a publishable key; all of the account's when none is listed.
    pub origins: Vec<String>,
    /// Until when; for ever when there is no end.
    pub expires: Option<Timestamp>,
    /// How many requests; as the installation says when there is no rate of its own.
    pub rate: Option<Rate>,
    /// How much money it may move, and how many cards open.
    pub caps: Caps,
    /// Which requests have to be signed.
    pub signed_requests: SignedRequests,
}

impl KeySettings {
    /// The first of these settings, as callers name it, that gives more than `own` does.
    pub(crate) fn beyond(&self, own: &Self) -> Option<&'static str> {
        let ends_later = own
            .expires
            .is_some_and(|own| self.expires.is_none_or(|expires| expires > own));
        let faster = own
            .rate
            .is_some_and(|own| self.rate.is_none_or(|rate| !rate.within(own)));
        if !self.permissions.within(&own.permissions) {
            Some("permissions")
        } else if !self.addresses.within(&own.addresses) {
            Some("addresses")
        } else if ends_later {
            Some("expires")
        } else if faster {
            Some("rate")
        } else if !self.caps.within(&own.caps) {
            Some("caps")
        } else if self.signed_requests < own.signed_requests {
            Some("signed_requests")
        } else {
            None
        }
    }

    /// Whether the key may do something of which `own` caps how much in a day. To give that to another key would be to have the
    /// cap twice.
    pub(crate) fn doubles(&self, own: &Self) -> bool {
        own.caps.iter().any(|cap| {
            let needed = match cap.kind() {
                CapKind::CapturedPerDay | CapKind::CardsPerDay => Resource::Payments,
                CapKind::RefundedPerDay => Resource::Refunds,
                CapKind::CapturedPerCall | CapKind::RefundedPerCall => return false,
            };
            self.permissions.allow(Permission::write(needed))
        })
    }
}

/// Limits that are tried before they hold: what they would have refused is counted, and let through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// These permissions instead of the key's own.
    pub permissions: Option<Permissions>,
    /// These addresses instead of the key's own.
    pub addresses: Option<Networks>,
}

words! {
    /// What is stored of a key's state; the rest follows from the time.
    pub enum StoredState {
        /// It may call.
        Active = "active",
        /// It may not, until somebody unfreezes it.
        Frozen = "frozen",
        /// It may not, for ever.
        Revoked = "revoked",
    }
}

/// The secret that a key had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// What is kept to recognise it by.
    pub last4: String,
    /// Since when there is a new one, and until when it works.
    pub times: Rotation,
}

/// An API key at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its account and mode: all that it can reach.
    pub place: Place,
    /// Publishable or secret.
    pub kind: KeyKind,
    /// For people.
    pub name: Text<API_KEY_NAME_MAX>,
    /// What it may do.
    pub settings: KeySettings,
    /// What is tried out on it.
    pub observed: Observed,
    /// A bait: it permits nothing, and raises an alert when somebody uses it.
    pub canary: bool,
    /// Its last four characters.
    pub last4: String,
    /// The secret before, as long as it works.
    pub old: Option<OldSecret>,
    /// When it was first seen where anybody could read it.
    pub exposed: Option<Timestamp>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    pub(crate) stored: StoredState,
    /// Which secret is the present one: 1 when it was made, one more with each rotation.
    pub(crate) secret: i64,
    /// How many days before its end somebody was told last.
    pub(crate) days_told: Option<i64>,
    pub(crate) exposed_by: Option<String>,
}

impl ApiKey {
    /// What it is at this time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        match self.stored {
            StoredState::Revoked => KeyState::Revoked,
            StoredState::Frozen => KeyState::Frozen,
            StoredState::Active if self.is_over(now) => KeyState::Expired,
            StoredState::Active if self.old_works(now) => KeyState::Rotating,
            StoredState::Active => KeyState::Active,
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.settings.expires.is_some_and(|expires| expires <= now)
    }

    pub(crate) fn old_works(&self, now: Timestamp) -> bool {
        self.old.as_ref().is_some_and(|old| old.times.overlaps(now))
    }

    /// Whether its secret of this number works.
    pub(crate) fn has_secret(&self, number: i64, now: Timestamp) -> bool {
        let is_old = number.saturating_add(1) == self.secret;
        number == self.secret || is_old && self.old_works(now)
    }
}

/// A key and what verifies its secrets. Only the hashes make it more than what anybody with the right to may see.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) key: ApiKey,
    pub(crate) hash: Mac,
    pub(crate) old_hash: Option<Mac>,
}

impl StoredKey {
    /// The parameters of its insertion.
    pub(crate) fn insert(&self) -> Vec<Value> {
        let key = &self.key;
        let [account, mode] = key_of(key.place);
        params![
            account,
            mode,
            key.id.to_string(),
            key.kind.as_str(),
            &*key.name,
            key.settings.permissions.to_string(),
            key.settings.addresses.to_string(),
            key.settings.origins.join(" "),
            observed(key.observed.permissions.as_ref()),
            observed(key.observed.addresses.as_ref()),
            i64::from(key.canary),
            self.hash.as_bytes().as_slice(),
            key.last4.as_str(),
            key.settings.expires.map(Timestamp::as_millis),
            key.days_told,
            key.created.as_millis(),
            key.settings.rate.map(Rate::per_minute),
            key.settings.rate.map(Rate::burst),
            key.settings.caps.to_string(),
            key.settings.signed_requests.as_str(),
        ]
    }

    /// The parameters of its change from the version before.
    pub(crate) fn update(&self, version: i64) -> Vec<Value> {
        let key = &self.key;
        let [account, mode] = key_of(key.place);
        let old = key.old.as_ref();
        let [rotated, closes] = rotation::columns(old.map(|old| old.times));
        params![
            account,
            mode,
            key.id.to_string(),
            version,
            &*key.name,
            key.settings.permissions.to_string(),
            key.settings.addresses.to_string(),
            key.settings.origins.join(" "),
            observed(key.observed.permissions.as_ref()),
            observed(key.observed.addresses.as_ref()),
            key.secret,
            rotated,
            self.hash.as_bytes().as_slice(),
            key.last4.as_str(),
            self.old_hash.as_ref().map(|hash| hash.as_bytes().to_vec()),
            old.map(|old| old.last4.as_str()),
            closes,
            key.stored.as_str(),
            key.settings.expires.map(Timestamp::as_millis),
            key.days_told,
            key.exposed.map(Timestamp::as_millis),
            key.exposed_by.as_deref(),
            key.updated.as_millis(),
            key.settings.rate.map(Rate::per_minute),
            key.settings.rate.map(Rate::burst),
            key.settings.caps.to_string(),
            key.settings.signed_requests.as_str(),
        ]
    }
}

fn observed(setting: Option<&impl ToString>) -> Option<String> {
    setting.map(ToString::to_string)
}

/// Reads a row of the table.
pub(crate) fn read(row: &Row) -> Result<StoredKey, Error> {
    let old_hash = row.optional_bytes("old_hash")?.map(Mac::from_slice);
    let time = |column| row.optional_integer(column).map(millis);
    Ok(StoredKey {
        hash: Mac::from_slice(row.bytes("hash")?)?,
        old_hash: old_hash.transpose()?,
        key: ApiKey {
            id: rows::word(row, "api_key")?,
            place: rows::place(row)?,
            kind: rows::word(row, "kind")?,
            name: Text::from_store(row.text("name")?.to_owned()),
            settings: KeySettings {
                permissions: rows::word(row, "permissions")?,
                addresses: rows::word(row, "addresses")?,
                origins: rows::list(row, "origins")?,
                expires: time("expires")?,
                rate: read_rate(row)?,
                caps: rows::word(row, "caps")?,
                signed_requests: rows::word(row, "signed_requests")?,
            },
            observed: Observed {
                permissions: rows::maybe_word(row, "observed_permissions")?,
                addresses: rows::maybe_word(row, "observed_addresses")?,
            },
            canary: row.integer("canary")? != 0,
            last4: row.text("last4")?.to_owned(),
            old: read_old(row)?,
            exposed: time("exposed")?,
            version: row.integer("version")?,
            created: rows::time(row, "created")?,
            updated: rows::time(row, "updated")?,
            stored: rows::word(row, "state")?,
            secret: row.integer("secret")?,
            days_told: row.optional_integer("days_told")?,
            exposed_by: row.optional_text("exposed_by")?.map(str::to_owned),
        },
    })
}

fn read_rate(row: &Row) -> Result<Option<Rate>, Error> {
    let columns = (
        row.optional_integer("per_minute")?,
        row.optional_integer("burst")?,
    );
    let (Some(per_minute), Some(burst)) = columns else {
        return Ok(None);
    };
    Rate::new(per_minute, burst).map(Some).map_err(corrupt)
}

fn read_old(row: &Row) -> Result<Option<OldSecret>, Error> {
    let Some(times) = rotation::read(row)? else {
        return Ok(None);
    };
    Ok(Some(OldSecret {
        last4: row.text("old_last4")?.to_owned(),
        times,
    }))
}

fn millis(column: Option<i64>) -> Option<Timestamp> {
    column.map(Timestamp::from_millis)
}
