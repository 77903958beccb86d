//! One role's process: how it is started, when it counts as ready, how it is told to stop.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use coffer_net::task;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    cli::NamedAddress,
    directory::{Directory, Role},
    failure::{EXIT_AWAY, Failure},
};

/// A role that is not ready by then is started anew.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// A role that was told to stop is killed after this: longer than its own tasks may take.
const GRACE: Duration = Duration::from_secs(20);

/// How a role is started, the first time and again.
pub(super) struct Launch {
    role: Role,
    program: PathBuf,
    directory: PathBuf,
    allow_root: bool,
    links: Vec<NamedAddress>,
    /// Pinned after the first start: whoever connects to a role must find it there again.
    listen: Vec<NamedAddress>,
}

impl Launch {
    pub(super) fn new(
        role: Role,
        directory: &Directory,
        allow_root: bool,
        links: &[NamedAddress],
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::doing("finding this program", error))?;
        Ok(Self {
            role,
            program,
            directory: directory.path().to_path_buf(),
            allow_root,
            links: links.to_vec(),
            listen: Vec::new(),
        })
    }

    pub(super) const fn role(&self) -> Role {
        self.role
    }

    /// Makes later starts listen where the first one did.
    pub(super) fn pin(&mut self, addresses: &[NamedAddress]) {
        self.listen = addresses.to_vec();
    }

    /// Starts the process and waits until it serves.
    pub(super) async fn start(&self) -> Result<Child, Failure> {
        let doing = |error| Failure::doing(format_args!("starting {}", self.role), error);
        let mut process = self.command().spawn().map_err(doing)?;
        let stdin = process.stdin.take();
        let pid = process.id().unwrap_or_default();
        let mut lines = match process.stdout.take() {
            Some(stdout) => BufReader::new(stdout).lines(),
            None => return Err(Failure::System(format!("{} has no stdout", self.role))),
        };
        match timeout(READY_WITHIN, ready(&mut lines)).await {
            Ok(Some(addresses)) => {
                // Whatever else it may print must not fill the pipe.
                task::spawn("drain a role's stdout", async move {
                    while let Ok(Some(_)) = lines.next_line().await {}
                });
                Ok(Child {
                    process,
                    _stdin: stdin,
                    pid,
                    addresses,
                })
            }
            Ok(None) => {
                let status = process.wait().await.map_err(doing)?;
                let reason = format!(
                    "{} ended before it was ready ({status}); its log says why",
                    self.role
                );
                Err(if status.code() == Some(i32::from(EXIT_AWAY)) {
                    Failure::Away(reason)
                } else {
                    Failure::System(reason)
                })
            }
            Err(_) => Err(Failure::System(format!(
                "{} was not ready within {} s",
                self.role,
                READY_WITHIN.as_secs()
            ))),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .arg(self.role.as_str())
            .arg("--supervised")
            .arg("--dir")
            .arg(&self.directory);
        if self.allow_root {
            command.arg("--allow-root");
        }
        for link in &self.links {
            command.arg("--link").arg(link.to_string());
        }
        for listen in &self.listen {
            command.arg("--listen").arg(listen.to_string());
        }
        // A group of its own: Ctrl-C at the terminal reaches only the supervisor, which then stops roles in order.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// A role's process that has said that it serves.
pub(super) struct Child {
    process: tokio::process::Child,
    /// Its end tells the child to stop.
    _stdin: Option<ChildStdin>,
    pid: u32,
    addresses: Vec<NamedAddress>,
}

impl Child {
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn addresses(&self) -> &[NamedAddress] {
        &self.addresses
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        // Not `Child::wait`, which would first close stdin and thereby tell the process to stop; it is held elsewhere.
        self.process.wait().await.ok()
    }

    /// Tells it to stop, and kills it when it does not.
    pub(super) async fn stop(self) {
        let Self {
            mut process,
            _stdin: stdin,
            pid: _,
            addresses: _,
        } = self;
        drop(stdin);
        if timeout(GRACE, process.wait()).await.is_err() {
            // Its own end, if it came in between, is as good.
            let _ = process.kill().await;
        }
    }
}

#[derive(Deserialize)]
struct ReadyLine {
    ready: BTreeMap<String, SocketAddr>,
}

/// The first line, or `None` when there is none or it is something else.
async fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Vec<NamedAddress>> {
    let line = lines.next_line().await.ok()??;
    let parsed: ReadyLine = serde_json::from_str(&line).ok()?;
    Some(
        parsed
            .ready
            .into_iter()
            .map(|(name, address)| NamedAddress { name, address })
            .collect(),
    )
}
