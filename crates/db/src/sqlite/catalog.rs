//! The registered statements, each proved against the schema when the database is opened.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::failure;
use crate::row::Columns;
use crate::{Error, Statement};

/// What a statement may be. Anything else (a PRAGMA, a COMMIT) would reach past its transaction.
const VERBS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];

pub(super) struct Catalog {
    by_name: HashMap<&'static str, Entry>,
}

/// What is known about a statement before it runs.
pub(super) struct Entry {
    pub(super) sql: &'static str,
    /// Its place among the registered ones.
    pub(super) index: usize,
    pub(super) columns: Arc<Columns>,
    /// For each of SQLite's parameters in its order, which `$n` it is, from 0. SQLite numbers *named*
    /// parameters by their first appearance: by position, `$2, $1` would silently be swapped.
    pub(super) order: Box<[usize]>,
    pub(super) reads: bool,
}

impl Catalog {
    pub(super) fn build(
        connection: &Connection,
        statements: &[&[&'static Statement]],
    ) -> Result<Self, Error> {
        let mut by_name = HashMap::<&'static str, Entry>::new();
        for statement in statements.iter().copied().flatten() {
            let index = by_name.len();
            match by_name.get(statement.name) {
                Some(known) if known.sql == statement.sql => {}
                Some(_) => return Err(defect(statement, "another statement has the same name")),
                None => drop(by_name.insert(statement.name, prove(connection, statement, index)?)),
            }
        }
        Ok(Self { by_name })
    }

    pub(super) fn entry(&self, statement: &'static Statement) -> Result<&Entry, Error> {
        match self.by_name.get(statement.name) {
            Some(entry) if std::ptr::eq(entry.sql, statement.sql) || entry.sql == statement.sql => {
                Ok(entry)
            }
            Some(_) | None => Err(defect(
                statement,
                "not registered when the database was opened",
            )),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The texts, each at its index.
    pub(super) fn texts(&self) -> Vec<&'static str> {
        let mut entries: Vec<_> = self.by_name.values().collect();
        entries.sort_unstable_by_key(|entry| entry.index);
        entries.into_iter().map(|entry| entry.sql).collect()
    }
}

fn prove(
    connection: &Connection,
    statement: &'static Statement,
    index: usize,
) -> Result<Entry, Error> {
    check_verb(statement)?;
    let place = failure::Place {
        statement: statement.name,
        step: 0,
    };
    let prepared = connection
        .prepare(statement.sql)
        .map_err(|error| failure::of_statement(&error, place))?;
    let names = prepared.column_names().map(Box::from).collect();
    Ok(Entry {
        sql: statement.sql,
        index,
        columns: Arc::new(Columns {
            statement: statement.name,
            names,
        }),
        order: order(&prepared, statement)?,
        reads: prepared.readonly(),
    })
}

/// Transactions of several callers share a commit, so none may end or undo it.
fn check_verb(statement: &'static Statement) -> Result<(), Error> {
    let verb = statement.sql.split_whitespace().next().unwrap_or_default();
    if !VERBS.iter().any(|known| known.eq_ignore_ascii_case(verb)) {
        return Err(defect(
            statement,
            "must begin with SELECT, INSERT, UPDATE, DELETE or WITH",
        ));
    }
    if statement.sql.to_ascii_uppercase().contains("ROLLBACK") {
        return Err(defect(
            statement,
            "OR ROLLBACK would undo other callers' transactions",
        ));
    }
    Ok(())
}

/// The `$n` of each of SQLite's parameters; together they must be `$1…$n`, each once.
fn order(
    prepared: &rusqlite::Statement<'_>,
    statement: &'static Statement,
) -> Result<Box<[usize]>, Error> {
    let count = prepared.parameter_count();
    let mut order = Vec::with_capacity(count);
    for parameter in 1..=count {
        let number = prepared.parameter_name(parameter).and_then(number);
        match number.filter(|number| *number < count && !order.contains(number)) {
            Some(number) => order.push(number),
            None => {
                return Err(defect(
                    statement,
                    "parameters must be named $1, $2 and so on, without a gap",
                ));
            }
        }
    }
    Ok(order.into_boxed_slice())
}

/// `$1` is 0.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix('$')?
        .parse::<usize>()
        .ok()?
        .checked_sub(1)
}

fn defect(statement: &Statement, what: &str) -> Error {
    Error::Defect(format!("statement {}: {what}", statement.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(statement: &'static Statement) -> Result<Catalog, Error> {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (a INTEGER, b INTEGER) STRICT")
            .unwrap();
        Catalog::build(&connection, &[&[statement]])
    }

    fn defect_of(statement: &'static Statement) -> String {
        match build(statement) {
            Err(Error::Defect(text)) => text,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{} was accepted", statement.name),
        }
    }

    #[test]
    fn a_statement_that_cannot_be_prepared_is_named() {
        const TYPO: Statement = Statement::new("payment_by_id", "SELECT amuont FROM t");
        assert!(defect_of(&TYPO).starts_with("statement payment_by_id: no such column: amuont"));
    }

    #[test]
    fn a_statement_cannot_reach_past_its_transaction() {
        const COMMIT: Statement = Statement::new("s", "COMMIT");
        const PRAGMA: Statement = Statement::new("s", "PRAGMA synchronous=OFF");
        const UNDO: Statement =
            Statement::new("s", "INSERT OR ROLLBACK INTO t (a, b) VALUES (1, 2)");
        const TWO: Statement = Statement::new("s", "DELETE FROM t; COMMIT");
        for statement in [&COMMIT, &PRAGMA, &UNDO, &TWO] {
            let _ = defect_of(statement);
        }
    }

    #[test]
    fn parameters_without_number_or_with_a_gap_are_a_defect() {
        const UNNAMED: Statement = Statement::new("s", "SELECT a FROM t WHERE a = ?");
        const NAMED: Statement = Statement::new("s", "SELECT a FROM t WHERE a = $id");
        const GAP: Statement = Statement::new("s", "SELECT a FROM t WHERE a = $1 AND b = $3");
        const TWICE: Statement = Statement::new("s", "SELECT a FROM t WHERE a = $1 AND b = $01");
        const ZERO: Statement = Statement::new("s", "SELECT a FROM t WHERE a = $0");
        for statement in [&UNNAMED, &NAMED, &GAP, &TWICE, &ZERO] {
            let text = defect_of(statement);
            assert!(text.contains("must be named $1"), "{text}");
        }
    }

    #[test]
    fn two_texts_under_one_name_are_a_defect_and_one_text_twice_is_not() {
        const ONE: Statement = Statement::new("s", "SELECT a FROM t");
        const OTHER: Statement = Statement::new("s", "SELECT b FROM t");
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (a INTEGER, b INTEGER) STRICT")
            .unwrap();
        assert!(Catalog::build(&connection, &[&[&ONE, &ONE], &[&ONE]]).is_ok());
        let both = Catalog::build(&connection, &[&[&ONE], &[&OTHER]]);
        assert!(matches!(both, Err(Error::Defect(_))));
        let catalog = Catalog::build(&connection, &[&[&ONE]]).unwrap();
        assert!(matches!(catalog.entry(&OTHER), Err(Error::Defect(_))));
    }
}
