//! The supervisor's process, and what it reports.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::inside::Log;

/// Every face and link, and the name under which its address is reported.
const LISTENERS: &[(&str, &str)] = &[
    ("COFFER_FACES_API", "api"),
    ("COFFER_FACES_CHECKOUT", "checkout"),
    ("COFFER_FACES_FIELDS", "fields"),
    ("COFFER_LINKS_VAULT_LISTEN", "vault"),
    ("COFFER_LINKS_KEYS_LISTEN", "keys"),
    ("COFFER_SIMULATOR_LISTEN", "simulator"),
];
const METRICS: &[&str] = &[
    "COFFER_METRICS_API",
    "COFFER_METRICS_VAULT",
    "COFFER_METRICS_KEYS",
    "COFFER_METRICS_SIMULATOR",
];
/// Tests and measurements ask as fast as they can. Those that are about limits set their own.
pub(crate) const NO_LIMITS: [(&str, &str); 9] = [
    ("COFFER_LIMITS_KEY_PER_MINUTE", "10000000"),
    ("COFFER_LIMITS_KEY_BURST", "10000000"),
    ("COFFER_LIMITS_ACCOUNT_PER_MINUTE", "10000000"),
    ("COFFER_LIMITS_ACCOUNT_BURST", "10000000"),
    ("COFFER_LIMITS_FAILURES_PER_MINUTE", "10000000"),
    ("COFFER_LIMITS_FAILURES_BURST", "10000000"),
    ("COFFER_LIMITS_HANDSHAKES_PER_MINUTE", "10000000"),
    ("COFFER_LIMITS_HANDSHAKES_BURST", "10000000"),
    ("COFFER_LIMITS_KEY_CONCURRENT", "1000"),
];
const FREE_PORT: &str = "127.0.0.1:0";

/// `coffer up`, stopped when dropped.
pub(crate) struct Up(Child);

impl Up {
    /// Starts it; its events come through the channel. Faces and links take the addresses that they had before, if these
    /// are known, and free ones otherwise.
    pub(crate) fn start(
        binary: &str,
        directory: &Path,
        before: &BTreeMap<String, SocketAddr>,
        environment: &[(&'static str, String)],
        log: &Log,
    ) -> (Self, UnboundedReceiver<Value>) {
        let listen = |name: &str| {
            before
                .get(name)
                .map_or_else(|| FREE_PORT.to_owned(), SocketAddr::to_string)
        };
        let mut command = Command::new(binary);
        command
            .args(["up", "--json", "--allow-root", "--dir"])
            .arg(directory);
        let listeners = LISTENERS
            .iter()
            .map(|(variable, name)| (*variable, listen(name)));
        let metrics = METRICS
            .iter()
            .map(|variable| (*variable, FREE_PORT.to_owned()));
        command.env_clear().envs(listeners).envs(metrics);
        command.envs(NO_LIMITS);
        command.envs(environment.iter().cloned());
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        log.follow(child.stderr.take().unwrap());
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

/// Ends a process without warning.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Tells a process to end.
pub(crate) fn tell_to_stop(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Waits for the end of whatever process locks this directory of a role: the kernel gives the lock back then.
pub(crate) async fn ended(directory: &Path) {
    let lock = File::open(directory.join("lock")).unwrap();
    let wait = move || flock(lock, FlockOperation::LockExclusive).unwrap();
    tokio::task::spawn_blocking(wait).await.unwrap();
}

/// A process that is gone already is as good as signalled.
fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    let sent = kill_process(pid, signal);
    assert!(matches!(sent, Ok(()) | Err(Errno::SRCH)), "{sent:?}");
}
