//! The demo is the first thing that a newcomer runs: it and every theft that it plays end with all checks holding.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn demo(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_coffer"))
        .arg("demo")
        .args(arguments)
        .output()
        .unwrap();
    let (transcript, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{transcript}\n{errors}");
    assert!(transcript.contains("checks hold."), "{transcript}");
    assert!(!transcript.contains('✗'), "{transcript}");
}

#[test]
fn the_demo_takes_a_payment_and_finds_the_number_nowhere() {
    demo(&[]);
}

#[test]
fn a_thief_of_the_api_gets_no_card() {
    demo(&["--thief", "api"]);
}

#[test]
fn a_thief_of_the_vault_opens_nothing_that_nobody_ordered() {
    demo(&["--thief", "vault"]);
}

#[test]
fn a_thief_of_the_key_server_s_database_has_no_key() {
    demo(&["--thief", "keys"]);
}

#[test]
fn a_thief_of_all_databases_has_ciphertext() {
    demo(&["--thief", "databases"]);
}
