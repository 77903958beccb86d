//! A whole store as it was at one instant, and the same in another place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;

use coffer_db::{
    Error, Filling, Migration, PostgresAddress, Snapshot, Statement, Transaction, Value, params,
};
use coffer_testkit::{TestDatabase, TestStore};

const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    name: "notes",
    sql: "CREATE TABLE shelves (shelf TEXT PRIMARY KEY, note TEXT) {strict};
          INSERT INTO shelves (shelf, note) VALUES ('made by the migration', NULL);
          CREATE TABLE books (shelf TEXT NOT NULL REFERENCES shelves (shelf), book {bigint} NOT NULL, cover {bytes},
            PRIMARY KEY (shelf, book)) {strict}",
}];
static SHELF: Statement =
    Statement::new("shelf", "INSERT INTO shelves (shelf, note) VALUES ($1, $2)");
static BOOK: Statement = Statement::new(
    "book",
    "INSERT INTO books (shelf, book, cover) VALUES ($1, $2, $3)",
);

const STATEMENTS: &[&[&Statement]] = &[&[&SHELF, &BOOK]];

type Content = Vec<(String, Vec<Vec<Value>>)>;

async fn content(snapshot: &Snapshot) -> Content {
    let mut all = Vec::new();
    for table in snapshot.tables().await.unwrap() {
        let mut rows = Vec::new();
        let each = |row: &[Value]| {
            rows.push(row.to_vec());
            Ok::<(), Error>(())
        };
        snapshot.rows(&table, each).await.unwrap();
        all.push((table.name.clone(), rows));
    }
    all
}

async fn store() -> TestStore {
    let store = TestStore::open(SCHEMA, STATEMENTS).await;
    let books = (0..1000_i64).map(|book| params!["b", book, vec![7_u8; 3]]);
    let mut transaction = Transaction::new()
        .one(&SHELF, params!["b", "ü"])
        .one(&SHELF, params!["B", Option::<&str>::None]);
    for book in books {
        transaction = transaction.one(&BOOK, book);
    }
    store.db.transact(transaction).await.unwrap();
    store
}

async fn fill(filling: Filling, content: &Content) -> Result<(), Error> {
    let tables = filling.tables().await?;
    for (name, rows) in content {
        let table = tables.iter().find(|table| table.name == *name).unwrap();
        filling.insert(table, rows).await?;
    }
    filling.commit().await
}

#[tokio::test]
async fn a_snapshot_is_one_instant_whatever_is_committed_meanwhile() {
    let store = store().await;
    let snapshot = store.snapshot().await;
    // Read before anything of it was looked at, and between its tables.
    let more = |shelf| Transaction::new().one(&SHELF, params![shelf, "later"]);
    store.db.transact(more("later")).await.unwrap();
    let first = content(&snapshot).await;
    store.db.transact(more("later still")).await.unwrap();
    assert!(content(&snapshot).await == first);
    let shelves = &first.iter().find(|(name, _)| name == "shelves").unwrap().1;
    assert_eq!(shelves.len(), 3);
    assert_eq!(snapshot.version().await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_filled_is_the_same_in_the_same_order_on_every_engine() {
    let store = store().await;
    let original = content(&store.snapshot().await).await;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("copy.db");
    let filling = Filling::into_sqlite(&path, SCHEMA).unwrap();
    fill(filling, &original).await.unwrap();
    assert!(content(&Snapshot::of_sqlite(&path).unwrap()).await == original);
    if let Some(database) = TestDatabase::on_postgres() {
        let address = database.address();
        let filling = Filling::into_postgres(&address, SCHEMA).await.unwrap();
        fill(filling, &original).await.unwrap();
        let copied = Snapshot::of_postgres(&address).await.unwrap();
        assert!(content(&copied).await == original);
    }
}

async fn refused_twice(path: &Path, address: Option<&PostgresAddress>) {
    assert!(matches!(
        Filling::into_sqlite(path, SCHEMA),
        Err(Error::Refused(_))
    ));
    if let Some(address) = address {
        let again = Filling::into_postgres(address, SCHEMA).await;
        assert!(matches!(again, Err(Error::Refused(_))));
    }
}

#[tokio::test]
async fn only_an_empty_place_is_filled_and_what_is_not_committed_leaves_no_row() {
    let store = store().await;
    let original = content(&store.snapshot().await).await;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("copy.db");
    let filling = Filling::into_sqlite(&path, SCHEMA).unwrap();
    let tables = filling.tables().await.unwrap();
    let shelves = tables.iter().find(|table| table.name == "shelves").unwrap();
    filling
        .insert(shelves, &[params!["lost", "never committed"]])
        .await
        .unwrap();
    drop(filling);
    let left = content(&Snapshot::of_sqlite(&path).unwrap()).await;
    let shelves = &left.iter().find(|(name, _)| name == "shelves").unwrap().1;
    assert_eq!(shelves.len(), 1);

    let database = TestDatabase::on_postgres();
    let address = database.as_ref().map(TestDatabase::address);
    if let Some(address) = &address {
        drop(Filling::into_postgres(address, SCHEMA).await.unwrap());
        // The server has undone what the connection that is gone had begun, at the latest when it is asked again.
        let filling = Filling::into_postgres(address, SCHEMA).await.unwrap();
        fill(filling, &original).await.unwrap();
    }
    refused_twice(&path, address.as_ref()).await;
}

#[tokio::test]
async fn a_row_that_refers_to_nothing_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let filling = Filling::into_sqlite(&place.path().join("copy.db"), SCHEMA).unwrap();
    let tables = filling.tables().await.unwrap();
    let books = tables.iter().find(|table| table.name == "books").unwrap();
    let orphan = vec![params!["nowhere", 1_i64, Option::<&str>::None]];
    assert!(filling.insert(books, &orphan).await.is_err());
}
