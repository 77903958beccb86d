//! What is done with backups is on record, at the role whose store it is, once.

use std::{fs, path::Path, process::Command, time::Duration};

use coffer_core::Timestamp;
use coffer_db::Statement;
use coffer_testkit::{Coffer, Installation, Server, eventually};
use serde_json::Value;

use crate::{
    BINARY,
    site::{Shelf, id_of, migrations, new_machine},
};

static LEAVES: Statement = Statement::new(
    "test_leaves_of_no_account",
    "SELECT recorded, public FROM audit_leaves WHERE account = ''",
);
const PATIENCE: Duration = Duration::from_secs(60);

/// What the log of a role says of this backup, by the operator.
async fn recorded(installation: &Installation, role: &str, backup: &str) -> Vec<String> {
    let db = installation
        .store(role, migrations(role), &[&[&LEAVES]])
        .await;
    let leaves = db.read(&LEAVES, Vec::new()).await.unwrap();
    db.close().await;
    let entries = leaves.iter().flat_map(|leaf| {
        let time = Timestamp::from_millis(leaf.integer("recorded").unwrap());
        coffer_audit::read(time, leaf.bytes("public").unwrap()).unwrap()
    });
    let of_backup = entries.filter(|entry| entry.objects == [backup] && entry.actor.id == "local");
    let mut actions: Vec<_> = of_backup.map(|entry| entry.action.to_string()).collect();
    actions.sort_unstable();
    actions
}

async fn until_recorded(installation: &Installation, role: &str, backup: &str, actions: &[&str]) {
    let found = async || (recorded(installation, role, backup).await == actions).then_some(());
    eventually(PATIENCE, role, found).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_with_a_backup_is_recorded_once_by_the_role_whose_store_it_is() {
    let mut coffer = Coffer::start(BINARY).await;
    let shelf = Shelf::new();
    let directory = coffer.directory().to_owned();
    for role in ["api", "vault", "keys"] {
        let file = shelf.made(&directory, role);
        let backup = id_of(&file);
        until_recorded(coffer.installation(), role, &backup, &["backup.create"]).await;
        // The process that comes after it knows nothing of that, and records what is new only.
        coffer.kill(role).await;
        let file = file.to_str().unwrap();
        shelf.accepted(&directory, &["backup", "restore", role, file, "--drill"]);
        let both = ["backup.create", "backup.drill"];
        until_recorded(coffer.installation(), role, &backup, &both).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_role_has_on_record_that_it_was() {
    let coffer = Coffer::start(BINARY).await;
    let shelf = Shelf::new();
    let roles = ["api", "vault", "keys"];
    let backups = roles.map(|role| id_of(&shelf.made(coffer.directory(), role)));
    let machine = new_machine(coffer.directory());
    for role in roles {
        let file = shelf.found(role);
        let file = file.to_str().unwrap();
        shelf.accepted(machine.path(), &["backup", "restore", role, file]);
    }
    drop(coffer);
    shelf.accepted(machine.path(), &["init", "--profile", "development"]);
    let restored = Coffer::up(BINARY, Installation::at(machine)).await;
    for (role, backup) in roles.iter().zip(&backups) {
        until_recorded(restored.installation(), role, backup, &["backup.restore"]).await;
    }
}

/// What a doctor says of the api's backups, or of something else, by code.
fn said_of_the_api(directory: &Path, about: &str) -> Vec<String> {
    let mut command = Command::new(BINARY);
    command.args(["doctor", "--role", "api", "--json", "--dir"]);
    let output = command.arg(directory).env_clear().output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let codes = findings.map(|found| found["code"].as_str().unwrap().to_owned());
    codes.filter(|code| code.starts_with(about)).collect()
}

/// As on another node, where one was made long ago.
fn note_an_old_one(directory: &Path) {
    let notes = r#"{"made": 1000, "file": null, "drilled": null}"#;
    fs::write(directory.join("api/backup.json"), notes).unwrap();
}

/// As before `init` had looked whether the api gets in.
fn empty_the_store(server: &Server, directory: &Path) {
    let settings = fs::read_to_string(directory.join("coffer.toml")).unwrap();
    let names = settings
        .lines()
        .find_map(|line| line.strip_prefix("names = "));
    let name = format!("{}_api", names.unwrap().trim_matches('"'));
    let statements = format!(
        "\\connect {name}\nDROP SCHEMA public CASCADE;\nCREATE SCHEMA public AUTHORIZATION {name};\n"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), statements).unwrap();
    server.run_file(file.path());
}

#[tokio::test]
async fn a_doctor_who_looks_for_backups_on_record_brings_no_tables_up_to_date() {
    let Some(server) = Server::shared() else {
        return;
    };
    let installation = Installation::make(BINARY, Some(&server));
    let directory = installation.directory();
    empty_the_store(&server, directory);
    let (_, older) = migrations("api").split_last().unwrap();
    installation.store("api", older, &[]).await.close().await;
    note_an_old_one(directory);
    for _ in 0..2 {
        assert_eq!(said_of_the_api(directory, "D505"), ["D505"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_made_no_backup_itself_knows_of_those_that_another_node_of_its_store_made() {
    let Some(server) = Server::shared() else {
        return;
    };
    let coffer = Coffer::up(BINARY, Installation::make(BINARY, Some(&server))).await;
    let directory = coffer.directory();
    let forget = || note_an_old_one(directory);
    let shelf = Shelf::new();
    forget();
    assert_eq!(said_of_the_api(directory, "D8"), ["D802", "D803"]);
    let file = shelf.made(directory, "api");
    let backup = id_of(&file);
    until_recorded(coffer.installation(), "api", &backup, &["backup.create"]).await;
    forget();
    assert_eq!(said_of_the_api(directory, "D8"), ["D803"]);
    let file = file.to_str().unwrap();
    shelf.accepted(directory, &["backup", "restore", "api", file, "--drill"]);
    let both = ["backup.create", "backup.drill"];
    until_recorded(coffer.installation(), "api", &backup, &both).await;
    forget();
    assert!(said_of_the_api(directory, "D8").is_empty());
}
