//! Retention: what is older than some months loses its contents. The hashes stay in the tiles, so that all that is left, and
//! every head that was ever signed, verifies as before.
//!
//! An entry says what will go; a day after it the contents go, the oldest first. The newest entry that is old enough stays,
//! and proves by its time that those before it were.

use coffer_core::{Malformed, Timestamp, id::LeafId, time::DAY_MS};
use coffer_db::{Database, Transaction, params};
use serde::Deserialize;

use crate::{
    Actor, ActorKind, Audit, Entry, Error, Fault, Hash,
    leaf::Leaf,
    log::{size, stored},
    pack::read,
    sequencer::leaf,
    store::{
        CHECKPOINT_PRUNE, LEAF_OLD, LEAF_PAGE, LEAF_PRUNE, RETENTION_ANNOUNCE, RETENTION_READ,
    },
};

/// What the announcing entry says was done.
const PRUNE: &str = "audit.prune";
/// How it names the number of entries before which nothing stays.
const ENTRIES: &str = "entries=";
/// So long after the announcement, and before the next: no verification takes so long that it could miss the one and find
/// contents gone by it.
const NOTICE_MS: i64 = DAY_MS;
/// Entries pruned by one transaction.
const STEP_MAX: i64 = 2_000;
/// No month is longer.
const MONTH_MS: i64 = 31 * DAY_MS;
/// Twelve months, as a verification counts them.
const YEAR_MS: i64 = 365 * DAY_MS;

/// How many months contents are kept: at least twelve (PCI DSS 10.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Retention(u8);

impl Retention {
    /// The fewest months.
    pub const MONTHS_MIN: u8 = 12;
    /// The most.
    pub const MONTHS_MAX: u8 = 120;

    fn begin(self, now: Timestamp) -> Timestamp {
        now.plus_millis(MONTH_MS.saturating_mul(i64::from(self.0)).saturating_neg())
    }
}

impl TryFrom<u8> for Retention {
    type Error = Malformed;

    fn try_from(months: u8) -> Result<Self, Malformed> {
        if (Self::MONTHS_MIN..=Self::MONTHS_MAX).contains(&months) {
            Ok(Self(months))
        } else {
            Err(Malformed {
                expected: "a number of months from 12 to 120",
            })
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self(13)
    }
}

impl Audit {
    /// One step of pruning, to be made every few seconds: announces what is over, or prunes some of what was announced. The
    /// answer is how many entries lost their contents.
    ///
    /// # Errors
    /// `Store`, or `Unavailable` without randomness.
    pub async fn retain(
        &self,
        db: &Database,
        keep: Retention,
        now: Timestamp,
        id: LeafId,
    ) -> Result<u64, Error> {
        let Some(row) = db.read_optional(&RETENTION_READ, params![]).await? else {
            return Ok(0);
        };
        let Some(first) = row.optional_integer("first")? else {
            return Ok(0);
        };
        let announced = row.optional_integer("entries")?.unwrap_or(0);
        let noticed = row
            .optional_integer("announced")?
            .is_none_or(|at| now.since(Timestamp::from_millis(at)) >= NOTICE_MS);
        if !noticed || !self.leads(db, now).await? {
            return Ok(0);
        }
        if first >= announced {
            self.announce(db, (first, keep.begin(now)), now, id).await?;
        } else if row.optional_integer("place")?.is_some() {
            return prune(db, first.saturating_add(STEP_MAX).min(announced)).await;
        }
        Ok(0)
    }

