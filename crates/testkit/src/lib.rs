//! A whole Coffer in a test: the real binary with all its roles, on free ports, in a directory of its own.
//!
//! Used only from `tests/` folders. A helper that cannot do its part panics: that is how a test fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test that uses it"
)]

mod canary;
mod certified;
mod chance;
mod client;
mod databases;
mod hunt;
mod inside;
mod installation;
mod knock;
mod memory;
mod merchant;
mod node;
mod outage;
mod payer;
mod plans;
mod postgres;
mod process;
mod receiver;
mod redis;
mod store;

pub use certified::certified;
pub use chance::Chance;
pub use client::{Answer, Client};
pub use databases::TestDatabase;
pub use hunt::{Hunt, files_under};
pub use installation::Installation;
pub use knock::{Knocked, Tls, dial, knock, presented};
pub use merchant::{Card, Merchant};
pub use node::Node;
pub use outage::Frozen;
pub use payer::Payer;
pub use postgres::{PrivateServer, Server};
pub use receiver::{Received, Receiver, Reply};
pub use redis::Redis;
pub use store::TestStore;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use coffer_net::admin::AdminClient;
use serde_json::{Value, json};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use inside::Log;
use process::Up;

/// How long anything here may take to happen on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often [`eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ROLES: [&str; 4] = ["api", "vault", "keys", "simulator"];

/// Looks again and again until `probe` finds something.
///
/// # Panics
/// When it does not within this time.
pub async fn eventually<T, F>(within: Duration, what: &str, probe: impl Fn() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let search = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    timeout(within, search)
        .await
        .unwrap_or_else(|_| panic!("not within {} s: {what}", within.as_secs()))
}

/// A running Coffer. Dropping it stops all its processes and deletes its directory.
pub struct Coffer {
    // The order of fields is the order of their end: processes before their files.
    up: Up,
    binary: String,
    environment: Vec<(&'static str, String)>,
    events: UnboundedReceiver<Value>,
    pids: BTreeMap<String, u32>,
    addresses: BTreeMap<String, SocketAddr>,
    demo: Value,
    client: Client,
    log: Log,
    installation: Installation,
}

impl Coffer {
    /// Initialises a development installation and starts all its roles; `binary` is `env!("CARGO_BIN_EXE_coffer")`.
    ///
    /// # Panics
    /// When it is not up in time.
    pub async fn start(binary: &str) -> Self {
        Self::start_prepared(binary, async |_| ()).await
    }

