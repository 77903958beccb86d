//! What is done with backups is on record, at the role whose store it is, once.

use std::time::Duration;

use coffer_core::Timestamp;
use coffer_db::Statement;
use coffer_testkit::{Coffer, Installation, eventually};

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
