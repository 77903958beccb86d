//! Databases of one test on a PostgreSQL server, gone when it ends.

use std::{
    fs,
    path::{Path, PathBuf},
};

use coffer_db::{PLANNER, PostgresAddress};
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::{Chance, files_under, postgres::Server};

/// An empty PostgreSQL database of one test's own, whichever store the other tests run on.
pub struct TestDatabase(Databases);

impl TestDatabase {
    /// Makes one; none where no server was started for the tests.
    ///
    /// # Panics
    /// When the server does not make it.
    #[must_use]
    pub fn on_postgres() -> Option<Self> {
        Server::shared().map(|server| Self(Databases::create(server)))
    }

    /// The address of it, for its owner.
    #[must_use]
    pub fn address(&self) -> PostgresAddress {
        self.0.address()
    }

    /// Runs a statement as the superuser; `{}` in it stands for the database's name.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, statement: &str) {
        let name = &self.0.address().database;
        self.0.server.run(&[statement.replace("{}", name)]);
    }

    /// How the server would run a statement on the connections of `coffer-db`: its planner's JSON.
    #[track_caller]
    pub(crate) fn plan(&self, sql: &str) -> Value {
        let values = (1..).take_while(|place| sql.contains(&format!("${place}")));
        let values: Vec<&str> = values.map(|_| "NULL").collect();
        let values = match values.as_slice() {
            [] => String::new(),
            some => format!("({})", some.join(", ")),
        };
        let settings = PLANNER.split("-c ").filter(|setting| !setting.is_empty());
        let settings: Vec<_> = settings.map(|setting| format!("SET {setting}")).collect();
        let plan = self.ask(&[
            settings.join(";"),
            format!("PREPARE planned AS {sql}"),
            format!("EXPLAIN (FORMAT JSON) EXECUTE planned{values}"),
        ]);
        serde_json::from_str(&plan).unwrap()
    }

    /// The names of the types of a statement's parameters.
    #[track_caller]
    pub(crate) fn kinds(&self, sql: &str) -> Vec<String> {
        let kinds = self.ask(&[
            format!("PREPARE asked AS {sql}"),
            "SELECT unnest(parameter_types) FROM pg_prepared_statements".to_owned(),
        ]);
        kinds.lines().map(str::to_owned).collect()
    }

    /// Runs statements in the database as the superuser, and answers what they say.
    #[track_caller]
    pub(crate) fn ask(&self, statements: &[String]) -> String {
        self.0.server.run_in(&self.0.address().database, statements)
    }
}

/// Databases, and users of the same names, of one test: gone when dropped.
pub(crate) struct Databases {
    pub(crate) server: Server,
    names: Vec<String>,
}

impl Databases {
    /// Makes a database for the superuser.
    #[track_caller]
    pub(crate) fn create(server: Server) -> Self {
        let name = unique();
        server.run(&[format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        )]);
        Self::named(server, vec![name])
    }

    /// Takes over what something else makes under these names, with or without users.
    pub(crate) const fn named(server: Server, names: Vec<String>) -> Self {
        Self { server, names }
    }

    /// The first one.
    pub(crate) fn address(&self) -> PostgresAddress {
        self.server.database(&self.names[0])
    }

    /// A role's, when they are those of an installation.
    pub(crate) fn of(&self, role: &str) -> Option<&str> {
        let ending = format!("_{role}");
        let mut of_role = self.names.iter().filter(|name| name.ends_with(&ending));
        of_role.next().map(String::as_str)
    }

    /// Everything in all of them.
    pub(crate) fn contents(&self) -> Vec<u8> {
        let all = self.names.iter();
        all.flat_map(|name| self.contents_of(name)).collect()
    }

    /// Everything in one: as text, and then all bytes once more as they are.
    pub(crate) fn contents_of(&self, name: &str) -> Vec<u8> {
        let dump = self.server.dump(name);
        let bytes = dump.split("\\\\x").skip(1).flat_map(hex_at_start);
        let bytes: Vec<u8> = bytes.collect();
        [dump.into_bytes(), bytes].concat()
    }

    /// The files in which the server has them, its write-ahead log and its log, as far as this user may read them.
    #[track_caller]
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let names = self.names.join("', '");
        let places = self.server.run(&[
            "CHECKPOINT".to_owned(),
            "SHOW data_directory".to_owned(),
            format!("SELECT 'base/' || oid FROM pg_database WHERE datname IN ('{names}')"),
        ]);
        let (data, folders) = places.split_once('\n').unwrap();
        let data = Path::new(data);
        let folders = folders
            .lines()
            .chain(["pg_wal"])
            .map(|name| data.join(name));
        let readable = folders.filter(|folder| fs::read_dir(folder).is_ok());
        let mut files: Vec<PathBuf> = readable.flat_map(|folder| files_under(&folder)).collect();
        // Where the script that starts servers has it.
        let log = data.parent().map(|folder| folder.join("log"));
        files.extend(log.filter(|log| log.is_file()));
        files
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        let databases = self
            .names
            .iter()
            .map(|name| format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        let users = self
            .names
            .iter()
            .map(|name| format!("DROP ROLE IF EXISTS {name}"));
        let quietly = "SET client_min_messages = error".to_owned();
        let statements = std::iter::once(quietly).chain(databases).chain(users);
        // The server may have been a test's own and be gone; the shared one is cleared before the next run.
        self.server.try_run(&statements.collect::<Vec<_>>());
    }
}

/// The bytes that a text begins with in hex.
fn hex_at_start(text: &str) -> Vec<u8> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = text.bytes().take_while(is_digit).count();
    let whole = &text.as_bytes()[..digits - digits % 2];
    HEXLOWER.decode(whole).unwrap()
}

/// A name that no other test uses; it begins with a letter.
pub(crate) fn unique() -> String {
    format!("t{:016x}", Chance::seed())
}
