//! The values a statement takes and returns: 64-bit integers, text and bytes, which every engine stores alike.

use std::fmt;

/// A parameter or a column.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// Text, UTF-8.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Value {
    /// Kind and length only: a value may be a secret or a person's data, and `Debug` ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Integer(_) => f.write_str("Integer"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(i64::from(integer))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The parameters of a statement, `$1` first; each is converted by [`Value::from`].
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        ::std::vec::Vec::<$crate::Value>::from([$($crate::Value::from($value)),*])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_prints_contents() {
        let values = params![
            "4242424242424242",
            vec![7_u8; 3],
            4_242_i64,
            Option::<&str>::None
        ];
        assert_eq!(
            format!("{values:?}"),
            "[Text(16 bytes), Bytes(3 bytes), Integer, Null]"
        );
    }

    #[test]
    fn params_may_be_empty_and_keep_their_order() {
        assert!(params![].is_empty());
        let values = params![
            1_i64,
            2_u32,
            Some(3_i64),
            &String::from("x"),
            [1_u8, 2],
            [3_u8].as_slice()
        ];
        let expected = [
            Value::Integer(1),
            Value::Integer(2),
            Value::Integer(3),
            Value::Text("x".to_owned()),
            Value::Bytes(vec![1, 2]),
            Value::Bytes(vec![3]),
        ];
        assert_eq!(values, expected);
    }
}
