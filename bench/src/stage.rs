//! A whole Coffer to be measured, on one of the two stores: the real binary in its own processes, as `coffer up` runs it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use coffer_core::{Mode, id::TokenId};
use coffer_crypto::{SecretBytes, public_key::PublicKey};
use coffer_net::{
    contract::{Place, Role},
    link::{Identity, Link},
    outbound::Method,
};
use coffer_testkit::{Card, Chance, Coffer, Installation, Merchant, PrivateServer, Server};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    http::{Target, ask, post},
    machine::{Cores, Watched, pin},
    peer,
};

/// The page that the cards of these measurements come from; the testkit's merchant has it on its list.
const SITE: &str = "https://shop.test";
/// API keys that are made at a time: fewer than the admin socket takes.
const MAKERS: usize = 8;
/// A provider that costs as little as one can.
pub(crate) const PROVIDER: &str = "bare";
/// How long to look whether the processes rest.
const MOMENT: Duration = Duration::from_secs(1);
/// Processes rest that use less than this part of a core.
const RESTING: u32 = 20;
/// How long to wait for that.
const PATIENCE: Duration = Duration::from_secs(120);
/// So much may be opened and recognised in an hour that no budget ends a measurement.
const BUDGET: &str = "1000000000";

/// Where the roles keep their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// On which store and cores a Coffer is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scene {
    pub(crate) store: Store,
    /// [`Cores::Server`] leaves the other one to the load.
    pub(crate) cores: Cores,
}

impl Scene {
    /// One core for Coffer, one for the load.
    pub(crate) const ALONE: Self = Self {
        store: Store::Sqlite,
        cores: Cores::Server,
    };
    /// Both cores for all.
    pub(crate) const SQLITE: Self = Self {
        store: Store::Sqlite,
        cores: Cores::Both,
    };
    /// Both cores for all, PostgreSQL too.
    pub(crate) const POSTGRES: Self = Self {
        store: Store::Postgres,
        cores: Cores::Both,
    };
    /// In the order in which they are set up.
    pub(crate) const ALL: [Self; 3] = [Self::ALONE, Self::SQLITE, Self::POSTGRES];
}

impl Store {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A running Coffer with a merchant.
pub(crate) struct Stage {
    // The order of fields is the order of their end.
    coffer: Coffer,
    merchant: Merchant,
    pub(crate) store: Store,
    provider: SocketAddr,
    server: Option<PrivateServer>,
    binary: String,
    scene: Scene,
}

impl Stage {
    /// Starts one: all on one core, which the load leaves alone, or on both, which the load shares.
    pub(crate) async fn start(binary: &str, scene: Scene) -> Self {
        Self::start_with(binary, scene, Vec::new()).await
    }

    /// Another one of the same kind, which has every read on record before it answers.
    pub(crate) async fn strict(&self) -> Self {
        let strict = vec![("COFFER_AUDIT_READS", "strict".to_owned())];
        Self::start_with(&self.binary, self.scene, strict).await
    }

    async fn start_with(
        binary: &str,
        scene: Scene,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let Scene { store, cores } = scene;
        pin(cores);
        let server = (store == Store::Postgres).then(|| {
            // PostgreSQL's own default; the server of the tests keeps less.
            PrivateServer::start(&["max_wal_size=1GB"])
        });
        let installation = Installation::make(binary, server.as_ref().map(PrivateServer::server));
        let provider = peer::free();
        let settings = installation.directory().join("coffer.toml");
        widen(&settings);
        introduce(&settings, provider);
        let coffer = Coffer::up_in(binary, installation, environment).await;
        let merchant = coffer.merchant().await;
        if cores == Cores::Server {
            pin(Cores::Load);
        }
        Self {
            coffer,
            merchant,
            store,
            provider,
            server,
            binary: binary.to_owned(),
            scene,
        }
    }

    /// The data directory.
    pub(crate) fn directory(&self) -> &Path {
        self.coffer.directory()
    }

    /// A role's process.
    pub(crate) fn role(&self, role: &'static str) -> Watched {
        Watched::alone(role, self.coffer.pid(role))
    }

    /// The process that supervises the roles.
    pub(crate) fn supervisor(&self) -> Watched {
        Watched::alone("supervisor", self.coffer.supervisor())
    }

