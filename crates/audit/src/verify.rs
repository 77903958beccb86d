//! Verification: recomputes the whole log from its leaves and compares it with everything that was stored and signed.
//!
//! It needs no key and no role: only the store and, to trust the signatures, the notary's public key. It may run beside
//! the sequencer. The first bad record is named.

use coffer_core::Timestamp;
use coffer_crypto::VerifyingKey;
use coffer_db::{Database, Row, params};

use crate::{
    Audit, Checkpoint, Error, Hash, checkpoint, checkpoint_text,
    edge::{Edge, TILE_HASHES, Tile},
    fault::Fault,
    leaf::Leaf,
    log::{size, stored},
    merkle::Tree,
    retention::Pruned,
    sequencer::leaf,
    store::{CHECKPOINT_LAST, CHECKPOINT_PAGE, LEAF_COUNTS, LEAF_PAGE},
    tiles,
};

const CHECKPOINTS_PAGE: i64 = 1000;

/// What the verifier knows from elsewhere.
pub struct Trust<'a> {
    /// Whose log it is, as checkpoints name it.
    pub role: &'a str,
    /// The notary's key; without it signatures are not checked.
    pub public_key: Option<VerifyingKey>,
    /// What the notary remembers of this log; without it a log rolled back as a whole looks whole.
    pub remembered: Option<Tree>,
    /// The role's own handle; without it sealed personal values are not checked.
    pub audit: Option<&'a Audit>,
    /// What time it is: nothing can have been pruned later.
    pub now: Timestamp,
}

/// What the verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The log as its head says.
    pub tree: Tree,
    /// Entries that wait for their place; more than a second's worth means that no sequencer runs.
    pub unsequenced: u64,
    /// Checkpoints that were checked.
    pub checkpoints: u64,
    /// The first entries, which were pruned: their hashes were checked, their contents are gone.
    pub pruned: u64,
    /// When the first entry was recorded whose contents were checked.
    pub contents_from: Option<Timestamp>,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

/// Verifies the log of one database.
///
/// # Errors
/// `Store`; `Damaged` when a stored value is so broken that it cannot be read, which is a finding too.
pub async fn verify(db: &Database, trust: &Trust<'_>) -> Result<Verdict, Error> {
    // The head is read last, so that whatever was read before it must be within it.
    let counts = db
        .read_optional(&LEAF_COUNTS, params![])
        .await?
        .ok_or(Error::Damaged("leaves cannot be counted"))?;
    let signed = last_signed(db, trust).await?;
    let tree = Audit::head(db).await?.tree;
    let mut verdict = Verdict {
        tree,
        unsequenced: size(counts.integer("unsequenced")?)?,
        checkpoints: 0,
        pruned: 0,
        contents_from: None,
        fault: None,
    };
    if signed > tree.size {
        verdict.fault = Some(Fault::Cut {
            size: tree.size,
            signed,
        });
        return Ok(verdict);
    }
    let mut scan = Scan::new(db, trust, tree, Pruned::claimed(db).await?);
    let found = scan.run().await?;
    verdict.checkpoints = scan.checked;
    verdict.pruned = scan.pruned.end();
    verdict.contents_from = scan.pruned.contents_from;
    verdict.fault = found.or(outside(&counts, tree.size)?);
    Ok(verdict)
}

async fn last_signed(db: &Database, trust: &Trust<'_>) -> Result<u64, Error> {
    let stored = match db.read_optional(&CHECKPOINT_LAST, params![]).await? {
        Some(row) => size(row.integer("size")?)?,
        None => 0,
    };
    Ok(trust
        .remembered
        .map_or(stored, |remembered| remembered.size.max(stored)))
}

/// The sequenced leaf that no pass over the log would meet.
fn outside(counts: &Row, size: u64) -> Result<Option<Fault>, Error> {
    let first = counts.optional_integer("first")?.filter(|first| *first < 0);
    let end = stored(size)?;
    let last = counts.optional_integer("last")?.filter(|last| *last >= end);
    Ok(first.or(last).map(|sequence| Fault::Outside { sequence }))
}

/// One pass over the leaves.
struct Scan<'a> {
    db: &'a Database,
    trust: &'a Trust<'a>,
    head: Tree,
    edge: Edge,
    /// The first leaf that is not in its tile. Which of the two is wrong, the roots will tell.
    suspect: Option<(u64, String)>,
    pruned: Pruned,
    checkpoints: Checkpoints<'a>,
    checked: u64,
    agreed: u64,
}

impl<'a> Scan<'a> {
    const fn new(db: &'a Database, trust: &'a Trust<'a>, head: Tree, pruned: Pruned) -> Self {
        Self {
            db,
            trust,
            head,
            edge: Edge::empty(),
            suspect: None,
            pruned,
            checkpoints: Checkpoints::new(db),
            checked: 0,
            agreed: 0,
        }
    }

    async fn run(&mut self) -> Result<Option<Fault>, Error> {
        while self.edge.size() < self.head.size {
            if let Some(fault) = self.tile().await? {
                return Ok(Some(fault));
            }
        }
        if self.edge.root() != self.head.root {
            return Ok(Some(self.blame(Fault::Head {
                size: self.head.size,
            })));
        }
        if let Some((sequence, _)) = self.suspect {
            return Ok(Some(Fault::Tile {
                level: 0,
                index: sequence / tile_hashes(),
            }));
        }
        for tile in self.edge.partial() {
            if let Some(fault) = self.compare(&tile).await? {
                return Ok(Some(fault));
            }
        }
        self.pruned.judge(self.db, self.trust.now).await
    }

