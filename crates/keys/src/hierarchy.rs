//! The keys below the root: account and mode, then subject, then data keys. All are stored wrapped under the one above.
//!
//! The upper ones are kept in memory, opened, in bounded caches that live and die with the unsealed state. A data key is
//! never kept.

mod place;

use std::sync::Arc;

use coffer_core::Timestamp;
use coffer_crypto::{Context, Key, random_secret, unwrap, wrap};
use coffer_db::{Database, Expect, Row, Statement, Transaction, Value, params};
use coffer_net::contract::{Place, Refusal, keys::Subject};
use quick_cache::sync::Cache;

use crate::{
    Error,
    root::ROOT_VERSION,
    store::{
        ACCOUNT_KEY_INSERT, ACCOUNT_KEY_NEWEST, ACCOUNT_KEY_READ, FINGERPRINT_KEY_INSERT,
        FINGERPRINT_KEY_LIST, SUBJECT_KEY_DELETE, SUBJECT_KEY_INSERT, SUBJECT_KEY_LIVE,
        SUBJECT_KEY_NEWEST, SUBJECT_KEY_READ, TOMBSTONE_INSERT, TOMBSTONE_READ,
    },
};

use place::{Link, account_context, fingerprint_context, subject_context, subject_params};
pub(crate) use place::{data_key_context, place_params};

const ACCOUNTS_MAX: usize = 4_096;
const SUBJECTS_MAX: usize = 16_384;
const FIRST_VERSION: i64 = 1;

/// An opened key with its version. It is wiped when the last user drops it.
pub(crate) struct Versioned {
    pub(crate) version: i64,
    pub(crate) key: Key,
}

impl Versioned {
    const fn parent(&self) -> Parent<'_> {
        Parent {
            key: &self.key,
            version: self.version,
        }
    }
}

/// The key that a new one is wrapped under.
struct Parent<'a> {
    key: &'a Key,
    version: i64,
}

/// Which version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// To wrap with; made when there is none.
    Newest,
    /// To open what was wrapped with it.
    Version(i64),
}

/// The opened keys of all accounts that were lately in use.
pub(crate) struct Hierarchy {
    db: Database,
    root: Key,
    accounts: Cache<(Place, Which), Arc<Versioned>>,
    subjects: Cache<(Place, Subject, Which), Arc<Versioned>>,
    fingerprints: Cache<Place, Arc<Vec<Versioned>>>,
}

impl Hierarchy {
    pub(crate) fn new(db: Database, root: Key) -> Self {
        Self {
            db,
            root,
            accounts: Cache::new(ACCOUNTS_MAX),
            subjects: Cache::new(SUBJECTS_MAX),
            fingerprints: Cache::new(ACCOUNTS_MAX),
        }
    }

    /// The subject's key. Whoever uses it appends [`live`] to the transaction that records the use.
    ///
    /// # Errors
    /// `KeyDestroyed` for a destroyed subject, `WrappedKeyInvalid` for a version that there never was.
    pub(crate) async fn subject(
        &self,
        place: Place,
        subject: Subject,
        which: Which,
        now: Timestamp,
    ) -> Result<Arc<Versioned>, Error> {
        match self.subjects.get(&(place, subject, which)) {
            Some(key) => Ok(key),
            // Rare, and large: callers should not have to carry it.
            None => Box::pin(self.subject_found(place, subject, which, now)).await,
        }
    }

    async fn subject_found(
        &self,
        place: Place,
        subject: Subject,
        which: Which,
        now: Timestamp,
    ) -> Result<Arc<Versioned>, Error> {
        let found = self.subject_read(place, subject, which).await?;
        let key = match (found, which) {
            (Some(key), _) => key,
            (None, Which::Newest) => self.subject_create(place, subject, now).await?,
            (None, Which::Version(_)) => {
                return Err(self.why_missing(place, subject).await?.into());
            }
        };
        let key = Arc::new(key);
        self.subjects.insert((place, subject, which), key.clone());
        Ok(key)
    }

