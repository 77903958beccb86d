//! One commit for the transactions of many callers.
//!
//! They run one after another as if nothing could go wrong, which is nearly always so. When something does, all is undone
//! and they run once more, now each behind a savepoint of its own, so that one caller's failure is no other's. A savepoint
//! copies every page that is changed after it, which would cost more than the changes.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::failure::{self, Place};
use super::proof::Catalog;
use super::run;
use crate::{Error, Outcome, Transaction, Unavailable};

/// An answer for each transaction of a group, in its order.
pub(super) type Answers = Vec<Result<Outcome, Error>>;

/// The writer's connection with every statement prepared.
pub(super) struct Group<'c> {
    connection: &'c Connection,
    catalog: &'c Catalog,
    /// Each at its index in the catalog.
    prepared: Vec<rusqlite::Statement<'c>>,
    begin: rusqlite::Statement<'c>,
    commit: rusqlite::Statement<'c>,
    rollback: rusqlite::Statement<'c>,
    savepoint: rusqlite::Statement<'c>,
    release: rusqlite::Statement<'c>,
    undo: rusqlite::Statement<'c>,
    /// How long the last commit took.
    took: Duration,
}

impl<'c> Group<'c> {
    pub(super) fn prepare(connection: &'c Connection, catalog: &'c Catalog) -> Result<Self, Error> {
        let prepare = |sql: &str| {
            connection
                .prepare(sql)
                .map_err(|error| failure::opening(&error))
        };
        Ok(Self {
            connection,
            catalog,
            prepared: catalog
                .texts()
                .into_iter()
                .map(prepare)
                .collect::<Result<_, _>>()?,
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            rollback: prepare("ROLLBACK")?,
            savepoint: prepare("SAVEPOINT caller")?,
            release: prepare("RELEASE caller")?,
            undo: prepare("ROLLBACK TO caller")?,
            took: Duration::ZERO,
        })
    }

    /// Rows that were changed since the connection was opened.
    pub(super) fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Stores something, so that it is known whether anything can be.
    pub(super) fn probe(&self) -> Result<(), Unavailable> {
        const WRITE: &str = "UPDATE migrations SET applied = applied";
        match self.connection.execute(WRITE, []) {
            Ok(1..) => Ok(()),
            Ok(0) => Err(Unavailable::ConnectionLost),
            Err(error) => Err(failure::of_commit(&error)),
        }
    }

