//! A Redis or Valkey server of a test's own, which may be killed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use coffer_db::SharedAddress;
use tempfile::TempDir;

use crate::chance::Chance;

/// The program, unless `COFFER_TEST_REDIS` names another one, such as `valkey-server`.
const SERVER: &str = "redis-server";
const CLIENT: &str = "redis-cli";
/// What it says when it has begun.
const READY: &str = "Ready to accept connections";
/// Who may do no more than `docs/operations.md` says.
const USER: &str = "coffer";
const RIGHTS: &[&str] = &[
    "on",
    "~coffer:rate:*",
    "-@all",
    "+evalsha",
    "+script|load",
    "+time",
    "+get",
    "+set",
    "+del",
    "+hello",
];
const PASSWORD: &str = "d2Y7mT0fKx2Lr9Vw4Bn6HqZs";
/// Below the ports that the system gives to outgoing connections: one of these could take it while the server is away.
const FIRST_PORT: u16 = 12_000;
const PORTS: u64 = 20_000;

/// A server on this machine. Gone when dropped.
pub struct Redis {
    process: Child,
    port: u16,
    folder: TempDir,
    tls: bool,
}

impl Redis {
    /// Starts a new one.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(folder(), false)
    }

    /// Starts a new one that is reached by TLS only, with the certificate and key of this installation's API face.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn start_tls(directory: &Path) -> Self {
        let folder = folder();
        for name in ["face-cert.pem", "face-key.pem"] {
            fs::copy(directory.join("api").join(name), folder.path().join(name)).unwrap();
        }
        Self::start_in(folder, true)
    }

    fn start_in(folder: TempDir, tls: bool) -> Self {
        let mut chance = Chance::new(Chance::seed());
        let mut port = || FIRST_PORT + u16::try_from(chance.below(PORTS)).unwrap();
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let port = std::iter::repeat_with(&mut port).find(is_free).unwrap();
        let process = spawn(folder.path(), port, tls);
        Self {
            process,
            port,
            folder,
            tls,
        }
    }

    /// How to reach it.
    #[must_use]
    pub fn address(&self) -> SharedAddress {
        SharedAddress {
            host: "localhost".to_owned(),
            port: self.port,
            user: Some(USER.to_owned()),
            password: Some(PASSWORD.to_owned()),
            authorities: None,
        }
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Who signs in.
    #[must_use]
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// The password.
    #[must_use]
    pub const fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Ends it at once; it keeps nothing.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again at the same address, empty.
    pub fn start_again(&mut self) {
        self.process = spawn(self.folder.path(), self.port, self.tls);
    }

    /// What it says to a command.
    ///
    /// # Panics
    /// When it says nothing.
    #[must_use]
    pub fn say(&self, words: &[&str]) -> String {
        let output = self.client(words).output().expect("redis-cli");
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = Command::new(CLIENT);
        command.env_clear().env("REDISCLI_AUTH", PASSWORD);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if self.tls {
            command.args(["--tls", "--insecure"]);
        }
        command.args(words).stdin(Stdio::null());
        command
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("coffer").tempdir().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how whoever starts the tests names another server"
)]
fn program() -> String {
    std::env::var("COFFER_TEST_REDIS").unwrap_or_else(|_| SERVER.to_owned())
}

fn spawn(folder: &Path, port: u16, tls: bool) -> Child {
    let (port, program) = (port.to_string(), program());
    let mut command = Command::new(&program);
    command.env_clear().current_dir(folder);
    command.args(["--bind", "127.0.0.1", "--requirepass", PASSWORD]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.args(["--user", USER, &format!(">{PASSWORD}")]);
    command.args(RIGHTS);
    if tls {
        command.args(["--port", "0", "--tls-port", &port]);
        command.args(["--tls-cert-file", "face-cert.pem"]);
        command.args(["--tls-key-file", "face-key.pem"]);
        command.args(["--tls-ca-cert-file", "face-cert.pem"]);
        command.args(["--tls-auth-clients", "no"]);
    } else {
        command.args(["--port", &port]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let started = command.stderr(Stdio::null()).spawn();
    let mut process = started.unwrap_or_else(|error| {
        panic!("{program}: {error}; ./test --install gets what tests need")
    });
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    let ready = said.any(|line| line.unwrap().contains(READY));
    assert!(ready, "{program} has ended");
    process
}
