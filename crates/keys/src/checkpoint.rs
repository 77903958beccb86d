//! Signing the heads of the roles' logs. What was signed is remembered, and a log that does not continue it is refused:
//! whoever owns a role's machine cannot rewrite its past.

use coffer_audit::{
    Entry, Growth, Notary, Signature, checkpoint_text, merkle::Tree, merkle::consistent,
};
use coffer_crypto::VerifyingKey;
use coffer_db::{Database, Transaction, params};
use coffer_net::contract::{
    Peer, Refusal, Role,
    keys::{RememberedCheckpoint, SignCheckpoint, SignedCheckpoint, SignedHead, SignedHeads},
};

use crate::{
    Error, Keys,
    custody::{Unsealed, local},
    root::ROOT_VERSION,
    store::{
        AUTHORITY_READ, REMEMBERED_ADVANCE, REMEMBERED_FORGET, REMEMBERED_INSERT, REMEMBERED_READ,
    },
};

/// The key that checkpoints of all logs are verified with; known while sealed too.
///
/// # Errors
/// `NotInitialised`, or `Unavailable` when the store cannot serve.
pub async fn checkpoint_key(db: &Database) -> Result<VerifyingKey, Error> {
    let row = db
        .read_optional(&AUTHORITY_READ, params![ROOT_VERSION])
        .await?
        .ok_or(Error::NotInitialised)?;
    Ok(VerifyingKey::from_slice(row.bytes("checkpoint_public")?)?)
}

/// What was signed last for the log of this role; the empty tree when nothing was.
///
/// # Errors
/// `Unavailable` when the store cannot serve.
pub async fn remembered(db: &Database, log: Role) -> Result<Tree, Error> {
    let Some(row) = db
        .read_optional(&REMEMBERED_READ, params![log.as_str()])
        .await?
    else {
        return Ok(Tree::empty());
    };
    let damaged = |_| Error::Defect("a remembered checkpoint is damaged".to_owned());
    let size = u64::try_from(row.integer("size")?).map_err(damaged)?;
    let root = <[u8; 32]>::try_from(row.bytes("root")?)
        .map_err(|_| Error::Defect("a remembered checkpoint is damaged".to_owned()))?;
    Ok(Tree { size, root })
}

impl Keys {
    /// As [`remembered`].
    ///
    /// # Errors
    /// As [`remembered`].
    pub async fn remembered(&self, log: Role) -> Result<Tree, Error> {
        remembered(self.db(), log).await
    }

    /// Goes on from a log as a backup had it, which is another one than was signed: the operator restored that role's store.
    /// What was remembered before goes on record here, so that a log that was cut under this name can be told.
    ///
    /// # Errors
    /// `Sealed`; `Unavailable` when the store cannot serve.
    pub async fn accept_restore(&self, log: Role, size: u64, root: [u8; 32]) -> Result<(), Error> {
        self.unsealed()?;
        let before = self.remembered(log).await?;
        let now = self.clock().now().as_millis();
        let stored =
            i64::try_from(size).map_err(|_| Error::Refused(Refusal::CheckpointInconsistent))?;
        let mut steps = Transaction::new().any(&REMEMBERED_FORGET, params![log.as_str()]);
        if size > 0 {
            steps = steps.one(&REMEMBERED_INSERT, params![log.as_str(), stored, root, now]);
        }
        let entry = Entry::new(local(), "log.accept_restore")
            .object(log)
            .object(format_args!("before={}", before.size))
            .object(format_args!("now={size}"));
        self.commit(steps, entry).await?;
        tracing::warn!(
            log = log.as_str(),
            checkpoint.remembered = before.size,
            checkpoint.size = size,
            "a restored log was accepted"
        );
        Ok(())
    }

    pub(crate) async fn sign_head(
        &self,
        peer: &Peer,
        request: SignCheckpoint,
    ) -> Result<SignedCheckpoint, Error> {
        let unsealed = self.unsealed()?;
        let tree = Tree {
            size: request.size,
            root: request.root,
        };
        let growth = Growth {
            tree,
            from_size: request.from_size,
            consistency: request.consistency,
        };
        let signature = self.sign(&unsealed, peer.role, &growth).await?;
        Ok(on_link(signature))
    }