    /// The answer to each, all durable; or the one error that undid them all. Those that `more` knows of join them, until their
    /// work has taken as long as the last commit did: a commit then costs no more than what it is for, on any disk, and while it
    /// is made the callers of the one before can come again.
    pub(super) fn commit(
        &mut self,
        transactions: &mut Vec<Transaction>,
        more: impl FnMut() -> Option<Transaction>,
    ) -> Result<Answers, Unavailable> {
        let committed = self.try_commit(transactions, more);
        if committed.is_err() && !self.connection.is_autocommit() {
            // If even this fails, the next BEGIN does too, and nothing is acknowledged.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        committed
    }

    fn try_commit(
        &mut self,
        transactions: &mut Vec<Transaction>,
        more: impl FnMut() -> Option<Transaction>,
    ) -> Result<Answers, Unavailable> {
        act(&mut self.begin)?;
        let answers = match self.together(transactions, more) {
            Ok(answers) => answers,
            Err(error) => match of_storage(&error) {
                Some(unavailable) => return Err(unavailable),
                None => self.apart(transactions)?,
            },
        };
        let begun = Instant::now();
        act(&mut self.commit)?;
        self.took = begun.elapsed();
        Ok(answers)
    }

    /// The answers of transactions of which none fails; else the error of the first that does, whose steps and those before
    /// it are still to be undone.
    fn together(
        &mut self,
        transactions: &mut Vec<Transaction>,
        mut more: impl FnMut() -> Option<Transaction>,
    ) -> Result<Answers, Error> {
        let begun = Instant::now();
        let mut answers = Answers::new();
        loop {
            while let Some(each) = transactions.get(answers.len()) {
                answers.push(Ok(self.steps(each)?));
            }
            if begun.elapsed() >= self.took {
                return Ok(answers);
            }
            match more() {
                Some(another) => transactions.push(another),
                None => return Ok(answers),
            }
        }
    }

    /// The answer of each transaction, after what was done so far is undone.
    fn apart(&mut self, transactions: &[Transaction]) -> Result<Answers, Unavailable> {
        // A full or failing disk may have made SQLite undo it already.
        if !self.connection.is_autocommit() {
            act(&mut self.rollback)?;
        }
        act(&mut self.begin)?;
        transactions
            .iter()
            .map(|each| self.isolated(each))
            .collect()
    }

    /// The inner result is this caller's own; the outer error is everybody's.
    fn isolated(
        &mut self,
        transaction: &Transaction,
    ) -> Result<Result<Outcome, Error>, Unavailable> {
        act(&mut self.savepoint)?;
        let outcome = self.steps(transaction);
        if let Err(error) = &outcome {
            if let Some(unavailable) = of_storage(error) {
                return Err(unavailable);
            }
            // SQLite may have undone more than the savepoint: then nobody's work is left.
            if self.connection.is_autocommit() {
                return Err(everybodys(error));
            }
            act(&mut self.undo)?;
        }
        act(&mut self.release)?;
        Ok(outcome)
    }

    fn steps(&mut self, transaction: &Transaction) -> Result<Outcome, Error> {
        let mut outcome = Outcome::with_capacity(transaction.len());
        for (position, step) in transaction.steps().enumerate() {
            let entry = self.catalog.entry(step.statement)?;
            let prepared = self.prepared.get_mut(entry.index);
            let prepared =
                prepared.ok_or_else(|| Error::Defect("a statement lost its index".to_owned()))?;
            let place = Place {
                statement: step.statement.name,
                step: position,
            };
            let (touched, rows) = run::run(prepared, entry, &step.params, place)?;
            step.check(position, touched)?;
            outcome.record(step.statement, touched, rows);
        }
        Ok(outcome)
    }
}

/// A full or failing disk is everybody's: what SQLite still knows of the transaction is not relied upon.
fn of_storage(error: &Error) -> Option<Unavailable> {
    match error {
        Error::Unavailable(unavailable @ (Unavailable::DiskFull | Unavailable::Io(_))) => {
            Some(unavailable.clone())
        }
        Error::Unavailable(
            Unavailable::ConnectionLost | Unavailable::Overloaded | Unavailable::Closed,
        )
        | Error::Conflict(_)
        | Error::Refused(_)
        | Error::Defect(_) => None,
    }
}

/// What callers hear whose transaction was undone by another's failure.
fn everybodys(error: &Error) -> Unavailable {
    match error {
        Error::Unavailable(unavailable) => unavailable.clone(),
        Error::Conflict(_) | Error::Refused(_) | Error::Defect(_) => Unavailable::ConnectionLost,
    }
}

fn act(statement: &mut rusqlite::Statement<'_>) -> Result<(), Unavailable> {
    statement
        .raw_execute()
        .map(drop)
        .map_err(|error| failure::of_commit(&error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::{Conflict, ConflictKind, Expect, Statement, params};

    const INSERT: Statement = Statement::new("insert", "INSERT INTO t (id, data) VALUES ($1, $2)");
    const DELETE: Statement = Statement::new("delete", "DELETE FROM t WHERE id = $1");
    const IDS: &str = "SELECT coalesce(group_concat(id), '') FROM (SELECT id FROM t ORDER BY id)";

    fn database() -> (Connection, Catalog) {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT")
            .unwrap();
        let catalog = crate::sqlite::proof::catalog(&connection, &[&[&INSERT, &DELETE]]).unwrap();
        (connection, catalog)
    }

    fn ids(connection: &Connection) -> String {
        connection.query_row(IDS, [], |row| row.get(0)).unwrap()
    }

    fn insert(id: i64, bytes: usize) -> Transaction {
        Transaction::new().one(&INSERT, params![id, vec![1_u8; bytes]])
    }

    #[test]
    fn a_conflict_rolls_back_its_own_steps_and_no_neighbours() {
        let (connection, catalog) = database();
        let mut group = Group::prepare(&connection, &catalog).unwrap();
        let mismatch = insert(2, 1).then(&DELETE, params![99_i64], Expect::Exactly(1));
        let twin = insert(4, 1).append(insert(1, 1));
        let answers = group
            .commit(
                &mut vec![insert(1, 1), mismatch, insert(3, 1), twin, insert(5, 1)],
                || None,
            )
            .unwrap();
        let answers: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.map(|outcome| outcome.touched(&INSERT)))
            .collect();
        let rows = ConflictKind::Rows {
            expected: 1,
            touched: 0,
        };
        let expected = [
            Ok(1),
            Err(Conflict {
                statement: "delete",
                step: 1,
                kind: rows,
            }
            .into()),
            Ok(1),
            Err(Conflict {
                statement: "insert",
                step: 1,
                kind: ConflictKind::Unique,
            }
            .into()),
            Ok(1),
        ];
        assert_eq!(answers, expected);
        assert_eq!(ids(&connection), "1,3,5");
    }

    #[test]
    fn a_failed_commit_is_an_error_for_all_and_stores_nothing() {
        let (mut connection, catalog) = database();
        let failing = Arc::new(AtomicBool::new(true));
        let hook = Arc::clone(&failing);
        connection
            .commit_hook(Some(move || hook.load(Ordering::Relaxed)))
            .unwrap();
        let mut group = Group::prepare(&connection, &catalog).unwrap();
        let failed = group.commit(&mut vec![insert(1, 1), insert(2, 1)], || None);
        assert!(matches!(failed, Err(Unavailable::Io(_))), "{failed:?}");
        failing.store(false, Ordering::Relaxed);
        assert_eq!(ids(&connection), "");
        assert!(group.commit(&mut vec![insert(3, 1)], || None).is_ok());
        assert_eq!(ids(&connection), "3");
    }

    #[test]
    fn who_comes_meanwhile_joins_until_the_work_has_taken_as_long_as_the_last_commit() {
        let (connection, catalog) = database();
        let mut group = Group::prepare(&connection, &catalog).unwrap();
        let mut coming = (2..).map(|id| insert(id, 1)).take(3);
        // There was no commit yet, and later a slow one.
        let alone = group.commit(&mut vec![insert(1, 1)], || coming.next());
        assert_eq!(alone.unwrap().len(), 1);
        group.took = Duration::MAX;
        let all = group.commit(&mut vec![insert(9, 1)], || coming.next());
        assert_eq!(all.unwrap().len(), 4);
        assert_eq!(ids(&connection), "1,2,3,4,9");
    }

    #[test]
    fn who_joins_and_fails_is_no_harm_to_the_others() {
        let (connection, catalog) = database();
        let mut group = Group::prepare(&connection, &catalog).unwrap();
        group.took = Duration::MAX;
        let mut coming = [insert(2, 1), insert(1, 1), insert(3, 1)].into_iter();
        let mut transactions = vec![insert(1, 1)];
        let answers = group.commit(&mut transactions, || coming.next()).unwrap();
        let stored: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(stored, [true, true, false]);
        assert_eq!(ids(&connection), "1,2");
    }

    #[test]
    fn on_a_full_disk_only_what_was_acknowledged_is_stored() {
        let (connection, catalog) = database();
        let pages: i64 = connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        connection
            .execute_batch(&format!("PRAGMA max_page_count={}", pages + 1))
            .unwrap();
        let mut group = Group::prepare(&connection, &catalog).unwrap();
        let full = group.commit(
            &mut vec![insert(1, 1), insert(2, 1 << 20), insert(3, 1)],
            || None,
        );
        let acknowledged = match full {
            Ok(answers) => {
                let [Ok(_), Err(error), Ok(_)] = answers.as_slice() else {
                    panic!("{answers:?}")
                };
                assert_eq!(*error, Unavailable::DiskFull.into());
                "1,3"
            }
            Err(error) => {
                assert_eq!(error, Unavailable::DiskFull);
                ""
            }
        };
        assert_eq!(ids(&connection), acknowledged);
        assert!(group.commit(&mut vec![insert(4, 1)], || None).is_ok());
    }

    #[test]
    fn a_wrong_number_of_parameters_is_a_defect_and_changes_nothing() {
        let (connection, catalog) = database();
        let mut group = Group::prepare(&connection, &catalog).unwrap();
        let short = insert(1, 1).one(&INSERT, params![2_i64]);
        let long = Transaction::new().any(&DELETE, params![1_i64, 2_i64]);
        let answers = group.commit(&mut vec![short, long], || None).unwrap();
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Err(Error::Defect(_)))),
            "{answers:?}"
        );
        assert_eq!(ids(&connection), "");
    }
}
