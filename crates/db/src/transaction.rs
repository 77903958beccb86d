//! A transaction is a value: statements, their parameters, and the rows each must touch.
//!
//! It is put together without the database, so parts from several crates (a payment, its audit leaf, its
//! events) are appended to one and commit together.

use std::cmp::Reverse;

use crate::error::{Conflict, ConflictKind};
use crate::{Error, Row, Statement, Value};

/// How many rows a step must touch, or return when it returns rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This many, or the transaction is a conflict.
    Exactly(u64),
    /// At most this many, or the transaction is a conflict.
    AtMost(u64),
    /// Any number.
    Any,
}

impl Expect {
    /// `None` when `touched` is as expected.
    fn conflict(self, touched: u64) -> Option<ConflictKind> {
        let (fits, expected) = match self {
            Self::Exactly(expected) => (touched == expected, expected),
            Self::AtMost(expected) => (touched <= expected, expected),
            Self::Any => (true, touched),
        };
        (!fits).then_some(ConflictKind::Rows { expected, touched })
    }
}

/// Steps that commit together or not at all.
#[derive(Clone, Debug, Default)]
#[must_use = "a transaction does nothing until Database::transact"]
pub struct Transaction {
    steps: Vec<Step>,
    /// Each is kept together.
    closing: Vec<Vec<Step>>,
}

/// One statement to run.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) statement: &'static Statement,
    pub(crate) params: Vec<Value>,
    expect: Expect,
}

impl Step {
    /// Fails when `touched` is not what the step declared; `position` is its place in the transaction.
    pub(crate) fn check(&self, position: usize, touched: u64) -> Result<(), Error> {
        match self.expect.conflict(touched) {
            None => Ok(()),
            Some(kind) => Err(Conflict {
                statement: self.statement.name,
                step: position,
                kind,
            }
            .into()),
        }
    }
}

impl Transaction {
    /// No steps yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step.
    pub fn then(
        mut self,
        statement: &'static Statement,
        params: Vec<Value>,
        expect: Expect,
    ) -> Self {
        self.push(statement, params, expect);
        self
    }

    /// Adds a step that must touch exactly one row.
    pub fn one(self, statement: &'static Statement, params: Vec<Value>) -> Self {
        self.then(statement, params, Expect::Exactly(1))
    }

    /// Adds a step that may touch any number of rows.
    pub fn any(self, statement: &'static Statement, params: Vec<Value>) -> Self {
        self.then(statement, params, Expect::Any)
    }

    /// Adds the steps of another transaction after these.
    pub fn append(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self.closing.extend(other.closing);
        self
    }

    /// Adds steps that change a row which many transactions change, such as a counter. They run after all others, so that
    /// nothing waits for the row longer than it must. Where there are several such rows, every transaction changes them in
    /// the same order, which is that of the first statement's parameters, so that none waits for one that waits for it.
    pub fn closing(mut self, steps: Self) -> Self {
        self.closing.push(steps.steps);
        self.closing.extend(steps.closing);
        self
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.closing.is_empty()
    }

    /// How many steps it has.
    pub(crate) fn len(&self) -> usize {
        self.closing.iter().fold(self.steps.len(), |sum, steps| {
            sum.saturating_add(steps.len())
        })
    }

    /// Adds a step in place.
    pub fn push(&mut self, statement: &'static Statement, params: Vec<Value>, expect: Expect) {
        self.steps.push(Step {
            statement,
            params,
            expect,
        });
    }

    /// What names the object whose rows it changes, if it changes any.
    pub(crate) fn object(&self) -> Option<&[Value]> {
        let mut steps = self.steps.iter();
        let first = steps.find(|step| step.statement.has_own_rows())?;
        Some(&first.params)
    }

    /// All steps as they were added, those at the close last.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(self.closing.iter().flatten())
    }

    /// All steps, but those at the close.
    pub(crate) fn before_closing(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter()
    }
}

/// A step of one of several transactions that are committed together.
pub(crate) struct Placed<'t> {
    /// Which of the transactions.
    pub(crate) of: usize,
    /// The place in its transaction.
    pub(crate) position: usize,
    pub(crate) step: &'t Step,
}

/// The steps of all these transactions, in the order in which they run.
pub(crate) fn in_order(transactions: &[Transaction]) -> Vec<Placed<'_>> {
    let steps = transactions.iter().map(Transaction::len).sum();
    let mut ordered = Vec::with_capacity(steps);
    let mut closing = Vec::new();
    for (of, transaction) in transactions.iter().enumerate() {
        let mut position = 0;
        let mut place = |step| {
            let placed = Placed { of, position, step };
            position += 1;
            placed
        };
        ordered.extend(transaction.steps.iter().map(&mut place));
        for steps in &transaction.closing {
            closing.push(steps.iter().map(&mut place).collect::<Vec<_>>());
        }
    }
    // Stable, so that one transaction's steps on one row stay in their order. A row that needs no parameter to be found is
    // everybody's, and comes last.
    closing.sort_by(|one, other| rank(one).cmp(&rank(other)));
    ordered.extend(closing.into_iter().flatten());
    ordered
}

