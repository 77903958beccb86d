//! The settings without which an acknowledged write could be lost or read by others; each is read back.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::Value as Found;

use super::failure;
use crate::Error;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A pragma, the value to set, and how it reads back.
type Setting = (&'static str, &'static str, &'static str);

const WRITER: &[Setting] = &[
    ("journal_mode", "WAL", "wal"),
    // NORMAL loses acknowledged commits at a power cut; FULL waits for the disk at each commit.
    ("synchronous", "FULL", "2"),
    // Where fsync alone leaves data in the drive's cache (macOS); elsewhere it changes nothing.
    ("fullfsync", "ON", "1"),
    ("checkpoint_fullfsync", "ON", "1"),
    ("foreign_keys", "ON", "1"),
    // No temporary files: the role's sandbox knows only its database.
    ("temp_store", "MEMORY", "2"),
    // Deleted rows are overwritten with zeros.
    ("secure_delete", "ON", "1"),
    ("trusted_schema", "OFF", "0"),
    // Pages in the log before it is merged. A merge costs two more fsyncs: fewer, larger ones write a fifth more.
    ("wal_autocheckpoint", "4000", "4000"),
    // KiB of pages that are kept in memory: what a busy minute writes, so that chaining the log reads nothing again.
    ("cache_size", "-16384", "-16384"),
    // The log shrinks back to this after a burst.
    ("journal_size_limit", "67108864", "67108864"),
];

const READER: &[Setting] = &[
    ("query_only", "ON", "1"),
    ("temp_store", "MEMORY", "2"),
    ("trusted_schema", "OFF", "0"),
];

pub(super) fn apply_to_writer(connection: &Connection) -> Result<(), Error> {
    apply(connection, WRITER)
}

pub(super) fn apply_to_reader(connection: &Connection) -> Result<(), Error> {
    apply(connection, READER)
}

fn apply(connection: &Connection, settings: &[Setting]) -> Result<(), Error> {
    protect(connection).map_err(|error| failure::opening(&error))?;
    for (name, value, wanted) in settings {
        set(connection, name, value).map_err(|error| failure::opening(&error))?;
        let found = read_back(connection, name).map_err(|error| failure::opening(&error))?;
        if found != *wanted {
            return Err(Error::Refused(format!(
                "SQLite's setting {name} is {found} and not {wanted}; put the database on a local disk that supports it"
            )));
        }
    }
    Ok(())
}

/// SQL may not corrupt the file, and a misspelled column in double quotes is an error, not a text.
fn protect(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // Plans do not depend on values: otherwise a statement with a LIMIT is planned anew each time it runs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn set(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA {name}={value}"))
}

fn read_back(connection: &Connection, name: &str) -> rusqlite::Result<String> {
    let found = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?;
    Ok(match found {
        Found::Integer(integer) => integer.to_string(),
        Found::Text(text) => text,
        Found::Null | Found::Real(_) | Found::Blob(_) => "unset".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_store_that_cannot_keep_a_write_ahead_log_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        let Err(Error::Refused(text)) = apply_to_writer(&connection) else {
            panic!("not refused")
        };
        assert!(
            text.contains("journal_mode is memory and not wal"),
            "{text}"
        );
    }

    #[test]
    fn it_can_load_no_code_and_search_no_text() {
        let connection = Connection::open_in_memory().unwrap();
        let mut options = connection.prepare("PRAGMA compile_options").unwrap();
        let options = options.query_map([], |row| row.get(0)).unwrap();
        let options: Vec<String> = options.collect::<Result<_, _>>().unwrap();
        for there in ["OMIT_LOAD_EXTENSION", "OMIT_SHARED_CACHE"] {
            assert!(options.iter().any(|option| option == there), "{there}");
        }
        for gone in ["FTS3", "FTS5", "RTREE", "DBSTAT_VTAB", "STAT4"] {
            let gone = format!("ENABLE_{gone}");
            assert!(!options.contains(&gone), "{gone}");
        }
    }

    #[test]
    fn a_statement_with_a_limit_is_planned_once() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("t.db")).unwrap();
        apply_to_writer(&connection).unwrap();
        connection
            .execute_batch("CREATE TABLE t (a INTEGER)")
            .unwrap();
        let mut statement = connection.prepare("SELECT a FROM t LIMIT $1").unwrap();
        for limit in 1..=3 {
            statement.raw_bind_parameter(1, limit).unwrap();
            while statement.raw_query().next().unwrap().is_some() {}
            statement.clear_bindings();
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