    /// These roles, and PostgreSQL where it is the store.
    pub(crate) fn roles(&self, roles: &[&'static str]) -> Vec<Watched> {
        let roles = roles.iter().map(|role| self.role(role));
        roles.chain(self.postgres()).collect()
    }

    fn postgres(&self) -> Option<Watched> {
        let folder = self.server()?.run(&["SHOW data_directory".to_owned()]);
        let file = fs::read_to_string(Path::new(folder.trim()).join("postmaster.pid"));
        let pid = file.expect("postmaster.pid").lines().next()?.parse().ok()?;
        Some(Watched::tree("postgres", pid))
    }

    /// Waits until the processes rest: what one row left them to do, such as chaining the log, is not the next one's cost.
    pub(crate) async fn settle(&self) {
        let all = self.roles(&["api", "vault", "keys", "simulator"]);
        let cpu = || all.iter().map(Watched::cpu).sum::<Duration>();
        let began = Instant::now();
        let mut before = cpu();
        while began.elapsed() < PATIENCE {
            tokio::time::sleep(MOMENT).await;
            let now = cpu();
            if now.saturating_sub(before) < MOMENT / RESTING {
                return;
            }
            before = now;
        }
        eprintln!("the processes do not come to rest; what follows is measured all the same");
    }

    /// The PostgreSQL server, where it is the store.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref().map(PrivateServer::server)
    }

    /// The authority of the faces.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory().join("public/development-ca.pem")
    }

    /// The certificate and the key of the API face, which the peers show too.
    pub(crate) fn certificate(&self) -> (PathBuf, PathBuf) {
        let api = self.directory().join("api");
        (api.join("face-cert.pem"), api.join("face-key.pem"))
    }

    /// The API face.
    pub(crate) fn api(&self) -> Target {
        Target::new(self.coffer.address("api"), &self.authority())
    }

    /// How requests to the API face name it.
    fn api_host(&self) -> String {
        format!("localhost:{}", self.coffer.address("api").port())
    }

    /// The vault's face.
    pub(crate) fn fields(&self) -> Target {
        Target::new(self.coffer.address("fields"), &self.authority())
    }

    /// Where a role listens for others.
    fn link_address(&self, to: Role) -> SocketAddr {
        self.coffer.address(to.as_str())
    }

    /// A link to a role, with the certificate of another.
    pub(crate) fn link(&self, from: Role, to: Role) -> Link {
        self.link_at(self.link_address(to), from, to)
    }

    /// A link to a role at an address where it may be or not, with the certificate of another.
    pub(crate) fn link_at(&self, address: SocketAddr, from: Role, to: Role) -> Link {
        let folder = self.directory().join(from.as_str());
        let read = |path: PathBuf| fs::read_to_string(path).expect("a file of the installation");
        let key = SecretBytes::from_vec(read(folder.join("key.pem")).into_bytes());
        let authority = read(self.directory().join("public/ca.pem"));
        let identity = Identity::load(&read(folder.join("cert.pem")), &key, &authority);
        let identity = Arc::new(identity.expect("an identity"));
        Link::new(identity, address.to_string(), to)
    }

    /// Where the vault expects the provider [`PROVIDER`].
    pub(crate) const fn provider_address(&self) -> SocketAddr {
        self.provider
    }

    /// The merchant's account in test mode.
    pub(crate) fn place(&self) -> Place {
        let account = self.merchant.account.parse().expect("an id");
        Place {
            account,
            mode: Mode::Test,
        }
    }

    /// The merchant's secret key.
    pub(crate) fn key(&self) -> &str {
        &self.merchant.secret_key
    }

    /// More secret keys of the merchant's.
    pub(crate) async fn keys(&self, count: usize) -> Vec<String> {
        let admin = self.coffer.admin("api");
        let wanted = json!({
            "account": self.merchant.account, "mode": "test", "kind": "sk", "name": "bench",
            "permissions": null, "lasts_ms": null,
        });
        let make = async |count: usize| {
            let mut made = Vec::with_capacity(count);
            for _ in 0..count {
                let answer = admin.call("/api-keys", Method::POST, Some(&wanted)).await;
                made.push(text(&answer.expect("an API key"), "key"));
            }
            made
        };
        join_all((0..MAKERS).map(|_| make(count / MAKERS)))
            .await
            .concat()
    }

