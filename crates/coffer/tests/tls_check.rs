//! `coffer tls check`: good marks for our own faces, and none for OpenSSL's server set up as badly as it lets us.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use coffer_testkit::{Coffer, certified};
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const HOST: &str = "shop.localhost";
const DAY_S: i64 = 24 * 60 * 60;

/// What the command said, and how it ended.
struct Checked {
    status: i32,
    said: String,
    json: Value,
}

fn check(arguments: &[&str], place: &Path) -> Checked {
    let output = Command::new(BINARY)
        .args(["tls", "check", "--dir"])
        .arg(place)
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    Checked {
        status: output.status.code().unwrap(),
        json: serde_json::from_str(&said).unwrap_or(Value::Null),
        said,
    }
}

impl Checked {
    /// The codes of all findings of the one server.
    fn codes(&self) -> Vec<&str> {
        let findings = self.json["reports"][0]["findings"].as_array().unwrap();
        let codes = findings.iter().map(|one| one["code"].as_str().unwrap());
        codes.collect()
    }

    fn grade(&self) -> &str {
        self.json["reports"][0]["grade"].as_str().unwrap()
    }

    fn accepted(&self, what: &str) -> Vec<&str> {
        let all = self.json["reports"][0][what].as_array().unwrap();
        let accepted = all.iter().filter(|one| one["accepted"] == true);
        accepted.map(|one| one["name"].as_str().unwrap()).collect()
    }
}

/// OpenSSL's test server. Ended when dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-accept", "127.0.0.1:0"]);
        command.args([
            "-cert",
            "cert.pem",
            "-key",
            "key.pem",
            "-cert_chain",
            "cert.pem",
        ]);
        command.args(arguments).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut process = command.spawn().expect("openssl: ./test --install");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("ACCEPT")).unwrap();
        let port = line.rsplit_once(':').unwrap().1.parse().unwrap();
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port }
    }

    fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A small RSA key that signed itself with a broken hash.
