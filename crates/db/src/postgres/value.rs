//! Values on the wire: integers, text and bytes, and no other kind.

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

use crate::Value;
use crate::row::Taken;

type Boxed = Box<dyn std::error::Error + Sync + Send>;

/// A value does not have the kind that the statement takes or returns.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongKind(String);

/// Whether parameters and columns may have this type. Others would not be the same on every engine.
pub(super) fn is_known(kind: &Type) -> bool {
    [
        Type::INT8,
        Type::INT4,
        Type::TEXT,
        Type::VARCHAR,
        Type::BYTEA,
    ]
    .contains(kind)
}

/// A parameter: of one row, or an array of those of several.
#[derive(Debug)]
pub(super) enum Given<'v> {
    One(Lent<'v>),
    Each(Vec<Lent<'v>>),
}

impl ToSql for Given<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match self {
            Self::One(value) => value.to_sql(kind, out),
            Self::Each(values) => values.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Lends a value to the driver.
#[derive(Clone, Debug)]
pub(super) struct Lent<'v>(pub(super) &'v Value);

impl ToSql for Lent<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(integer) if *kind == Type::INT8 => {
                out.extend_from_slice(&integer.to_be_bytes());
            }
            Value::Integer(integer) if *kind == Type::INT4 => {
                let narrow = i32::try_from(*integer)
                    .map_err(|_| WrongKind("a number does not fit into 32 bits".to_owned()))?;
                out.extend_from_slice(&narrow.to_be_bytes());
            }
            Value::Text(text) if [Type::TEXT, Type::VARCHAR].contains(kind) => {
                out.extend_from_slice(text.as_bytes());
            }
            Value::Bytes(bytes) if *kind == Type::BYTEA => out.extend_from_slice(bytes),
            value @ (Value::Integer(_) | Value::Text(_) | Value::Bytes(_)) => {
                return Err(WrongKind(format!(
                    "{value:?} was given for a parameter of type {kind}"
                ))
                .into());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'r> FromSql<'r> for Taken<'r> {
    fn from_sql(kind: &Type, raw: &'r [u8]) -> Result<Self, Boxed> {
        Ok(if *kind == Type::INT8 {
            Self::Integer(i64::from_be_bytes(raw.try_into()?))
        } else if *kind == Type::INT4 {
            Self::Integer(i64::from(i32::from_be_bytes(raw.try_into()?)))
        } else if *kind == Type::BYTEA {
            Self::Bytes(raw)
        } else {
            Self::Text(std::str::from_utf8(raw)?)
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        is_known(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_kind_is_refused_and_not_shown() {
        let value = Value::from("4242424242424242");
        let refusal = Lent(&value)
            .to_sql(&Type::INT8, &mut BytesMut::new())
            .err()
            .unwrap();
        assert!(refusal.is::<WrongKind>());
        assert!(!refusal.to_string().contains("4242"), "{refusal}");
        let large = Value::from(1_i64 << 40);
        assert!(
            Lent(&large)
                .to_sql(&Type::INT4, &mut BytesMut::new())
                .is_err()
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for (value, kind) in [
            (Value::from(-7_i64), Type::INT8),
            (Value::from(7_i64), Type::INT4),
            (Value::from("ü"), Type::TEXT),
            (Value::from([0_u8, 255]), Type::BYTEA),
        ] {
            let mut out = BytesMut::new();
            assert!(matches!(
                Lent(&value).to_sql(&kind, &mut out),
                Ok(IsNull::No)
            ));
            assert!(Value::from(Taken::from_sql(&kind, &out).unwrap()) == value);
        }
        assert!(!is_known(&Type::NUMERIC) && !is_known(&Type::BOOL));
    }
}
