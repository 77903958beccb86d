//! A signed head as it is kept elsewhere: a line of JSON.

use coffer_core::Timestamp;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::{Checkpoint, merkle::Tree};

/// A signed head, as it is kept elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Anchor {
    /// Whose log it is, as checkpoints name it.
    pub log: String,
    /// Entries of the log.
    pub size: u64,
    root: String,
    time: Timestamp,
    public_key: String,
    signature: String,
}

impl Anchor {
    /// The head of this role's log.
    #[must_use]
    pub fn of(log: &str, checkpoint: &Checkpoint) -> Self {
        let Checkpoint { tree, signature } = checkpoint;
        Self {
            log: log.to_owned(),
            size: tree.size,
            root: HEXLOWER.encode(&tree.root),
            time: signature.time,
            public_key: BASE64.encode(&signature.public_key),
            signature: BASE64.encode(&signature.bytes),
        }
    }

    /// The log as it was; none when the root is no hash.
    #[must_use]
    pub fn tree(&self) -> Option<Tree> {
        let root = HEXLOWER.decode(self.root.as_bytes()).ok()?;
        Some(Tree {
            size: self.size,
            root: root.try_into().ok()?,
        })
    }

    /// Its line, with the end of it.
    #[must_use]
    pub fn line(&self) -> String {
        // Texts and numbers can always be written.
        format!("{}\n", serde_json::to_string(self).unwrap_or_default())
    }
}
