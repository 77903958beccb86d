//! What other nodes must hear of at once: a list written in the causing transactions, polled by every node.
//!
//! A node that could not poll for a second does not trust its caches.

use std::sync::atomic::{AtomicI64, Ordering};

use coffer_core::Timestamp;
use coffer_db::{Database, Transaction, params};

use crate::{Engine, Error, rows, store::accounts as sql};

/// How old the last poll may be before caches are bypassed.
const FRESH_MS: i64 = 1_000;

/// How long the list is kept; a node that was away for longer begins anew.
pub(crate) const CHANGES_KEPT_MS: i64 = 60 * 60 * 1000;

/// How far this node has read, and when.
pub(crate) struct Changes {
    seen: AtomicI64,
    polled: AtomicI64,
}

impl Changes {
    pub(crate) async fn open(db: &Database, now: Timestamp) -> Result<Self, Error> {
        let last = db
            .read_optional(&sql::CHANGES_LAST, params![])
            .await?
            .ok_or(Error::Defect)?;
        Ok(Self {
            seen: AtomicI64::new(last.integer("last")?),
            polled: AtomicI64::new(now.as_millis()),
        })
    }

    /// Whether caches may be trusted.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.polled.load(Ordering::Acquire))) <= FRESH_MS
    }
}

impl Engine {
    /// The steps that tell every node that this object changed. They lock a counter that all accounts share, so they come
    /// at the close of a transaction, after its events.
    pub(crate) fn changed(&self, kind: &str, id: &str) -> Transaction {
        Transaction::new().closing(self.changed_at_once(kind, id))
    }

    /// As [`Self::changed`], for what should hold that lock from here on.
    pub(crate) fn changed_at_once(&self, kind: &str, id: &str) -> Transaction {
        let now = self.now().as_millis();
        Transaction::new()
            .one(&sql::CHANGE_COUNT, params![])
            .one(&sql::CHANGE_INSERT, params![kind, id, now])
    }

    /// Takes in what changed since the last poll.
    pub(crate) async fn poll_changes(&self) -> Result<(), Error> {
        let asked = self.now().as_millis();
        let polled = Timestamp::from_millis(self.0.changes.polled.load(Ordering::Acquire));
        if Timestamp::from_millis(asked).since(polled) >= CHANGES_KEPT_MS / 2 {
            // What changed since the last poll may have been pruned without a trace.
            self.forget_all();
        }
        let seen = self.0.changes.seen.load(Ordering::Acquire);
        let (mut expected, mut blocks) = (seen, false);
        for row in self.db().read(&sql::CHANGES_AFTER, params![seen]).await? {
            let sequence = row.integer("sequence")?;
            expected = expected.saturating_add(1);
            if sequence != expected {
                // Pruned before this node read it: what is cached may be wrong.
                self.forget_all();
                (expected, blocks) = (sequence, true);
            }
            match row.text("kind")? {
                "api_key" => self.0.key_cache.forget(rows::word(&row, "id")?),
                "access_token" => self.0.token_cache.forget(rows::word(&row, "id")?),
                "signing_key" => self.0.verifiers.forget(rows::word(&row, "id")?),
                "block" => blocks = true,
                _ => {}
            }
            self.0.changes.seen.store(sequence, Ordering::Release);
        }
        if blocks {
            self.load_blocks().await?;
        }
        self.0.changes.polled.store(asked, Ordering::Release);
        Ok(())
    }

    fn forget_all(&self) {
        self.0.key_cache.forget_all();
        self.0.token_cache.forget_all();
        self.0.verifiers.forget_all();
    }
}