    async fn announce(
        &self,
        db: &Database,
        (first, begin): (i64, Timestamp),
        now: Timestamp,
        id: LeafId,
    ) -> Result<(), Error> {
        let oldest = LeafId::from_parts(begin, [0; 10]).to_string();
        let Some(row) = db.read_optional(&LEAF_OLD, params![oldest]).await? else {
            return Ok(());
        };
        let entries = row.integer("sequence")?;
        if entries <= first {
            return Ok(());
        }
        let actor = Actor::new(ActorKind::System, &self.holder);
        let entry = Entry::new(actor, PRUNE).object(format_args!("{ENTRIES}{entries}"));
        let announcement = params![entries, id.to_string(), now.as_millis()];
        let steps = self
            .leaf(now, id, entry)?
            .one(&RETENTION_ANNOUNCE, announcement);
        db.transact(steps).await?;
        Ok(())
    }
}

async fn prune(db: &Database, before: i64) -> Result<u64, Error> {
    let steps = Transaction::new()
        .any(&LEAF_PRUNE, params![before])
        .any(&CHECKPOINT_PRUNE, params![before]);
    Ok(db.transact(steps).await?.touched(&LEAF_PRUNE))
}

/// What a verification learns of entries without contents.
#[derive(Default)]
pub(crate) struct Pruned {
    /// What the store says was announced. It is believed when the log says so too.
    claimed: u64,
    /// The first entry without contents, and the end of them.
    absent: Option<(u64, u64)>,
    /// The announcement in the log that reaches furthest, and its time.
    announced: Option<(u64, Timestamp)>,
    /// The time of the first entry with contents.
    pub(crate) contents_from: Option<Timestamp>,
}

impl Pruned {
    pub(crate) async fn claimed(db: &Database) -> Result<Self, Error> {
        let row = db.read_optional(&RETENTION_READ, params![]).await?;
        let entries = match row {
            Some(row) => row.optional_integer("entries")?,
            None => None,
        };
        Ok(Self {
            claimed: size(entries.unwrap_or(0))?,
            ..Self::default()
        })
    }

    /// Entries before this one were without contents where the pass met them.
    pub(crate) fn end(&self) -> u64 {
        self.absent.map_or(0, |(_, end)| end)
    }

    /// The entry with this place is not there. The hash that its tile has of it counts, if it may be gone.
    pub(crate) fn absent(&mut self, sequence: u64, tile: Option<&Hash>) -> Option<Hash> {
        let hash = tile.filter(|_| sequence < self.claimed)?;
        let (first, _) = self.absent.unwrap_or((sequence, sequence));
        self.absent = Some((first, sequence.saturating_add(1)));
        Some(*hash)
    }

    /// An entry is there.
    pub(crate) fn present(&mut self, leaf: &Leaf) {
        let recorded = Timestamp::from_millis(leaf.recorded);
        self.contents_from.get_or_insert(recorded);
        // Announcements belong to no account.
        if !leaf.account.is_empty() {
            return;
        }
        let entries = read(recorded, &leaf.public).unwrap_or_default();
        let objects = entries
            .iter()
            .filter(|entry| entry.action == PRUNE)
            .flat_map(|entry| &entry.objects);
        let announced = objects
            .filter_map(|object| object.strip_prefix(ENTRIES)?.parse().ok())
            .map(|entries| (entries, recorded));
        self.announced = self.announced.max(announced.max());
    }

    /// What is wrong about the contents that are gone, after everything else was found right.
    pub(crate) async fn judge(
        &self,
        db: &Database,
        now: Timestamp,
    ) -> Result<Option<Fault>, Error> {
        let Some((first, end)) = self.absent else {
            return Ok(None);
        };
        let Some((entries, announced)) = self.announced.filter(|(entries, _)| end <= *entries)
        else {
            return Ok(Some(Fault::Missing { sequence: first }));
        };
        let place = params![stored(entries)?, stored(entries.saturating_add(1))?];
        let kept = db.read(&LEAF_PAGE, place).await?;
        let kept: Option<Leaf> = kept.first().map(leaf).transpose()?;
        let due = |kept: &Leaf| {
            announced <= now && announced.since(Timestamp::from_millis(kept.recorded)) >= YEAR_MS
        };
        Ok((!kept.as_ref().is_some_and(due)).then_some(Fault::Pruned { entries }))
    }
}
