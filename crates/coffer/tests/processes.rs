//! The processes of one machine: what brings them back, what stops them, what they cannot do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command, time::Duration};

use coffer_net::task;
use coffer_testkit::{Coffer, eventually};
use rustix::{
    fs::FlockOperation,
    process::{Pid, Signal, kill_process},
};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// How long things may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ROLES: [&str; 4] = ["keys", "simulator", "vault", "api"];

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Waits for the end of whatever process runs this role: the kernel gives its lock back then.
async fn ended(coffer: &Coffer, role: &str) {
    let path = coffer.directory().join(role).join("lock");
    let wait = move || {
        rustix::fs::flock(fs::File::open(path).unwrap(), FlockOperation::LockExclusive).unwrap()
    };
    tokio::task::spawn_blocking(wait).await.unwrap();
}

#[tokio::test]
async fn a_killed_role_comes_back_at_its_address_and_work_goes_on() {
    let mut coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for role in ROLES {
        let (pid, addresses) = (
            coffer.pid(role),
            ["keys", "simulator", "vault", "fields", "api"].map(|name| coffer.address(name)),
        );
        coffer.kill(role).await;
        assert_ne!(coffer.pid(role), pid);
        assert_eq!(
            ["keys", "simulator", "vault", "fields", "api"].map(|name| coffer.address(name)),
            addresses
        );
    }
    let paid = shop
        .post(
            "/v1/payments",
            &json!({"amount": 100, "currency": "EUR", "token": "tok_test_approved"}),
        )
        .await;
    assert_eq!(
        (paid.status, &paid.json["status"]),
        (201, &json!("captured")),
        "{}",
        paid.text
    );
}

#[tokio::test]
async fn stopping_goes_in_order_and_leaves_nothing_behind() {
    let mut coffer = Coffer::start(BINARY).await;
    signal(coffer.supervisor(), Signal::TERM);
    for role in ["api", "vault", "keys", "simulator"] {
        let event = coffer.until("stopped", None).await;
        assert_eq!(event["role"], role);
        ended(&coffer, role).await;
    }
}

/// Payments that a provider is slow with.
const IN_FLIGHT: usize = 8;

#[tokio::test]
async fn what_is_in_flight_when_a_role_or_all_are_told_to_stop_is_answered() {
    for whole in [false, true] {
        let coffer = Coffer::start(BINARY).await;
        let shop = coffer.merchant().await;
        let late = json!({"behaviour": "late", "operation": "authorize", "count": IN_FLIGHT, "delay_ms": 1000});
        coffer.misbehave(late).await;
        let pay = |_| {
            let shop = shop.clone();
            let body = json!({"amount": 100, "currency": "EUR", "token": "tok_test_approved"});
            task::spawn(
                "payer",
                async move { shop.post("/v1/payments", &body).await },
            )
        };
        let paying: Vec<_> = (0..IN_FLIGHT).map(pay).collect();
        eventually(PATIENCE, "all are at the provider", async || {
            (coffer.ledger().await.len() == IN_FLIGHT).then_some(())
        })
        .await;
        let told = if whole {
            coffer.supervisor()
        } else {
            coffer.pid("api")
        };
        signal(told, Signal::TERM);
        for payer in paying {
            let paid = payer.await.unwrap();
            assert_eq!(paid.status, 201, "{}", paid.text);
            assert_eq!(paid.json["status"], "captured", "{}", paid.text);
        }
    }
}

