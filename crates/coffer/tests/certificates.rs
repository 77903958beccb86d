//! Certificates that someone else renews: new files are served, on faces and links, without a restart and without a request
//! lost; files that do not fit change nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{fs, path::Path, time::Duration};

use coffer_crypto::{
    SecretBytes,
    pki::{Authority, KeyPair, Profile},
};
use coffer_keys::{Keys, MIGRATIONS, STATEMENTS, Settings};
use coffer_net::{Clock, contract::Role};
use coffer_testkit::{Client, Coffer, Installation, eventually, presented};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// Files are looked at every ten seconds.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// What a role's certificate is asked for on a link; its name is not what proves a role.
const LINK: &str = "role.coffer.internal";
const FACES: [(&str, &str); 3] = [
    ("api", "localhost"),
    ("checkout", "pay.coffer.localhost"),
    ("fields", "fields.coffer.localhost"),
];

/// A chain and its key, PEM.
struct Certified {
    chain: String,
    key: KeyPair,
}

impl Certified {
    fn for_faces(authority: &Authority) -> Self {
        let now_s = Clock::system().now().as_seconds();
        let profile = Profile {
            spiffe: None,
            dns: FACES.map(|(_, host)| host.to_owned()).to_vec(),
            ips: Vec::new(),
            client: false,
            server: true,
            not_before_s: now_s - 60,
            not_after_s: now_s + 3600,
            serial: coffer_crypto::random().unwrap(),
        };
        let key = KeyPair::generate().unwrap();
        let chain = authority
            .issue(&key.request().unwrap(), &profile, now_s)
            .unwrap();
        Self { chain, key }
    }

    /// By the installation's own authority, while no process has its store.
    async fn for_links(installation: &Installation, role: Role, instance: &str) -> Self {
        let db = installation.store("keys", MIGRATIONS, STATEMENTS).await;
        let keys = Keys::open(db.clone(), Settings::new("test", Clock::system()))
            .await
            .unwrap();
        let passphrase = fs::read(installation.directory().join("keys/passphrase")).unwrap();
        let passphrase = SecretBytes::from_vec(passphrase.trim_ascii_end().to_vec());
        keys.unseal(&passphrase).await.unwrap();
        let key = KeyPair::generate().unwrap();
        let request = key.request().unwrap();
        let chain = keys
            .issue_certificate(role, instance, &[], &request, DAY_MS)
            .await
            .unwrap();
        db.close().await;
        Self { chain, key }
    }

    /// As whoever renews certificates puts them there: one file, then the other.
    fn put(&self, folder: &Path, chain: &str, key: &str) {
        fs::write(folder.join(key), self.key.pem().expose()).unwrap();
        fs::write(folder.join(chain), &self.chain).unwrap();
    }
}

async fn served(coffer: &Coffer, listener: &str, host: &str) -> Vec<u8> {
    let found = presented(coffer.address(listener), host).await;
    found.unwrap_or_else(|| panic!("{listener} shows no certificate"))
}

async fn replaced(coffer: &Coffer, listener: &str, host: &str, before: &[u8]) {
    let what = format!("another certificate at {listener}");
    eventually(SERVED_WITHIN, &what, async || {
        let now = served(coffer, listener, host).await;
        (now != before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_are_served_on_every_face_and_link_without_a_restart() {
    let mut renewed = Vec::new();
    let coffer = Coffer::start_prepared(BINARY, async |installation: &Installation| {
        for (role, instance) in [(Role::Vault, "vault-1"), (Role::Keys, "keys-1")] {
            let certified = Certified::for_links(installation, role, instance).await;
            renewed.push((role.as_str(), certified));
        }
    })
    .await;
    let listeners = [("vault", LINK), ("keys", LINK)];
    let listeners: Vec<_> = FACES.into_iter().chain(listeners).collect();
    let mut before = Vec::new();
    for (listener, host) in &listeners {
        before.push(served(&coffer, listener, host).await);
    }
    let pids = ["api", "vault", "keys"].map(|role| coffer.pid(role));

    // A key without its certificate changes nothing, whatever it is.
    let authority = Authority::create("a new authority", Clock::system().now().as_seconds());
    let authority = authority.unwrap();
    let face = Certified::for_faces(&authority);
    let api = coffer.directory().join("api");
    fs::write(api.join("face-key.pem"), face.key.pem().expose()).unwrap();
    eventually(SERVED_WITHIN, "a warning", async || {
        let log = coffer.log();
        log.contains("a new certificate is not usable; the old one stays")
            .then_some(())
    })
    .await;
    assert_eq!(served(&coffer, "api", "localhost").await, before[0]);

    for role in ["api", "vault"] {
        let folder = coffer.directory().join(role);
        face.put(&folder, "face-cert.pem", "face-key.pem");
    }
    for (role, certified) in &renewed {
        certified.put(&coffer.directory().join(role), "cert.pem", "key.pem");
    }
    for ((listener, host), before) in listeners.iter().zip(&before) {
        replaced(&coffer, listener, host, before).await;
    }
    assert_eq!(pids, ["api", "vault", "keys"].map(|role| coffer.pid(role)));

    // What a client of the new authority needs works, through both links.
    let trusted = coffer.directory().join("new-ca.pem");
    fs::write(&trusted, authority.certificate_pem()).unwrap();
    let client = Client::trusting(&trusted);
    let key = coffer.demo()["secret_key"].as_str().unwrap().to_owned();
    let url = format!(
        "https://localhost:{}/v1/payments",
        coffer.address("api").port()
    );
    let bearer = format!("Bearer {key}");
    let payment = json!({"amount": 1999, "currency": "EUR", "token": "tok_test_approved"});
    let headers = [("authorization", bearer.as_str())];
    let paid = client.send("POST", &url, &headers, Some(&payment)).await;
    assert_eq!(paid.expect(201).json["status"], "captured");
}
