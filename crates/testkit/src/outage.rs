//! Outages on order: a role that is frozen, a key server that is sealed, files that change while nothing runs.

use std::fs;

use coffer_net::outbound::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{Coffer, Installation, ROLES, process};

/// A process that does nothing until this is dropped; connections to it stay, and nobody answers.
pub struct Frozen(Pid);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Coffer {
    /// Freezes a role's process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn freeze(&self, role: &str) -> Frozen {
        let pid = pid(self.pid(role));
        kill_process(pid, Signal::STOP).unwrap();
        Frozen(pid)
    }

    /// Seals the key server.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn seal(&self) {
        self.custody("/seal", json!({}), true).await;
    }

    /// Opens the key server.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn unseal(&self) {
        let file = self.directory().join("keys/passphrase");
        let passphrase = fs::read_to_string(file).unwrap();
        let body = json!({"passphrase": passphrase.trim_end()});
        self.custody("/unseal", body, false).await;
    }

    async fn custody(&self, path: &str, body: Value, sealed: bool) {
        let admin = self.admin("keys");
        let answer = admin.call(path, Method::POST, Some(&body)).await;
        assert_eq!(answer.expect("the key server")["sealed"], json!(sealed));
    }

    /// Stops everything in order, lets `change` work on the installation, and starts again at the same addresses.
    pub async fn at_rest(&mut self, change: impl AsyncFnOnce(&Installation)) {
        kill_process(pid(self.supervisor()), Signal::TERM).unwrap();
        for role in ROLES {
            process::ended(&self.directory().join(role)).await;
        }
        change(&self.installation).await;
        self.start_again().await;
    }
}

fn pid(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap()
}
