//! The handle that every other crate uses; which engine is behind it is private.

use std::path::Path;
use std::sync::Arc;

use crate::sqlite::Sqlite;
use crate::{Error, Migration, Outcome, Row, Statement, Transaction, Value};

/// A database, cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Arc<Engine>,
}

enum Engine {
    Sqlite(Sqlite),
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
        let engine = Engine::Sqlite(Sqlite::open(path, migrations, statements)?);
        Ok(Self {
            engine: Arc::new(engine),
        })
    }

    /// Commits all steps, durably, or none. Once called and polled it is carried out even if the caller goes away.
    ///
    /// # Errors
    /// `Conflict` when a step found other data than it expected; `Unavailable` when the store cannot serve;
    /// `Defect` for a statement that was not registered or has other parameters.
    pub async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.transact(transaction).await,
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
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(statement, &params),
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
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
        }
    }

    /// False after the storage failed, until something was committed again.
    #[must_use]
    pub fn healthy(&self) -> bool {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.healthy(),
        }
    }
}
