//! Checkpoints: the head of the log, signed by a notary that remembers the one before and wants proof of growth.

use std::fmt::Write as _;
use std::future::Future;

use coffer_core::Timestamp;
use coffer_db::{Database, Row, Transaction, params};
use data_encoding::BASE64;

use crate::{
    Audit, Error, Hash,
    log::{hash, size, stored},
    merkle::Tree,
    store::{CHECKPOINT_INSERT, CHECKPOINT_LAST},
};

/// What a notary is asked to sign: the log as it is now, and the proof that it continues what the notary remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The log as it is now.
    pub tree: Tree,
    /// The size that the notary remembers.
    pub from_size: u64,
    /// The proof from there (RFC 6962 section 2.1.2).
    pub consistency: Vec<Hash>,
}

/// A notary's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// When it was signed.
    pub time: Timestamp,
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// Ed25519 over [`checkpoint_text`].
    pub bytes: Vec<u8>,
}

/// A signed head, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log at that time.
    pub tree: Tree,
    /// The notary's signature.
    pub signature: Signature,
}

/// Who signs checkpoints: for most roles the key server, over its link; for the key server itself its own key.
pub trait Notary {
    /// How a call of the notary fails.
    type Error: From<Error>;

    /// The size of the log when it was last signed, 0 when it never was.
    fn remembered(&self) -> impl Future<Output = Result<u64, Self::Error>> + Send;

    /// Signs the log as it has grown.
    fn sign(&self, growth: Growth) -> impl Future<Output = Result<Signature, Self::Error>> + Send;
}

impl Audit {
    /// Has the head signed and stores the checkpoint; nothing when the head is signed already, or another node holds the
    /// lease: of two that ask at once, the notary would think that one shows it another log.
    ///
    /// # Errors
    /// The notary's; `RolledBack` when it remembers more entries than there are; `Store` or `Damaged`.
    pub async fn checkpoint<N: Notary>(
        &self,
        db: &Database,
        notary: &N,
        now: Timestamp,
    ) -> Result<Option<Checkpoint>, N::Error> {
        let tree = Self::head(db).await?.tree;
        let last = last_signed(db).await?;
        if last.is_some_and(|last| last.tree == tree) || tree.size == 0 {
            return Ok(None);
        }
        if !self.leads(db, now).await? {
            return Ok(None);
        }
        let from_size = notary.remembered().await?;
        // Read again, after the notary: what it remembers of a whole log is never beyond the head.
        let tree = Self::head(db).await?.tree;
        if from_size > tree.size {
            return Err(Error::RolledBack {
                size: tree.size,
                remembered: from_size,
            }
            .into());
        }
        let consistency = Self::consistency(db, from_size, tree.size).await?;
        let signature = notary
            .sign(Growth {
                tree,
                from_size,
                consistency,
            })
            .await?;
        let checkpoint = Checkpoint { tree, signature };
        store(db, &checkpoint).await?;
        Ok(Some(checkpoint))
    }
}

/// What is signed: the body of a C2SP checkpoint (tlog-checkpoint), whose origin is `coffer/<role>`.
#[must_use]
pub fn checkpoint_text(role: &str, tree: &Tree) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "coffer/{role}\n{}\n{}\n",
        tree.size,
        BASE64.encode(&tree.root)
    );
    text
}

/// The head that was signed last.
///
/// # Errors
/// `Store`, or `Damaged` when it cannot be one.
pub async fn last_signed(db: &Database) -> Result<Option<Checkpoint>, Error> {
    db.read_optional(&CHECKPOINT_LAST, params![])
        .await?
        .as_ref()
        .map(checkpoint)
        .transpose()
}

async fn store(db: &Database, checkpoint: &Checkpoint) -> Result<(), Error> {
    let Checkpoint { tree, signature } = checkpoint;
    let values = params![
        stored(tree.size)?,
        tree.root,
        signature.time.as_millis(),
        signature.public_key,
        signature.bytes.as_slice()
    ];
    db.transact(Transaction::new().any(&CHECKPOINT_INSERT, values))
        .await?;
    Ok(())
}

/// A checkpoint from a row of the table.
pub(crate) fn checkpoint(row: &Row) -> Result<Checkpoint, Error> {
    let tree = Tree {
        size: size(row.integer("size")?)?,
        root: hash(row.bytes("root")?)?,
    };
    let signature = Signature {
        time: Timestamp::from_millis(row.integer("time")?),
        public_key: hash(row.bytes("public_key")?)?,
        bytes: row.bytes("signature")?.to_vec(),
    };
    Ok(Checkpoint { tree, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_a_c2sp_checkpoint() {
        let tree = Tree {
            size: 7,
            root: [0; 32],
        };
        let expected = "coffer/vault\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        assert_eq!(checkpoint_text("vault", &tree), expected);
    }
}
