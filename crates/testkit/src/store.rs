//! A store for the tests of one crate: a SQLite file, or a PostgreSQL database, as `COFFER_TEST_STORE` says.

use std::fs;

use coffer_db::{Database, Error, Migration, Snapshot, Statement};
use tempfile::TempDir;

use crate::{databases::Databases, files_under, postgres::Server};

/// A store of one test's own, gone when dropped.
pub struct TestStore {
    // The order of fields is the order of their end: nobody has it open when it is deleted.
    /// Open, with the migrations and statements that were asked for.
    pub db: Database,
    place: Place,
    migrations: Vec<Migration>,
    statements: Vec<&'static [&'static Statement]>,
}

enum Place {
    Folder(TempDir),
    Database(Databases),
}

impl TestStore {
    /// Opens a new one.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open(
        migrations: &[Migration],
        statements: &[&'static [&'static Statement]],
    ) -> Self {
        let place = Server::chosen().map_or_else(
            || Place::Folder(tempfile::tempdir().unwrap()),
            |server| Place::Database(Databases::create(server)),
        );
        Self {
            db: place.open(migrations, statements).await.unwrap(),
            place,
            migrations: migrations.to_vec(),
            statements: statements.to_vec(),
        }
    }

    /// Closes it and opens it again, as a process does that is restarted.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn reopen(&mut self) {
        self.db.close().await;
        self.db = self.another().await;
    }

    /// The same store, opened as another process would.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn another(&self) -> Database {
        let opened = self.open_with(&self.migrations, &self.statements).await;
        opened.unwrap()
    }

    /// The same store, opened by a program with these migrations and statements.
    ///
    /// # Errors
    /// As the database says.
    pub async fn open_with(
        &self,
        migrations: &[Migration],
        statements: &[&'static [&'static Statement]],
    ) -> Result<Database, Error> {
        self.place.open(migrations, statements).await
    }

    /// All of it as it is now.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn snapshot(&self) -> Snapshot {
        let taken = match &self.place {
            Place::Folder(folder) => Snapshot::of_sqlite(&folder.path().join("test.db")),
            Place::Database(database) => Snapshot::of_postgres(&database.address()).await,
        };
        taken.unwrap()
    }

    /// Everything that is in it, as it lies on disk.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        match &self.place {
            Place::Folder(folder) => {
                let files = files_under(folder.path()).into_iter();
                files.flat_map(|file| fs::read(file).unwrap()).collect()
            }
            Place::Database(database) => database.contents(),
        }
    }
}

impl Place {
    async fn open(
        &self,
        migrations: &[Migration],
        statements: &[&'static [&'static Statement]],
    ) -> Result<Database, Error> {
        match self {
            Self::Folder(folder) => {
                let path = folder.path().join("test.db");
                Database::open_sqlite(&path, migrations, statements)
            }
            Self::Database(database) => {
                Database::open_postgres(&database.address(), migrations, statements).await
            }
        }
    }
}
