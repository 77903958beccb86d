//! What can go wrong, named by what the caller can do about it. No variant ever holds a row's or a parameter's value.

use crate::Statement;

/// Why the database did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The data is not as the transaction expected it; nothing was changed. Look again, then decide.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store cannot serve now. Answer 503 with `Retry-After`.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The store is not safe to use as it stands: an operator must act, and the text says how.
    #[error("the database was refused: {0}")]
    Refused(String),
    /// A bug in this program: bad SQL, a wrong column, a missing parameter.
    #[error("defect in the use of the database: {0}")]
    Defect(String),
}

impl Error {
    /// Whether this statement is why: its row was there already, or not as it expected. Nothing was changed.
    #[must_use]
    pub fn is_conflict_at(&self, statement: &Statement) -> bool {
        matches!(self, Self::Conflict(conflict) if conflict.statement == statement.name)
    }
}

/// A step that found other data than it expected. The whole transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("statement {statement} (step {step}) conflicts: {kind}")]
pub struct Conflict {
    /// The name of the statement.
    pub statement: &'static str,
    /// The position of its step in the transaction, from 0, or of the first of several that one statement carried out.
    pub step: usize,
    /// What differed.
    pub kind: ConflictKind,
}

/// How the data differed from what a step expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConflictKind {
    /// The step touched another number of rows.
    #[error("{touched} rows touched, {expected} expected")]
    Rows {
        /// The number (or the upper limit) the step declared.
        expected: u64,
        /// The number it touched.
        touched: u64,
    },
    /// A row with this key is already there.
    #[error("not unique")]
    Unique,
    /// Another constraint of the schema failed.
    #[error("constraint failed")]
    Constraint,
}

/// Why the store cannot serve now.
///
/// After `Overloaded` and `Closed` nothing was done. After the others a transaction is almost certainly
/// undone, but only reading (or repeating it under the same unique key) proves it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The disk is full.
    #[error("the database's disk is full")]
    DiskFull,
    /// The disk failed, or the file is damaged or out of reach.
    #[error("the database's storage failed: {0}")]
    Io(String),
    /// The connection, or the thread that owns it, ended before it answered.
    #[error("the database cannot be reached, or the connection to it was lost")]
    ConnectionLost,
    /// More work is waiting than the queue may hold, or another process holds the lock.
    #[error("the database is overloaded")]
    Overloaded,
    /// The database was closed by this process.
    #[error("the database is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_the_statement_and_its_step() {
        let error = Error::from(Conflict {
            statement: "payment_insert",
            step: 2,
            kind: ConflictKind::Rows {
                expected: 1,
                touched: 0,
            },
        });
        assert_eq!(
            error.to_string(),
            "statement payment_insert (step 2) conflicts: 0 rows touched, 1 expected"
        );
    }
}
