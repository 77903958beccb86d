//! Runs one prepared statement: binds by name, counts what it touched, copies what it returned.

use std::sync::Arc;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::failure::{self, Place};
use super::proof::Entry;
use crate::row::Taken;
use crate::{Error, Row, Value};

/// The most rows one statement may return. What may grow is read in pages.
const ROWS_MAX: usize = 100_000;

/// The rows touched (or returned) and the rows themselves.
pub(super) type Ran = (u64, Vec<Row>);

pub(super) fn run(
    prepared: &mut rusqlite::Statement<'_>,
    entry: &Entry,
    params: &[Value],
    place: Place,
) -> Result<Ran, Error> {
    bind(prepared, entry, params, place)?;
    let ran = if entry.columns.names.is_empty() {
        prepared
            .raw_execute()
            .map(|touched| (count(touched), Vec::new()))
            .map_err(|e| failure::of_statement(&e, place))
    } else {
        returned(prepared, entry, place)
    };
    // The connection keeps the statement; it must not keep the values.
    prepared.clear_bindings();
    ran
}

fn bind(
    prepared: &mut rusqlite::Statement<'_>,
    entry: &Entry,
    params: &[Value],
    place: Place,
) -> Result<(), Error> {
    let order = &entry.proof.order;
    entry.check_count(order.len(), params.len())?;
    for (parameter, position) in (1..).zip(order) {
        let value = params.get(*position).map(Bound);
        prepared
            .raw_bind_parameter(parameter, value)
            .map_err(|e| failure::of_statement(&e, place))?;
    }
    Ok(())
}

fn returned(
    prepared: &mut rusqlite::Statement<'_>,
    entry: &Entry,
    place: Place,
) -> Result<Ran, Error> {
    let mut found = Vec::new();
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(|e| failure::of_statement(&e, place))? {
        if found.len() == ROWS_MAX {
            return Err(defect(
                place,
                &format!("returns more than {ROWS_MAX} rows; read them in pages"),
            ));
        }
        let mut copy = Row::new(Arc::clone(&entry.columns));
        for column in 0..entry.columns.names.len() {
            copy.push(taken(row, column, place)?);
        }
        found.push(copy);
    }
    Ok((count(found.len()), found))
}

pub(super) fn taken<'r>(
    row: &'r rusqlite::Row<'_>,
    column: usize,
    place: Place,
) -> Result<Taken<'r>, Error> {
    match row
        .get_ref(column)
        .map_err(|e| failure::of_statement(&e, place))?
    {
        ValueRef::Null => Ok(Taken::Null),
        ValueRef::Integer(integer) => Ok(Taken::Integer(integer)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Taken::Text(text)),
            Err(_) => Err(defect(place, "returns text that is not UTF-8")),
        },
        ValueRef::Blob(bytes) => Ok(Taken::Bytes(bytes)),
        ValueRef::Real(_) => Err(defect(place, "returns a floating-point number")),
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn defect(place: Place, what: &str) -> Error {
    Error::Defect(format!("statement {} {what}", place.statement))
}

/// Lends a value to SQLite.
pub(super) struct Bound<'v>(pub(super) &'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