    /// The fingerprint keys of an account and mode, the newest first; made when there is none.
    pub(crate) async fn fingerprints(
        &self,
        place: Place,
        now: Timestamp,
    ) -> Result<Arc<Vec<Versioned>>, Error> {
        if let Some(keys) = self.fingerprints.get(&place) {
            return Ok(keys);
        }
        let mut keys = self.fingerprint_read(place).await?;
        if keys.is_empty() {
            keys = self.fingerprint_create(place, now).await?;
        }
        let keys = Arc::new(keys);
        self.fingerprints.insert(place, keys.clone());
        Ok(keys)
    }

    /// Forgets the opened keys of all subjects, because one was destroyed.
    pub(crate) fn forget_subjects(&self) {
        self.subjects.clear();
    }

    async fn account(
        &self,
        place: Place,
        which: Which,
        now: Timestamp,
    ) -> Result<Arc<Versioned>, Error> {
        if let Some(key) = self.accounts.get(&(place, which)) {
            return Ok(key);
        }
        let found = self.account_read(place, which).await?;
        let key = match (found, which) {
            (Some(key), _) => key,
            (None, Which::Newest) => self.account_create(place, now).await?,
            (None, Which::Version(_)) => {
                return Err(Error::Defect("an account's key is missing".to_owned()));
            }
        };
        let key = Arc::new(key);
        self.accounts.insert((place, which), key.clone());
        Ok(key)
    }

    async fn account_read(&self, place: Place, which: Which) -> Result<Option<Versioned>, Error> {
        let mut values = place_params(place);
        let row = match which {
            Which::Newest => self.db.read_optional(&ACCOUNT_KEY_NEWEST, values).await?,
            Which::Version(version) => {
                values.push(version.into());
                self.db.read_optional(&ACCOUNT_KEY_READ, values).await?
            }
        };
        row.map(|row| open(&row, &self.root, |link| account_context(place, link)))
            .transpose()
    }

    async fn account_create(&self, place: Place, now: Timestamp) -> Result<Versioned, Error> {
        let parent = Parent {
            key: &self.root,
            version: ROOT_VERSION,
        };
        let context = |link| account_context(place, link);
        let values = place_params(place);
        match self
            .create(&ACCOUNT_KEY_INSERT, values, parent, context, now)
            .await?
        {
            Some(key) => Ok(key),
            None => self
                .account_read(place, Which::Newest)
                .await?
                .ok_or_else(vanished),
        }
    }

    async fn subject_read(
        &self,
        place: Place,
        subject: Subject,
        which: Which,
    ) -> Result<Option<Versioned>, Error> {
        let mut values = subject_params(place, subject);
        let row = match which {
            Which::Newest => self.db.read_optional(&SUBJECT_KEY_NEWEST, values).await?,
            Which::Version(version) => {
                values.push(version.into());
                self.db.read_optional(&SUBJECT_KEY_READ, values).await?
            }
        };
        let Some(row) = row else { return Ok(None) };
        // The parent exists, so the time of its making is not needed.
        let parent = Which::Version(row.integer("parent_version")?);
        let parent = self
            .account(place, parent, Timestamp::from_millis(0))
            .await?;
        open(&row, &parent.key, |link| {
            subject_context(place, subject, link)
        })
        .map(Some)
    }

    async fn subject_create(
        &self,
        place: Place,
        subject: Subject,
        now: Timestamp,
    ) -> Result<Versioned, Error> {
        if self.is_destroyed(place, subject).await? {
            return Err(Refusal::KeyDestroyed.into());
        }
        let account = self.account(place, Which::Newest, now).await?;
        let context = |link| subject_context(place, subject, link);
        let values = subject_params(place, subject);
        match self
            .create(&SUBJECT_KEY_INSERT, values, account.parent(), context, now)
            .await?
        {
            Some(key) => Ok(key),
            None => self
                .subject_read(place, subject, Which::Newest)
                .await?
                .ok_or_else(vanished),
        }
    }

    async fn why_missing(&self, place: Place, subject: Subject) -> Result<Refusal, Error> {
        let destroyed = self.is_destroyed(place, subject).await?;
        Ok(if destroyed {
            Refusal::KeyDestroyed
        } else {
            Refusal::WrappedKeyInvalid
        })
    }

