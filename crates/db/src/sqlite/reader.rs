//! A few read-only connections, used inline.
//!
//! A point read takes a few microseconds, less than handing it to another thread and back, so it runs on the
//! caller's own thread. A long list is read in pages, so none holds that thread for long.
//!
//! To begin and end a snapshot costs as much as a point read itself: locks of the file, of which other processes know too. So
//! where nobody else writes, a connection keeps its snapshot from one read to the next for as long as nothing is written: the
//! writer has them all let go before it begins. It finds the log free of readers then, which is when SQLite can begin it anew.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::{Connection, OpenFlags};

use super::failure::{self, Place};
use super::proof::{Catalog, Entry};
use super::{run, settings};
use crate::health::Health;
use crate::{Error, Row, Statement, Unavailable, Value};

/// Reads at one time; a runtime rarely has more threads that do not wait for the network.
const READERS: usize = 4;
/// Statements of a connection besides the registered ones: the one that begins a snapshot.
const OWN_STATEMENTS: usize = 1;

/// What a read looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Snapshots {
    /// What is stored when it begins, whoever stored it.
    Own,
    /// What was stored when this database last wrote, as nobody else does. What another process did is seen a moment later.
    Kept,
}

/// A connection, until the database is closed.
type Slot = Mutex<Option<Connection>>;

pub(super) struct Readers {
    slots: [Slot; READERS],
    /// Whose turn it is to be waited for when all are busy.
    turn: AtomicUsize,
    snapshots: Snapshots,
    /// While something is written each read has a snapshot of its own.
    writing: AtomicBool,
    catalog: Arc<Catalog>,
    health: Arc<Health>,
}

impl Readers {
    pub(super) fn open(
        path: &Path,
        snapshots: Snapshots,
        catalog: Arc<Catalog>,
        health: Arc<Health>,
    ) -> Result<Self, Error> {
        let slots = [const { Mutex::new(None) }; READERS];
        for slot in &slots {
            *lock(slot) = Some(connect(path, catalog.len())?);
        }
        Ok(Self {
            slots,
            turn: AtomicUsize::new(0),
            snapshots,
            writing: AtomicBool::new(false),
            catalog,
            health,
        })
    }

    pub(super) fn read(
        &self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let entry = self.catalog.entry(statement)?;
        if !entry.proof.reads {
            return Err(Error::Defect(format!(
                "statement {} writes; it belongs in a transaction",
                statement.name
            )));
        }
        let slot = self.free_slot();
        let connection = slot.as_ref().ok_or(Unavailable::Closed)?;
        self.run(connection, entry, params).inspect_err(|error| {
            let_go(connection);
            self.health.failed(error);
        })
    }

    fn run(
        &self,
        connection: &Connection,
        entry: &Entry,
        params: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let place = Place {
            statement: entry.columns.statement,
            step: 0,
        };
        let failed = |error| failure::of_statement(&error, place);
        if self.keeps() && connection.is_autocommit() {
            let mut begin = connection.prepare_cached("BEGIN").map_err(failed)?;
            begin.raw_execute().map_err(failed)?;
        }
        let mut prepared = connection.prepare_cached(entry.sql).map_err(failed)?;
        let (_, rows) = run::run(&mut prepared, entry, params, place)?;
        Ok(rows)
    }

    /// Whether who holds a connection leaves it with its snapshot: the writer comes for it after it has said that it writes.
    fn keeps(&self) -> bool {
        self.snapshots == Snapshots::Kept && !self.writing.load(Ordering::SeqCst)
    }

    /// Has every snapshot let go, and none kept until what is returned is dropped.
    pub(super) fn pause(&self) -> Pause<'_> {
        self.writing.store(true, Ordering::SeqCst);
        for slot in &self.slots {
            lock(slot).as_ref().map(let_go);
        }
        Pause(self)
    }

    /// Waits for the reads that run, then lets the connections go.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            drop(lock(slot).take());
        }
    }

    /// The first that nobody uses, whose pages are still in memory; or else the one whose turn it is.
    fn free_slot(&self) -> MutexGuard<'_, Option<Connection>> {
        for slot in &self.slots {
            match slot.try_lock() {
                Ok(free) => return free,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % READERS;
        let [first, ..] = &self.slots;
        lock(self.slots.get(turn).unwrap_or(first))
    }
}

