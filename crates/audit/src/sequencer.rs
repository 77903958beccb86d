//! The sequencer: gives unsequenced leaves their place in the tree, in the order of their ids.
//!
//! The lease spares other nodes the work; what keeps the tree whole is that the head must still be the one read.

use coffer_core::Timestamp;
use coffer_db::{Conflict, Database, Error as StoreError, Expect, Row, Transaction, params};

use crate::{
    Audit, Error,
    edge::{Edge, Tile},
    leaf::Leaf,
    log::stored,
    store::{HEAD_ADVANCE, HEAD_FIRST, LEAF_SEQUENCE, LEAF_UNSEQUENCED, LEASE_TAKE, TILE_WRITE},
    tiles,
};

/// Leaves chained by one transaction.
const BATCH_MAX: usize = 1000;
/// Transactions of one pass; what is left waits for the next.
const BATCHES_MAX: usize = 32;
/// How long a sequencer that died keeps others waiting.
const LEASE_MS: i64 = 5_000;

impl Audit {
    /// One pass, to be made about once a second. The answer is how many leaves were sequenced: none when another node
    /// holds the lease.
    ///
    /// # Errors
    /// `Store`, or `Damaged` when the tree cannot be continued.
    pub async fn sequence(&self, db: &Database, now: Timestamp) -> Result<u64, Error> {
        let mut sequenced = 0_u64;
        for _ in 0..BATCHES_MAX {
            let batch = self.batch(db, now).await?;
            sequenced = sequenced.saturating_add(u64::try_from(batch).unwrap_or(u64::MAX));
            if batch < BATCH_MAX {
                break;
            }
        }
        Ok(sequenced)
    }

    async fn batch(&self, db: &Database, now: Timestamp) -> Result<usize, Error> {
        let limit = i64::try_from(BATCH_MAX).unwrap_or(i64::MAX);
        let rows = db.read(&LEAF_UNSEQUENCED, params![limit]).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let leaves = rows
            .iter()
            .map(leaf)
            .collect::<Result<Vec<Leaf>, Error>>()?;
        let before = Self::head(db).await?.tree;
        let mut edge = tiles::edge(db, before.size).await?;
        if edge.root() != before.root {
            return Err(Error::Damaged(
                "the tree's right edge does not give its root",
            ));
        }
        let chained = chain(&leaves, &mut edge)?;
        let steps = self
            .lease(now)
            .append(advance(before.size, &edge, now)?)
            .append(chained);
        match db.transact(steps).await {
            Ok(_) => Ok(leaves.len()),
            // Another node was first: it holds the lease, it has moved the head, or it had placed these leaves before the
            // head was read here.
            Err(StoreError::Conflict(conflict)) if is_race(&conflict) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this node is the one that works on the log now.
    pub(crate) async fn leads(&self, db: &Database, now: Timestamp) -> Result<bool, Error> {
        match db.transact(self.lease(now)).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict(conflict)) if is_race(&conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn lease(&self, now: Timestamp) -> Transaction {
        let until = now.plus_millis(LEASE_MS).as_millis();
        Transaction::new().one(&LEASE_TAKE, params![&self.holder, now.as_millis(), until])
    }
}

/// A leaf from a row of the table.
pub(crate) fn leaf(row: &Row) -> Result<Leaf, Error> {
    Ok(Leaf {
        id: row.text("leaf")?.to_owned(),
        recorded: row.integer("recorded")?,
        account: row.text("account")?.to_owned(),
        public: row.bytes("public")?.to_vec(),
        personal_digest: row.bytes("personal_digest")?.to_vec(),
        sealed: row.optional_bytes("sealed")?.map(<[u8]>::to_vec),
    })
}

fn advance(from: u64, edge: &Edge, now: Timestamp) -> Result<Transaction, Error> {
    let (size, root, time) = (stored(edge.size())?, edge.root(), now.as_millis());
    Ok(if from == 0 {
        Transaction::new().one(&HEAD_FIRST, params![size, root, time])
    } else {
        Transaction::new().one(&HEAD_ADVANCE, params![stored(from)?, size, root, time])
    })
}

/// Appends the leaves to the edge; the steps that store their places and the tiles that changed.
fn chain(leaves: &[Leaf], edge: &mut Edge) -> Result<Transaction, Error> {
    let mut steps = Transaction::new();
    for leaf in leaves {
        let sequence = stored(edge.size())?;
        steps.push(
            &LEAF_SEQUENCE,
            params![&leaf.id, sequence],
            Expect::Exactly(1),
        );
        for tile in edge.push(leaf.hash()) {
            write(&mut steps, &tile)?;
        }
    }
    for tile in edge.partial() {
        write(&mut steps, &tile)?;
    }
    Ok(steps)
}

fn write(steps: &mut Transaction, tile: &Tile) -> Result<(), Error> {
    let values = params![tile.level, stored(tile.index)?, tiles::encode(&tile.hashes)];
    steps.push(&TILE_WRITE, values, Expect::Exactly(1));
    Ok(())
}

fn is_race(conflict: &Conflict) -> bool {
    [
        LEASE_TAKE.name,
        HEAD_ADVANCE.name,
        HEAD_FIRST.name,
        LEAF_SEQUENCE.name,
    ]
    .contains(&conflict.statement)
}
