//! `coffer doctor`: what is wrong is found by its code, the command that it names mends it, and what was not looked at is said.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use coffer_testkit::{Coffer, Installation, Redis, files_under};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// What this machine and its kernel are like is not for these tests to say.
const OF_THE_MACHINE: [&str; 6] = ["D506", "D507", "D703", "D704", "D901", "D902"];
/// A developer's installation, at rest.
const AT_REST: [&str; 3] = ["D102", "D501", "D601"];

struct Report {
    status: Option<i32>,
    findings: Vec<Value>,
}

impl Report {
    /// Every code but the machine's.
    fn codes(&self) -> BTreeSet<&str> {
        let codes = self
            .findings
            .iter()
            .map(|found| found["code"].as_str().unwrap());
        codes
            .filter(|code| !OF_THE_MACHINE.contains(code))
            .collect()
    }

    /// These were found, and no others.
    #[track_caller]
    fn just<const N: usize>(&self, codes: [&str; N]) {
        assert_eq!(self.codes(), BTreeSet::from(codes), "{:?}", self.findings);
    }

    #[track_caller]
    fn of(&self, code: &str) -> &Value {
        let found = self.findings.iter().find(|found| found["code"] == code);
        found.unwrap_or_else(|| panic!("no {code}: {:?}", self.findings))
    }
}

fn doctor(directory: &Path) -> Report {
    report(Command::new(BINARY).env_clear(), directory)
}

fn report(command: &mut Command, directory: &Path) -> Report {
    let output = command
        .args(["doctor", "--json", "--dir"])
        .arg(directory)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    Report {
        status: output.status.code(),
        findings: said["findings"].as_array().unwrap().clone(),
    }
}

/// Damages something.
type Damage = fn(&Path);

fn mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What a command alone mends.
const MENDED_BY_COMMAND: [(&str, Damage); 4] = [
    ("D202", |at| mode(at.join("vault"), 0o750)),
    ("D205", |at| mode(at.join("api/service.key"), 0o640)),
    ("D208", |at| mode(at.join("coffer.toml"), 0o664)),
    ("D209", |at| mode(at.join("keys/passphrase"), 0o640)),
];

#[test]
fn the_command_that_is_named_mends_what_is_wrong() {
    let installation = Installation::make(BINARY, None);
    let at = installation.directory();
    for (code, damage) in MENDED_BY_COMMAND {
        damage(at);
        let found = doctor(at);
        assert_eq!(found.status, Some(2), "{code}");
        let mend = found.of(code)["mend"].as_str().unwrap().to_owned();
        let mended = Command::new("sh").args(["-c", &mend]).status().unwrap();
        assert!(mended.success(), "{mend}");
        assert!(!doctor(at).codes().contains(code), "{mend}");
    }
}