    async fn is_destroyed(&self, place: Place, subject: Subject) -> Result<bool, Error> {
        Ok(self
            .db
            .read_optional(&TOMBSTONE_READ, subject_params(place, subject))
            .await?
            .is_some())
    }

    async fn fingerprint_read(&self, place: Place) -> Result<Vec<Versioned>, Error> {
        let mut keys = Vec::new();
        for row in self
            .db
            .read(&FINGERPRINT_KEY_LIST, place_params(place))
            .await?
        {
            let parent = Which::Version(row.integer("parent_version")?);
            let parent = self
                .account(place, parent, Timestamp::from_millis(0))
                .await?;
            keys.push(open(&row, &parent.key, |link| {
                fingerprint_context(place, link)
            })?);
        }
        Ok(keys)
    }

    async fn fingerprint_create(
        &self,
        place: Place,
        now: Timestamp,
    ) -> Result<Vec<Versioned>, Error> {
        let account = self.account(place, Which::Newest, now).await?;
        let context = |link| fingerprint_context(place, link);
        let values = place_params(place);
        match self
            .create(
                &FINGERPRINT_KEY_INSERT,
                values,
                account.parent(),
                context,
                now,
            )
            .await?
        {
            Some(key) => Ok(vec![key]),
            None => self.fingerprint_read(place).await,
        }
    }

    /// Makes and stores the first version of a key; none when another node stored one first.
    async fn create(
        &self,
        insert: &'static Statement,
        mut values: Vec<Value>,
        parent: Parent<'_>,
        context: impl FnOnce(Link) -> Context,
        now: Timestamp,
    ) -> Result<Option<Versioned>, Error> {
        let link = Link {
            version: FIRST_VERSION,
            parent_version: parent.version,
        };
        let key = random_secret()?;
        let wrapped = wrap(parent.key, &context(link), &key)?;
        values.extend(params![
            link.version,
            link.parent_version,
            wrapped,
            now.as_millis()
        ]);
        let stored = self.db.transact(Transaction::new().one(insert, values));
        match stored.await {
            Ok(_) => Ok(Some(Versioned {
                version: link.version,
                key,
            })),
            Err(error) if error.is_conflict_at(insert) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn open(
    row: &Row,
    parent: &Key,
    context: impl FnOnce(Link) -> Context,
) -> Result<Versioned, Error> {
    let link = Link {
        version: row.integer("version")?,
        parent_version: row.integer("parent_version")?,
    };
    let key = unwrap(parent, &context(link), row.bytes("wrapped")?)?;
    Ok(Versioned {
        version: link.version,
        key,
    })
}

fn vanished() -> Error {
    Error::Defect("a key vanished while it was made".to_owned())
}

/// The step that makes a use of a subject's key conflict when the key was destroyed meanwhile. It comes last in the
/// transaction that records the use, because it locks nothing: it sees what was destroyed before it looks.
pub(crate) fn live(place: Place, subject: Subject, version: i64) -> Transaction {
    let mut values = subject_params(place, subject);
    values.push(version.into());
    Transaction::new().then(&SUBJECT_KEY_LIVE, values, Expect::Exactly(1))
}

/// The error of a transaction with a [`live`] step.
pub(crate) fn used(error: coffer_db::Error) -> Error {
    if error.is_conflict_at(&SUBJECT_KEY_LIVE) {
        Refusal::KeyDestroyed.into()
    } else {
        error.into()
    }
}

/// The steps that destroy a subject's keys for good.
pub(crate) fn destroy(place: Place, subject: Subject, now: Timestamp) -> Transaction {
    let mut tombstone = subject_params(place, subject);
    tombstone.push(now.as_millis().into());
    Transaction::new()
        .any(&TOMBSTONE_INSERT, tombstone)
        .append(delete(place, subject))
}

/// The step that deletes a subject's keys.
pub(crate) fn delete(place: Place, subject: Subject) -> Transaction {
    Transaction::new().any(&SUBJECT_KEY_DELETE, subject_params(place, subject))
}