fn rank<'p>(closing: &'p [Placed<'_>]) -> Option<(Reverse<usize>, &'static str, &'p [Value])> {
    let step = closing.first()?.step;
    let Step {
        statement, params, ..
    } = step;
    Some((Reverse(params.len()), statement.name, params))
}

/// What a committed transaction touched and returned.
#[derive(Debug, Default)]
pub struct Outcome {
    steps: Vec<Done>,
}

#[derive(Debug)]
struct Done {
    statement: &'static Statement,
    touched: u64,
    rows: Vec<Row>,
}

impl Outcome {
    pub(crate) fn with_capacity(steps: usize) -> Self {
        Self {
            steps: Vec::with_capacity(steps),
        }
    }

    pub(crate) fn record(&mut self, statement: &'static Statement, touched: u64, rows: Vec<Row>) {
        self.steps.push(Done {
            statement,
            touched,
            rows,
        });
    }

    /// The rows touched by all steps of this statement.
    #[must_use]
    pub fn touched(&self, statement: &'static Statement) -> u64 {
        self.of(statement).map(|done| done.touched).sum()
    }

    /// The rows returned by all steps of this statement, in their order.
    pub fn rows(&self, statement: &'static Statement) -> impl Iterator<Item = &Row> {
        self.of(statement).flat_map(|done| done.rows.iter())
    }

    /// The first row returned by this statement.
    #[must_use]
    pub fn first(&self, statement: &'static Statement) -> Option<&Row> {
        self.rows(statement).next()
    }

    fn of(&self, statement: &'static Statement) -> impl Iterator<Item = &Done> {
        self.steps
            .iter()
            .filter(move |done| done.statement.is(statement))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    const INSERT: Statement = Statement::new("insert", "INSERT INTO t VALUES ($1)");
    const DELETE: Statement = Statement::new("delete", "DELETE FROM t WHERE a = $1");

    #[test]
    fn a_row_more_or_less_than_exactly_is_a_conflict() {
        let rows = |expected, touched| Some(ConflictKind::Rows { expected, touched });
        assert_eq!(Expect::Exactly(1).conflict(0), rows(1, 0));
        assert_eq!(Expect::Exactly(1).conflict(2), rows(1, 2));
        assert_eq!(Expect::AtMost(1).conflict(2), rows(1, 2));
        assert_eq!(Expect::Exactly(1).conflict(1), None);
        assert_eq!(Expect::AtMost(1).conflict(0), None);
        assert_eq!(Expect::Any.conflict(7), None);
    }

    #[test]
    fn appended_steps_come_after_its_own() {
        let transaction = Transaction::new().one(&INSERT, params![1_i64]);
        let transaction = transaction.append(Transaction::new().any(&DELETE, params![1_i64]));
        assert_eq!(names(&[transaction]), ["insert", "delete"]);
        assert!(Transaction::new().is_empty());
    }

    fn names(transactions: &[Transaction]) -> Vec<&'static str> {
        let ordered = in_order(transactions).into_iter();
        ordered.map(|placed| placed.step.statement.name).collect()
    }

    #[test]
    fn rows_that_many_change_come_last_and_always_in_the_same_order() {
        const ALL: Statement = Statement::new("all", "UPDATE t SET a = 0");
        let counted = |row: i64| {
            let steps = Transaction::new().one(&DELETE, params![row]);
            let steps = steps.one(&INSERT, params![row]);
            Transaction::new().closing(steps)
        };
        let all = || Transaction::new().closing(Transaction::new().any(&ALL, params![]));
        let one = all().append(counted(2)).any(&INSERT, params![9_i64]);
        let other = counted(1).append(Transaction::new().any(&INSERT, params![8_i64]));
        let transactions = [one, other];
        let ordered: Vec<_> = in_order(&transactions)
            .into_iter()
            .map(|placed| {
                let Placed { of, position, step } = placed;
                (of, position, step.statement.name)
            })
            .collect();
        let expected = [
            (0, 0, "insert"),
            (1, 0, "insert"),
            (1, 1, "delete"),
            (1, 2, "insert"),
            (0, 2, "delete"),
            (0, 3, "insert"),
            (0, 1, "all"),
        ];
        assert_eq!(ordered, expected);
    }

    #[test]
    fn touched_is_the_sum_over_the_statements_steps() {
        let mut outcome = Outcome::default();
        outcome.record(&INSERT, 1, Vec::new());
        outcome.record(&DELETE, 5, Vec::new());
        outcome.record(&INSERT, 2, Vec::new());
        assert_eq!(outcome.touched(&INSERT), 3);
        assert!(outcome.first(&INSERT).is_none());
    }
}
