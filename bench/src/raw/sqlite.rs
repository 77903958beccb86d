//! The loop on SQLite: as many clients as Coffer has, one connection, one commit for all that wait.

use std::{cell::Cell as Counter, iter, path::Path, sync::mpsc, thread};

use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::oneshot;

use super::{Cell, TABLES, Template, select};
use crate::{
    drive::{Client, Figures, Plan, drive},
    http::CONNECTIONS,
};

/// The settings of the writer that decide what a commit costs.
const SETTINGS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
    PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;";

pub(super) fn templates(file: &Path) -> Vec<Template> {
    let connection = Connection::open(file).expect("the api's store");
    let template = |(table, key, which): &(&str, &str, &str)| {
        let mut statement = connection.prepare(&select(table, which)).expect("a table");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let row = statement.query_row([], |row| {
            let cells = names
                .iter()
                .enumerate()
                .map(|(place, name)| (name.clone(), cell(row.get_ref_unwrap(place))));
            Ok(cells
                .filter_map(|(name, cell)| Some((name, cell?)))
                .collect())
        });
        Template::new(table, key, row.expect("a row to copy"))
    };
    TABLES.iter().map(template).collect()
}

fn cell(value: ValueRef<'_>) -> Option<Cell> {
    match value {
        ValueRef::Integer(integer) => Some(Cell::Integer(integer)),
        ValueRef::Text(text) => Some(Cell::Text(String::from_utf8_lossy(text).into_owned())),
        ValueRef::Blob(bytes) => Some(Cell::Bytes(bytes.to_vec())),
        ValueRef::Null | ValueRef::Real(_) => None,
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The rows of a payment that wait to be written, and who waits for that.
struct Waiting {
    rows: Vec<Vec<Cell>>,
    written: oneshot::Sender<()>,
}

/// Who has a payment written, and the next one when it is durable.
struct Payer<'l> {
    writer: mpsc::Sender<Waiting>,
    templates: &'l [Template],
    number: &'l Counter<u64>,
}

impl Client for Payer<'_> {
    async fn act(&mut self) -> bool {
        let number = self.number.get();
        self.number.set(number + 1);
        let rows = self.templates.iter().map(|row| row.cells(number)).collect();
        let (written, durable) = oneshot::channel();
        self.writer
            .send(Waiting { rows, written })
            .expect("the writer");
        durable.await.expect("a commit");
        true
    }
}

pub(super) async fn run(file: &Path, templates: &[Template], plan: Plan) -> Figures {
    let connection = Connection::open(file).expect("a store");
    connection.execute_batch(SETTINGS).expect("settings");
    let before = connection.query_row("SELECT COUNT(*) FROM payments", [], |row| {
        row.get::<_, i64>(0)
    });
    let number = Counter::new(before.expect("a count").cast_unsigned());
    let inserts: Vec<_> = templates.iter().map(|row| row.insert.clone()).collect();
    let (writer, waiting) = mpsc::channel();
    let committing = thread::spawn(move || commit(&connection, &inserts, &waiting));
    let payer = |_| Payer {
        writer: writer.clone(),
        templates,
        number: &number,
    };
    let payers = (0..CONNECTIONS).map(payer).collect();
    drop(writer);
    let figures = drive(payers, &[], plan).await;
    committing.join().expect("the writer");
    figures
}

/// Writes until nobody is left who could want more: all that wait share a commit.
fn commit(connection: &Connection, inserts: &[String], waiting: &mpsc::Receiver<Waiting>) {
    let prepared = inserts
        .iter()
        .map(|insert| connection.prepare(insert).expect("an insert"));
    let mut inserts: Vec<_> = prepared.collect();
    while let Ok(first) = waiting.recv() {
        let together: Vec<_> = iter::once(first).chain(waiting.try_iter()).collect();
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("a transaction");
        for Waiting { rows, .. } in &together {
            for (insert, row) in inserts.iter_mut().zip(rows) {
                insert
                    .execute(rusqlite::params_from_iter(row))
                    .expect("an insert");
            }
        }
        connection.execute_batch("COMMIT").expect("a commit");
        for Waiting { written, .. } in together {
            // Whoever does not wait any more was not counted.
            let _ = written.send(());
        }
    }
}
