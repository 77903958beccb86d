//! The disaster that backups are for: another machine, the settings, the secrets, three files; and everything is there again.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use coffer_net::task;
use coffer_testkit::{Card, Coffer, Hunt, Installation, Merchant, Server, eventually};
use serde_json::{Value, json};

use crate::{
    BINARY,
    site::{Shelf, migrations, new_machine, secrets},
};

/// In this order each knows all that the one before refers to.
const ROLES: [&str; 3] = ["api", "vault", "keys"];
/// Payments at one time while backups are made.
const CLIENTS: usize = 4;

fn paying(token: &str) -> Value {
    json!({"amount": 1999, "currency": "EUR", "token": token})
}

/// Payments that were answered, with their answers.
async fn payments(shop: &Merchant) -> Vec<Value> {
    let mut paid = Vec::new();
    for token in ["tok_test_approved", "tok_test_declined_do_not_honor"] {
        let answer = shop.post("/v1/payments", &paying(token)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        paid.push(answer.json);
    }
    paid
}

/// A customer's card, kept.
async fn kept_card(shop: &Merchant) -> (String, String) {
    let customer = shop.post("/v1/customers", &json!({})).await.json["id"].clone();
    let customer = customer.as_str().unwrap().to_owned();
    let token = shop.deposit(Card::APPROVED).await;
    let path = format!("/v1/customers/{customer}/cards");
    let kept = shop.post(&path, &json!({"token": token})).await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    (customer, kept.json["id"].as_str().unwrap().to_owned())
}

/// Clients that pay until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<usize>>,
}

impl Load {
    fn start(shop: &Merchant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (shop, stop) = (shop.clone(), Arc::clone(&stop));
            task::spawn("client", async move {
                let mut paid = 0;
                while !stop.load(Ordering::SeqCst) {
                    let token = shop.deposit(Card::APPROVED).await;
                    let answer = shop.post("/v1/payments", &paying(&token)).await;
                    assert_eq!(answer.status, 201, "{}", answer.text);
                    paid += 1;
                }
                paid
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, clients }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut paid = 0;
        for client in self.clients {
            paid += client.await.unwrap();
        }
        paid
    }
}

/// Restores the backups on a new machine; answers the commands that the operator is told to run once it runs.
fn restore(shelf: &Shelf, to: &Path, roles: &[&str]) -> Vec<Vec<String>> {
    let mut next = Vec::new();
    for role in roles {
        let file = shelf.found(role);
        let said = shelf.accepted(to, &["backup", "restore", role, file.to_str().unwrap()]);
        assert!(said.contains("its log verifies"), "{said}");
        next.extend(said.lines().filter_map(|line| {
            let words = line.trim().strip_prefix("coffer keys accept-restore")?;
            // The site names the directory in each command of its own.
            let (words, directory) = words.split_once(" --dir ")?;
            assert_eq!(directory, to.to_str().unwrap());
            let words = ["keys", "accept-restore"]
                .into_iter()
                .chain(words.split_whitespace());
            Some(words.map(str::to_owned).collect::<Vec<_>>())
        }));
    }
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_brings_back_every_payment_and_every_card_on_another_machine() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (paid, (customer, card)) = (payments(&shop).await, kept_card(&shop).await);
    let shelf = Shelf::new();
    let load = Load::start(&shop);
    for role in ROLES {
        shelf.made(coffer.directory(), role);
    }
    assert!(load.stop().await > 0, "there was no load");

    let machine = new_machine(coffer.directory());
    let next = restore(&shelf, machine.path(), &ROLES);
    no_secret_is_in(&shelf, coffer.directory(), machine.path());
    drop(coffer);
    shelf.accepted(machine.path(), &["init", "--profile", "development"]);
    let restored = Coffer::up(BINARY, Installation::at(machine)).await;
    for command in &next {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        shelf.accepted(restored.directory(), &command);
    }
    assert_eq!(next.len(), 2);

    everything_is_there(&shop.moved_to(&restored), &paid, &customer, &card).await;
    a_log_goes_on(&restored).await;
}

/// Payments as they were answered, and a card that still opens.
async fn everything_is_there(shop: &Merchant, paid: &[Value], customer: &str, card: &str) {
    for payment in paid {
        let id = payment["id"].as_str().unwrap();
        assert_eq!(shop.get(&format!("/v1/payments/{id}")).await.json, *payment);
    }
    let again = json!({"amount": 100, "currency": "EUR", "customer": customer, "card": card});
    let charged = shop.post("/v1/payments", &again).await;
    assert_eq!(charged.json["status"], "captured", "{}", charged.text);
}

/// Signed anew by the key server, which had known a longer one.
async fn a_log_goes_on(restored: &Coffer) {
    static SIGNED: coffer_db::Statement = coffer_db::Statement::new(
        "test_signed",
        "SELECT (SELECT MAX(size) FROM audit_checkpoints) AS signed, (SELECT size FROM audit_head WHERE log = 1) AS size",
    );
    let statements: &[&[&coffer_db::Statement]] = &[&[&SIGNED]];
    for role in ["api", "vault"] {
        let installation = restored.installation();
        let db = installation.store(role, migrations(role), statements).await;
        eventually(Duration::from_secs(60), "a checkpoint", async || {
            let row = db.read_optional(&SIGNED, Vec::new()).await.unwrap()?;
            let signed = row.optional_integer("signed").unwrap()?;
            (signed == row.integer("size").unwrap()).then_some(())
        })
        .await;
        db.close().await;
    }
}

/// Neither in a backup as it lies there, nor in what it restores to.
fn no_secret_is_in(shelf: &Shelf, original: &Path, restored: &Path) {
    let mut hunt = Hunt::default();
    let secrets = secrets(original);
    assert!(secrets.len() >= 9);
    for (name, secret) in &secrets {
        let secret = secret.trim_ascii();
        hunt.bytes(name, secret);
        // A key in PEM would be stored without its frame.
        let lines = secret.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| line.len() == 64) {
            hunt.bytes(name, line);
        }
    }
    for role in ROLES {
        let mut found = hunt.found_under(&shelf.of(role), &[]);
        let file = restored.join(role).join(format!("{role}.db"));
        found.extend(hunt.found_in(&fs::read(&file).unwrap()));
        assert!(found.is_empty(), "{role}: {found:?}");
    }
}

/// As on a machine whose operator keeps data in PostgreSQL: into databases in which nothing has begun, and into no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_come_back_in_empty_databases_and_overwrite_no_other() {
    let Some(server) = Server::shared() else {
        return;
    };
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (paid, (customer, card)) = (payments(&shop).await, kept_card(&shop).await);
    let shelf = Shelf::new();
    for role in ROLES {
        shelf.made(coffer.directory(), role);
    }
    let from = coffer.directory().to_owned();
    let target = Installation::make_on(BINARY, &server, |directory| {
        for (name, secret) in secrets(&from) {
            if ["api/service.key", "vault/service.key", "keys/passphrase"].contains(&name) {
                fs::write(directory.join(name), secret).unwrap();
            }
        }
        restore(&shelf, directory, &ROLES);
    });
    drop(coffer);
    for role in ROLES {
        let file = shelf.found(role);
        let arguments = ["backup", "restore", role, file.to_str().unwrap()];
        let refusal = shelf.refused(target.directory(), &arguments);
        assert!(refusal.contains("is not empty"), "{refusal}");
    }
    let restored = Coffer::up(BINARY, target).await;
    everything_is_there(&shop.moved_to(&restored), &paid, &customer, &card).await;
}
