//! Certificates by ACME, from a real authority: Debian's `pebble`, which rejects nonces at random as it does by itself.
//! `api` proves its hosts by files over plain HTTP, the vault its own in a handshake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use coffer_crypto::pki::inspect;
use coffer_testkit::{Client, Coffer, Installation, certified, eventually, presented};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const API: &str = "api.acme.localhost";
const CHECKOUT: &str = "pay.acme.localhost";
const FIELDS: &str = "fields.acme.localhost";
/// What binds the accounts of api and vault to a customer, who has them from the authority.
const KEY_IDS: [&str; 2] = ["kid-api", "kid-vault"];
const BINDING_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
/// The second retry comes half a minute after the first.
const ISSUED_WITHIN: Duration = Duration::from_secs(100);
/// Two thirds of it are over after 20 seconds.
const LIFE_S: u64 = 30;

/// The authority, with a resolver for which every name is this machine. Ended when dropped.
struct Pebble {
    processes: Vec<Child>,
    port: u16,
    management: u16,
    directory: TempDir,
}

impl Pebble {
    /// Not running yet, but it is known where it will be.
    fn planned() -> Self {
        Self {
            processes: Vec::new(),
            port: free_port(),
            management: free_port(),
            directory: certified("localhost", -60..3600),
        }
    }

