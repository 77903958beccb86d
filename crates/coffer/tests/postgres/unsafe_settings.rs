//! A server that could lose what it said it kept is not worked with.

use std::process::Command;

use coffer_testkit::{Installation, PrivateServer, Server};

use crate::BINARY;

/// What a process ends with when its operator must change something.
const OPERATOR: Option<i32> = Some(2);
const LISTENERS: [(&str, &str); 7] = [
    ("COFFER_FACES_API", "127.0.0.1:0"),
    ("COFFER_FACES_CHECKOUT", "127.0.0.1:0"),
    ("COFFER_FACES_FIELDS", "127.0.0.1:0"),
    ("COFFER_LINKS_VAULT_LISTEN", "127.0.0.1:0"),
    ("COFFER_METRICS_API", "127.0.0.1:0"),
    ("COFFER_METRICS_VAULT", "127.0.0.1:0"),
    ("COFFER_METRICS_KEYS", "127.0.0.1:0"),
];

/// What a role says that must not start; one that starts ends with its standard input, which is empty.
fn refusal(installation: &Installation, role: &str) -> String {
    let mut command = Command::new(BINARY);
    command
        .args(["serve", role, "--supervised", "--allow-root", "--dir"])
        .arg(installation.directory())
        .env_clear()
        .envs(LISTENERS)
        .env("COFFER_LINKS_KEYS_LISTEN", "127.0.0.1:0");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), OPERATOR, "{role}: {said}");
    said
}

#[test]
fn a_server_that_could_lose_a_commit_is_refused_by_every_role_and_the_setting_is_named() {
    if Server::shared().is_none() {
        return;
    }
    let server = PrivateServer::start(&[]);
    let installation = Installation::make(BINARY, Some(server.server()));
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        server.kill();
        server.start_again(&[&format!("{setting}=off")]);
        for role in ["api", "vault", "keys"] {
            let said = refusal(&installation, role);
            assert!(said.contains(setting), "{role}: {said}");
        }
    }
}
