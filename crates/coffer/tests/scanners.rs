//! What others' scanners say about every public face and every link: sslscan, sslyze with Mozilla's profiles, and, by a command
//! of its own since it takes minutes, testssl.sh (`./test --tls`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use coffer_testkit::Coffer;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const FACES: [(&str, &str); 3] = [
    ("api", "localhost"),
    ("checkout", "pay.coffer.localhost"),
    ("fields", "fields.coffer.localhost"),
];
/// No authority on a developer's machine says which certificates it has revoked, and nobody's DNS says which authority
/// `localhost` has; whose order of suites counts does not matter when all are good.
const OF_THE_MACHINE: [&str; 5] = [
    "cert_revocation",
    "DNS_CAArecord",
    "cipher_order",
    "engine_problem",
    "scanTime",
];

fn run(command: &mut Command) -> Output {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{shown}: {error}; ./test --install"))
}

fn sslyze() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    workspace.unwrap().join("target/venv/bin/sslyze")
}

/// What `sslyze` says when it compares servers with a profile, the result of each server on a line of its own.
fn compliance(coffer: &Coffer, profile: &str, authority: &str, targets: &[String]) -> String {
    let mut command = Command::new(sslyze());
    command.arg(format!("--mozilla_config={profile}"));
    command.arg("--certinfo_ca_file");
    command.arg(coffer.directory().join("public").join(authority));
    let output = run(command.args(targets));
    let said = String::from_utf8(output.stdout).unwrap();
    let begin = said.find("COMPLIANCE AGAINST").expect(&said);
    said[begin..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_face_is_as_mozilla_wants_public_servers() {
    let coffer = Coffer::start(BINARY).await;
    let targets = FACES.map(|(face, host)| {
        let port = coffer.address(face).port();
        format!("{host}:{port}{{127.0.0.1}}")
    });
    let said = compliance(&coffer, "intermediate", "development-ca.pem", &targets);
    let compliant = said.matches("OK - Compliant.").count();
    assert_eq!(compliant, FACES.len(), "{said}");
}

/// Their certificates name a role and no host, which is the only thing about them that a scanner does not understand.
#[tokio::test(flavor = "multi_thread")]
async fn every_link_is_as_mozilla_wants_modern_servers() {
    let coffer = Coffer::start(BINARY).await;
    let links = ["vault", "keys"].map(|link| coffer.address(link).to_string());
    let said = compliance(&coffer, "modern", "ca.pem", &links);
    let complaints = said.lines().filter(|line| line.trim().starts_with("* "));
    let others: Vec<_> = complaints
        .filter(|line| !line.contains("certificate_path_validation"))
        .collect();
    assert_eq!(said.matches("127.0.0.1:").count(), links.len(), "{said}");
    assert!(others.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sslscan_finds_no_old_version_anywhere() {
    let coffer = Coffer::start(BINARY).await;
    let links = [("vault", "localhost"), ("keys", "localhost")];
    for (name, host) in FACES.into_iter().chain(links) {
        let mut command = Command::new("sslscan");
        command.args(["--xml=-", &format!("--sni-name={host}")]);
        let output = run(command.arg(coffer.address(name).to_string()));
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        for (kind, version) in [("ssl", "2"), ("ssl", "3"), ("tls", "1.0"), ("tls", "1.1")] {
            let off = format!("<protocol type=\"{kind}\" version=\"{version}\" enabled=\"0\"");
            assert!(found.contains(&off), "{name}: {found}");
        }
        let on = "<protocol type=\"tls\" version=\"1.3\" enabled=\"1\"";
        assert!(found.contains(on), "{name}: {found}");
        for weak in [
            "strength=\"weak\"",
            "strength=\"null\"",
            "strength=\"anonymous\"",
        ] {
            assert!(!found.contains(weak), "{name}: {found}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ./test --tls"]
async fn testssl_finds_nothing_of_severity_low_and_up() {
    let coffer = Coffer::start(BINARY).await;
    for (face, host) in FACES {
        let report = coffer.directory().join(format!("testssl-{face}.json"));
        let mut command = Command::new("testssl");
        command.args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
            "--ip",
            "127.0.0.1",
        ]);
        command.args(["--severity", "LOW", "--add-ca"]);
        command.arg(coffer.directory().join("public/development-ca.pem"));
        command.arg("--jsonfile").arg(&report);
        run(command.arg(format!("https://{host}:{}", coffer.address(face).port())));
        let text = std::fs::read_to_string(&report).unwrap();
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        let others: Vec<_> = found
            .iter()
            .filter(|one| !OF_THE_MACHINE.contains(&one["id"].as_str().unwrap()))
            .collect();
        assert!(others.is_empty(), "{face}: {others:#?}");
    }
}
