//! The installation that the demo plays on: made, started, listened to, taken down.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{console, directory::Directory, failure::Failure};

/// How long the processes may take to be up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every listener of an installation, on a free port.
const FREE_PORTS: &[&str] = &[
    "COFFER_FACES_API",
    "COFFER_FACES_CHECKOUT",
    "COFFER_FACES_FIELDS",
    "COFFER_LINKS_VAULT_LISTEN",
    "COFFER_LINKS_KEYS_LISTEN",
    "COFFER_SIMULATOR_LISTEN",
    "COFFER_METRICS_API",
    "COFFER_METRICS_VAULT",
    "COFFER_METRICS_KEYS",
    "COFFER_METRICS_SIMULATOR",
];

/// What would keep its data elsewhere than in its directory, where the thief copies it from.
const ELSEWHERE: &[&str] = &[
    "COFFER_POSTGRES_ADDRESS",
    "COFFER_POSTGRES_NAMES",
    "COFFER_POSTGRES_CA_FILE",
];

/// A running installation in a temporary directory.
pub(super) struct Stage {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
    pub(super) processes: BTreeMap<String, u32>,
    pub(super) addresses: BTreeMap<String, SocketAddr>,
    pub(super) publishable_key: String,
    pub(super) secret_key: String,
    pub(super) folder: TempDir,
}

impl Stage {
    /// Makes an installation and starts it.
    pub(super) async fn build() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("coffer-demo-")
            .tempdir()
            .map_err(system("a temporary directory"))?;
        let program = std::env::current_exe().map_err(system("finding this program"))?;
        let data = folder.path().join("data");
        let made = coffer(&program)
            .args(["init", "--profile", "development", "--dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(system("coffer init"))?;
        if !made.status.success() {
            return Err(Failure::System(
                String::from_utf8_lossy(&made.stderr).into_owned(),
            ));
        }
        let log = std::fs::File::create(folder.path().join("log")).map_err(system("the log"))?;
        let mut child = coffer(&program)
            .args(["up", "--json", "--allow-root", "--dir"])
            .arg(&data)
            .envs(FREE_PORTS.iter().map(|name| (name, "127.0.0.1:0")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(system("coffer up"))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| Failure::System("coffer up has no output".to_owned()))?;
        let mut stage = Self {
            child,
            events: BufReader::new(stdout).lines(),
            processes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            publishable_key: String::new(),
            secret_key: String::new(),
            folder,
        };
        timeout(PATIENCE, stage.until_up())
            .await
            .map_err(|_| stage.died("was not up in time"))??;
        Ok(stage)
    }

    /// The data directory.
    pub(super) fn directory(&self) -> Result<Directory, Failure> {
        Directory::open(&self.data())
    }

    /// Where it is.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The port of a face or link.
    pub(super) fn port(&self, name: &str) -> u16 {
        self.addresses.get(name).map_or(0, SocketAddr::port)
    }

    /// A line for each process.
    pub(super) fn described(&self) -> Vec<String> {
        let described = |(role, pid): (&String, &u32)| format!("{role}: process {pid}");
        let listens = self
            .addresses
            .iter()
            .map(|(name, address)| format!("{name} {address}"))
            .collect::<Vec<_>>();
        self.processes
            .iter()
            .map(described)
            .chain([listens.join(", ")])
            .collect()
    }

    /// What one needs to go on by hand.
    pub(super) fn describe_kept(&self) {
        console::say("\nIt keeps running; stop it with Ctrl-C. To go on by hand:");
        console::say(&format!(
            "   export COFFER_URL='https://localhost:{}'",
            self.port("api")
        ));
        console::say(&format!("   export COFFER_API_KEY='{}'", self.secret_key));
        console::say(&format!(
            "   export COFFER_CA='{}'",
            self.data().join("public/development-ca.pem").display()
        ));
    }

    /// Waits for Ctrl-C.
    pub(super) async fn hold(&self) -> Result<(), Failure> {
        tokio::signal::ctrl_c()
            .await
            .map_err(system("waiting for Ctrl-C"))
    }

    /// Stops everything; the directory goes with the stage.
    pub(super) async fn strike(&mut self) -> Result<(), Failure> {
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(system("stopping"))?;
        }
        timeout(PATIENCE, self.child.wait())
            .await
            .map_err(|_| self.died("did not stop in time"))?
            .map_err(system("stopping"))?;
        Ok(())
    }

    async fn until_up(&mut self) -> Result<(), Failure> {
        while let Some(line) = self.events.next_line().await.map_err(system("coffer up"))? {
            let event: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            let text = |key: &str| {
                event
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            match text("event").as_str() {
                "ready" => self.note(&event, text("role")),
                "account" => {
                    (self.publishable_key, self.secret_key) =
                        (text("publishable_key"), text("secret_key"))
                }
                "up" => return Ok(()),
                _ => {}
            }
        }
        Err(self.died("ended before it was up"))
    }

    fn note(&mut self, event: &Value, role: String) {
        let pid = event
            .get("pid")
            .and_then(Value::as_u64)
            .and_then(|pid| u32::try_from(pid).ok());
        self.processes.insert(role, pid.unwrap_or_default());
        for (name, address) in event
            .get("addresses")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if let Some(address) = address.as_str().and_then(|text| text.parse().ok()) {
                self.addresses.insert(name.clone(), address);
            }
        }
    }

    /// A failure with the end of the log, which says why.
    fn died(&self, how: &str) -> Failure {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        Failure::System(format!(
            "coffer up {how}:\n{}",
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        ))
    }
}

/// This program, whose data stays in its directory.
fn coffer(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in ELSEWHERE {
        command.env_remove(name);
    }
    command
}

/// Should the demo fail halfway, the supervisor is told to stop all the same, and stops its children.
impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// Turns an error of the machine into a failure that names what was being done.
pub(super) fn system<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::doing(what, error)
}
