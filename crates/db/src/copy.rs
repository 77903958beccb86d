//! A whole store, read as it was at one instant, and written into an empty one: what backups are made of.
//!
//! Both engines keep the same kinds of values in the same tables, so what was read from one can be written into either. A
//! snapshot changes nothing and holds up nobody; a running role goes on beside it.

use std::path::Path;

use crate::postgres::{PostgresFilling, PostgresSnapshot};
use crate::sqlite::{SqliteFilling, SqliteSnapshot};
use crate::{Error, Migration, PostgresAddress, Value};

/// The table in which every store remembers its schema.
pub(crate) const MIGRATIONS: &str = "migrations";
/// Rows that are handed on at once.
pub(crate) const ROWS_AT_ONCE: usize = 256;

/// A table of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order in which a row gives their values.
    pub columns: Vec<String>,
    /// The columns of its primary key, in whose order its rows are read.
    pub(crate) key: Vec<String>,
}

/// A store as it was when the snapshot was taken.
pub struct Snapshot(Source);

enum Source {
    Sqlite(SqliteSnapshot),
    Postgres(PostgresSnapshot),
}

impl Snapshot {
    /// Of the SQLite database at this path, which another process may be using.
    ///
    /// # Errors
    /// `Refused` when there is none; `Unavailable` when it cannot be read.
    pub fn of_sqlite(path: &Path) -> Result<Self, Error> {
        SqliteSnapshot::take(path).map(|taken| Self(Source::Sqlite(taken)))
    }

    /// Of a SQLite database that no process is using, and that is to be looked at without a trace.
    ///
    /// # Errors
    /// As [`Snapshot::of_sqlite`].
    pub fn of_sqlite_at_rest(path: &Path) -> Result<Self, Error> {
        SqliteSnapshot::take_at_rest(path).map(|taken| Self(Source::Sqlite(taken)))
    }

    /// What a SQLite file has that it should not have, in the engine's words. A server looks after its own.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub fn damage(&self) -> Result<Option<String>, Error> {
        match &self.0 {
            Source::Sqlite(taken) => taken.damage(),
            Source::Postgres(_) => Ok(None),
        }
    }

    /// Of a PostgreSQL database.
    ///
    /// # Errors
    /// `Refused` when the server does not let us in or could lose data; `Unavailable` when it cannot be reached.
    pub async fn of_postgres(address: &PostgresAddress) -> Result<Self, Error> {
        let taken = PostgresSnapshot::take(address).await?;
        Ok(Self(Source::Postgres(taken)))
    }

    /// The tables, each after those that it refers to.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read; `Defect` for a table that no migration of ours could have made.
    pub async fn tables(&self) -> Result<Vec<Table>, Error> {
        match &self.0 {
            Source::Sqlite(taken) => taken.tables(),
            Source::Postgres(taken) => taken.tables().await,
        }
    }

    /// Hands every row of a table to `each`, in the order of its primary key, which is the same on every engine.
    ///
    /// # Errors
    /// Those of the store, and whatever `each` fails with.
    pub async fn rows<E: From<Error>>(
        &self,
        table: &Table,
        each: impl FnMut(&[Value]) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = table.select()?;
        match &self.0 {
            Source::Sqlite(taken) => taken.rows(&sql, each),
            Source::Postgres(taken) => taken.rows(&sql, each).await,
        }
    }

    /// The version of the store's schema: that of the last migration that was applied.
    ///
    /// # Errors
    /// As [`Snapshot::rows`]; `Refused` when no program of ours has made this store.
    pub async fn version(&self) -> Result<i64, Error> {
        let tables = self.tables().await?;
        let record = tables.iter().find(|table| table.name == MIGRATIONS);
        let record = record.ok_or_else(|| Error::Refused("the store is empty".to_owned()))?;
        let mut last = 0;
        self.rows(record, |row| match row.first() {
            Some(Value::Integer(version)) => {
                last = last.max(*version);
                Ok(())
            }
            Some(Value::Null | Value::Text(_) | Value::Bytes(_)) | None => Err(Error::Defect(
                "the record of migrations does not begin with a version".to_owned(),
            )),
        })
        .await?;
        Ok(last)
    }
}

