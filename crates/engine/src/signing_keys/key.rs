//! A signing key as it is stored: its public half, and in which state it is.

use coffer_core::{
    Timestamp,
    id::SigningKeyId,
    limits::SIGNING_KEY_NAME_MAX,
    rotation::Rotation,
    signing_key::{SignatureAlgorithm, SigningKeyState},
    words,
};
use coffer_crypto::public_key::{KeyType, PublicKey};
use coffer_db::{Row, Value, params};
use coffer_net::contract::Place;

use super::client::SigningKeyClient;
use crate::{
    Error, Text, rotation,
    rows::{self, key_of},
};

words! {
    /// What is stored of a signing key's state; the rest follows from the time.
    pub enum StoredState {
        /// It works, unless its time is over.
        Active = "active",
        /// It works no more: its successor does.
        Expired = "expired",
        /// It never works again.
        Revoked = "revoked",
    }
}

/// A key that signs requests, at one version. Coffer has its public half only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id, the `keyid` of signatures.
    pub id: SigningKeyId,
    /// Its account and mode.
    pub place: Place,
    /// For people.
    pub name: Text<SIGNING_KEY_NAME_MAX>,
    /// How it signs.
    pub algorithm: SignatureAlgorithm,
    /// The public key, as PEM.
    pub public_key: String,
    /// The SHA-256 of its DER in hexadecimal.
    pub fingerprint: String,
    /// Whether Coffer made it, and showed the private half once.
    pub generated: bool,
    /// The API key that it may stand for, as a client of OAuth.
    pub client: Option<SigningKeyClient>,
    /// The rotation to another key, when there was one.
    pub rotation: Option<SigningKeyRotation>,
    /// When it signed last, up to a minute late.
    pub last_use: Option<Timestamp>,
    /// Grows with every change.
    pub version: i64,
    /// When it was registered.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    pub(crate) stored: StoredState,
}

/// How a signing key gives way to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningKeyRotation {
    /// The other key.
    pub successor: SigningKeyId,
    /// Since when there is one, and until when this one works.
    pub times: Rotation,
}

impl SigningKey {
    /// What it is at this time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> SigningKeyState {
        match (self.stored, &self.rotation) {
            (StoredState::Revoked, _) => SigningKeyState::Revoked,
            (StoredState::Expired, _) => SigningKeyState::Expired,
            (StoredState::Active, None) => SigningKeyState::Active,
            (StoredState::Active, Some(rotation)) if rotation.times.overlaps(now) => {
                SigningKeyState::Rotating
            }
            (StoredState::Active, Some(_)) => SigningKeyState::Expired,
        }
    }

    /// The parameters of its insertion.
    pub(super) fn insert(&self) -> Vec<Value> {
        let [account, mode] = key_of(self.place);
        params![
            account,
            mode,
            self.id.to_string(),
            &*self.name,
            self.algorithm.as_str(),
            self.public_key.as_str(),
            self.fingerprint.as_str(),
            i64::from(self.generated),
            self.created.as_millis(),
            self.client.map(|client| client.api_key.to_string()),
            self.client.map(|client| client.secret),
        ]
    }

    /// The parameters of its change from this version.
    pub(super) fn update(&self, version: i64) -> Vec<Value> {
        let ([account, mode], rotation) = (key_of(self.place), self.rotation);
        let [rotated, closes] = rotation::columns(rotation.map(|rotation| rotation.times));
        params![
            account,
            mode,
            self.id.to_string(),
            version,
            self.stored.as_str(),
            rotation.map(|rotation| rotation.successor.to_string()),
            rotated,
            closes,
            self.updated.as_millis(),
        ]
    }
}

/// How a key of this type signs.
pub(super) const fn algorithm_of(key: &PublicKey) -> SignatureAlgorithm {
    match key.key_type() {
        KeyType::Rsa => SignatureAlgorithm::RsaPssSha512,
        KeyType::Ed25519 => SignatureAlgorithm::Ed25519,
    }
}

/// Reads a row of the table.
pub(super) fn read(row: &Row) -> Result<SigningKey, Error> {
    Ok(SigningKey {
        id: rows::word(row, "signing_key")?,
        place: rows::place(row)?,
        name: Text::from_store(row.text("name")?.to_owned()),
        algorithm: rows::word(row, "algorithm")?,
        public_key: row.text("public_key")?.to_owned(),
        fingerprint: row.text("fingerprint")?.to_owned(),
        generated: row.integer("generated")? != 0,
        client: read_client(row)?,
        rotation: read_rotation(row)?,
        last_use: row
            .optional_integer("last_use")?
            .map(Timestamp::from_millis),
        version: row.integer("version")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
        stored: rows::word(row, "state")?,
    })
}

fn read_client(row: &Row) -> Result<Option<SigningKeyClient>, Error> {
    let columns = (
        rows::maybe_word(row, "client")?,
        row.optional_integer("secret")?,
    );
    let (Some(api_key), Some(secret)) = columns else {
        return Ok(None);
    };
    Ok(Some(SigningKeyClient { api_key, secret }))
}

fn read_rotation(row: &Row) -> Result<Option<SigningKeyRotation>, Error> {
    let Some(times) = rotation::read(row)? else {
        return Ok(None);
    };
    Ok(Some(SigningKeyRotation {
        successor: rows::word(row, "successor")?,
        times,
    }))
}
