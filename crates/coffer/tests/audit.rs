//! The logs of all roles are verified from their stores alone: what was changed, cut or rolled back is found and named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use coffer_db::{Statement, Transaction, params};
use coffer_engine::{MIGRATIONS, STATEMENTS};
use coffer_testkit::{Coffer, Installation, Receiver, Reply, certified, eventually};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");

fn audit(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .arg("audit")
        .args(arguments)
        .arg("--dir")
        .arg(directory);
    command.env_clear().output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(errors)
    )
}

/// A Coffer that has taken a payment, with every entry of its logs in its place.
async fn used() -> Coffer {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    shop.post("/v1/payments", &order).await.expect(201);
    let all_signed = async || {
        let output = audit(coffer.installation().directory(), &["verify"]);
        let text = said(&output);
        (text.matches("0 waiting").count() == 3 && !text.contains(" 0 signed")).then_some(())
    };
    eventually(
        Duration::from_secs(20),
        "the logs are chained and signed",
        all_signed,
    )
    .await;
    coffer
}

#[tokio::test]
async fn the_logs_of_a_running_installation_verify() {
    let coffer = used().await;
    let output = audit(coffer.installation().directory(), &["verify"]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for role in ["keys", "vault", "api"] {
        assert!(text.contains(&format!("{role}: ")), "{text}");
    }
}

#[tokio::test]
async fn the_operator_exports_what_an_account_and_the_installation_did_and_that_is_on_record() {
    let coffer = used().await;
    let directory = coffer.installation().directory();
    let export = |arguments: &[&str]| {
        let output = audit(directory, &[&["export"], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let account = export(&["--account", "merchant 1"]);
    assert!(account.contains("payment.create"), "{account}");
    let again = export(&["--account", "merchant 1"]);
    assert_eq!(again.matches("audit.export").count(), 2, "{again}");
    let own = export(&["--format", "csv"]);
    assert!(own.starts_with("\"time\",\"id\""), "{own}");
    assert!(!own.contains("payment.create"), "{own}");
    let future = export(&["--account", "merchant 1", "--from", "2100-01-01T00:00:00Z"]);
    assert_eq!(future, "");
}

#[tokio::test]
async fn what_a_role_has_on_record_of_itself_is_shown_beside_the_role_and_nobody_s_account() {
    let coffer = used().await;
    let directory = coffer.installation().directory();
    coffer.seal().await;
    coffer.unseal().await;
    let shown = audit(directory, &["export", "--role", "keys"]);
    let shown = said(&shown);
    for action in ["custody.seal\"", "custody.unseal\"", "certificate.issue\""] {
        assert!(shown.contains(action), "{action}: {shown}");
    }
    assert!(!shown.contains("acct_"), "{shown}");
    let refused = audit(
        directory,
        &["export", "--role", "keys", "--account", "merchant 1"],
    );
    assert!(!refused.status.success());
}

#[tokio::test]
async fn a_changed_record_is_named_and_the_exit_status_says_so() {
    static CHANGE: Statement = Statement::new(
        "test_leaf_change",
        "UPDATE audit_leaves SET recorded = recorded + 1 WHERE sequence = $1",
    );
    let coffer = used().await;
    let installation = coffer.installation();
    let store = installation
        .store("api", MIGRATIONS, &[STATEMENTS, &[&[&CHANGE]]].concat())
        .await;
    let change = Transaction::new().one(&CHANGE, params![2_i64]);
    store.transact(change).await.unwrap();
    let output = audit(installation.directory(), &["verify"]);
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("api: entry 2 "), "{text}");
    assert!(
        text.contains("vault: "),
        "the others are verified all the same: {text}"
    );
}

#[tokio::test]
async fn a_head_that_was_kept_elsewhere_must_be_continued() {
    let coffer = used().await;
    let directory = coffer.installation().directory();
    let elsewhere = tempfile::tempdir().unwrap();
    let anchor = elsewhere.path().join("anchor");
    let anchor_text = anchor.to_str().unwrap();
    let kept = audit(directory, &["anchor", "--to", anchor_text]);
    assert!(kept.status.success(), "{}", said(&kept));
    assert_eq!(fs::read_to_string(&anchor).unwrap().lines().count(), 3);
    let holds = audit(directory, &["verify", "--anchor", anchor_text]);
    assert!(holds.status.success(), "{}", said(&holds));

    // As if all stores had been set back together: the head that was kept is of a longer log, or of another one.
    let text = fs::read_to_string(&anchor).unwrap();
    let mut anchors: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for anchor in &mut anchors {
        anchor["size"] = json!(anchor["size"].as_u64().unwrap() + 1000);
    }
    let longer: Vec<_> = anchors.iter().map(ToString::to_string).collect();
    fs::write(&anchor, longer.join("\n")).unwrap();
    let refused = audit(directory, &["verify", "--anchor", anchor_text]);
    assert!(!refused.status.success());
    assert!(
        said(&refused).contains("there are only"),
        "{}",
        said(&refused)
    );
}

/// A Coffer that sends its heads there, and knows the authority behind that place or not.
async fn anchored(elsewhere: &Receiver, certified: &Path, known: bool) -> Coffer {
    let installation = Installation::of_this_run(BINARY);
    let mut settings = vec![
        (
            "COFFER_AUDIT_ANCHOR_URL",
            format!("{}/heads", elsewhere.url),
        ),
        ("COFFER_AUDIT_ANCHOR_SECONDS", "1".to_owned()),
    ];
    if known {
        let public = installation.directory().join("public/anchor-ca.pem");
        fs::copy(certified.join("ca.pem"), public).unwrap();
        settings.push(("COFFER_AUDIT_ANCHOR_CA_FILE", "anchor-ca.pem".to_owned()));
    }
    Coffer::up_in(BINARY, installation, settings).await
}

#[tokio::test]
async fn heads_are_sent_elsewhere_by_themselves_and_a_failure_alerts_and_stops_nothing() {
    let certified = certified("localhost", -60..3600);
    let mut elsewhere = Receiver::listen_over_tls(certified.path(), |message| {
        Reply::Status(if message.before == 0 { 500 } else { 204 })
    })
    .await;
    let coffer = anchored(&elsewhere, certified.path(), true).await;
    let shop = coffer.merchant().await;
    let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    shop.post("/v1/payments", &order).await.expect(201);
    let is_of_all = |body: &str| {
        let logs = ["keys", "vault", "api"];
        logs.iter()
            .all(|log| body.contains(&format!("{{\"log\":\"{log}\"")))
    };
    let kept = elsewhere
        .next("the heads of all logs", |message| {
            message.before > 0 && is_of_all(&message.body)
        })
        .await;
    assert_eq!(kept.header("content-type"), "application/jsonl");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heads");
    fs::write(&file, &kept.body).unwrap();
    let directory = coffer.installation().directory();
    let holds = audit(directory, &["verify", "--anchor", file.to_str().unwrap()]);
    assert!(holds.status.success(), "{}", said(&holds));
    let alerts = json!(coffer.alerts().await).to_string();
    assert!(
        alerts.contains("anchor_failed") && alerts.contains("500"),
        "{alerts}"
    );
}

#[tokio::test]
async fn heads_are_told_to_nobody_whose_certificate_no_known_authority_vouches_for() {
    let certified = certified("localhost", -60..3600);
    let elsewhere = Receiver::listen_over_tls(certified.path(), |_| Reply::Status(204)).await;
    let coffer = anchored(&elsewhere, certified.path(), false).await;
    eventually(Duration::from_secs(60), "an alert", async || {
        let alerts = json!(coffer.alerts().await).to_string();
        alerts.contains("anchor_failed").then_some(())
    })
    .await;
    assert!(elsewhere.everything().is_empty());
}

#[tokio::test]
async fn a_developer_may_keep_heads_over_plain_http() {
    let certified = certified("localhost", -60..3600);
    let mut elsewhere = Receiver::listen(|_| Reply::Status(204)).await;
    let _coffer = anchored(&elsewhere, certified.path(), false).await;
    let is_head = |body: &str| body.starts_with("{\"log\":");
    elsewhere
        .next("the heads", |message| is_head(&message.body))
        .await;
}
