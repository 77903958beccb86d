//! The API does what its own description says, whatever is sent: schemathesis makes requests of the description, good ones and
//! bad ones, and compares the answers with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use coffer_testkit::Coffer;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// Limits would answer for the routes behind them.
const UNLIMITED: [(&str, &str); 6] = [
    ("COFFER_LIMITS_KEY_PER_MINUTE", "1000000"),
    ("COFFER_LIMITS_KEY_BURST", "100000"),
    ("COFFER_LIMITS_ACCOUNT_PER_MINUTE", "1000000"),
    ("COFFER_LIMITS_ACCOUNT_BURST", "100000"),
    ("COFFER_LIMITS_FAILURES_PER_MINUTE", "1000000"),
    ("COFFER_LIMITS_FAILURES_BURST", "100000"),
];

/// Schemathesis, with all of its checks and these arguments, against a Coffer of its own.
async fn compare(arguments: &[&str]) {
    let coffer = Coffer::start_with(BINARY, &UNLIMITED).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema");
    let mut command = Command::new(workspace.unwrap().join("target/venv/bin/st"));
    command
        .arg("--config-file")
        .arg(tests.join("schemathesis.toml"))
        .args(["run", &shop.url("/openapi.json"), "--no-color"])
        .arg("--tls-verify")
        .arg(coffer.directory().join("public/development-ca.pem"))
        .env("COFFER_API_KEY", &shop.secret_key)
        .env("COFFER_OTHER_API_KEY", &other.secret_key)
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; ./test --install"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_its_description_says() {
    compare(&["--max-examples", "8", "--max-time", "30", "--seed", "2026"]).await;
}

/// Thousands of cases, of a seed that is another each time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes, or COFFER_TEST_MINUTES"]
async fn the_api_does_what_its_description_says_at_length() {
    let minutes = std::env::var("COFFER_TEST_MINUTES");
    let minutes: u64 = minutes.map_or(10, |minutes| minutes.parse().unwrap());
    let seconds = (minutes * 60).to_string();
    compare(&["--max-time", &seconds]).await;
}
