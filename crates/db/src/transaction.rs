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

    /// The steps of transactions that have nothing to do with each other, as one that a server is asked for in fewer words:
    /// what they have alike comes together.
    pub fn of_all(parts: Vec<Self>) -> Self {
        let order: Vec<usize> = Interleaved::of(&parts)
            .ordered()
            .iter()
            .map(|placed| placed.of)
            .collect();
        let mut all = Self::new();
        let mut rest = Vec::with_capacity(parts.len());
        for part in parts {
            rest.push(part.steps.into_iter());
            all.closing.extend(part.closing);
        }
        let next = order
            .into_iter()
            .filter_map(|of| rest.get_mut(of).and_then(Iterator::next));
        all.steps.extend(next);
        all
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

/// The steps of all these transactions, in the order in which they run: each transaction's own stay in theirs.
pub(crate) fn in_order(transactions: &[Transaction]) -> Vec<Placed<'_>> {
    let mut ordered = Interleaved::of(transactions).ordered();
    let mut closing = Vec::new();
    for (of, transaction) in transactions.iter().enumerate() {
        let mut position = transaction.steps.len();
        for steps in &transaction.closing {
            let placed = steps.iter().map(|step| {
                let placed = Placed { of, position, step };
                position += 1;
                placed
            });
            closing.push(placed.collect::<Vec<_>>());
        }
    }
    // Stable, so that one transaction's steps on one row stay in their order. A row that needs no parameter to be found is
    // everybody's, and comes last.
    closing.sort_by(|one, other| rank(one).cmp(&rank(other)));
    ordered.extend(closing.into_iter().flatten());
    ordered
}

/// The steps of several transactions but those at the close. Changes of an object's own rows keep the order of the
/// transactions, which is the one in which all take their locks; what else is alike is brought together, as far as that lets it.
struct Interleaved<'t> {
    transactions: &'t [Transaction],
    /// How many steps of each are placed.
    placed: Vec<usize>,
    ordered: Vec<Placed<'t>>,
}

impl<'t> Interleaved<'t> {
    fn of(transactions: &'t [Transaction]) -> Self {
        let steps = transactions.iter().map(Transaction::len).sum();
        Self {
            transactions,
            placed: vec![0; transactions.len()],
            ordered: Vec::with_capacity(steps),
        }
    }

    fn ordered(mut self) -> Vec<Placed<'t>> {
        let mut turn = 0;
        loop {
            while turn < self.transactions.len() {
                self.place(turn, |step| step.statement.has_own_rows());
                let mut left = self.left(turn).iter();
                if left.any(|step| step.statement.has_own_rows()) {
                    break;
                }
                turn += 1;
            }
            let Some(statement) = self.next_alike() else {
                return self.ordered;
            };
            for of in 0..self.transactions.len() {
                self.place(of, |step| step.statement.is(statement));
            }
        }
    }

    /// That of the transaction with most steps left: what others have later still waits for them.
    fn next_alike(&self) -> Option<&'static Statement> {
        let left = (0..self.transactions.len()).map(|of| self.left(of));
        let alike = left.filter_map(|left| {
            let statement = left.first()?.statement;
            (!statement.has_own_rows()).then_some((Reverse(left.len()), statement))
        });
        let first = alike.min_by_key(|(left, _)| *left);
        first.map(|(_, statement)| statement)
    }

    fn left(&self, of: usize) -> &'t [Step] {
        let placed = self.placed.get(of).copied().unwrap_or_default();
        let steps = self.transactions.get(of).map(|one| one.steps.as_slice());
        steps
            .and_then(|steps| steps.get(placed..))
            .unwrap_or_default()
    }

    /// Places this transaction's next steps, as long as they are such.
    fn place(&mut self, of: usize, is_such: impl Fn(&Step) -> bool) {
        for step in self.left(of) {
            if !is_such(step) {
                return;
            }
            let Some(position) = self.placed.get_mut(of) else {
                return;
            };
            self.ordered.push(Placed {
                of,
                position: *position,
                step,
            });
            *position += 1;
        }
    }
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
    const COUNT: Statement = Statement::new("count", "UPDATE n SET n = n + 1");

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

    #[test]
    fn parts_of_one_keep_their_own_order_and_bring_together_what_they_have_alike() {
        let counted = Transaction::new().any(&COUNT, params![]);
        let both = |row: i64| {
            let steps = Transaction::new().one(&INSERT, params![row]);
            steps.one(&DELETE, params![row]).closing(counted.clone())
        };
        let other = Transaction::new().one(&DELETE, params![0_i64]);
        let all = Transaction::of_all(vec![other, both(1), both(2)]);
        let of = |step: &Step| (step.statement.name, step.params.first().cloned());
        let steps: Vec<_> = all.steps().map(of).collect();
        let expected = [
            ("insert", Some(1_i64)),
            ("insert", Some(2)),
            ("delete", Some(0)),
            ("delete", Some(1)),
            ("delete", Some(2)),
            ("count", None),
            ("count", None),
        ];
        assert_eq!(
            steps,
            expected.map(|(name, row)| (name, row.map(Value::from)))
        );
    }

    fn names(transactions: &[Transaction]) -> Vec<&'static str> {
        let ordered = in_order(transactions).into_iter();
        ordered.map(|placed| placed.step.statement.name).collect()
    }

    #[test]
    fn new_rows_come_together_and_changes_keep_the_order_of_the_transactions() {
        const OTHER: Statement = Statement::new("other", "INSERT INTO u VALUES ($1)");
        const CHANGE: Statement =
            Statement::new("change", "UPDATE t SET a = 1 WHERE a = $1").on_own_rows();
        let short = |row: i64| Transaction::new().one(&OTHER, params![row]);
        let long = |row: i64| {
            let stored = Transaction::new().one(&INSERT, params![row]);
            stored.one(&CHANGE, params![row]).append(short(row))
        };
        let transactions = [short(0), long(1), long(2), short(3)];
        let ordered: Vec<_> = in_order(&transactions)
            .into_iter()
            .map(|placed| (placed.step.statement.name, placed.of, placed.position))
            .collect();
        let expected = [
            ("insert", 1, 0),
            ("insert", 2, 0),
            ("change", 1, 1),
            ("change", 2, 1),
            ("other", 0, 0),
            ("other", 1, 2),
            ("other", 2, 2),
            ("other", 3, 0),
        ];
        assert_eq!(ordered, expected);
    }

    #[test]
    fn rows_that_many_change_come_last_and_always_in_the_same_order() {
        let counted = |row: i64| {
            let steps = Transaction::new().one(&DELETE, params![row]);
            let steps = steps.one(&INSERT, params![row]);
            Transaction::new().closing(steps)
        };
        let all = || Transaction::new().closing(Transaction::new().any(&COUNT, params![]));
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
            (0, 1, "count"),
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
