//! A loop that writes what one payment writes, and nothing else: the driver of the store, prepared statements, commits.
//!
//! The rows are copies of those that Coffer wrote for a payment, so they stay the same when Coffer writes others. Each copy
//! gets another key; keys grow, as Coffer's do.

use std::path::PathBuf;

use coffer_db::Database;
use coffer_engine::{MIGRATIONS, STATEMENTS};
use tempfile::TempDir;

use crate::{
    drive::{Figures, Plan},
    stage::Stage,
};

pub(crate) mod postgres;
mod sqlite;

/// The tables that an intent writes to: the column that tells rows apart, and which row to copy.
const TABLES: [(&str, &str, &str); 3] = [
    ("audit_leaves", "leaf", "ORDER BY leaf DESC"),
    ("payments", "payment", "ORDER BY payment DESC"),
    (
        "idempotency",
        "idempotency_key",
        "WHERE answer_status IS NOT NULL ORDER BY created DESC",
    ),
];
/// What no new leaf has yet.
const LATER: &str = "sequence";

/// A value of a row that is copied.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row that is copied: only what is not null, so that a statement binds no null.
pub(crate) struct Template {
    insert: String,
    cells: Vec<Cell>,
    key: usize,
}

impl Template {
    fn new(table: &str, key: &str, row: Vec<(String, Cell)>) -> Self {
        let row: Vec<_> = row.into_iter().filter(|(name, _)| name != LATER).collect();
        let names: Vec<&str> = row.iter().map(|(name, _)| name.as_str()).collect();
        let places: Vec<String> = (1..=row.len()).map(|place| format!("${place}")).collect();
        let insert = format!(
            "INSERT INTO {table} ({}) VALUES ({})",
            names.join(", "),
            places.join(", ")
        );
        let key = names.iter().position(|name| *name == key).expect("a key");
        Self {
            insert,
            cells: row.into_iter().map(|(_, cell)| cell).collect(),
            key,
        }
    }

    /// The row's values with a key of its own.
    fn cells(&self, number: u64) -> Vec<Cell> {
        let mut cells = self.cells.clone();
        if let Some(Cell::Text(key)) = cells.get_mut(self.key) {
            let kept = key.len().saturating_sub(10);
            *key = format!("{}{number:010}", &key[..kept]);
        }
        cells
    }
}

fn select(table: &str, which: &str) -> String {
    format!("SELECT * FROM {table} {which} LIMIT 1")
}

/// The loop, with an empty store of its own that has the same tables.
pub(crate) enum Loop {
    Sqlite {
        file: PathBuf,
        templates: Vec<Template>,
        _folder: TempDir,
    },
    Postgres {
        url: String,
        templates: Vec<Template>,
    },
}

impl Loop {
    /// On the store of this Coffer, which has recorded payments.
    pub(crate) async fn like(stage: &Stage) -> Self {
        match stage.server() {
            None => {
                let folder = tempfile::tempdir().expect("a folder");
                let file = folder.path().join("raw.db");
                Database::open_sqlite(&file, MIGRATIONS, STATEMENTS)
                    .expect("a store")
                    .close()
                    .await;
                Self::Sqlite {
                    templates: sqlite::templates(&stage.directory().join("api/api.db")),
                    file,
                    _folder: folder,
                }
            }
            Some(server) => {
                let (url, templates) = postgres::prepare(server).await;
                Self::Postgres { url, templates }
            }
        }
    }

    /// One run.
    pub(crate) async fn run(&self, plan: Plan) -> Figures {
        match self {
            Self::Sqlite {
                file, templates, ..
            } => sqlite::run(file, templates, plan).await,
            Self::Postgres { url, templates } => postgres::run(url, templates, plan).await,
        }
    }
}
