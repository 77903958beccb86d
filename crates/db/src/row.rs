//! One returned row; columns are read by name and by kind.

use std::sync::Arc;

use crate::{Error, Value};

/// The columns a statement returns, shared by all its rows.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) statement: &'static str,
    pub(crate) names: Box<[Box<str>]>,
}

/// A row that a statement returned.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<Columns>,
    values: Box<[Value]>,
}

impl Row {
    /// `values` are in the order of `columns`.
    pub(crate) fn new(columns: Arc<Columns>, values: Box<[Value]>) -> Self {
        Self { columns, values }
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
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Integer(_) | Value::Bytes(_) => Err(self.wrong(column, "text")),
        }
    }

    /// The number in a column that may be null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn optional_integer(&self, column: &str) -> Result<Option<i64>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(integer) => Ok(Some(*integer)),
            Value::Text(_) | Value::Bytes(_) => Err(self.wrong(column, "integer")),
        }
    }

    /// The bytes in a column that may be null.
    ///
    /// # Errors
    /// `Defect` when there is no such column, or it holds something else.
    pub fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes)),
            Value::Integer(_) | Value::Text(_) => Err(self.wrong(column, "bytes")),
        }
    }

    fn value(&self, column: &str) -> Result<&Value, Error> {
        self.columns
            .names
            .iter()
            .position(|name| **name == *column)
            .and_then(|position| self.values.get(position))
            .ok_or_else(|| {
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
        let values = [
            Value::from("pay_1"),
            Value::from(1999_i64),
            Value::from(vec![9_u8]),
            Value::Null,
        ];
        Row::new(Arc::new(columns), Box::new(values))
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
    fn columns_are_read_by_name() {
        let row = row();
        assert_eq!(row.text("id").unwrap(), "pay_1");
        assert_eq!(row.integer("amount").unwrap(), 1999);
        assert_eq!(row.bytes("sealed").unwrap(), [9]);
        assert_eq!(row.optional_text("note").unwrap(), None);
        assert_eq!(row.optional_integer("amount").unwrap(), Some(1999));
    }
}
