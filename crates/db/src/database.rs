//! The handle that every other crate uses; which engine is behind it is private.

use std::path::Path;
use std::sync::Arc;

use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::{Error, Migration, Outcome, PostgresAddress, Row, Statement, Transaction, Value};

/// A database, cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
}

/// The extension of the file, beside a SQLite database, whose room is given back when the disk is full.
pub const RESERVE: &str = "reserve";

/// The disk under a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What can be given back when it is full; none where no reserve is kept.
    pub reserve_bytes: Option<u64>,
    /// How often it was found full since the database was opened.
    pub full_times: u64,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Database {
    /// Opens, or makes, a SQLite database: migrates it forward and prepares every statement.
    ///
    /// # Errors
    /// `Refused` when an operator must act (unsafe settings or permissions, an unknown or changed migration, a
    /// lock), `Defect` when a migration or a statement is wrong (naming it), `Unavailable` when the disk fails.
    pub fn open_sqlite(
        path: &Path,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Result<Self, Error> {
        let sqlite = Sqlite::open(path, migrations, statements)?;
        Ok(Self {
            engine: Engine::Sqlite(Arc::new(sqlite)),
        })
    }

    /// As [`Database::open_sqlite`], for the one process that writes it. A reserve of the disk is kept beside it, which is given
    /// back when the disk is full; and reads cost half, as they look at the file anew only after this process wrote.
    ///
    /// # Errors
    /// As [`Database::open_sqlite`].
    pub fn open_sqlite_reserved(
        path: &Path,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Result<Self, Error> {
        let sqlite = Sqlite::open_reserved(path, migrations, statements)?;
        Ok(Self {
            engine: Engine::Sqlite(Arc::new(sqlite)),
        })
    }

    /// Opens a PostgreSQL database, which exists and is empty or ours: migrates it forward and prepares every statement.
    ///
    /// # Errors
    /// As [`Database::open_sqlite`]; `Unavailable` also when the server cannot be reached, `Refused` also when it
    /// does not let us in.
    pub async fn open_postgres(
        address: &PostgresAddress,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Result<Self, Error> {
        let postgres = Postgres::open(address, migrations, statements).await?;
        Ok(Self {
            engine: Engine::Postgres(Arc::new(postgres)),
        })
    }

    /// Commits all steps, durably, or none. Once called and polled it is carried out even if the caller goes away.
    ///
    /// # Errors
    /// `Conflict` when a step found other data than it expected; `Unavailable` when the store cannot serve;
    /// `Defect` for a statement that was not registered or has other parameters.
    pub async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.transact(transaction).await,
            Engine::Postgres(postgres) => postgres.transact(transaction).await,
        }
    }

    /// All rows of a read. It sees every transaction that was answered before it began.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot serve; `Defect` for a statement that writes, was not registered or
    /// has other parameters.
    pub async fn read(
        &self,
        statement: &'static Statement,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(statement, &params),
            // Apart: what waits for a server is large, and every caller would have room for it on SQLite, too.
            Engine::Postgres(postgres) => Box::pin(postgres.read(statement, params)).await,
        }
    }

    /// The one row of a read, if there is one.
    ///
    /// # Errors
    /// As [`Database::read`], and `Defect` when there is more than one row.
    pub async fn read_optional(
        &self,
        statement: &'static Statement,
        params: Vec<Value>,
    ) -> Result<Option<Row>, Error> {
        let mut rows = self.read(statement, params).await?;
        if rows.len() > 1 {
            let found = rows.len();
            return Err(Error::Defect(format!(
                "statement {} returned {found} rows, at most 1 expected",
                statement.name
            )));
        }
        Ok(rows.pop())
    }

    /// Commits what is waiting, refuses what comes, and brings the files to rest. Later calls answer `Closed`.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close().await,
        }
    }

    /// What is known of the disk.
    #[must_use]
    pub fn disk(&self) -> Disk {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.disk(),
            Engine::Postgres(postgres) => postgres.disk(),
        }
    }

    /// False after the storage failed, until something was committed again; on a full disk until there is room as well.
    #[must_use]
    pub fn healthy(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.healthy(),
            Engine::Postgres(postgres) => postgres.healthy(),
        }
    }
}