    /// The heads of all logs as they were signed last, for whoever keeps them elsewhere.
    pub(crate) async fn heads(&self) -> Result<SignedHeads, Error> {
        let unsealed = self.unsealed()?;
        let mut heads = Vec::new();
        for log in [Role::Keys, Role::Vault, Role::Api] {
            let tree = self.remembered(log).await?;
            if tree.size > 0 {
                let signed = on_link(self.signature(&unsealed, log, &tree));
                let Tree { size, root } = tree;
                let head = RememberedCheckpoint { size, root };
                heads.push(SignedHead { log, head, signed });
            }
        }
        Ok(SignedHeads { heads })
    }

    pub(crate) async fn remembered_by(&self, peer: &Peer) -> Result<RememberedCheckpoint, Error> {
        let Tree { size, root } = self.remembered(peer.role).await?;
        Ok(RememberedCheckpoint { size, root })
    }

    /// Signs and stores the head of this role's own log, if it has grown.
    pub(crate) async fn checkpoint_own(&self, unsealed: &Unsealed) -> Result<(), Error> {
        self.audit()
            .checkpoint(
                self.db(),
                &Own {
                    keys: self,
                    unsealed,
                },
                self.clock().now(),
            )
            .await?;
        Ok(())
    }

    async fn sign(
        &self,
        unsealed: &Unsealed,
        log: Role,
        growth: &Growth,
    ) -> Result<Signature, Error> {
        let before = self.remembered(log).await?;
        let tree = growth.tree;
        if growth.from_size != before.size
            || tree.size == 0
            || !consistent(&before, &tree, &growth.consistency)
        {
            tracing::warn!(
                log = log.as_str(),
                checkpoint.size = tree.size,
                checkpoint.remembered = before.size,
                "a log does not continue its last checkpoint"
            );
            return Err(Refusal::CheckpointInconsistent.into());
        }
        // Remembered before it is signed: two logs of the same size can never both be signed.
        self.remember(log, &before, &tree).await?;
        Ok(self.signature(unsealed, log, &tree))
    }

    fn signature(&self, unsealed: &Unsealed, log: Role, tree: &Tree) -> Signature {
        let text = checkpoint_text(log.as_str(), tree);
        Signature {
            time: self.clock().now(),
            public_key: *unsealed.signing.public().as_bytes(),
            bytes: unsealed.signing.sign(text.as_bytes()).to_vec(),
        }
    }

    async fn remember(&self, log: Role, before: &Tree, tree: &Tree) -> Result<(), Error> {
        let stored = |size: u64| {
            i64::try_from(size).map_err(|_| Error::Refused(Refusal::CheckpointInconsistent))
        };
        let (log, size, time) = (
            log.as_str(),
            stored(tree.size)?,
            self.clock().now().as_millis(),
        );
        let steps = if before.size == 0 {
            Transaction::new().one(&REMEMBERED_INSERT, params![log, size, tree.root, time])
        } else {
            let values = params![
                log,
                stored(before.size)?,
                before.root,
                size,
                tree.root,
                time
            ];
            Transaction::new().one(&REMEMBERED_ADVANCE, values)
        };
        self.db()
            .transact(steps)
            .await
            .map(|_| ())
            .map_err(|error| {
                let raced = error.is_conflict_at(&REMEMBERED_INSERT)
                    || error.is_conflict_at(&REMEMBERED_ADVANCE);
                if raced {
                    Refusal::CheckpointInconsistent.into()
                } else {
                    error.into()
                }
            })
    }
}

fn on_link(signature: Signature) -> SignedCheckpoint {
    let Signature {
        time,
        public_key,
        bytes: signature,
    } = signature;
    SignedCheckpoint {
        time,
        public_key,
        signature,
    }
}

/// This role as the notary of its own log.
struct Own<'k> {
    keys: &'k Keys,
    unsealed: &'k Unsealed,
}

impl Notary for Own<'_> {
    type Error = Error;

    async fn remembered(&self) -> Result<u64, Error> {
        Ok(self.keys.remembered(Role::Keys).await?.size)
    }

    async fn sign(&self, growth: Growth) -> Result<Signature, Error> {
        self.keys.sign(self.unsealed, Role::Keys, &growth).await
    }
}
