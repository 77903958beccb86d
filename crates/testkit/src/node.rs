//! A second process of the role `api` on the stores of a running Coffer, with a directory of its own, as on another machine.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Coffer, Merchant, inside::health_at, process::NO_LIMITS};

/// What all nodes of the role have alike, as far as it is there.
const SHARED: [&str; 5] = [
    "service.key",
    "postgres.password",
    "redis.password",
    "face-cert.pem",
    "face-key.pem",
];

/// The process. Killed when dropped.
pub struct Node {
    process: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    _directory: TempDir,
}

impl Coffer {
    /// Starts another `api`, called so, made as `docs/operations.md` says.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn another_api(&self, instance: &str) -> Node {
        let directory = self.directory_of_another_api(instance);
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "api", "--supervised", "--allow-root", "--dir"])
            .arg(directory.path())
            .args(["--listen", "api=127.0.0.1:0"])
            .args(["--listen", "checkout=127.0.0.1:0"])
            .args(["--listen", "metrics=127.0.0.1:0"]);
        for name in ["vault", "keys", "fields"] {
            let link = format!("{name}={}", self.address(name));
            command.args(["--link", &link]);
        }
        command.env_clear().env("COFFER_API_INSTANCE", instance);
        command.envs(NO_LIMITS);
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        self.log.follow(process.stderr.take().unwrap());
        let [address, metrics] = ready(&mut process);
        Node {
            process,
            address,
            metrics,
            _directory: directory,
        }
    }

    fn directory_of_another_api(&self, instance: &str) -> TempDir {
        let directory = tempfile::Builder::new().prefix("coffer").tempdir().unwrap();
        let (from, to) = (self.directory(), directory.path());
        fs::copy(from.join("coffer.toml"), to.join("coffer.toml")).unwrap();
        let folder = |name: &str, mode| {
            let mut builder = DirBuilder::new();
            builder.mode(mode).create(to.join(name)).unwrap();
        };
        folder("public", 0o755);
        folder("api", 0o700);
        for entry in fs::read_dir(from.join("public")).unwrap() {
            let name = Path::new("public").join(entry.unwrap().file_name());
            fs::copy(from.join(&name), to.join(name)).unwrap();
        }
        let shared = SHARED.map(|name| Path::new("api").join(name));
        for name in shared.iter().filter(|name| from.join(name).exists()) {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
        let mut issue = Command::new(&self.binary);
        issue.args(["keys", "issue", "api", "--instance", instance]);
        issue.arg("--dir").arg(from).arg("--to").arg(to.join("api"));
        assert!(issue.env_clear().status().unwrap().success());
        directory
    }
}

/// Where it serves, and where it tells of itself, once it does.
fn ready(process: &mut Child) -> [SocketAddr; 2] {
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let said: BTreeMap<String, Value> = serde_json::from_str(&line).expect("it serves");
    ["api", "metrics"].map(|name| said["ready"][name].as_str().unwrap().parse().unwrap())
}

impl Merchant {
    /// The same merchant, whose requests go to this node.
    #[must_use]
    pub fn at(&self, node: &Node) -> Self {
        self.calling(node.address.port())
    }
}

impl Node {
    /// What it shows to the operator's monitoring.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn metrics(&self) -> String {
        health_at(self.metrics, "/metrics").await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
