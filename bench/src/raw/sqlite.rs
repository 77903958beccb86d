//! The loop on SQLite: one connection, as many payments in each commit as Coffer has clients.

use std::{path::Path, time::Instant};

use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::{Cell, TABLES, Template, select};
use crate::{
    drive::{Figures, Plan},
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

pub(super) fn run(file: &Path, templates: &[Template], plan: Plan) -> Figures {
    let connection = Connection::open(file).expect("a store");
    connection.execute_batch(SETTINGS).expect("settings");
    let count = |connection: &Connection| {
        connection.query_row("SELECT COUNT(*) FROM payments", [], |row| {
            row.get::<_, i64>(0)
        })
    };
    let before = count(&connection).expect("a count").cast_unsigned();
    let inserts = templates
        .iter()
        .map(|template| connection.prepare(&template.insert).expect("an insert"));
    let mut inserts: Vec<_> = inserts.collect();
    let (mut done, mut counted_from) = (0, 0);
    let (mut began, mut warm) = (Instant::now(), false);
    loop {
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("a transaction");
        for number in 0..CONNECTIONS as u64 {
            for (insert, template) in inserts.iter_mut().zip(templates) {
                let cells = template.cells(before + done + number);
                insert
                    .execute(rusqlite::params_from_iter(&cells))
                    .expect("an insert");
            }
        }
        connection.execute_batch("COMMIT").expect("a commit");
        done += CONNECTIONS as u64;
        if !warm && began.elapsed() >= plan.warm_up {
            (began, counted_from, warm) = (Instant::now(), done, true);
        } else if warm && began.elapsed() >= plan.measured {
            break;
        }
    }
    Figures {
        rate: (done - counted_from) as f64 / began.elapsed().as_secs_f64(),
        cpu_us: Vec::new(),
    }
}
