//! One returned row; columns are read by name and by kind.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, Value};

/// The columns a statement returns, shared by all its rows.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) statement: &'static str,
    pub(crate) names: Box<[Box<str>]>,
}

/// A value on its way from the database into a [`Row`].
#[derive(Clone, Copy)]
pub(crate) enum Taken<'v> {
    Null,
    Integer(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
}

impl From<Taken<'_>> for Value {
    fn from(taken: Taken<'_>) -> Self {
        match taken {
            Taken::Null => Self::Null,
            Taken::Integer(integer) => Self::Integer(integer),
            Taken::Text(text) => Self::Text(text.to_owned()),
            Taken::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

/// What stands in one column.
#[derive(Clone)]
enum Cell {
    Null,
    Integer(i64),
    /// This part of the row's text.
    Text(Range<usize>),
    Bytes(Box<[u8]>),
}

/// Room for text made at once, for each column: rows mostly hold ids and words.
const TEXT_PER_COLUMN: usize = 24;

/// A row that a statement returned.
#[derive(Clone)]
pub struct Row {
    columns: Arc<Columns>,
    cells: Vec<Cell>,
    /// Of all columns together: one piece of memory instead of many.
    text: String,
    next: Next,
}

/// The column after the one that was read last: most are read in their order, and then none has to be looked for.
#[derive(Default)]
struct Next(AtomicUsize);

impl Clone for Next {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Row {
    /// Which statement's, and nothing of its values: they may be secrets or a person's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({})", self.columns.statement)
    }
}

impl Row {
    /// Without a value yet: they come in the order of `columns`.
    pub(crate) fn new(columns: Arc<Columns>) -> Self {
        let count = columns.names.len();
        Self {
            columns,
            cells: Vec::with_capacity(count),
            text: String::with_capacity(count.saturating_mul(TEXT_PER_COLUMN)),
            next: Next::default(),
        }
    }

    /// With the value of one more column.
    pub(crate) fn push(&mut self, value: Taken<'_>) {
        self.cells.push(match value {
            Taken::Null => Cell::Null,
            Taken::Integer(integer) => Cell::Integer(integer),
            Taken::Text(text) => {
                let from = self.text.len();
                self.text.push_str(text);
                Cell::Text(from..self.text.len())
            }
            Taken::Bytes(bytes) => Cell::Bytes(bytes.into()),
        });
    }

    /// The text in a column that is never null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn text(&self, column: &str) -> Result<&str, Error> {
        self.optional_text(column)?
            .ok_or_else(|| self.wrong(column, "text"))
    }

    /// The number in a column that is never null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn integer(&self, column: &str) -> Result<i64, Error> {
        self.optional_integer(column)?
            .ok_or_else(|| self.wrong(column, "integer"))
    }

    /// The bytes in a column that is never null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn bytes(&self, column: &str) -> Result<&[u8], Error> {
        self.optional_bytes(column)?
            .ok_or_else(|| self.wrong(column, "bytes"))
    }

    /// The text in a column that may be null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn optional_text(&self, column: &str) -> Result<Option<&str>, Error> {
        match self.value(column)? {
            Cell::Null => Ok(None),
            Cell::Text(range) => Ok(self.text.get(range.clone())),
            Cell::Integer(_) | Cell::Bytes(_) => Err(self.wrong(column, "text")),
        }
    }

    /// The number in a column that may be null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn optional_integer(&self, column: &str) -> Result<Option<i64>, Error> {
        match self.value(column)? {
            Cell::Null => Ok(None),
            Cell::Integer(integer) => Ok(Some(*integer)),
            Cell::Text(_) | Cell::Bytes(_) => Err(self.wrong(column, "integer")),
        }
    }

    /// The bytes in a column that may be null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Error> {
        match self.value(column)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            Cell::Integer(_) | Cell::Text(_) => Err(self.wrong(column, "bytes")),
        }
    }

    fn value(&self, column: &str) -> Result<&Cell, Error> {
        let names = &self.columns.names;
        let next = self.next.0.load(Ordering::Relaxed);
        let position = if names.get(next).is_some_and(|name| **name == *column) {
            Some(next)
        } else {
            names.iter().position(|name| **name == *column)
        };
        let found = position.and_then(|position| {
            self.next
                .0
                .store(position.saturating_add(1), Ordering::Relaxed);
            self.cells.get(position)
        });
        found.ok_or_else(|| {
            Error::Defect(format!(
                "statement {} returns no column {column}",
                self.columns.statement
            ))
        })
    }

    fn wrong(&self, column: &str, kind: &str) -> Error {
        Error::Defect(format!(
            "statement {}: column {column} is not {kind}",
            self.columns.statement
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let names = ["id", "amount", "sealed", "note"].map(Box::from);
        let columns = Columns {
            statement: "payment_by_id",
            names: Box::new(names),
        };
        let mut row = Row::new(Arc::new(columns));
        for value in [
            Taken::Text("pay_1"),
            Taken::Integer(1999),
            Taken::Bytes(&[9]),
            Taken::Null,
        ] {
            row.push(value);
        }
        row
    }

    #[test]
    fn a_wrong_kind_a_null_and_a_missing_column_are_defects() {
        let row = row();
        for error in [
            row.text("amount").unwrap_err(),
            row.integer("id").unwrap_err(),
            row.bytes("id").unwrap_err(),
            row.text("note").unwrap_err(),
            row.optional_bytes("amount").unwrap_err(),
        ] {
            assert!(matches!(error, Error::Defect(_)), "{error}");
        }
        let missing = row.optional_integer("currency").unwrap_err();
        assert_eq!(
            missing,
            Error::Defect("statement payment_by_id returns no column currency".to_owned())
        );
    }

    #[test]
    fn what_is_in_a_row_is_not_shown() {
        assert_eq!(format!("{:?}", row()), "Row(payment_by_id)");
    }

    #[test]
    fn columns_are_read_by_name() {
        let row = row();
        assert_eq!(row.text("id").unwrap(), "pay_1");
        assert_eq!(row.integer("amount").unwrap(), 1999);
        assert_eq!(row.bytes("sealed").unwrap(), [9]);
        assert_eq!(row.optional_text("note").unwrap(), None);
        assert_eq!(row.optional_integer("amount").unwrap(), Some(1999));
    }
}
