//! A few read-only connections, used inline.
//!
//! A point read takes a few microseconds, less than handing it to another thread and back, so it runs on the
//! caller's own thread. A long list is read in pages, so none holds that thread for long.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::{Connection, OpenFlags};

use super::failure::{self, Place};
use super::proof::Catalog;
use super::{run, settings};
use crate::health::Health;
use crate::{Error, Row, Statement, Unavailable, Value};

/// Reads at one time; a runtime rarely has more threads that do not wait for the network.
const READERS: usize = 4;

/// A connection, until the database is closed.
type Slot = Mutex<Option<Connection>>;

pub(super) struct Readers {
    slots: [Slot; READERS],
    turn: AtomicUsize,
    catalog: Arc<Catalog>,
    health: Arc<Health>,
}

impl Readers {
    pub(super) fn open(
        path: &Path,
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
        let place = Place {
            statement: statement.name,
            step: 0,
        };
        let slot = self.free_slot();
        let connection = slot.as_ref().ok_or(Unavailable::Closed)?;
        let prepared = connection
            .prepare_cached(entry.sql)
            .map_err(|error| failure::of_statement(&error, place));
        let ran = prepared.and_then(|mut prepared| run::run(&mut prepared, entry, params, place));
        ran.map(|(_, rows)| rows)
            .inspect_err(|error| self.health.failed(error))
    }

    /// Waits for the reads that run, then lets the connections go.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            drop(lock(slot).take());
        }
    }

    /// One that nobody uses, or else the one whose turn it is.
    fn free_slot(&self) -> MutexGuard<'_, Option<Connection>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % READERS;
        let (before, from) = self.slots.split_at(turn);
        for slot in from.iter().chain(before) {
            match slot.try_lock() {
                Ok(free) => return free,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let [first, ..] = &self.slots;
        lock(from.first().unwrap_or(first))
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
    connection.set_prepared_statement_cache_capacity(statements);
    Ok(connection)
}
