//! How much each account may have opened and looked up per hour.
//!
//! Counted in blocks that are reserved durably before any of them is used, by all key servers in the same rows: after a
//! crash a block counts as used up, so the count is never too low.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use coffer_core::Timestamp;
use coffer_db::{Database, Expect, Transaction, params};
use coffer_net::contract::Place;

use crate::{
    Error, Settings,
    hierarchy::place_params,
    store::{BUDGET_PRUNE, BUDGET_RESERVE},
};

/// Uses reserved at a time.
const BLOCK: i64 = 256;
const HOUR_MS: i64 = 60 * 60 * 1000;
/// Accounts, modes and purposes remembered before those of past hours are forgotten.
const BLOCKS_MAX: usize = 65_536;
/// How long rows are kept, as the measure of what is usual for an account.
const KEPT_HOURS: i64 = 40 * 24;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Opening a record.
    Open,
    /// Asking for a fingerprint.
    Fingerprint,
}

impl Purpose {
    /// The word used in SQL and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Fingerprint => "fingerprint",
        }
    }
}

/// Whether one use was within the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was, and is counted.
    Within,
    /// It was not. `first` tells that nobody was told so in this hour yet.
    Beyond {
        /// Alert now.
        first: bool,
    },
}

/// The part of a block that is left.
#[derive(Default)]
struct Block {
    hour: i64,
    left: i64,
    alerted: bool,
}

type Blocks = HashMap<(Place, Purpose), Arc<tokio::sync::Mutex<Block>>>;

/// The budgets of all accounts.
pub(crate) struct Budget {
    open_per_hour: i64,
    fingerprint_per_hour: i64,
    blocks: Mutex<Blocks>,
}

impl Budget {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            open_per_hour: settings.open_per_hour,
            fingerprint_per_hour: settings.fingerprint_per_hour,
            blocks: Mutex::default(),
        }
    }

    /// Counts one use, if it is within the budget.
    pub(crate) async fn take(
        &self,
        db: &Database,
        place: Place,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Taken, Error> {
        let hour = hour(now);
        let block = self.block(place, purpose, hour);
        // Held while a new block is reserved, so that only one is, and nobody is refused meanwhile.
        let mut block = block.lock().await;
        if block.hour != hour {
            *block = Block {
                hour,
                ..Block::default()
            };
        }
        if block.left == 0 {
            // Rare, and large: callers should not have to carry it.
            block.left = Box::pin(self.reserve(db, place, purpose, hour)).await?;
        }
        if block.left == 0 {
            let first = !std::mem::replace(&mut block.alerted, true);
            return Ok(Taken::Beyond { first });
        }
        block.left -= 1;
        Ok(Taken::Within)
    }

    /// Takes back one use that certainly came to nothing.
    pub(crate) async fn give_back(&self, place: Place, purpose: Purpose, now: Timestamp) {
        let block = self.block(place, purpose, hour(now));
        let mut block = block.lock().await;
        if block.hour == hour(now) {
            block.left += 1;
        }
    }

    /// Deletes rows that are too old to tell anything.
    pub(crate) async fn prune(db: &Database, now: Timestamp) -> Result<(), Error> {
        db.transact(
            Transaction::new().any(&BUDGET_PRUNE, params![hour(now).saturating_sub(KEPT_HOURS)]),
        )
        .await?;
        Ok(())
    }

    /// How many more uses are reserved; 0 beyond the ceiling.
    async fn reserve(
        &self,
        db: &Database,
        place: Place,
        purpose: Purpose,
        hour: i64,
    ) -> Result<i64, Error> {
        let ceiling = self.ceiling(purpose);
        if ceiling <= 0 {
            return Ok(0);
        }
        let mut values = place_params(place);
        values.extend(params![purpose.as_str(), hour, BLOCK.min(ceiling), ceiling]);
        let steps = Transaction::new().then(&BUDGET_RESERVE, values, Expect::AtMost(1));
        let outcome = db.transact(steps).await?;
        Ok(outcome
            .first(&BUDGET_RESERVE)
            .map(|row| row.integer("granted"))
            .transpose()?
            .unwrap_or(0))
    }

    const fn ceiling(&self, purpose: Purpose) -> i64 {
        match purpose {
            Purpose::Open => self.open_per_hour,
            Purpose::Fingerprint => self.fingerprint_per_hour,
        }
    }

    fn block(&self, place: Place, purpose: Purpose, hour: i64) -> Arc<tokio::sync::Mutex<Block>> {
        let mut blocks = coffer_net::lock(&self.blocks);
        if blocks.len() >= BLOCKS_MAX && !blocks.contains_key(&(place, purpose)) {
            forget(&mut blocks, hour);
        }
        blocks.entry((place, purpose)).or_default().clone()
    }
}

const fn hour(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(HOUR_MS)
}

/// Makes room. What is forgotten counts as used; one that is locked is in use, and so of this hour.
fn forget(blocks: &mut Blocks, hour: i64) {
    blocks.retain(|_, block| block.try_lock().map_or(true, |block| block.hour == hour));
    if blocks.len() >= BLOCKS_MAX {
        blocks.clear();
    }
}
