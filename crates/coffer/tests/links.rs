//! The links between roles, knocked at with every wrong certificate: nobody reaches a method whose role may not call it,
//! and each attempt is in the log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{fs, path::Path, sync::Arc, time::Duration};

use coffer_core::Timestamp;
use coffer_crypto::{
    SecretBytes,
    pki::{Authority, KeyPair, Profile},
};
use coffer_keys::{Keys, MIGRATIONS, STATEMENTS, Settings};
use coffer_net::{
    Clock,
    contract::{Error, Role, keys::METHODS as KEYS_METHODS, vault::METHODS as VAULT_METHODS},
    link::{Identity, Link},
};
use coffer_testkit::{Coffer, Installation, Tls, eventually, knock};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const LOGGED_WITHIN: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A certificate chain and its key, PEM.
struct Certified {
    chain: String,
    key: String,
}

impl Certified {
    /// What a role of the installation has.
    fn stolen(directory: &Path, role: &str) -> Self {
        let read = |name| fs::read_to_string(directory.join(role).join(name)).unwrap();
        Self {
            chain: read("cert.pem"),
            key: read("key.pem"),
        }
    }

    /// What anyone can make: from an authority of one's own, its certificate attached or not.
    fn foreign(spiffe: &str, with_authority: bool) -> Self {
        let now_s = Clock::system().now().as_seconds();
        let authority = Authority::create("Coffer", now_s).unwrap();
        let profile = Profile {
            spiffe: Some(spiffe.to_owned()),
            dns: vec!["localhost".to_owned()],
            ips: Vec::new(),
            client: true,
            server: true,
            not_before_s: now_s - 60,
            not_after_s: now_s + 3600,
            serial: coffer_crypto::random().unwrap(),
        };
        let key = KeyPair::generate().unwrap();
        let chain = authority
            .issue(&key.request().unwrap(), &profile, now_s)
            .unwrap();
        let leaf = chain.strip_suffix(authority.certificate_pem()).unwrap();
        Self {
            chain: if with_authority {
                chain.clone()
            } else {
                leaf.to_owned()
            },
            key: text(&key.pem()),
        }
    }

    fn parts(&self) -> Option<(&str, &str)> {
        Some((&self.chain, &self.key))
    }

    /// A caller with this certificate, who trusts the installation's authority.
    fn link(&self, coffer: &Coffer, to: Role) -> Link {
        let authority = fs::read_to_string(coffer.directory().join("public/ca.pem")).unwrap();
        let key = SecretBytes::from_vec(self.key.clone().into_bytes());
        let identity = Identity::load(&self.chain, &key, &authority).unwrap();
        let address = coffer.address(to.as_str()).to_string();
        Link::new(Arc::new(identity), address, to)
    }
}

fn text(secret: &SecretBytes) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

/// Certificates for `api` by the installation's own authority: one that is over, one that is for tomorrow, and one that
/// was revoked. Made in the key server's store while no process has it.
struct Issued {
    expired: Certified,
    not_yet_valid: Certified,
    revoked: Certified,
}

async fn issue_at(
    installation: &Installation,
    now: Timestamp,
    lifetime_ms: i64,
    revoke: bool,
) -> Certified {
    let db = installation.store("keys", MIGRATIONS, STATEMENTS).await;
    let keys = Keys::open(db.clone(), Settings::new("test", Clock::fixed(now)))
        .await
        .unwrap();
    let passphrase = fs::read_to_string(installation.directory().join("keys/passphrase")).unwrap();
    let passphrase = SecretBytes::from_vec(passphrase.trim_end().as_bytes().to_vec());
    keys.unseal(&passphrase).await.unwrap();
    let key = KeyPair::generate().unwrap();
    let request = key.request().unwrap();
    let chain = keys
        .issue_certificate(Role::Api, "api-2", &[], &request, lifetime_ms)
        .await
        .unwrap();
    if revoke {
        let identity = Identity::load(&chain, &key.pem(), &chain).unwrap();
        keys.revoke_certificate(&identity.peer().serial)
            .await
            .unwrap();
    }
    db.close().await;
    Certified {
        chain,
        key: text(&key.pem()),
    }
}

async fn start() -> (Coffer, Issued) {
    let mut issued = None;
    let coffer = Coffer::start_prepared(BINARY, async |installation: &Installation| {
        let now = Clock::system().now();
        // The authority is an hour old, on paper, when it is made.
        let earlier = now.plus_millis(-30 * MINUTE_MS);
        issued = Some(Issued {
            expired: issue_at(installation, earlier, 10 * MINUTE_MS, false).await,
            revoked: issue_at(installation, now, DAY_MS, true).await,
            not_yet_valid: issue_at(installation, now.plus_millis(DAY_MS), DAY_MS, false).await,
        });
    })
    .await;
    (coffer, issued.unwrap())
}

