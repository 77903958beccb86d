//! What a backup is not: something changed, something of another role, something over what is there, something beside its key.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use coffer_db::{Statement, Transaction, params};
use coffer_testkit::{Coffer, Installation, eventually, files_under};
use serde_json::Value;

use crate::{
    BINARY,
    site::{Shelf, as_strs, new_machine, secret},
};

/// How long things may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An installation with a payment and a backup of each role but keys.
async fn backed_up() -> (Coffer, Shelf, PathBuf, PathBuf) {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let body = serde_json::json!({"amount": 1, "currency": "EUR", "token": "tok_test_approved"});
    shop.post("/v1/payments", &body).await;
    let shelf = Shelf::new();
    let (api, vault) = (
        shelf.made(coffer.directory(), "api"),
        shelf.made(coffer.directory(), "vault"),
    );
    (coffer, shelf, api, vault)
}

fn changed(file: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    let path = file.with_file_name(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Neither verified nor restored, and nothing is left behind.
#[track_caller]
fn useless(shelf: &Shelf, machine: &Path, role: &str, file: &Path, said: &str) {
    let file = file.to_str().unwrap();
    let refusal = shelf.refused(machine, &["backup", "restore", role, file]);
    assert!(refusal.contains(said), "{refusal}");
    let refusal = shelf.refused(machine, &["backup", "restore", role, file, "--drill"]);
    assert!(refusal.contains(said), "{refusal}");
    let left = files_under(&machine.join(role));
    assert!(
        left.iter()
            .all(|path| !path.to_string_lossy().contains(".db")),
        "{left:?}"
    );
}

#[tokio::test]
async fn what_was_changed_cut_or_swapped_is_neither_verified_nor_restored() {
    let (coffer, shelf, api, vault) = backed_up().await;
    let machine = new_machine(coffer.directory());
    let middle = fs::metadata(&api).unwrap().len() / 2;
    let middle = usize::try_from(middle).unwrap();
    let one_bit = |bytes: &mut Vec<u8>| bytes[middle] ^= 1;
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    let longer = |bytes: &mut Vec<u8>| bytes.push(0);
    let renamed = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(bytes)
            .find("\"role\":\"vault\"")
            .unwrap();
        bytes.splice(text..text + 14, *b"\"role\":\"api\"  ");
    };
    for (file, said) in [
        (changed(&api, "bit", one_bit), "changed"),
        (changed(&api, "cut", cut), "cut off"),
        (changed(&api, "longer", longer), "follows its end"),
        (changed(&vault, "renamed", renamed), "beginning was changed"),
    ] {
        let refusal = shelf.refused(
            machine.path(),
            &["backup", "verify", file.to_str().unwrap()],
        );
        assert!(refusal.contains(said), "{refusal}");
        useless(&shelf, machine.path(), "api", &file, said);
    }
    useless(
        &shelf,
        machine.path(),
        "api",
        &vault,
        "is a backup of vault, not of api",
    );
    secret(&shelf.passphrase(), "another one, just as long");
    useless(
        &shelf,
        machine.path(),
        "api",
        &api,
        "passphrase is not the one",
    );
}

#[tokio::test]
async fn a_store_that_is_there_is_never_overwritten_nor_a_role_disturbed_that_runs() {
    let (coffer, shelf, api, vault) = backed_up().await;
    let file = api.to_str().unwrap();
    let running = shelf.run(coffer.directory(), &["backup", "restore", "api", file]);
    let said = String::from_utf8_lossy(&running.stderr).into_owned();
    assert!(
        !running.status.success() && said.contains("stop it first"),
        "{said}"
    );

    let machine = new_machine(coffer.directory());
    shelf.accepted(machine.path(), &["backup", "restore", "api", file]);
    let store = machine.path().join("api/api.db");
    let before = fs::read(&store).unwrap();
    let refusal = shelf.refused(machine.path(), &["backup", "restore", "api", file]);
    assert!(refusal.contains("empty place only"), "{refusal}");
    assert!(fs::read(&store).unwrap() == before);

    // Nor is data restored that the key which is there does not open.
    fs::copy(
        machine.path().join("api/service.key"),
        machine.path().join("vault/service.key"),
    )
    .unwrap();
    let said = "is not the key that this backup's data was sealed under";
    useless(&shelf, machine.path(), "vault", &vault, said);
}

#[tokio::test]
async fn a_log_that_was_tampered_with_is_not_restored() {
    static TAMPER: Statement = Statement::new(
        "test_tamper",
        "UPDATE audit_leaves SET recorded = recorded + 1 WHERE sequence = 0",
    );
    let (coffer, shelf, ..) = backed_up().await;
    let db = coffer
        .installation()
        .store("api", coffer_engine::MIGRATIONS, &[&[&TAMPER]])
        .await;
    // The first entry gets its place within a second.
    eventually(PATIENCE, "an entry to tamper with", async || {
        let tamper = Transaction::new().one(&TAMPER, params![]);
        db.transact(tamper).await.ok()
    })
    .await;
    db.close().await;
    fs::remove_dir_all(shelf.of("api")).unwrap();
    fs::create_dir(shelf.of("api")).unwrap();
    let file = shelf.made(coffer.directory(), "api");
    let machine = new_machine(coffer.directory());
    useless(
        &shelf,
        machine.path(),
        "api",
        &file,
        "its log does not verify",
    );
}

#[tokio::test]
async fn a_drill_proves_everything_leaves_nothing_and_is_remembered() {
    let (coffer, shelf, api, _) = backed_up().await;
    let before = files_under(&coffer.directory().join("api")).len();
    let arguments = ["backup", "restore", "api", api.to_str().unwrap(), "--drill"];
    let said = shelf.accepted(coffer.directory(), &arguments);
    assert!(said.contains("its log verifies"), "{said}");
    assert_eq!(files_under(&coffer.directory().join("api")).len(), before);
    let notes = fs::read(coffer.directory().join("api/backup.json")).unwrap();
    let notes: Value = serde_json::from_slice(&notes).unwrap();
    assert!(
        notes["made"].is_i64() && notes["drilled"].is_i64(),
        "{notes}"
    );
    assert_eq!(notes["file"], api.to_str().unwrap());
}

#[tokio::test]
async fn keys_are_kept_apart_and_no_backup_lies_beside_what_it_saves_or_what_opens_it() {
    let installation = Installation::make(BINARY, None);
    let directory = installation.directory();
    let shelf = Shelf::new();
    shelf.made(directory, "keys");
    let to = shelf.of("keys");
    let (api, keys) = (shelf.of("api"), shelf.of("keys"));
    fs::write(api.join("coffer-vault-20260101T000000Z-00.backup"), "").unwrap();
    for (role, to) in [("api", &keys), ("keys", &api)] {
        let words = ["backup", "create", role, "--to", to.to_str().unwrap()];
        let refusal = shelf.refused(directory, &words);
        assert!(refusal.contains("kept apart"), "{refusal}");
    }
    let inside = directory.to_str().unwrap();
    let refusal = shelf.refused(directory, &["backup", "create", "keys", "--to", inside]);
    assert!(refusal.contains("inside the data directory"), "{refusal}");
    let nowhere = to.join("unmounted");
    let words = [
        "backup",
        "create",
        "keys",
        "--to",
        nowhere.to_str().unwrap(),
    ];
    assert!(shelf.refused(directory, &words).contains("no directory"));

    let beside = directory.join("keys/passphrase");
    let create = shelf.create("keys");
    let with = |path: &Path| {
        let mut arguments = as_strs(&create);
        arguments.extend(["--passphrase-file", path.to_str().unwrap()]);
        shelf.refused(directory, &arguments)
    };
    assert!(with(&beside).contains("inside the data directory"));
    let open = shelf.passphrase();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&open, permissions).unwrap();
    assert!(with(&open).contains("chmod 600"));
}

#[tokio::test]
async fn a_backup_is_its_makers_alone_needs_no_other_role_and_the_simulator_has_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let installation = Installation::make(BINARY, None);
    let shelf = Shelf::new();
    let elsewhere = installation.directory().join("vault");
    fs::remove_dir_all(&elsewhere).unwrap();
    let file = shelf.made(installation.directory(), "keys");
    assert!(!elsewhere.exists());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    let create = shelf.create("simulator");
    let refusal = shelf.refused(installation.directory(), &as_strs(&create));
    assert!(refusal.contains("is not backed up"), "{refusal}");
}
