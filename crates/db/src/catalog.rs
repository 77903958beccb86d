//! The registered statements, each proved against the schema when the database is opened.

use std::collections::HashMap;
use std::sync::Arc;

use crate::row::Columns;
use crate::{Error, Statement};

/// What a statement may be. Anything else (a PRAGMA, a SET, a COMMIT) would reach past its transaction.
const VERBS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];

/// The statements that a database runs, with what its engine found out about each.
pub(crate) struct Catalog<P> {
    by_name: HashMap<&'static str, Entry<P>>,
}

/// What is known about a statement before it runs.
pub(crate) struct Entry<P> {
    pub(crate) sql: &'static str,
    /// Its place among the registered ones.
    pub(crate) index: usize,
    pub(crate) columns: Arc<Columns>,
    /// What this engine knows besides.
    pub(crate) proof: P,
}

/// The column names of a statement, and the engine's own knowledge of it.
pub(crate) type Proved<P> = (Box<[Box<str>]>, P);

/// Each registered statement once, all of a kind that may run.
pub(crate) fn registered(
    statements: &[&[&'static Statement]],
) -> Result<Vec<&'static Statement>, Error> {
    let mut texts = HashMap::new();
    let mut once = Vec::new();
    for statement in statements.iter().copied().flatten() {
        match texts.insert(statement.name, statement.sql) {
            Some(known) if known == statement.sql => {}
            Some(_) => return Err(defect(statement, "another statement has the same name")),
            None => {
                check_verb(statement)?;
                once.push(*statement);
            }
        }
    }
    Ok(once)
}

impl<P> Catalog<P> {
    pub(crate) fn new(proved: impl IntoIterator<Item = (&'static Statement, Proved<P>)>) -> Self {
        let entry = |(index, (statement, (names, proof))): (usize, (&'static Statement, _))| {
            let columns = Arc::new(Columns {
                statement: statement.name,
                names,
            });
            let entry = Entry {
                sql: statement.sql,
                index,
                columns,
                proof,
            };
            (statement.name, entry)
        };
        Self {
            by_name: proved.into_iter().enumerate().map(entry).collect(),
        }
    }

    pub(crate) fn entry(&self, statement: &'static Statement) -> Result<&Entry<P>, Error> {
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

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The texts, each at its index.
    pub(crate) fn texts(&self) -> Vec<&'static str> {
        let mut entries: Vec<_> = self.by_name.values().collect();
        entries.sort_unstable_by_key(|entry| entry.index);
        entries.into_iter().map(|entry| entry.sql).collect()
    }
}

impl<P> Entry<P> {
    /// Fails when a caller gives another number of parameters than the statement takes.
    pub(crate) fn check_count(&self, takes: usize, given: usize) -> Result<(), Error> {
        if takes == given {
            return Ok(());
        }
        let name = self.columns.statement;
        Err(Error::Defect(format!(
            "statement {name} takes {takes} parameters, {given} given"
        )))
    }
}

/// Transactions of several callers may share a commit or a connection, so none may end or undo it.
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

/// A statement that cannot be used as it is written.
pub(crate) fn defect(statement: &Statement, what: &str) -> Error {
    Error::Defect(format!("statement {}: {what}", statement.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_cannot_reach_past_its_transaction() {
        const COMMIT: Statement = Statement::new("s", "COMMIT");
        const PRAGMA: Statement = Statement::new("s", "PRAGMA synchronous=OFF");
        const SET: Statement = Statement::new("s", "SET synchronous_commit = off");
        const UNDO: Statement =
            Statement::new("s", "INSERT OR ROLLBACK INTO t (a, b) VALUES (1, 2)");
        for statement in [&COMMIT, &PRAGMA, &SET, &UNDO] {
            let refused = registered(&[&[statement]]);
            assert!(
                matches!(refused, Err(Error::Defect(_))),
                "{}",
                statement.sql
            );
        }
    }

    #[test]
    fn two_texts_under_one_name_are_a_defect_and_one_text_twice_is_not() {
        const ONE: Statement = Statement::new("s", "SELECT a FROM t");
        const OTHER: Statement = Statement::new("s", "SELECT b FROM t");
        assert_eq!(registered(&[&[&ONE, &ONE], &[&ONE]]).unwrap().len(), 1);
        assert!(matches!(
            registered(&[&[&ONE], &[&OTHER]]),
            Err(Error::Defect(_))
        ));
        let catalog = Catalog::new([(&ONE, (Box::default(), ()))]);
        assert!(matches!(catalog.entry(&OTHER), Err(Error::Defect(_))));
    }
}