    /// Starts it, to look for files at this port and for handshakes at that one, whatever the host.
    fn start(&mut self, http: u16, tls: u16) {
        self.end();
        let resolver = format!("127.0.0.1:{}", free_port());
        let path = |name: &str| self.directory.path().join(name);
        let settings = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": path("cert.pem"),
            "privateKey": path("key.pem"),
            "httpPort": http,
            "tlsPort": tls,
            "certificateValidityPeriod": LIFE_S,
            "externalAccountBindingRequired": true,
            "externalAccountMACKeys": {KEY_IDS[0]: BINDING_KEY, KEY_IDS[1]: BINDING_KEY},
        }});
        fs::write(path("pebble.json"), settings.to_string()).unwrap();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-dns01", &resolver, "-management", "127.0.0.1:0"]);
        names.args([
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ]);
        let mut pebble = Command::new("pebble");
        pebble.args(["-strict", "-dnsserver", &resolver, "-config"]);
        pebble.arg(path("pebble.json"));
        // Looks at once, not after up to 15 seconds. Nonces are rejected three times as often as usual.
        pebble.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "15")]);
        for command in [&mut names, &mut pebble] {
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let missing = "pebble is not installed: ./test --install";
            self.processes.push(command.spawn().expect(missing));
        }
    }

    fn end(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// A client that trusts what it has issued since it was started, and nothing else of this machine's.
    async fn client(&self) -> Client {
        let own = Client::trusting(&self.directory.path().join("ca.pem"));
        let url = format!("https://localhost:{}/roots/0", self.management);
        let root = own.send("GET", &url, &[], None).await.expect(200).text;
        let path = self.directory.path().join("root.pem");
        fs::write(&path, root).unwrap();
        Client::trusting(&path)
    }

    /// Makes an installation ask it, one whose faces have no certificate.
    fn configure(&self, directory: &Path) {
        let settings = directory.join("coffer.toml");
        let origins = format!(
            "[faces]\napi_origin = \"https://{API}\"\ncheckout_origin = \"https://{CHECKOUT}\"\nfields_origin = \"https://{FIELDS}\"\n"
        );
        let acme = format!(
            "\n[acme]\ndirectory = \"https://localhost:{}/dir\"\nterms_of_service_agreed = true\n\
             contact = \"security@coffer.test\"\nhttp_listen = \"127.0.0.1:0\"\nca_file = \"acme-ca.pem\"\n\
             eab_key_id = \"{}\"\nfields_eab_key_id = \"{}\"\n",
            self.port, KEY_IDS[0], KEY_IDS[1]
        );
        let text = fs::read_to_string(&settings).unwrap();
        fs::write(&settings, text.replace("[faces]\n", &origins) + &acme).unwrap();
        let authority = self.directory.path().join("ca.pem");
        fs::copy(authority, directory.join("public/acme-ca.pem")).unwrap();
        for role in ["api", "vault"] {
            let key = directory.join(role).join("acme-eab.key");
            fs::write(&key, format!("{BINDING_KEY}=\n")).unwrap();
            fs::set_permissions(key, Permissions::from_mode(0o600)).unwrap();
            for name in ["face-cert.pem", "face-key.pem"] {
                fs::remove_file(directory.join(role).join(name)).unwrap();
            }
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until a face presents a certificate, another one than before.
async fn certificate(coffer: &Coffer, face: &str, host: &str, before: Option<&[u8]>) -> Vec<u8> {
    eventually(
        ISSUED_WITHIN,
        &format!("a certificate for {host}"),
        async || {
            let found = presented(coffer.address(face), host).await?;
            Some(found).filter(|found| Some(found.as_slice()) != before)
        },
    )
    .await
}

async fn plain(coffer: &Coffer, request: &str) -> String {
    let mut stream = TcpStream::connect(coffer.address("api_http"))
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Whether an authority that looks now would see any certificate.
fn proof_is_shown(port: u16) -> bool {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-alpn", "acme-tls/1", "-servername", API]);
    command.args(["-connect", &format!("127.0.0.1:{port}")]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("CONNECTED"), "{said}");
    said.contains("BEGIN CERTIFICATE")
}

fn account(coffer: &Coffer, role: &str) -> String {
    let path = coffer.directory().join(role).join("acme-account.json");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{role}");
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn faces_get_certificates_renew_them_in_time_and_keep_their_accounts() {
    let mut pebble = Pebble::planned();
    let mut coffer = Coffer::start_prepared(BINARY, async |installation: &Installation| {
        pebble.configure(installation.directory());
    })
    .await;
    // Nobody is there to ask: the roles run, and say what they wait for.
    assert_eq!(presented(coffer.address("api"), API).await, None);
    for said in ["have no certificate yet", "the faces wait for it"] {
        let what = format!("the log says that {said}");
        eventually(ISSUED_WITHIN, &what, async || {
            coffer.log().contains(said).then_some(())
        })
        .await;
    }
    let unready = coffer.health("api", "/readyz").await;
    assert!(unready.contains("no certificate yet"), "{unready}");

    pebble.start(
        coffer.address("api_http").port(),
        coffer.address("fields").port(),
    );
    let first = certificate(&coffer, "api", API, None).await;
    let fields = certificate(&coffer, "fields", FIELDS, None).await;
    let names = |der: &[u8]| inspect(der).unwrap().dns;
    assert_eq!(names(&first), [API, CHECKOUT]);
    assert_eq!(names(&fields), [FIELDS]);
    let client = pebble.client().await;
    for (face, host) in [("api", API), ("checkout", CHECKOUT), ("fields", FIELDS)] {
        let url = format!("https://{host}:{}/", coffer.address(face).port());
        client.send("GET", &url, &[], None).await;
    }
    let ready = coffer.health("api", "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    // Another certificate may be in use by now: one of them lives half a minute.
    eventually(ISSUED_WITHIN, "a metric that tells its end", async || {
        let metrics = coffer.metrics("api").await;
        let presented = presented(coffer.address("api"), API).await?;
        let expires = inspect(&presented).unwrap().not_after_s;
        let told = format!("coffer_face_certificate_expires_timestamp_seconds {expires}");
        metrics.contains(&told).then_some(())
    })
    .await;
    // Who asks for proof while nothing is to be proven is shown nothing.
    assert!(!proof_is_shown(coffer.address("api").port()));
    // Each role has an account of its own.
    let accounts = ["api", "vault"].map(|role| account(&coffer, role));
    assert_ne!(accounts[0], accounts[1]);

    // The api is killed, and renews with the account that it had.
    coffer.kill("api").await;
    let second = certificate(&coffer, "api", API, Some(&first)).await;
    assert!(inspect(&second).unwrap().not_before_s > inspect(&first).unwrap().not_before_s);
    certificate(&coffer, "fields", FIELDS, Some(&fields)).await;
    assert_eq!(
        accounts,
        ["api", "vault"].map(|role| account(&coffer, role))
    );

    // An authority that was set up anew knows nobody.
    pebble.start(
        coffer.address("api_http").port(),
        coffer.address("fields").port(),
    );
    certificate(&coffer, "api", API, Some(&second)).await;
    assert_ne!(accounts[0], account(&coffer, "api"));
}

#[tokio::test(flavor = "multi_thread")]
async fn port_80_has_nothing_to_give() {
    let pebble = Pebble::planned();
    let coffer = Coffer::start_prepared(BINARY, async |installation: &Installation| {
        pebble.configure(installation.directory());
    })
    .await;
    let get = |host: &str, path: &str| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let checkout = plain(&coffer, &get(CHECKOUT, "/c/chk_1")).await;
    assert!(checkout.starts_with("HTTP/1.1 308"), "{checkout}");
    let to = format!("location: https://{CHECKOUT}/c/chk_1\r\n");
    assert!(checkout.contains(&to), "{checkout}");
    let api = plain(&coffer, &get(API, "/v1/ping")).await;
    assert!(api.starts_with("HTTP/1.1 403"), "{api}");
    let challenge = "/.well-known/acme-challenge/unknown";
    for (host, path) in [("evil.test", "/"), (API, challenge), (FIELDS, "/")] {
        let answer = plain(&coffer, &get(host, path)).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host}{path}: {answer}");
    }
}
