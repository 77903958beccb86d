//! The log as its role sees it: leaves to write, the head, and proofs that it only grew.

use coffer_core::{Timestamp, id::LeafId};
use coffer_crypto::Key;
use coffer_db::{Database, Transaction, params};

use crate::{
    Entry, Error, Hash,
    leaf::Leaf,
    merkle::{self, Tree},
    proof,
    store::HEAD_READ,
    tiles::Subtrees,
};

/// A role's handle of its log.
pub struct Audit {
    key: Option<Key>,
    pub(crate) holder: String,
}

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Sequenced entries and the Merkle root over them.
    pub tree: Tree,
    /// When the last of them was sequenced.
    pub time: Timestamp,
}

impl Audit {
    /// A log whose personal values are sealed under `key`; `instance` names this process as the sequencer.
    #[must_use]
    pub fn new(key: Key, instance: &str) -> Self {
        Self {
            key: Some(key),
            holder: instance.to_owned(),
        }
    }

    /// A log without personal values: an entry that has some is refused.
    #[must_use]
    pub fn impersonal(instance: &str) -> Self {
        Self {
            key: None,
            holder: instance.to_owned(),
        }
    }

    /// The steps that record an entry, to be appended to the transaction that does what it says.
    ///
    /// # Errors
    /// `Refused` when the entry is too long or personal without a key; `Unavailable` without randomness.
    pub fn leaf(&self, now: Timestamp, id: LeafId, entry: Entry) -> Result<Transaction, Error> {
        Ok(Leaf::new(id, now, &entry, self.key.as_ref())?.insert())
    }

    /// The end of the log.
    ///
    /// # Errors
    /// `Store`, or `Damaged` when the head cannot be one.
    pub async fn head(db: &Database) -> Result<Head, Error> {
        let Some(row) = db.read_optional(&HEAD_READ, params![]).await? else {
            return Ok(Head {
                tree: Tree::empty(),
                time: Timestamp::from_millis(0),
            });
        };
        let tree = Tree {
            size: size(row.integer("size")?)?,
            root: hash(row.bytes("root")?)?,
        };
        Ok(Head {
            tree,
            time: Timestamp::from_millis(row.integer("time")?),
        })
    }

    /// The proof (RFC 6962 section 2.1.2) that the log of `to` entries continues that of `from` entries.
    ///
    /// # Errors
    /// `Store`; `Damaged` when a tile is missing, or the log has fewer entries.
    pub async fn consistency(db: &Database, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
        if from > to {
            return Err(Error::Damaged("the log is shorter than it was"));
        }
        let mut subtrees = Subtrees::new(db);
        let mut path = Vec::new();
        // Every log continues the empty one, and itself, without proof.
        let ranges = if from == 0 {
            Vec::new()
        } else {
            proof::ranges(from, to)
        };
        for range in ranges {
            let mut roots = Vec::new();
            for node in proof::perfect(range) {
                roots.push(subtrees.root(node).await?);
            }
            path.extend(merkle::join(&roots));
        }
        Ok(path)
    }

    pub(crate) const fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }
}

/// A stored number of entries.
pub(crate) fn size(stored: i64) -> Result<u64, Error> {
    u64::try_from(stored).map_err(|_| Error::Damaged("a size is negative"))
}

/// A number of entries to be stored.
pub(crate) fn stored(size: u64) -> Result<i64, Error> {
    i64::try_from(size).map_err(|_| Error::Damaged("a size is out of range"))
}

/// A stored hash.
pub(crate) fn hash(stored: &[u8]) -> Result<Hash, Error> {
    Hash::try_from(stored).map_err(|_| Error::Damaged("a hash has an impossible length"))
}
