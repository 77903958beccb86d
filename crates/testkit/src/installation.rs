//! One installation: its data directory, and the stores of its roles, on SQLite or on PostgreSQL.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use coffer_db::{Database, Migration, Statement};
use tempfile::TempDir;

use crate::{
    databases::{Databases, unique},
    postgres::Server,
};

/// Those that keep their data in PostgreSQL. The simulator stands for another company and has a file of its own always.
const ROLES_WITH_STORES: [&str; 3] = ["api", "vault", "keys"];

/// A development installation, running or not; gone when dropped.
pub struct Installation {
    // The order of fields is the order of their end.
    databases: Option<Databases>,
    directory: TempDir,
}

impl Installation {
    /// Makes one, whose stores are on this server or, without one, files; `binary` is `env!("CARGO_BIN_EXE_coffer")`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn make(binary: &str, server: Option<&Server>) -> Self {
        let directory = tempfile::Builder::new().prefix("coffer").tempdir().unwrap();
        let databases =
            server.map(|server| initialise_on(binary, directory.path(), server, |_| ()));
        if databases.is_none() {
            succeeded(&initialise(binary, directory.path(), &[]));
        }
        Self {
            databases,
            directory,
        }
    }

    /// Makes one on the store that this run of the tests is about.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn of_this_run(binary: &str) -> Self {
        Self::make(binary, Server::chosen().as_ref())
    }

    /// One on this server, where `between` happens when its databases are there, and nothing is in them yet.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn make_on(binary: &str, server: &Server, between: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::Builder::new().prefix("coffer").tempdir().unwrap();
        let databases = Some(initialise_on(binary, directory.path(), server, between));
        Self {
            databases,
            directory,
        }
    }

    /// One that is there already, with its data in files.
    #[must_use]
    pub const fn at(directory: TempDir) -> Self {
        Self {
            databases: None,
            directory,
        }
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A role's store as it is, also while the role runs, for whoever has all that the role has.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn store(
        &self,
        role: &str,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Database {
        let folder = self.directory().join(role);
        let Some(databases) = &self.databases else {
            let file = folder.join(format!("{role}.db"));
            return Database::open_sqlite(&file, migrations, statements).unwrap();
        };
        let password = fs::read_to_string(folder.join("postgres.password")).unwrap();
        let name = databases.of(role).expect(role);
        let server = &databases.server;
        let address = server.database_as(name, name, password.trim_end());
        let opened = Database::open_postgres(&address, migrations, statements).await;
        opened.unwrap()
    }

    /// Everything that this role's database holds, when it is on PostgreSQL.
    #[must_use]
    pub fn dump(&self, role: &str) -> Option<Vec<u8>> {
        let databases = self.databases.as_ref()?;
        let name = databases.of(role)?;
        Some(databases.contents_of(name))
    }

    /// The files in which PostgreSQL has these databases, its write-ahead log and its log; none on SQLite.
    #[must_use]
    pub fn files_of_the_server(&self) -> Vec<PathBuf> {
        self.databases
            .as_ref()
            .map_or_else(Vec::new, Databases::files)
    }
}

/// As the operator of a PostgreSQL server does it: `init` says what is missing, a superuser runs it, `init` completes.
fn initialise_on(
    binary: &str,
    directory: &Path,
    server: &Server,
    between: impl FnOnce(&Path),
) -> Databases {
    let names = unique();
    let address = server.address();
    let arguments = ["--postgres", &address, "--postgres-names", &names];
    let first = initialise(binary, directory, &arguments);
    let wanted = directory.join("postgres.sql");
    assert!(
        !first.status.success() && wanted.is_file(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let all = ROLES_WITH_STORES.map(|role| format!("{names}_{role}"));
    let databases = Databases::named(server.clone(), all.to_vec());
    databases.server.run_file(&wanted);
    between(directory);
    succeeded(&initialise(binary, directory, &arguments));
    databases
}

fn initialise(binary: &str, directory: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(binary);
    command
        .args(["init", "--profile", "development", "--dir"])
        .arg(directory)
        .args(more)
        .env_clear()
        .stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn succeeded(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "init failed: {said}");
}
