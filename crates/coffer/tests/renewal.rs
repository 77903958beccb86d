//! The certificates of links, renewed by the key server at day 20 without anybody's doing: an installation that was made 21 days
//! ago (`faketime`) is started today.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{fs, path::Path, process::Command, time::Duration};

use coffer_crypto::pki::{Certificate, inspect, pem_to_der};
use coffer_net::Clock;
use coffer_testkit::{Coffer, Installation, eventually, presented};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const RENEWED_WITHIN: Duration = Duration::from_secs(60);
const DAY_S: i64 = 24 * 60 * 60;
const AGE: &str = "-21d";
const ROLES: [&str; 3] = ["api", "vault", "keys"];

/// Makes the installation anew, on a machine whose clock is behind.
fn made_long_ago(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let mut init = Command::new("faketime");
    init.args([
        "-f",
        AGE,
        BINARY,
        "init",
        "--profile",
        "development",
        "--dir",
    ]);
    let made = init.arg(directory).env_clear().output();
    let made = made.expect("faketime: ./test --install");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
}

fn on_disk(directory: &Path, role: &str) -> Certificate {
    let chain = fs::read_to_string(directory.join(role).join("cert.pem")).unwrap();
    inspect(&pem_to_der(&chain).unwrap()[0]).unwrap()
}

fn age_s(certificate: &Certificate) -> i64 {
    Clock::system().now().as_seconds() - certificate.not_before_s
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_links_are_renewed_when_they_are_twenty_days_old() {
    let coffer = Coffer::start_prepared(BINARY, async |installation: &Installation| {
        let directory = installation.directory();
        made_long_ago(directory);
        for role in ROLES {
            let age_s = age_s(&on_disk(directory, role));
            assert!((20 * DAY_S..22 * DAY_S).contains(&age_s), "{role}: {age_s}");
        }
    })
    .await;
    for role in ROLES {
        eventually(RENEWED_WITHIN, &format!("{role} is renewed"), async || {
            (age_s(&on_disk(coffer.directory(), role)) < DAY_S).then_some(())
        })
        .await;
    }
    for link in ["vault", "keys"] {
        eventually(RENEWED_WITHIN, &format!("{link} shows it"), async || {
            let shown = presented(coffer.address(link), "role.coffer.internal").await?;
            (age_s(&inspect(&shown).unwrap()) < DAY_S).then_some(())
        })
        .await;
    }
    let shop = coffer.merchant().await;
    let payment = json!({"amount": 1999, "currency": "EUR", "token": "tok_test_approved"});
    let paid = shop.post("/v1/payments", &payment).await;
    assert_eq!(paid.expect(201).json["status"], "captured");
}