    /// Checks the leaves of one tile of level 0.
    async fn tile(&mut self) -> Result<Option<Fault>, Error> {
        let start = self.edge.size();
        let end = start.saturating_add(tile_hashes()).min(self.head.size);
        let rows = self
            .db
            .read(&LEAF_PAGE, params![stored(start)?, stored(end)?])
            .await?;
        let recorded = tiles::tile(self.db, 0, start / tile_hashes()).await?;
        let mut rows = rows.iter().peekable();
        for (offset, sequence) in (start..end).enumerate() {
            let row = rows.next_if(|row| {
                row.integer("sequence").ok().and_then(|at| size(at).ok()) == Some(sequence)
            });
            let recorded = recorded.get(offset);
            let fault = match row {
                Some(row) => self.entry(sequence, leaf(row)?, recorded).await?,
                None => match self.pruned.absent(sequence, recorded) {
                    Some(hash) => self.push(hash).await?,
                    None => Some(Fault::Missing { sequence }),
                },
            };
            if fault.is_some() {
                return Ok(fault);
            }
        }
        Ok(None)
    }

    async fn entry(
        &mut self,
        sequence: u64,
        leaf: Leaf,
        recorded: Option<&Hash>,
    ) -> Result<Option<Fault>, Error> {
        let hash = leaf.hash();
        self.pruned.present(&leaf);
        if recorded != Some(&hash) && self.suspect.is_none() {
            self.suspect = Some((sequence, leaf.id.clone()));
        }
        let key = self.trust.audit.and_then(Audit::key);
        if self.suspect.is_none() && key.is_some_and(|key| !leaf.personal_is_whole(key)) {
            return Ok(Some(Fault::Personal {
                sequence,
                leaf: leaf.id,
            }));
        }
        self.push(hash).await
    }

    async fn push(&mut self, hash: Hash) -> Result<Option<Fault>, Error> {
        for tile in self.edge.push(hash).iter().filter(|tile| tile.level > 0) {
            if let Some(fault) = self.compare(tile).await? {
                return Ok(Some(self.blame(fault)));
            }
        }
        self.signed().await
    }

    /// A stored tile must hold these hashes; it may hold more, which were added since.
    async fn compare(&self, tile: &Tile) -> Result<Option<Fault>, Error> {
        let recorded = tiles::tile(self.db, tile.level, tile.index).await?;
        let fault = Fault::Tile {
            level: tile.level,
            index: tile.index,
        };
        Ok((!recorded.starts_with(&tile.hashes)).then_some(fault))
    }

    /// Checks what was signed at the size that the pass has reached.
    async fn signed(&mut self) -> Result<Option<Fault>, Error> {
        let size = self.edge.size();
        let contradicted = Fault::Contradicted {
            size,
            after: self.agreed,
        };
        while let Some(checkpoint) = self.checkpoints.due(size).await? {
            self.checked = self.checked.saturating_add(1);
            if self.forged(&checkpoint) {
                return Ok(Some(Fault::Forged {
                    size: checkpoint.tree.size,
                }));
            }
            if checkpoint.tree
                != (Tree {
                    size,
                    root: self.edge.root(),
                })
            {
                return Ok(Some(self.blame(contradicted)));
            }
            self.agreed = size;
        }
        let remembered = self
            .trust
            .remembered
            .filter(|remembered| remembered.size == size);
        let forgotten = remembered.is_some_and(|remembered| remembered.root != self.edge.root());
        Ok(forgotten.then(|| self.blame(contradicted)))
    }

    fn forged(&self, checkpoint: &Checkpoint) -> bool {
        let Checkpoint { tree, signature } = checkpoint;
        let text = checkpoint_text(self.trust.role, tree);
        self.trust.public_key.is_some_and(|key| {
            *key.as_bytes() != signature.public_key
                || key.verify(text.as_bytes(), &signature.bytes).is_err()
        })
    }

    /// The leaf that is not in its tile, if there was one before, is the cause of a root that does not fit.
    fn blame(&self, fault: Fault) -> Fault {
        match &self.suspect {
            Some((sequence, leaf)) => Fault::Changed {
                sequence: *sequence,
                leaf: leaf.clone(),
            },
            None => fault,
        }
    }
}

/// The stored checkpoints, by size.
struct Checkpoints<'a> {
    db: &'a Database,
    /// Those to come, the next one last.
    queue: Vec<Checkpoint>,
    after: i64,
    exhausted: bool,
}

impl<'a> Checkpoints<'a> {
    const fn new(db: &'a Database) -> Self {
        Self {
            db,
            queue: Vec::new(),
            after: i64::MIN,
            exhausted: false,
        }
    }

    /// The next one, if it is due at this size.
    async fn due(&mut self, size: u64) -> Result<Option<Checkpoint>, Error> {
        if self.queue.is_empty() && !self.exhausted {
            self.page().await?;
        }
        Ok(self.queue.pop_if(|next| next.tree.size <= size))
    }

    async fn page(&mut self) -> Result<(), Error> {
        let rows = self
            .db
            .read(&CHECKPOINT_PAGE, params![self.after, CHECKPOINTS_PAGE])
            .await?;
        self.queue = rows
            .iter()
            .rev()
            .map(checkpoint::checkpoint)
            .collect::<Result<_, Error>>()?;
        match self.queue.first() {
            Some(last) => self.after = stored(last.tree.size)?,
            None => self.exhausted = true,
        }
        Ok(())
    }
}

fn tile_hashes() -> u64 {
    u64::try_from(TILE_HASHES).unwrap_or(u64::MAX)
}