    /// A request of the merchant's server.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.key());
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        post(&self.api_host(), path, &headers, body)
    }

    /// A new secret key of the merchant's, which may read, with these settings beside that.
    pub(crate) async fn key_with(&self, settings: &str) -> String {
        let wanted = format!(r#"{{"name":"bench","permissions":"read_only",{settings}}}"#);
        let made = ask(&self.api(), vec![self.post("/v1/api_keys", &[], &wanted)]).await;
        text(&made[0], "secret")
    }

    /// The id of a new signing key of the merchant's, whose public half is this.
    pub(crate) async fn signing_key(&self, public: &PublicKey) -> String {
        let wanted = json!({
            "account": self.merchant.account, "mode": "test", "name": "bench", "public_key": public.pem(),
        });
        let admin = self.coffer.admin("api");
        let made = admin.call("/signing-keys", Method::POST, Some(&wanted));
        text(&made.await.expect("a signing key"), "id")
    }

    /// The ids of new payments that wait for a card.
    pub(crate) async fn payments(&self, count: usize) -> Vec<String> {
        let request = self.post("/v1/payments", &[], r#"{"amount":1999,"currency":"EUR"}"#);
        let answers = ask(&self.api(), vec![request; count]).await;
        answers.iter().map(|payment| text(payment, "id")).collect()
    }

    /// Deposits that are ready to be sent to the vault's face, each of another card, with a ticket of its own.
    pub(crate) async fn deposits(&self, count: usize) -> Vec<Vec<u8>> {
        let bearer = format!("Bearer {}", self.merchant.publishable_key);
        let headers = [("authorization", bearer.as_str()), ("origin", SITE)];
        let ask_for_one = post(&self.api_host(), "/v1/intakes", &headers, "{}");
        let tickets = ask(&self.api(), vec![ask_for_one; count]).await;
        let (host, mut chance) = (self.fields().host(), Chance::new(Chance::seed()));
        let origin = format!("https://fields.coffer.{host}");
        let deposit = |ticket: &Value| {
            let Card { number, cvc } = Card::canary(&mut chance);
            let body =
                format!(r#"{{"number":"{number}","cvc":"{cvc}","exp_month":12,"exp_year":2040}}"#);
            let ticket = text(ticket, "ticket");
            post(
                &host,
                "/v1/tokens",
                &[("coffer-intake", &ticket), ("origin", &origin)],
                &body,
            )
        };
        tickets.iter().map(deposit).collect()
    }

    /// Tokens of deposited cards.
    pub(crate) async fn tokens(&self, count: usize) -> Vec<TokenId> {
        let answers = ask(&self.fields(), self.deposits(count).await).await;
        let token = |answer: &Value| text(answer, "id").parse().expect("a token");
        answers.iter().map(token).collect()
    }

    /// Kept cards, each with a customer of its own, which pay again and again.
    pub(crate) async fn cards(&self, count: usize) -> Vec<String> {
        let customer = self.post("/v1/customers", &[], "{}");
        let customers = ask(&self.api(), vec![customer; count]).await;
        let tokens = self.tokens(count).await;
        let keep = |(customer, token): (&Value, TokenId)| {
            let path = format!("/v1/customers/{}/cards", text(customer, "id"));
            self.post(&path, &[], &json!({ "token": token }).to_string())
        };
        let requests = customers.iter().zip(tokens).map(keep).collect();
        let answers = ask(&self.api(), requests).await;
        answers.iter().map(|card| text(card, "id")).collect()
    }
}

fn text(object: &Value, field: &str) -> String {
    let found = object[field].as_str();
    found
        .unwrap_or_else(|| panic!("no {field} in {object}"))
        .to_owned()
}

/// Tells the vault of a provider beside the simulator, which speaks the same and knows the same credential.
fn introduce(file: &Path, address: SocketAddr) {
    let mut text = fs::read_to_string(file).expect("coffer.toml");
    text.push_str(&format!(
        "\n[providers.{PROVIDER}]\nadapter = \"simulator\"\nmode = \"test\"\nurl = \"https://localhost:{}\"\n\
         credential_file = \"simulator.credential\"\n",
        address.port()
    ));
    fs::write(file, text).expect("coffer.toml");
}

/// Sets the budgets so high that they are counted and never used up.
fn widen(file: &Path) {
    let text = fs::read_to_string(file).expect("coffer.toml");
    let wide = text
        .replace(
            "# open_per_hour = 100000\n",
            &format!("open_per_hour = {BUDGET}\n"),
        )
        .replace(
            "# fingerprint_per_hour = 1000000\n",
            &format!("fingerprint_per_hour = {BUDGET}\n"),
        );
    assert_eq!(
        wide.matches(BUDGET).count(),
        2,
        "the budgets stand elsewhere in coffer.toml"
    );
    fs::write(file, wide).expect("coffer.toml");
}