/// Something is written as long as this lives.
pub(super) struct Pause<'r>(&'r Readers);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.writing.store(false, Ordering::SeqCst);
    }
}

/// Ends the snapshot, if there is one. That of a connection which cannot even do that ends with it.
fn let_go(connection: &Connection) {
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
}

/// A panic while a connection was lent leaves it sound: statements are finalised as the stack unwinds.
fn lock(slot: &Slot) -> MutexGuard<'_, Option<Connection>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, statements: usize) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| failure::opening(&error))?;
    settings::apply_to_reader(&connection)?;
    connection.set_prepared_statement_cache_capacity(statements.saturating_add(OWN_STATEMENTS));
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{connect as writer, proof};
    use crate::{Statement, params};

    const INSERT: Statement = Statement::new("insert", "INSERT INTO t (data) VALUES ($1)");
    const COUNT: Statement = Statement::new("count", "SELECT count(*) AS count FROM t");

    /// A database in this folder, and what reads it.
    fn database(folder: &tempfile::TempDir) -> (Connection, Readers) {
        let path = folder.path().join("t.db");
        std::fs::File::create_new(&path).unwrap();
        let connection = writer(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE t (data BLOB NOT NULL) STRICT")
            .unwrap();
        let catalog = proof::catalog(&connection, &[&[&INSERT, &COUNT]]).unwrap();
        let (catalog, health) = (Arc::new(catalog), Arc::new(Health::new()));
        let readers = Readers::open(&path, Snapshots::Kept, catalog, health).unwrap();
        (connection, readers)
    }

    fn insert(connection: &Connection, bytes: i64) {
        let insert = "INSERT INTO t (data) VALUES (zeroblob($1))";
        connection.execute(insert, [bytes]).unwrap();
    }

    fn count(readers: &Readers) -> i64 {
        let rows = readers.read(&COUNT, &params![]).unwrap();
        rows.first().unwrap().integer("count").unwrap()
    }

    #[test]
    fn a_snapshot_is_kept_until_something_is_written_and_not_while_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, readers) = database(&folder);
        assert_eq!(count(&readers), 0);
        insert(&connection, 1);
        assert_eq!(count(&readers), 0, "kept, as nobody said that he writes");
        let pause = readers.pause();
        assert_eq!(count(&readers), 1);
        insert(&connection, 1);
        assert_eq!(count(&readers), 2);
        drop(pause);
        assert_eq!(count(&readers), 2);
    }

    #[test]
    fn every_connection_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, readers) = database(&folder);
        let mut busy = Vec::new();
        for slot in &readers.slots {
            assert_eq!(count(&readers), 0);
            busy.push(lock(slot));
        }
        busy.clear();
        insert(&connection, 1);
        drop(readers.pause());
        for slot in &readers.slots {
            assert_eq!(count(&readers), 1);
            busy.push(lock(slot));
        }
    }

    #[test]
    fn reads_do_not_make_the_log_grow() {
        const MIB: i64 = 1 << 20;
        let folder = tempfile::tempdir().unwrap();
        let (connection, readers) = database(&folder);
        let log = || {
            std::fs::metadata(folder.path().join("t.db-wal"))
                .unwrap()
                .len()
        };
        for written in 1..=64 {
            let pause = readers.pause();
            insert(&connection, MIB);
            drop(pause);
            assert_eq!(count(&readers), written);
        }
        // It is merged at 16 MiB, and then begun anew.
        assert!(log() < 20 * MIB.unsigned_abs(), "{}", log());
    }

    #[test]
    fn a_read_that_fails_keeps_no_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, readers) = database(&folder);
        assert_eq!(count(&readers), 0);
        insert(&connection, 1);
        readers.read(&COUNT, &params![1_i64]).unwrap_err();
        assert_eq!(count(&readers), 1);
    }
}
