//! What holds on PostgreSQL besides the rules of both engines. Skipped where no server was started for the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use coffer_db::{
    Database, Error, Expect, Migration, PostgresAddress, Statement, Transaction, params,
};
use coffer_testkit::{Server, TestDatabase, eventually};
use futures_util::future::join_all;
use tokio::task::JoinSet;

const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    name: "counters",
    sql: "CREATE TABLE counters (counter TEXT PRIMARY KEY, value {bigint} NOT NULL) {strict};
          INSERT INTO counters (counter, value) VALUES ('a', 0), ('b', 0)",
}];
static COUNT: Statement = Statement::new(
    "count",
    "UPDATE counters SET value = value + 1 WHERE counter = $1",
);
static COUNT_FROM: Statement = Statement::new(
    "count_from",
    "UPDATE counters SET value = value + 1 WHERE counter = $1 AND value = $2",
);
static VALUE: Statement =
    Statement::new("value", "SELECT value FROM counters WHERE counter = $1").by_key();
const STATEMENTS: &[&Statement] = &[&COUNT, &COUNT_FROM, &VALUE];

async fn open(address: &PostgresAddress) -> Result<Database, Error> {
    Database::open_postgres(address, SCHEMA, &[STATEMENTS]).await
}

async fn value(db: &Database, counter: &str) -> i64 {
    let row = db.read_optional(&VALUE, params![counter]).await.unwrap();
    row.unwrap().integer("value").unwrap()
}

fn refusal(opened: Result<Database, Error>) -> String {
    match opened {
        Err(Error::Refused(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn the_steps_of_a_long_transaction_run_in_their_order() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let db = open(&place.address()).await.unwrap();
    // More than fit into one poll of the futures' combinator; each finds only what the one before it left.
    let steps = (0..200_i64).fold(Transaction::new(), |steps, from| {
        steps.then(&COUNT_FROM, params!["a", from], Expect::Exactly(1))
    });
    db.transact(steps).await.unwrap();
    assert_eq!(value(&db, "a").await, 200);
}

#[tokio::test]
async fn transactions_that_block_each_other_are_run_again() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    place.run("ALTER DATABASE {} SET deadlock_timeout = '10ms'");
    let db = open(&place.address()).await.unwrap();
    let mut running = JoinSet::new();
    for (first, second) in [("a", "b"), ("b", "a")] {
        let db = db.clone();
        running.spawn(async move {
            for _ in 0..50 {
                let both = Transaction::new().one(&COUNT, params![first]);
                db.transact(both.one(&COUNT, params![second]))
                    .await
                    .unwrap();
            }
        });
    }
    running.join_all().await;
    assert_eq!((value(&db, "a").await, value(&db, "b").await), (100, 100));
}

#[tokio::test]
async fn a_connection_that_was_cut_is_replaced() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let db = open(&place.address()).await.unwrap();
    for round in 1..=3 {
        db.transact(Transaction::new().one(&COUNT, params!["a"]))
            .await
            .unwrap();
        assert_eq!(value(&db, "a").await, round);
        place.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'");
    }
}

/// What each of many finds who look at the same time: for `a`, `b`, and a counter that there is none of.
async fn all_at_once(db: &Database) -> Vec<Option<i64>> {
    let looking = (0..150).map(async |place| {
        let counter = ["a", "b", "c"][place % 3];
        let row = db.read_optional(&VALUE, params![counter]).await.unwrap();
        row.map(|row| row.integer("value").unwrap())
    });
    join_all(looking).await
}

#[tokio::test]
async fn of_many_who_look_at_once_each_finds_its_own_as_it_is_now() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let db = open(&place.address()).await.unwrap();
    for round in 1..=3 {
        let counted = Transaction::new().one(&COUNT, params!["b"]);
        db.transact(counted).await.unwrap();
        let expected = [Some(0), Some(round), None].repeat(50);
        assert_eq!(all_at_once(&db).await, expected);
        // Those that were on their way look again.
        place.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'");
        assert_eq!(all_at_once(&db).await, expected);
    }
    db.close().await;
    let closed = db.read(&VALUE, params!["a"]).await;
    assert!(closed.is_err(), "{closed:?}");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_half_done() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let db = open(&place.address()).await.unwrap();
    {
        let both = Transaction::new()
            .one(&COUNT, params!["a"])
            .one(&COUNT, params!["b"]);
        let mut abandoned = pin!(db.transact(both));
        poll_fn(|context| {
            assert!(abandoned.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    eventually(
        Duration::from_secs(10),
        "the abandoned transaction is committed",
        async || (value(&db, "a").await == 1).then_some(()),
    )
    .await;
    assert_eq!(value(&db, "b").await, 1);
}

#[tokio::test]
async fn nodes_that_start_together_migrate_once() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let address = place.address();
        nodes.spawn(async move { open(&address).await.unwrap() });
    }
    let nodes = nodes.join_all().await;
    assert_eq!(value(&nodes[0], "a").await, 0);
}

#[tokio::test]
async fn a_setting_that_could_lose_a_commit_is_refused() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    place.run("ALTER DATABASE {} SET synchronous_commit = off");
    let why = refusal(open(&place.address()).await);
    assert!(why.contains("synchronous_commit is off"), "{why}");
}

#[tokio::test]
async fn a_database_that_sorts_like_a_dictionary_is_refused() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let server = Server::shared().unwrap();
    let address = place.address();
    let sorted = format!("{}_sorted", address.database);
    server.run(&[format!(
        "CREATE DATABASE {sorted} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
    )]);
    let opened = open(&server.database(&sorted)).await;
    server.run(&[format!("DROP DATABASE {sorted} WITH (FORCE)")]);
    let why = refusal(opened);
    assert!(why.contains("LC_COLLATE 'C'"), "{why}");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_for_the_operator() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let wrong = PostgresAddress {
        password: "not the password".to_owned(),
        ..place.address()
    };
    let why = refusal(open(&wrong).await);
    assert!(
        why.contains("28P01") && !why.contains("not the password"),
        "{why}"
    );
    let missing = PostgresAddress {
        database: "nowhere".to_owned(),
        ..place.address()
    };
    assert!(refusal(open(&missing).await).contains("database exist"));
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let Some(place) = TestDatabase::on_postgres() else {
        return;
    };
    let away = PostgresAddress {
        port: 1,
        ..place.address()
    };
    assert!(matches!(open(&away).await, Err(Error::Unavailable(_))));
}
