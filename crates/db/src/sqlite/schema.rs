//! Runs the pending migrations, all of them in one transaction, with a record of each.

use rusqlite::Connection;

use super::failure;
use crate::migration::{Applied, Dialect, pending};
use crate::{Error, Migration};

const DIALECT: Dialect = Dialect {
    bigint: "INTEGER",
    bytes: "BLOB",
    strict: "STRICT",
};

const RECORD: &str = "CREATE TABLE IF NOT EXISTS migrations (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, sql TEXT NOT NULL, applied TEXT NOT NULL) STRICT";

const APPLIED: &str = "SELECT version, name, sql FROM migrations ORDER BY version";

/// The time is SQLite's, so that it never comes from two clocks.
const INSERT: &str = "INSERT INTO migrations (version, name, sql, applied)
    VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";

pub(super) fn migrate(connection: &Connection, migrations: &[Migration]) -> Result<(), Error> {
    batch(connection, "BEGIN IMMEDIATE")?;
    let ended = apply_pending(connection, migrations).and_then(|()| batch(connection, "COMMIT"));
    if ended.is_err() && !connection.is_autocommit() {
        batch(connection, "ROLLBACK")?;
    }
    ended
}

fn apply_pending(connection: &Connection, migrations: &[Migration]) -> Result<(), Error> {
    batch(connection, RECORD)?;
    let applied = applied(connection).map_err(|error| failure::opening(&error))?;
    for migration in pending(migrations, &applied)? {
        apply(connection, migration)?;
    }
    Ok(())
}

fn applied(connection: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let mut select = connection.prepare(APPLIED)?;
    let rows = select.query_map([], |row| {
        Ok(Applied {
            version: row.get(0)?,
            name: row.get(1)?,
            sql: row.get(2)?,
        })
    })?;
    rows.collect()
}

fn apply(connection: &Connection, migration: &Migration) -> Result<(), Error> {
    let Migration { version, name, sql } = migration;
    let text = migration.render(&DIALECT)?;
    let named = |error: Error| match error {
        Error::Defect(why) => Error::Defect(format!("migration {version} ({name}): {why}")),
        Error::Conflict(_) | Error::Unavailable(_) | Error::Refused(_) => error,
    };
    batch(connection, &text).map_err(named)?;
    let inserted = connection.execute(INSERT, (version, name, sql));
    inserted.map(drop).map_err(|error| failure::opening(&error))
}

fn batch(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection
        .execute_batch(sql)
        .map_err(|error| failure::opening(&error))
}