fn weak_certificate() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-noenc", "-sha1"])
        .args(["-subj", "/CN=shop.localhost", "-days", "30"])
        .args(["-addext", "subjectAltName=DNS:shop.localhost"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl: ./test --install").success());
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn every_face_of_ours_gets_the_best_grade() {
    let coffer = Coffer::start(BINARY).await;
    let all = check(&["--json"], coffer.directory());
    let reports = all.json["reports"].as_array().unwrap();
    assert_eq!((reports.len(), all.status), (3, 0), "{}", all.said);
    for report in reports {
        assert_eq!(report["grade"], "A", "{report}");
        for version in report["versions"].as_array().unwrap() {
            let name = version["name"].as_str().unwrap();
            let modern = ["TLS 1.2", "TLS 1.3"].contains(&name);
            assert_eq!(version["accepted"], modern, "{version}");
        }
        for group in report["groups"].as_array().unwrap() {
            assert_eq!(group["accepted"], true, "{group}");
        }
    }
    // For people, by the names that are theirs; without its authority it is not to be trusted.
    let api = format!("localhost:{}", coffer.address("api").port());
    let shown = check(&[&api], coffer.directory());
    assert!(shown.said.contains("grade A"), "{}", shown.said);
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = check(&[&api, "--json"], elsewhere.path());
    assert_eq!(stranger.codes(), ["certificate_untrusted"]);
    assert_eq!((stranger.status, stranger.grade()), (1, "F"));
}

#[test]
fn what_must_be_refused_is_found_where_it_is_not() {
    let folder = weak_certificate();
    let old = [
        "-cipher",
        "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
        "-min_protocol",
        "TLSv1",
    ];
    let server = Server::start(
        folder.path(),
        &[&old[..], &["-max_protocol", "TLSv1.2"]].concat(),
    );
    let found = check(&[&server.at(HOST), "--json"], folder.path());
    assert_eq!((found.status, found.grade()), (1, "F"), "{}", found.said);
    assert_eq!(
        found.accepted("versions"),
        ["TLS 1.0", "TLS 1.1", "TLS 1.2"]
    );
    let codes = found.codes();
    for code in [
        "version_tls10",
        "version_tls11",
        "version_tls13_missing",
        "suite_none",
        "suite_rsa_exchange",
        "suite_cbc",
        "group_hybrid_missing",
        "certificate_key_weak",
        "certificate_signature_weak",
        "certificate_untrusted",
        // No modern client believes a key of 1024 bits.
        "handshake_failed",
    ] {
        assert!(codes.contains(&code), "{code}: {}", found.said);
    }
    // The worst comes first, and each says what to do.
    let findings = found.json["reports"][0]["findings"].as_array().unwrap();
    assert_eq!(findings[0]["severity"], "critical");
    assert!(
        findings
            .iter()
            .all(|one| one["advice"].as_str().unwrap().len() > 20)
    );
}

#[test]
fn a_certificate_is_judged_by_its_time_its_names_and_its_chain() {
    let with = |folder: &TempDir, host: &str, more: &[&str]| {
        let server = Server::start(folder.path(), more);
        let ca = folder.path().join("ca.pem");
        let ca = ["--ca-file", ca.to_str().unwrap(), "--json"];
        check(
            &[&[server.at(host).as_str()][..], &ca].concat(),
            folder.path(),
        )
    };
    let of_certificate = |found: &Checked| {
        let codes = found.codes().into_iter();
        let codes = codes.filter(|code| code.starts_with("certificate_"));
        codes.map(str::to_owned).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    let good = certified(HOST, -DAY_S..30 * DAY_S);
    assert_eq!(of_certificate(&with(&good, HOST, &[])), none);
    assert_eq!(
        of_certificate(&with(&good, "other.localhost", &[])),
        ["certificate_name"]
    );
    let expired = certified(HOST, -30 * DAY_S..-DAY_S);
    assert_eq!(
        of_certificate(&with(&expired, HOST, &[])),
        ["certificate_expired"]
    );
    let both = with(&expired, "other.localhost", &[]);
    assert_eq!(
        of_certificate(&both),
        ["certificate_expired", "certificate_name"]
    );
    let early = certified(HOST, DAY_S..30 * DAY_S);
    assert_eq!(
        of_certificate(&with(&early, HOST, &[])),
        ["certificate_not_yet_valid"]
    );
    let late = certified(HOST, -90 * DAY_S..5 * DAY_S);
    assert_eq!(
        of_certificate(&with(&late, HOST, &[])),
        ["certificate_ends_soon"]
    );
    // Only TLS 1.3, only one curve: what is missing is said, what is there is not found fault with.
    let one = with(&good, HOST, &["-tls1_3", "-groups", "P-256"]);
    assert_eq!(one.accepted("versions"), ["TLS 1.3"]);
    assert_eq!(one.accepted("groups"), ["P-256"]);
    assert_eq!(one.codes(), ["hsts_missing", "group_hybrid_missing"]);
}

/// Debian's OpenSSL cannot speak it any more: this server says yes to it, and hangs up on everything else.
#[test]
fn ssl_3_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut record = vec![0; 5];
            if stream.read_exact(&mut record).is_err() {
                continue;
            }
            let mut hello = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
            stream.read_exact(&mut hello).unwrap();
            let (version, suite) = (&hello[4..6], &hello[41..43]);
            if version == [3, 0] {
                let head = [&[22, 3, 0, 0, 42, 2, 0, 0, 38, 3, 0][..], &[7; 32], &[0]].concat();
                let _ = stream.write_all(&[&head, suite, &[0]].concat());
            }
        }
    });
    let place = tempfile::tempdir().unwrap();
    let found = check(&[&format!("127.0.0.1:{port}"), "--json"], place.path());
    assert_eq!(found.accepted("versions"), ["SSL 3.0"]);
    assert!(found.codes().contains(&"version_ssl3"), "{}", found.said);
    assert_eq!(found.grade(), "F");
}

#[test]
fn who_cannot_be_reached_is_not_graded() {
    let place = tempfile::tempdir().unwrap();
    let away = check(&["127.0.0.1:1", "--json"], place.path());
    assert_eq!(away.status, 2);
    assert_eq!(away.json["unreachable"][0]["target"], "127.0.0.1:1");
    assert_eq!(away.json["reports"], Value::Array(Vec::new()));
}
