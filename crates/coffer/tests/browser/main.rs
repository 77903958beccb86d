//! The pages in a real browser: each story is a file of this folder, played by Node against an installation of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use coffer_testkit::Coffer;
use serde_json::json;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// Plays a story; what it says is shown when something in it fails.
async fn play(story: &str) {
    let modules = folder().join("node_modules");
    assert!(modules.exists(), "install the tools with ./test --install");
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let page = |host: &str, face: &str| {
        let port = coffer.address(face).port();
        format!("https://{host}:{port}")
    };
    let certificates = ["api", "vault", "simulator"]
        .map(|role| coffer.directory().join(role).join("face-cert.pem"));
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/merchant");
    let stage = json!({
        "api": page("localhost", "api"),
        "pay": page("pay.coffer.localhost", "checkout"),
        "fields": page("fields.coffer.localhost", "fields"),
        "simulator": page("localhost", "simulator"),
        "certificates": certificates,
        "secretKey": shop.secret_key,
        "publishableKey": shop.publishable_key,
        "example": example,
    });
    let authority = coffer.directory().join("public/development-ca.pem");
    let played = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .arg(story)
        .current_dir(folder())
        .env("COFFER_STAGE", stage.to_string())
        .env("NODE_EXTRA_CA_CERTS", authority)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node");
    let said = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{said}");
}

#[tokio::test]
async fn a_payer_pays() {
    play("paying.test.mjs").await;
}

#[tokio::test]
async fn pages_are_good_to_look_at_for_everyone() {
    play("looks.test.mjs").await;
}

#[tokio::test]
async fn nothing_foreign_gets_into_a_page() {
    play("guarded.test.mjs").await;
}

#[tokio::test]
async fn a_shop_takes_cards_on_its_own_page() {
    play("shop.test.mjs").await;
}

#[tokio::test]
async fn others_measure_the_pages() {
    play("measured.test.mjs").await;
}
