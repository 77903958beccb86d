//! PostgreSQL in a test: the server that `./test` starts, or one of the test's own.
//!
//! What a superuser must do is done by `psql`: no crate but `coffer-db` names a driver, and that one runs registered
//! statements only.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use coffer_db::PostgresAddress;
use tempfile::TempDir;

/// Starts and stops servers.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/postgres");
/// Where Debian keeps each version's programs; the `psql` on the path is a wrapper that takes longer than most statements.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The database that every server has.
const MAINTENANCE: &str = "postgres";
/// Whichever port is free.
const ANY_PORT: u16 = 0;

/// A server, and its superuser.
#[derive(Clone)]
pub struct Server {
    host: String,
    port: u16,
    user: String,
    password: String,
}

impl Server {
    /// The server that `COFFER_TEST_POSTGRES` names, as `postgres://user:password@127.0.0.1:port`.
    ///
    /// # Panics
    /// When it is no such address.
    #[must_use]
    pub fn shared() -> Option<Self> {
        setting("COFFER_TEST_POSTGRES").map(|url| Self::parse(&url).expect(&url))
    }

    /// The shared server when tests are to run on PostgreSQL (`COFFER_TEST_STORE=postgres`); none when on SQLite.
    pub(crate) fn chosen() -> Option<Self> {
        match setting("COFFER_TEST_STORE").as_deref() {
            None | Some("sqlite") => None,
            Some("postgres") => Some(Self::shared().expect("COFFER_TEST_POSTGRES names a server")),
            Some(other) => panic!("COFFER_TEST_STORE={other} is neither sqlite nor postgres"),
        }
    }

    fn parse(url: &str) -> Option<Self> {
        let (user, place) = url.strip_prefix("postgres://")?.rsplit_once('@')?;
        let ((user, password), (host, port)) = (user.split_once(':')?, place.rsplit_once(':')?);
        Some(Self {
            host: host.to_owned(),
            port: port.trim_end_matches('/').parse().ok()?,
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The address of a database, for the superuser.
    #[must_use]
    pub fn database(&self, database: &str) -> PostgresAddress {
        self.database_as(database, &self.user, &self.password)
    }

    /// The address of a database, for this user. Nothing is encrypted: the server is on this machine.
    #[must_use]
    pub fn database_as(&self, database: &str, user: &str, password: &str) -> PostgresAddress {
        PostgresAddress {
            host: self.host.clone(),
            ip: self.host.parse().ok(),
            port: self.port,
            database: database.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            tls: None,
        }
    }

    /// Runs statements as the superuser, each by itself, and answers what they say, without decoration.
    ///
    /// # Panics
    /// When one of them fails.
    #[track_caller]
    pub fn run(&self, statements: &[String]) -> String {
        self.run_in(MAINTENANCE, statements)
    }

    /// As [`Server::run`], in one database.
    #[track_caller]
    pub(crate) fn run_in(&self, database: &str, statements: &[String]) -> String {
        let commands = statements.iter().flat_map(|sql| ["--command", sql]);
        let mut psql = self.program("psql", database);
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set",
            "ON_ERROR_STOP=1",
        ]);
        said(psql.args(commands))
    }

    /// Runs a file of statements as the superuser.
    ///
    /// # Panics
    /// When one of them fails.
    #[track_caller]
    pub fn run_file(&self, file: &Path) {
        let mut psql = self.program("psql", MAINTENANCE);
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]);
        said(psql.arg("--file").arg(file));
    }

    /// Everything in a database as text, bytes in hex.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    #[track_caller]
    pub(crate) fn dump(&self, database: &str) -> String {
        said(&mut self.program("pg_dump", database))
    }

    /// Runs statements, whatever becomes of them: the server may be gone.
    pub(crate) fn try_run(&self, statements: &[String]) {
        let commands = statements.iter().flat_map(|sql| ["--command", sql]);
        let mut psql = self.program("psql", MAINTENANCE);
        let _ = psql
            .args(["--no-psqlrc", "--quiet"])
            .args(commands)
            .output();
    }

    fn program(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(program(name));
        command.env_clear().envs([
            ("PGHOST", self.host.as_str()),
            ("PGPORT", &self.port.to_string()),
            ("PGUSER", &self.user),
            ("PGPASSWORD", &self.password),
            ("PGDATABASE", database),
        ]);
        command
    }
}

/// A server of a test's own, which may be killed. Gone when dropped.
pub struct PrivateServer {
    server: Server,
    folder: TempDir,
}

impl PrivateServer {
    /// Starts a new one, with these settings (`name=value`) besides.
    ///
    /// # Panics
    /// When PostgreSQL is not installed.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("coffer").tempdir().unwrap();
        let url = start(folder.path(), ANY_PORT, settings);
        let server = Server::parse(url.trim_end()).expect(&url);
        Self { server, folder }
    }

    /// The server.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Ends all its processes at once, as a crash does: nothing is written any more.
    pub fn kill(&self) {
        script(&["stop".as_ref(), self.folder.path(), "immediate".as_ref()]);
    }

    /// Starts it again at the same address.
    pub fn start_again(&self, settings: &[&str]) {
        start(self.folder.path(), self.server.port, settings);
    }
}

impl fmt::Debug for PrivateServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server.address())
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        let mut stop = Command::new(SCRIPT);
        let _ = stop
            .arg("stop")
            .arg(self.folder.path())
            .arg("immediate")
            .output();
    }
}

fn start(folder: &Path, port: u16, settings: &[&str]) -> String {
    let port = port.to_string();
    let mut arguments = vec![Path::new("start"), folder, Path::new(&port)];
    arguments.extend(settings.iter().map(Path::new));
    script(&arguments)
}

fn script(arguments: &[&Path]) -> String {
    said(Command::new(SCRIPT).args(arguments))
}

/// What a program says on its standard output.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        let name = command.get_program().display();
        panic!("{name}: {error}; ./test --install gets what tests need")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .max();
    newest.unwrap_or_else(|| PathBuf::from(name))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how ./test says on which store tests run"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