    /// As [`Self::start`], with these settings in the environment.
    ///
    /// # Panics
    /// When it is not up in time.
    pub async fn start_with(binary: &str, settings: &[(&'static str, &str)]) -> Self {
        let installation = Installation::of_this_run(binary);
        let settings = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self::up_in(binary, installation, settings.collect()).await
    }

    /// As [`Self::start`], after `prepare` worked on the installation, when no process has run in it yet.
    ///
    /// # Panics
    /// When it is not up in time.
    pub async fn start_prepared(binary: &str, prepare: impl AsyncFnOnce(&Installation)) -> Self {
        let installation = Installation::of_this_run(binary);
        prepare(&installation).await;
        Self::up(binary, installation).await
    }

    /// Starts all roles of an installation.
    ///
    /// # Panics
    /// When it is not up in time.
    pub async fn up(binary: &str, installation: Installation) -> Self {
        Self::up_in(binary, installation, Vec::new()).await
    }

    /// As [`Self::up`], with these variables in the environment of all processes.
    ///
    /// # Panics
    /// When it is not up in time.
    pub async fn up_in(
        binary: &str,
        installation: Installation,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let directory = installation.directory();
        let log = Log::default();
        let (up, events) = Up::start(binary, directory, &BTreeMap::new(), &environment, &log);
        let client = Client::trusting(&directory.join("public/development-ca.pem"));
        let (pids, addresses) = (BTreeMap::new(), BTreeMap::new());
        let mut coffer = Self {
            up,
            binary: binary.to_owned(),
            environment,
            events,
            pids,
            addresses,
            demo: Value::Null,
            client,
            log,
            installation,
        };
        coffer.until("up", None).await;
        coffer
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.installation.directory()
    }

    /// The installation, with the stores of its roles.
    #[must_use]
    pub const fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Where a face or link listens: `api`, `fields`, `simulator`, `vault`, `keys`.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn address(&self, name: &str) -> SocketAddr {
        *self
            .addresses
            .get(name)
            .unwrap_or_else(|| panic!("nothing listens as {name}"))
    }

    /// The process of a role, as it is now.
    ///
    /// # Panics
    /// When the role does not run.
    #[must_use]
    pub fn pid(&self, role: &str) -> u32 {
        self.pids[role]
    }

    /// The supervisor's process.
    #[must_use]
    pub fn supervisor(&self) -> u32 {
        self.up.pid()
    }

    /// The account that a development installation begins with, as it was reported: `account, publishable_key, secret_key`.
    #[must_use]
    pub const fn demo(&self) -> &Value {
        &self.demo
    }

    /// An HTTPS client that trusts this installation.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A role's admin socket.
    #[must_use]
    pub fn admin(&self, role: &str) -> AdminClient {
        AdminClient::new(self.directory().join(role).join("admin.sock"))
    }

    /// What needs the operator's attention.
    ///
    /// # Panics
    /// When the api does not answer.
    pub async fn alerts(&self) -> Vec<Value> {
        let method = coffer_net::outbound::Method::GET;
        let alerts = self.admin("api").call("/alerts", method, None).await;
        alerts.unwrap().as_array().unwrap().clone()
    }

    /// A new merchant with test keys.
    pub async fn merchant(&self) -> Merchant {
        Merchant::create(self).await
    }

    /// Every operation that the simulator has in its ledger.
    ///
    /// # Panics
    /// When the simulator does not answer.
    pub async fn ledger(&self) -> Vec<Value> {
        let credential =
            std::fs::read_to_string(self.directory().join("simulator/credential")).unwrap();
        let url = format!(
            "https://localhost:{}/v1/ledger",
            self.address("simulator").port()
        );
        let bearer = format!("Bearer {credential}");
        let answer = self
            .client
            .send("GET", &url, &[("authorization", &bearer)], None)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        answer.json["operations"]
            .as_array()
            .expect("a list of operations")
            .clone()
    }

    /// Makes the simulator misbehave (`docs/testing.md`).
    ///
    /// # Panics
    /// When the simulator refuses.
    pub async fn misbehave(&self, switch: Value) {
        let credential =
            std::fs::read_to_string(self.directory().join("simulator/credential")).unwrap();
        let url = format!(
            "https://localhost:{}/v1/switches",
            self.address("simulator").port()
        );
        let bearer = format!("Bearer {credential}");
        let answer = self
            .client
            .send("POST", &url, &[("authorization", &bearer)], Some(&switch))
            .await;
        assert!((200..300).contains(&answer.status), "{}", answer.json);
    }

    /// Kills a role without warning and waits until it serves again.
    pub async fn kill(&mut self, role: &str) {
        process::kill(self.pid(role));
        self.until("ready", Some(role)).await;
    }

    /// Tells a role to stop, as an operator does, and waits until it serves again; how it ended, in the supervisor's words.
    ///
    /// # Panics
    /// When it does not end, or does not come back.
    pub async fn stop(&mut self, role: &str) -> String {
        process::tell_to_stop(self.pid(role));
        let ended = self.until("ended", Some(role)).await;
        self.until("ready", Some(role)).await;
        ended["status"].as_str().unwrap().to_owned()
    }

    /// Kills the supervisor without warning, and starts it again when the roles have seen that it is gone.
    pub async fn kill_supervisor(&mut self) {
        process::kill(self.supervisor());
        self.start_again().await;
    }

    /// Kills every process without warning, as a power cut does, and starts them again.
    pub async fn kill_all(&mut self) {
        process::kill(self.supervisor());
        for role in ROLES {
            process::kill(self.pid(role));
        }
        self.start_again().await;
    }

    /// Starts the supervisor anew, at the same addresses, once nothing of the one before runs any more.
    async fn start_again(&mut self) {
        for role in ROLES {
            process::ended(&self.directory().join(role)).await;
        }
        let (directory, log) = (self.installation.directory(), &self.log);
        (self.up, self.events) = Up::start(
            &self.binary,
            directory,
            &self.addresses,
            &self.environment,
            log,
        );
        self.until("up", None).await;
    }

    /// Waits for an event of the supervisor's, of this role if one is named; remembers what passes by.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn until(&mut self, event: &str, role: Option<&str>) -> Value {
        let search = async {
            loop {
                let found = self.events.recv().await.expect("the supervisor ended");
                self.remember(&found);
                if found["event"] == event && role.is_none_or(|role| found["role"] == role) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|_| panic!("no event {event} in time"))
    }

    fn remember(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("ready") => {
                let pid = event["pid"]
                    .as_u64()
                    .and_then(|pid| u32::try_from(pid).ok())
                    .unwrap();
                self.pids
                    .insert(event["role"].as_str().unwrap().to_owned(), pid);
                for (name, address) in event["addresses"].as_object().unwrap() {
                    let address = address.as_str().unwrap().parse().unwrap();
                    // Every role has one of this name.
                    let name = if name == "metrics" {
                        format!("metrics_{}", event["role"].as_str().unwrap())
                    } else {
                        name.clone()
                    };
                    self.addresses.insert(name, address);
                }
            }
            Some("account") => self.demo = event.clone(),
            Some(_) | None => {}
        }
    }
}

/// An account by name, made if need be, and a test key of it.
async fn account_with_keys(admin: &AdminClient, name: &str) -> (String, String, String) {
    let post = async |path: &str, body: Value| {
        admin
            .call(path, coffer_net::outbound::Method::POST, Some(&body))
            .await
            .expect("the api's admin socket")
    };
    let account = post("/accounts", json!({"name": name, "create": true})).await["account"].clone();
    let key = async |kind: &str| {
        let wanted = json!({"account": account, "mode": "test", "kind": kind, "name": "test", "permissions": null, "lasts_ms": null});
        post("/api-keys", wanted).await["key"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    (
        account.as_str().unwrap().to_owned(),
        key("pk").await,
        key("sk").await,
    )
}
