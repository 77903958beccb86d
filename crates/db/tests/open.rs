//! What a database is refused for, and what is found again after it was closed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use coffer_db::{Database, Error, Migration, Statement, Transaction, Unavailable, params};

const FIRST: Migration = Migration {
    version: 1,
    name: "notes",
    sql: "CREATE TABLE notes (id {bigint} PRIMARY KEY, body {bytes} NOT NULL) {strict}",
};
const SECOND: Migration = Migration {
    version: 2,
    name: "authors",
    sql: "ALTER TABLE notes ADD COLUMN author TEXT; CREATE INDEX a ON notes (author)",
};
const CHANGED: Migration = Migration {
    sql: "ALTER TABLE notes ADD COLUMN writer TEXT",
    ..SECOND
};
const BROKEN: Migration = Migration {
    version: 3,
    name: "broken",
    sql: "CREATE TABLE more (id {bigint}); CREATE TABEL x",
};

const INSERT: Statement = Statement::new("insert", "INSERT INTO notes (id, body) VALUES ($1, $2)");
const BODY: Statement = Statement::new("body", "SELECT body FROM notes WHERE id = $1");
const AUTHOR: Statement = Statement::new("author", "SELECT author FROM notes WHERE id = $1");
const FLOAT: Statement = Statement::new("float", "SELECT id / 3.0 AS third FROM notes");
const HISTORY: Statement = Statement::new(
    "history",
    "SELECT version, name, sql, applied FROM migrations ORDER BY version",
);
const STATEMENTS: &[&Statement] = &[&INSERT, &BODY, &HISTORY];

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("t.db")
    }

    fn open(&self, migrations: &[Migration]) -> Result<Database, Error> {
        Database::open_sqlite(&self.file(), migrations, &[STATEMENTS])
    }

    async fn written_by(migrations: &[Migration]) -> Self {
        let folder = Self::new();
        folder.open(migrations).unwrap().close().await;
        folder
    }

    fn refusal(&self, migrations: &[Migration]) -> String {
        match self.open(migrations) {
            Err(Error::Refused(text)) => text,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    }
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let folder = Folder::written_by(&[FIRST, SECOND]).await;
    let text = folder.refusal(&[FIRST, CHANGED]);
    assert!(
        text.contains("migration 2 (authors) was applied with another text"),
        "{text}"
    );
}

#[tokio::test]
async fn a_migration_that_this_program_does_not_know_is_refused() {
    let folder = Folder::written_by(&[FIRST, SECOND]).await;
    let text = folder.refusal(&[FIRST]);
    assert!(
        text.contains("migration 2 (authors), which this program does not know"),
        "{text}"
    );
}

#[tokio::test]
async fn a_broken_migration_leaves_the_database_as_it_was() {
    let folder = Folder::written_by(&[FIRST]).await;
    let Err(Error::Defect(text)) = folder.open(&[FIRST, SECOND, BROKEN]) else {
        panic!("not a defect")
    };
    assert!(text.starts_with("migration 3 (broken)"), "{text}");
    let db = folder.open(&[FIRST]).unwrap();
    assert_eq!(db.read(&HISTORY, params![]).await.unwrap().len(), 1);
}

#[test]
fn a_statement_that_does_not_fit_the_schema_is_named() {
    let folder = Folder::new();
    let opened = Database::open_sqlite(&folder.file(), &[FIRST], &[STATEMENTS, &[&AUTHOR]]);
    let Err(Error::Defect(text)) = opened else {
        panic!("not a defect")
    };
    assert!(
        text.starts_with("statement author: no such column"),
        "{text}"
    );
}

/// PostgreSQL says already when it is opened what a statement returns.
#[tokio::test]
async fn a_number_that_no_integer_holds_is_a_defect() {
    let folder = Folder::new();
    let statements: &[&[&'static Statement]] = &[STATEMENTS, &[&FLOAT]];
    let db = Database::open_sqlite(&folder.file(), &[FIRST], statements).unwrap();
    db.transact(Transaction::new().one(&INSERT, params![1_i64, [1_u8]]))
        .await
        .unwrap();
    let Err(Error::Defect(text)) = db.read(&FLOAT, params![]).await else {
        panic!("not a defect")
    };
    assert!(text.starts_with("statement float"), "{text}");
}

#[test]
fn a_file_that_others_may_open_is_refused() {
    let folder = Folder::new();
    fs::write(folder.file(), []).unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(folder.refusal(&[FIRST]).contains("chmod 600"));
}

#[test]
fn a_file_that_is_no_database_and_a_folder_that_is_not_there_are_storage_failures() {
    let folder = Folder::new();
    fs::write(folder.file(), [7_u8; 4096]).unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        folder.open(&[FIRST]),
        Err(Error::Unavailable(Unavailable::Io(_)))
    ));
    let nowhere = folder.0.path().join("missing").join("t.db");
    let opened = Database::open_sqlite(&nowhere, &[FIRST], &[STATEMENTS]);
    assert!(matches!(
        opened,
        Err(Error::Unavailable(Unavailable::Io(_)))
    ));
}

#[tokio::test]
async fn a_damaged_page_is_a_storage_failure_and_not_a_defect() {
    let folder = Folder::new();
    let db = folder.open(&[FIRST]).unwrap();
    for id in 0..64_i64 {
        db.transact(Transaction::new().one(&INSERT, params![id, vec![1_u8; 2_000]]))
            .await
            .unwrap();
    }
    db.close().await;
    let mut bytes = fs::read(folder.file()).unwrap();
    let damaged = bytes.len() / 2;
    bytes[damaged..].fill(0xff);
    fs::write(folder.file(), bytes).unwrap();
    let db = folder.open(&[FIRST]).unwrap();
    let mut failures = 0;
    for id in 0..64_i64 {
        match db.read(&BODY, params![id]).await {
            Ok(_) => {}
            Err(Error::Unavailable(Unavailable::Io(_))) => failures += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(failures > 0);
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    let folder = Folder::new();
    let db = folder.open(&[FIRST]).unwrap();
    db.transact(Transaction::new().one(&INSERT, params![1_i64, [1_u8]]))
        .await
        .unwrap();
    let modes: Vec<_> = fs::read_dir(folder.0.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(
        modes, [0o600; 3],
        "the database, its log and the log's index"
    );
}

#[tokio::test]
async fn a_newer_program_migrates_and_finds_everything_again() {
    let folder = Folder::new();
    let old = folder.open(&[FIRST]).unwrap();
    old.transact(Transaction::new().one(&INSERT, params![1_i64, [5_u8, 6]]))
        .await
        .unwrap();
    old.close().await;
    let new =
        Database::open_sqlite(&folder.file(), &[FIRST, SECOND], &[STATEMENTS, &[&AUTHOR]]).unwrap();
    let note = new
        .read_optional(&BODY, params![1_i64])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(note.bytes("body").unwrap(), [5, 6]);
    assert_eq!(
        new.read_optional(&AUTHOR, params![1_i64])
            .await
            .unwrap()
            .unwrap()
            .optional_text("author")
            .unwrap(),
        None
    );
    let history = new.read(&HISTORY, params![]).await.unwrap();
    assert_eq!(history[1].text("sql").unwrap(), SECOND.sql);
    assert!(history[1].text("applied").unwrap().ends_with('Z'));
}