fn write(path: PathBuf, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

fn append(path: PathBuf, text: &str) {
    let before = fs::read_to_string(&path).unwrap();
    write(path, format!("{before}{text}").as_bytes());
}

/// What an operator mends by hand.
const MENDED_BY_HAND: [(&str, Damage); 8] = [
    ("D101", |at| append(at.join("coffer.toml"), "\n[feces]\n")),
    ("D201", |at| fs::remove_dir_all(at.join("vault")).unwrap()),
    ("D207", |at| {
        fs::remove_file(at.join("vault/service.key")).unwrap()
    }),
    ("D301", |at| {
        fs::remove_file(at.join("api/face-cert.pem")).unwrap()
    }),
    // Another role's key does not fit.
    ("D302", |at| {
        write(
            at.join("api/key.pem"),
            &fs::read(at.join("keys/key.pem")).unwrap(),
        )
    }),
    ("D305", |at| {
        let text = fs::read_to_string(at.join("coffer.toml")).unwrap();
        let text = text.replacen(
            "[faces]",
            "[faces]\napi_origin = \"https://api.shop.eu\"",
            1,
        );
        write(at.join("coffer.toml"), text.as_bytes());
    }),
    ("D502", |at| {
        let mut bytes = fs::read(at.join("keys/keys.db")).unwrap();
        let end = bytes.len().min(40_000);
        bytes[4096..end].fill(0xa5);
        write(at.join("keys/keys.db"), &bytes);
    }),
    ("D802", |at| {
        write(
            at.join("api/backup.json"),
            br#"{"made": 1000, "file": null, "drilled": null}"#,
        );
        mode(at.join("api/backup.json"), 0o600);
    }),
];

#[test]
fn what_is_wrong_is_found_by_its_code() {
    for (code, damage) in MENDED_BY_HAND {
        let installation = Installation::make(BINARY, None);
        damage(installation.directory());
        let found = doctor(installation.directory());
        let severity = found.of(code)["severity"].as_str().unwrap();
        let worst = if severity == "error" { 2 } else { 1 };
        assert_eq!(found.status, Some(worst), "{code}: {:?}", found.findings);
        assert_ne!(found.of(code)["mend"], "");
    }
}

#[test]
fn a_server_of_shared_rates_is_well_while_it_lets_the_api_in() {
    let (installation, mut redis) = (Installation::make(BINARY, None), Redis::start());
    let at = installation.directory();
    let (user, port, password) = (redis.user(), redis.port(), at.join("api/redis.password"));
    let section = format!("\n[redis]\naddress = \"127.0.0.1:{port}\"\nuser = \"{user}\"\n");
    append(at.join("coffer.toml"), &section);
    write(password.clone(), redis.password().as_bytes());
    mode(password.clone(), 0o600);
    let found = doctor(at);
    found.just(AT_REST);
    let alone = |found: &Report| {
        let alone = found.of("D509");
        assert_eq!(
            (found.status, &alone["role"]),
            (Some(1), &Value::from("api"))
        );
        assert!(alone["mend"].as_str().unwrap().contains("redis.password"));
    };
    write(password.clone(), b"another one");
    alone(&doctor(at));
    write(password, redis.password().as_bytes());
    redis.kill();
    alone(&doctor(at));
}

#[test]
fn looking_changes_nothing() {
    let installation = Installation::make(BINARY, None);
    let at = installation.directory();
    let all = || {
        let mut files: Vec<_> = files_under(at)
            .into_iter()
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect();
        files.sort_by(|one, other| one.1.cmp(&other.1));
        files
    };
    let before = all();
    let found = doctor(at);
    found.just(AT_REST);
    assert!(all() == before);
}

#[test]
fn what_was_not_looked_at_is_said_and_is_not_well() {
    // Only root can look as somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: u32 = 65534;
    let installation = Installation::make(BINARY, None);
    let at = installation.directory();
    mode(at.to_path_buf(), 0o755);
    let place = tempfile::tempdir().unwrap();
    mode(place.path().to_path_buf(), 0o755);
    let program = place.path().join("coffer");
    fs::copy(BINARY, &program).unwrap();
    let mut command = Command::new(&program);
    let found = report(command.env_clear().uid(NOBODY).gid(NOBODY), at);
    assert_eq!(found.status, Some(1), "{:?}", found.findings);
    for role in ["api", "vault", "keys", "simulator"] {
        let unseen = |found: &&Value| found["code"] == "D001" && found["role"] == role;
        let unseen = found.findings.iter().find(unseen).expect(role);
        assert!(unseen["mend"].as_str().unwrap().contains("as the user of"));
    }
}

#[test]
fn of_a_directory_that_is_roots_only_the_directory_is_said_to_be_anothers() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: Option<u32> = Some(65534);
    let installation = Installation::make(BINARY, None);
    let at = installation.directory();
    let settings = fs::read_to_string(at.join("coffer.toml")).unwrap();
    let settings = settings.replace("profile = \"development\"", "profile = \"production\"");
    write(at.join("coffer.toml"), settings.as_bytes());
    let (directory, file) = (at.join("api"), at.join("api/service.key"));
    chown(&file, NOBODY, None).unwrap();
    let found = doctor(at);
    let mend = found.of("D204")["mend"].as_str().unwrap();
    assert!(mend.contains("chown -R coffer-"), "{mend}");
    assert!(!found.codes().contains("D206"), "{:?}", found.findings);
    // Of one that is the role's it is said of each file.
    chown(&directory, NOBODY, None).unwrap();
    chown(&file, Some(0), None).unwrap();
    let found = doctor(at);
    let mend = format!("chown 65534 {}", file.display());
    assert!(found.findings.iter().any(|found| found["mend"] == mend));
}

#[tokio::test]
async fn a_running_installation_is_well_until_its_key_server_is_sealed() {
    let coffer = Coffer::start(BINARY).await;
    let found = doctor(coffer.directory());
    found.just(["D102"]);
    // The simulator's store is a file whatever the others' are.
    fs::remove_file(coffer.directory().join("simulator/simulator.reserve")).unwrap();
    let found = doctor(coffer.directory());
    assert_eq!(found.of("D508")["role"], "simulator");
    let sealed = Command::new(BINARY)
        .args(["keys", "seal", "--dir"])
        .arg(coffer.directory())
        .env_clear()
        .status();
    assert!(sealed.unwrap().success());
    let found = doctor(coffer.directory());
    assert_eq!(
        (found.status, &found.of("D604")["role"]),
        (Some(2), &Value::from("keys"))
    );
}
