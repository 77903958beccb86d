//! Proves each registered statement against the schema.

use rusqlite::Connection;

use super::failure;
use crate::catalog::{self, Proved, defect};
use crate::{Error, Statement};

/// The statements of a SQLite database.
pub(super) type Catalog = catalog::Catalog<Proof>;
/// One of them.
pub(super) type Entry = catalog::Entry<Proof>;

/// What SQLite says of a statement.
pub(super) struct Proof {
    /// For each of SQLite's parameters in its order, which `$n` it is, from 0. SQLite numbers *named*
    /// parameters by their first appearance: by position, `$2, $1` would silently be swapped.
    pub(super) order: Box<[usize]>,
    pub(super) reads: bool,
}

pub(super) fn catalog(
    connection: &Connection,
    statements: &[&[&'static Statement]],
) -> Result<Catalog, Error> {
    let statements = catalog::registered(statements)?.into_iter();
    let proved = statements.map(|statement| Ok((statement, prove(connection, statement)?)));
    Ok(Catalog::new(proved.collect::<Result<Vec<_>, Error>>()?))
}

fn prove(connection: &Connection, statement: &'static Statement) -> Result<Proved<Proof>, Error> {
    let place = failure::Place {
        statement: statement.name,
        step: 0,
    };
    let prepared = connection
        .prepare(statement.sql)
        .map_err(|error| failure::of_statement(&error, place))?;
    let names = prepared.column_names().map(Box::from);
    let proof = Proof {
        order: order(&prepared, statement)?,
        reads: prepared.readonly(),
    };
    Ok((names.collect(), proof))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn defect_of(statement: &'static Statement) -> String {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (a INTEGER, b INTEGER) STRICT")
            .unwrap();
        match catalog(&connection, &[&[statement]]) {
            Err(Error::Defect(text)) => text,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{} was accepted", statement.name),
        }
    }

    #[test]
    fn a_statement_that_cannot_be_prepared_is_named() {
        const TYPO: Statement = Statement::new("payment_by_id", "SELECT amuont FROM t");
        const TWO: Statement = Statement::new("s", "DELETE FROM t; COMMIT");
        assert!(defect_of(&TYPO).starts_with("statement payment_by_id: no such column: amuont"));
        let _ = defect_of(&TWO);
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
}
