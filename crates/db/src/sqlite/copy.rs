//! Reading a whole file as it was at one instant, and filling an empty one.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::failure::{self, Place};
use super::run::{Bound, taken};
use super::{schema, settings};
use crate::copy::Table;
use crate::{Error, Migration, Unavailable, Value};

/// In the order in which they were made: nothing refers to what comes later.
const TABLES: &str =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    ORDER BY rowid";

const COLUMNS: &str = "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid";

/// What cannot be named more exactly.
const COPYING: Place = Place {
    statement: "copying a store",
    step: 0,
};

const READ_ONLY: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A transaction that only reads: in a write-ahead log it sees one instant, and the writer goes on.
pub(crate) struct SqliteSnapshot(Connection);

impl SqliteSnapshot {
    pub(crate) fn take(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Refused(format!(
                "there is no database at {}",
                path.display()
            )));
        }
        let connection = Connection::open_with_flags(path, READ_ONLY);
        Self::begin(connection.map_err(|error| failure::opening(&error))?)
    }

    /// Without the files that even a reader makes beside a database: right only when nobody writes.
    pub(crate) fn take_at_rest(path: &Path) -> Result<Self, Error> {
        let name = path
            .to_string_lossy()
            .replace('%', "%25")
            .replace('?', "%3f");
        let uri = format!("file:{}?immutable=1", name.replace('#', "%23"));
        let connection = Connection::open_with_flags(uri, READ_ONLY | OpenFlags::SQLITE_OPEN_URI);
        Self::begin(connection.map_err(|error| failure::opening(&error))?)
    }

    fn begin(connection: Connection) -> Result<Self, Error> {
        settings::apply_to_reader(&connection)?;
        // The instant is that of the first read.
        let begun = connection.execute_batch("BEGIN").and_then(|()| {
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        });
        begun.map_err(|error| failure::opening(&error))?;
        Ok(Self(connection))
    }

    pub(crate) fn damage(&self) -> Result<Option<String>, Error> {
        let said = self
            .0
            .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
            .map_err(failed)?;
        Ok((said != "ok").then_some(said))
    }

    pub(crate) fn tables(&self) -> Result<Vec<Table>, Error> {
        tables(&self.0)
    }

    pub(crate) fn rows<E: From<Error>>(
        &self,
        sql: &str,
        mut each: impl FnMut(&[Value]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut select = self.0.prepare(sql).map_err(failed)?;
        let columns = select.column_count();
        let mut rows = select.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..columns).map(|column| taken(row, column, COPYING).map(Value::from));
            each(&values.collect::<Result<Vec<_>, Error>>()?)?;
        }
        Ok(())
    }
}

/// One transaction that fills a new file.
pub(crate) struct SqliteFilling(Connection);

impl SqliteFilling {
    pub(crate) fn begin(path: &Path, migrations: &[Migration]) -> Result<Self, Error> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        made.map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                Error::Refused(format!("{} is there already", path.display()))
            } else {
                Unavailable::Io(error.to_string()).into()
            }
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(|error| failure::opening(&error))?;
        settings::apply_to_writer(&connection)?;
        schema::migrate(&connection, migrations)?;
        let copy = Self(connection);
        copy.batch("BEGIN IMMEDIATE")?;
        // What the migrations put there is in what will be copied.
        for table in copy.tables()?.iter().rev() {
            copy.batch(&format!("DELETE FROM \"{}\"", table.name))?;
        }
        Ok(copy)
    }

    pub(crate) fn tables(&self) -> Result<Vec<Table>, Error> {
        tables(&self.0)
    }

    pub(crate) fn insert(&self, sql: &str, rows: &[Vec<Value>]) -> Result<(), Error> {
        let mut insert = self.0.prepare_cached(sql).map_err(failed)?;
        for row in rows {
            insert
                .execute(rusqlite::params_from_iter(row.iter().map(Bound)))
                .map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn commit(self) -> Result<(), Error> {
        self.batch("COMMIT")
    }

    fn batch(&self, sql: &str) -> Result<(), Error> {
        self.0.execute_batch(sql).map_err(failed)
    }
}

fn tables(connection: &Connection) -> Result<Vec<Table>, Error> {
    let named = |name: String| {
        let mut select = connection.prepare(COLUMNS).map_err(failed)?;
        let columns = select
            .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(failed)?;
        Table::new(name, columns)
    };
    let mut select = connection.prepare(TABLES).map_err(failed)?;
    let names = select
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>)
        .map_err(failed)?;
    names.into_iter().map(named).collect()
}

fn failed(error: rusqlite::Error) -> Error {
    failure::of_statement(&error, COPYING)
}