/// An empty store that is being filled. Dropped before [`Filling::commit`], it stays empty.
pub struct Filling(Target);

enum Target {
    Sqlite(SqliteFilling),
    Postgres(PostgresFilling),
}

impl Filling {
    /// Into a SQLite database that is not there yet, with the tables that these migrations make.
    ///
    /// # Errors
    /// `Refused` when there is something at this path; `Unavailable` when the disk fails.
    pub fn into_sqlite(path: &Path, migrations: &[Migration]) -> Result<Self, Error> {
        SqliteFilling::begin(path, migrations).map(|begun| Self(Target::Sqlite(begun)))
    }

    /// Into a PostgreSQL database that has no row yet.
    ///
    /// # Errors
    /// `Refused` when it has any, or the server does not let us in; `Unavailable` when it cannot be reached.
    pub async fn into_postgres(
        address: &PostgresAddress,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        let begun = PostgresFilling::begin(address, migrations).await?;
        Ok(Self(Target::Postgres(begun)))
    }

    /// The tables, all of them empty.
    ///
    /// # Errors
    /// As [`Snapshot::tables`].
    pub async fn tables(&self) -> Result<Vec<Table>, Error> {
        match &self.0 {
            Target::Sqlite(begun) => begun.tables(),
            Target::Postgres(begun) => begun.tables().await,
        }
    }

    /// Adds rows to a table.
    ///
    /// # Errors
    /// `Conflict` or `Defect` for rows that do not belong there; `Unavailable` when the store cannot serve.
    pub async fn insert(&self, table: &Table, rows: &[Vec<Value>]) -> Result<(), Error> {
        let sql = table.insert()?;
        match &self.0 {
            Target::Sqlite(begun) => begun.insert(&sql, rows),
            Target::Postgres(begun) => begun.insert(&sql, rows).await,
        }
    }

    /// Makes all of it durable, or nothing.
    ///
    /// # Errors
    /// `Conflict` when rows refer to what is not there; `Unavailable` when the store cannot serve.
    pub async fn commit(self) -> Result<(), Error> {
        match self.0 {
            Target::Sqlite(begun) => begun.commit(),
            Target::Postgres(begun) => begun.commit().await,
        }
    }
}

impl Table {
    /// With names that stand for themselves in SQL: ours all do, and a text from elsewhere never gets there.
    pub(crate) fn new(name: String, columns: Vec<(String, i64)>) -> Result<Self, Error> {
        let mut key: Vec<_> = columns.iter().filter(|(_, place)| *place > 0).collect();
        key.sort_by_key(|(_, place)| *place);
        let key: Vec<String> = key.into_iter().map(|(column, _)| column.clone()).collect();
        let columns: Vec<String> = columns.into_iter().map(|(column, _)| column).collect();
        let plain = |name: &String| {
            let of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            !name.is_empty() && name.bytes().all(|byte| of_a_name(byte) || byte == b'_')
        };
        if key.is_empty() || !plain(&name) || !columns.iter().all(plain) {
            return Err(Error::Defect(format!(
                "table {name} has no primary key, or a name that needs quoting"
            )));
        }
        Ok(Self { name, columns, key })
    }

    fn select(&self) -> Result<String, Error> {
        Ok(format!(
            "SELECT {} FROM \"{}\" ORDER BY {}",
            quoted(&self.columns)?,
            self.name,
            quoted(&self.key)?
        ))
    }

    fn insert(&self) -> Result<String, Error> {
        let places: Vec<String> = (1..=self.columns.len())
            .map(|place| format!("${place}"))
            .collect();
        Ok(format!(
            "INSERT INTO \"{}\" ({}) VALUES ({})",
            self.name,
            quoted(&self.columns)?,
            places.join(", ")
        ))
    }
}

fn quoted(columns: &[String]) -> Result<String, Error> {
    if columns.is_empty() {
        return Err(Error::Defect("a table without columns".to_owned()));
    }
    let quoted: Vec<String> = columns
        .iter()
        .map(|column| format!("\"{column}\""))
        .collect();
    Ok(quoted.join(", "))
}