#[tokio::test]
async fn nothing_is_orphaned_when_the_supervisor_is_killed() {
    let coffer = Coffer::start(BINARY).await;
    signal(coffer.supervisor(), Signal::KILL);
    for role in ROLES {
        ended(&coffer, role).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn every_role_is_hardened() {
    let coffer = Coffer::start(BINARY).await;
    for role in ROLES {
        let of_process =
            |file: &str| fs::read_to_string(format!("/proc/{}/{file}", coffer.pid(role))).unwrap();
        let status = of_process("status");
        for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
            assert!(
                status.lines().any(|found| found == line),
                "{role}: {line}\n{status}"
            );
        }
        let limits = of_process("limits");
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        assert_eq!(
            core.split_whitespace().rev().take(3).collect::<Vec<_>>(),
            ["bytes", "0", "0"],
            "{role}"
        );
    }
}

/// All but certificates, which are sent to everyone: secrets, the database and its log, the socket.
#[tokio::test]
async fn a_roles_files_are_its_users_alone() {
    let coffer = Coffer::start(BINARY).await;
    coffer.merchant().await;
    for role in ROLES {
        let folder = coffer.directory().join(role);
        let entries = fs::read_dir(&folder).unwrap();
        let all = entries.map(|entry| entry.unwrap().path()).chain([folder]);
        let is_certificate = |path: &PathBuf| path.to_string_lossy().ends_with("cert.pem");
        for path in all.filter(|path| !is_certificate(path)) {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    }
}

#[tokio::test]
async fn a_second_process_of_a_role_is_refused() {
    let coffer = Coffer::start(BINARY).await;
    let mut command = Command::new(BINARY);
    command
        .args(["serve", "vault", "--allow-root", "--dir"])
        .arg(coffer.directory())
        .env_clear();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("another process runs the role vault"),
        "{said}"
    );
}

#[tokio::test]
async fn initialising_again_harms_nothing() {
    let place = tempfile::tempdir().unwrap();
    let init = || {
        Command::new(BINARY)
            .args(["init", "--profile", "development", "--dir"])
            .arg(place.path())
            .env_clear()
            .output()
            .unwrap()
    };
    let files = || {
        let all = [
            "coffer.toml",
            "api/service.key",
            "vault/service.key",
            "api/cert.pem",
            "keys/passphrase",
            "api/face-key.pem",
            "public/ca.pem",
        ];
        all.map(|file| fs::read(place.path().join(file)).unwrap())
    };
    assert!(init().status.success());
    let first = files();
    let second = init();
    assert!(second.status.success());
    assert_eq!(files(), first);
    assert!(String::from_utf8_lossy(&second.stdout).contains("already there"));

    fs::remove_file(place.path().join("vault/cert.pem")).unwrap();
    assert!(init().status.success());
    assert!(place.path().join("vault/cert.pem").exists());
    assert_eq!(files(), first);
}

#[tokio::test]
async fn production_refuses_a_passphrase_beside_what_it_protects() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let init = |arguments: &[&str]| {
        Command::new(BINARY)
            .args(["init", "--dir"])
            .arg(&data)
            .args(arguments)
            .env_clear()
            .output()
            .unwrap()
    };
    let without = init(&[]);
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("--passphrase-file"));
    assert!(!data.exists());

    fs::create_dir(&data).unwrap();
    let inside = data.join("passphrase");
    fs::write(&inside, "Zq0mT7fKx2Lr9Vw4Bn6H").unwrap();
    let beside = init(&["--passphrase-file", inside.to_str().unwrap()]);
    assert_eq!(beside.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&beside.stderr).contains("inside the data directory"));
}

#[tokio::test]
async fn a_lost_secret_is_not_replaced_by_one_that_opens_nothing() {
    let place = tempfile::tempdir().unwrap();
    let init = || {
        Command::new(BINARY)
            .args(["init", "--profile", "development", "--dir"])
            .arg(place.path())
            .env_clear()
            .output()
            .unwrap()
    };
    assert!(init().status.success());
    for lost in ["keys/passphrase", "keys/keys.db"] {
        let kept = fs::read(place.path().join(lost)).unwrap();
        fs::remove_file(place.path().join(lost)).unwrap();
        let refused = init();
        assert_eq!(refused.status.code(), Some(2), "{lost}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("restore it from its backup"));
        fs::write(place.path().join(lost), kept).unwrap();
    }
}