/// Waits until one line of the log holds all of these.
async fn logged(coffer: &Coffer, parts: &[&str]) {
    eventually(LOGGED_WITHIN, &parts.join(", "), async || {
        let log = coffer.log();
        log.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_certificate_of_a_role_by_our_authority_in_its_time() {
    let (coffer, issued) = start().await;
    let api = Certified::stolen(coffer.directory(), "api");
    // It is called and never calls.
    let keys = Certified::stolen(coffer.directory(), "keys");
    let self_signed = Certified::foreign("spiffe://coffer/api/api-1", false);
    let foreign = Certified::foreign("spiffe://coffer/api/api-1", true);
    let face = Certified {
        chain: fs::read_to_string(coffer.directory().join("api/face-cert.pem")).unwrap(),
        key: fs::read_to_string(coffer.directory().join("api/face-key.pem")).unwrap(),
    };
    let cases = [
        ("no certificate", None, Tls::V13),
        ("nobody's authority", self_signed.parts(), Tls::V13),
        ("a foreign authority", foreign.parts(), Tls::V13),
        ("a public face's certificate", face.parts(), Tls::V13),
        ("a certificate for servers only", keys.parts(), Tls::V13),
        ("expired", issued.expired.parts(), Tls::V13),
        ("not yet valid", issued.not_yet_valid.parts(), Tls::V13),
        ("TLS 1.2", api.parts(), Tls::V12),
    ];
    for to in ["vault", "keys"] {
        for (case, certificate, tls) in cases {
            let knocked = knock(coffer.address(to), certificate, tls).await;
            assert!(!knocked.admitted, "{to}: {case}");
            let from = format!("127.0.0.1:{}", knocked.port);
            logged(&coffer, &["a link's handshake failed", &from]).await;
        }
        let control = knock(coffer.address(to), api.parts(), Tls::V13).await;
        assert!(control.admitted, "{to}: the control");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_calls_nothing() {
    let (coffer, issued) = start().await;
    let link = issued.revoked.link(&coffer, Role::Keys);
    for method in KEYS_METHODS {
        let answer = link
            .call::<(), ()>(Role::Keys, method.name, &(), ANSWERED_WITHIN)
            .await;
        assert_eq!(answer, Err(Error::NotAllowed), "{}", method.name);
    }
    logged(
        &coffer,
        &["a revoked certificate was used", "peer.instance=\"api-2\""],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_reaches_no_method_of_another_role_s() {
    let coffer = Coffer::start(BINARY).await;
    for (to, methods) in [(Role::Vault, VAULT_METHODS), (Role::Keys, KEYS_METHODS)] {
        for from in [Role::Api, Role::Vault] {
            let link = Certified::stolen(coffer.directory(), from.as_str()).link(&coffer, to);
            for method in methods {
                if method.callers.contains(&from) {
                    continue;
                }
                let answer = link
                    .call::<(), ()>(to, method.name, &(), ANSWERED_WITHIN)
                    .await;
                assert_eq!(
                    answer,
                    Err(Error::NotAllowed),
                    "{from} → {to}.{}",
                    method.name
                );
                let (who, what) = (
                    format!("peer.role={from}"),
                    format!("call.method=\"{}\"", method.name),
                );
                logged(&coffer, &["a role asked for what it may not", &who, &what]).await;
            }
        }
        let metrics = coffer.metrics(to.as_str()).await;
        for method in methods {
            for from in Role::ALL {
                let labels = format!("caller=\"{from}\",method=\"{}\"", method.name);
                let reached = metrics.contains(&labels);
                assert!(!reached || method.callers.contains(from), "{to}: {labels}");
            }
        }
        // What these labels look like is proven by a call that every api makes when it starts.
        let control = "caller=\"api\",method=\"revoked\"";
        assert_eq!(metrics.contains(control), to == Role::Keys, "{metrics}");
    }
}

/// The two that matter most, by name, in the order of what a thief would like.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_api_opens_no_card_and_a_stolen_vault_orders_nothing() {
    let coffer = Coffer::start(BINARY).await;
    let of = |role, to| Certified::stolen(coffer.directory(), role).link(&coffer, to);
    let ask =
        async |link: Link, to, method| link.call::<(), ()>(to, method, &(), ANSWERED_WITHIN).await;
    for (from, to, method) in [
        ("api", Role::Keys, "open"),
        ("api", Role::Keys, "rewrap"),
        ("api", Role::Keys, "unseal"),
        ("vault", Role::Keys, "order_key"),
        ("vault", Role::Keys, "seal"),
        ("vault", Role::Vault, "perform"),
    ] {
        let answer = ask(of(from, to), to, method).await;
        assert_eq!(answer, Err(Error::NotAllowed), "{from} → {to}.{method}");
    }
    // A role is only ever talked to as itself: the vault's certificate does not make it a key server.
    let address = coffer.address("vault").to_string();
    let authority = fs::read_to_string(coffer.directory().join("public/ca.pem")).unwrap();
    let api = Certified::stolen(coffer.directory(), "api");
    let key = SecretBytes::from_vec(api.key.into_bytes());
    let identity = Arc::new(Identity::load(&api.chain, &key, &authority).unwrap());
    let mistaken = Link::new(identity, address, Role::Keys);
    assert_eq!(
        ask(mistaken, Role::Keys, "order_key").await,
        Err(Error::Away)
    );
}
