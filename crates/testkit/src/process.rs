//! The supervisor's process, and what it reports.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Every listener on a free port.
const FREE_PORTS: &[&str] = &[
    "COFFER_FACES_API",
    "COFFER_FACES_FIELDS",
    "COFFER_LINKS_VAULT_LISTEN",
    "COFFER_LINKS_KEYS_LISTEN",
    "COFFER_SIMULATOR_LISTEN",
    "COFFER_METRICS_API",
    "COFFER_METRICS_VAULT",
    "COFFER_METRICS_KEYS",
    "COFFER_METRICS_SIMULATOR",
];

/// `coffer up`, stopped when dropped.
pub(crate) struct Up(Child);

impl Up {
    /// Starts it; its events come through the channel.
    pub(crate) fn start(binary: &str, directory: &Path) -> (Self, UnboundedReceiver<Value>) {
        let mut command = Command::new(binary);
        command
            .args(["up", "--json", "--allow-root", "--dir"])
            .arg(directory);
        command
            .env_clear()
            .envs(FREE_PORTS.iter().map(|name| (name, "127.0.0.1:0")));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = unbounded_channel();
        // A thread, since it must go on while a test does not await anything.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::Null);
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        (Self(child), events)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It stops its children itself, in order, and kills what does not stop. A test that killed it has ended it already.
        if matches!(self.0.try_wait(), Ok(None)) {
            signal(self.0.id(), Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Makes a development installation.
pub(crate) fn initialise(binary: &str, directory: &Path) {
    let mut command = Command::new(binary);
    command
        .args(["init", "--profile", "development", "--dir"])
        .arg(directory)
        .env_clear()
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "init failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Ends a process without warning.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}
