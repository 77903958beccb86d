//! Every process is killed at random points under load, again and again; then nothing that was acknowledged may be lost,
//! nobody charged twice, and the provider's ledger must agree with what the API says.
//!
//! The suite kills each process once and all of them at once; with PostgreSQL also that. A hundred kills, in some minutes:
//!
//! ```text
//! cargo nextest run -p coffer --test crash --run-ignored only a_hundred
//! ./test --postgres -p coffer --test crash --run-ignored only a_hundred
//! ```
//!
//! A failure names its seed; `COFFER_TEST_SEED=…` chooses the same victims, moments and orders again, as far as chance is
//! ours. `COFFER_TEST_KILLS=…` is another number of kills for the long run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod books;
mod disk;
mod fsync;
mod load;
mod stop;

use std::{sync::Arc, time::Duration};

use coffer_net::task;
use coffer_testkit::{Chance, Coffer, Installation, Merchant, PrivateServer, Server, eventually};

use books::Books;
use load::Journal;
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const MERCHANTS: usize = 3;
/// More than are stalled at a time: an order that the crash caught before it was sent is settled only after its deadline.
const CLIENTS: usize = 24;
/// The longest until every payment is final, once everything runs again.
const FINAL_WITHIN: Duration = Duration::from_secs(60);
/// The longest that all clients together get no answer.
const STILL_MAX: Duration = Duration::from_secs(60);

/// How many operations of the provider are slow when the crash comes; the other clients are not held up by them.
const LATE: usize = 6;
/// How long they take.
const LATE_MS: u64 = 400;

/// How many requests are refused before PostgreSQL comes back.
const REFUSALS: u64 = 200;
/// How often PostgreSQL is killed.
const KILLS_OF_POSTGRESQL: usize = 3;

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim<'a> {
    Role(&'static str),
    Supervisor,
    /// As a power cut does.
    All,
    PostgreSql(&'a PrivateServer),
    /// Not killed but told to stop: it must end in order.
    Told(&'static str),
    /// The supervisor is told to stop, and all stop in order.
    AllTold,
    /// Neither: its disk is full, and then it is not.
    Full(&'a disk::SmallDisk),
    /// Neither: its disks fail now and then from here on.
    Faulty(&'a fsync::FaultyDisks),
}

const VICTIMS: [Victim<'_>; 6] = [
    Victim::Role("api"),
    Victim::Role("vault"),
    Victim::Role("keys"),
    Victim::Role("simulator"),
    Victim::Supervisor,
    Victim::All,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_loses_or_doubles_a_payment() {
    let mut chance = Chance::new(seed());
    let mut victims = VICTIMS.to_vec();
    chance.shuffle(&mut victims);
    survive(Coffer::start(BINARY).await, chance, victims).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_of_postgresql_loses_or_doubles_a_payment() {
    // Without a server for the tests PostgreSQL may not be installed.
    if Server::shared().is_none() {
        return;
    }
    let server = PrivateServer::start(&[]);
    let coffer = Coffer::up(BINARY, Installation::make(BINARY, Some(server.server()))).await;
    let victims = vec![Victim::PostgreSql(&server); KILLS_OF_POSTGRESQL];
    survive(coffer, Chance::new(seed()), victims).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; the head of this file has its command"]
async fn a_hundred_crashes_lose_or_double_no_payment() {
    let mut chance = Chance::new(seed());
    let kills = number("COFFER_TEST_KILLS").unwrap_or(100);
    let victims = (0..kills).map(|_| chance.pick(&VICTIMS)).collect();
    survive(Coffer::start(BINARY).await, chance, victims).await;
}

async fn survive(mut coffer: Coffer, mut chance: Chance, victims: Vec<Victim<'_>>) {
    let mut shops = Vec::new();
    for _ in 0..MERCHANTS {
        shops.push(coffer.merchant().await);
    }
    let journal = Arc::new(Journal::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let shop = shops[client % MERCHANTS].clone();
            task::spawn(
                "client",
                load::client(shop, Arc::clone(&journal), chance.fork()),
            )
        })
        .collect();

    for victim in victims {
        kill(&mut coffer, victim, &journal, &mut chance).await;
    }
    progress(&journal, 1).await;
    journal.close();

    finals(&coffer, &shops).await;
    for client in clients {
        let ended = tokio::time::timeout(FINAL_WITHIN, client).await;
        ended
            .expect("every request is answered in the end")
            .expect("a client's story came true");
    }
    // Only now that nobody is at work are both sides of one time.
    let books = finals(&coffer, &shops).await;
    books.compare(&journal);
    load::replay(&journal).await;
    let after = finals(&coffer, &shops).await;
    assert_eq!(
        after.ledger.len(),
        books.ledger.len(),
        "repeated requests moved money"
    );
    let (orders, refusals) = (journal.orders(), journal.refusals());
    println!(
        "{orders} orders, {} answers, {refusals} refusals",
        journal.answers()
    );
}

/// Kills at a moment that chance chooses: after some answers, and then somewhere within the requests that run. The provider
/// is slow to answer then, so that the crash finds some between what it did and what is known of it.
async fn kill(coffer: &mut Coffer, victim: Victim<'_>, journal: &Journal, chance: &mut Chance) {
    progress(journal, 1 + chance.below(40)).await;
    coffer
        .misbehave(json!({"behaviour": "late", "count": LATE, "delay_ms": LATE_MS}))
        .await;
    tokio::time::sleep(Duration::from_millis(chance.below(LATE_MS))).await;
    println!("after {} answers: kill {victim:?}", journal.answers());
    match victim {
        Victim::PostgreSql(server) => crash(server, journal).await,
        Victim::Role(role) => coffer.kill(role).await,
        Victim::Supervisor => coffer.kill_supervisor().await,
        Victim::All => coffer.kill_all().await,
        Victim::Told(role) => assert_eq!(coffer.stop(role).await, stop::IN_ORDER, "{role}"),
        Victim::Faulty(disks) => {
            disks.fail(coffer);
            progress(journal, fsync::ANSWERS).await;
            let told = async || coffer.log().contains(fsync::COMPLAINT).then_some(());
            eventually(STILL_MAX, "a disk failed", told).await;
        }
        Victim::Full(disk) => disk::fill(coffer, disk, journal).await,
        Victim::AllTold => coffer.at_rest(async |_| ()).await,
    }
}

/// PostgreSQL stays away until clients have been told to come again, and then some.
async fn crash(server: &PrivateServer, journal: &Journal) {
    server.kill();
    let wanted = journal.refusals() + REFUSALS;
    let refused = async || (journal.refusals() >= wanted).then_some(());
    eventually(STILL_MAX, "clients are told to come again", refused).await;
    server.start_again(&[]);
}

async fn progress(journal: &Journal, answers: u64) {
    let wanted = journal.answers() + answers;
    let enough = async || (journal.answers() >= wanted).then_some(());
    eventually(STILL_MAX, "clients are answered", enough).await;
}

/// The books once no payment and no refund is left without an outcome.
async fn finals(coffer: &Coffer, shops: &[Merchant]) -> Books {
    let settled = async || {
        let books = Books::read(coffer, shops).await?;
        books.all_final().then_some(books)
    };
    eventually(FINAL_WITHIN, "every payment is final", settled).await
}

/// The seed of this run; printed, so that a failure shows it.
fn seed() -> u64 {
    let seed = number("COFFER_TEST_SEED").unwrap_or_else(Chance::seed);
    println!("seed: COFFER_TEST_SEED={seed}");
    seed
}

#[expect(
    clippy::disallowed_methods,
    reason = "how a person parametrises a test"
)]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}
