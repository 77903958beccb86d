//! What is in a backup: tables with their rows, and at the end the manifest that counts and digests them.

use std::io::{Read, Write};

use coffer_crypto::digest;
use coffer_db::{Table, Value};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::file::{Reader, Writer, broken};
use crate::failure::Failure;

/// The largest part: one row.
const PART_MAX: usize = 64 * 1024 * 1024;
const TABLE: u8 = b'T';
const ROW: u8 = b'R';
const END: u8 = b'E';

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

/// What proves that a backup is whole, and belongs where it is restored to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// As in the header.
    pub(super) role: String,
    /// As in the header.
    pub(super) backup: String,
    /// The version of the store's schema.
    pub(super) schema: i64,
    /// What the role's own key must be, without saying what it is: its code over this backup.
    pub(super) key_check: Option<String>,
    /// Every table.
    pub(super) tables: Vec<Summary>,
}

/// One table, by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Summary {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: u64,
    pub(super) digest: String,
}

/// A table as a backup names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

impl Named {
    pub(super) fn of(table: &Table) -> Self {
        Self {
            table: table.name.clone(),
            columns: table.columns.clone(),
        }
    }
}

impl Manifest {
    /// All rows.
    pub(super) fn rows(&self) -> u64 {
        let rows = self.tables.iter().map(|summary| summary.rows);
        rows.fold(0, u64::saturating_add)
    }
}

/// Counts and digests the rows of one table as they go by: each digest is over the one before and the row.
pub(super) struct Tally {
    named: Named,
    rows: u64,
    digest: [u8; 32],
}

impl Tally {
    pub(super) fn new(named: Named) -> Self {
        let mut digest_ = digest(&[b"coffer backup table v1", named.table.as_bytes()]);
        for column in &named.columns {
            digest_ = digest(&[&digest_, column.as_bytes()]);
        }
        Self {
            named,
            rows: 0,
            digest: digest_,
        }
    }

    pub(super) fn add(&mut self, row: &[u8]) {
        self.rows = self.rows.saturating_add(1);
        self.digest = digest(&[&self.digest, row]);
    }

    pub(super) fn summary(self) -> Summary {
        Summary {
            table: self.named.table,
            columns: self.named.columns,
            rows: self.rows,
            digest: HEXLOWER.encode(&self.digest),
        }
    }
}

/// A part of a backup.
pub(super) enum Part {
    Table(Named),
    Row(Vec<u8>),
    End(Manifest),
}

impl<W: Write> Writer<W> {
    pub(super) fn table(&mut self, named: &Named) -> Result<(), Failure> {
        self.part(TABLE, &json(named)?)
    }

    pub(super) fn row(&mut self, row: &[u8]) -> Result<(), Failure> {
        self.part(ROW, row)
    }

    /// The end; what was written goes to whoever gave the file.
    pub(super) fn end(mut self, manifest: &Manifest) -> Result<W, Failure> {
        self.part(END, &json(manifest)?)?;
        self.finish()
    }

    fn part(&mut self, kind: u8, body: &[u8]) -> Result<(), Failure> {
        if body.len() > PART_MAX {
            return Err(Failure::System(
                "a row is too large for a backup".to_owned(),
            ));
        }
        self.write(&[kind])?;
        self.write(&length(body.len()))?;
        self.write(body)
    }
}

impl<R: Read> Reader<R> {
    /// The next part.
    pub(super) fn part(&mut self) -> Result<Part, Failure> {
        let frame = self.read(5)?;
        let (kind, length) = frame
            .split_first()
            .and_then(|(kind, length)| Some((*kind, <[u8; 4]>::try_from(length).ok()?)))
            .ok_or_else(unreadable)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > PART_MAX {
            return Err(unreadable());
        }
        let body = self.read(length)?;
        match kind {
            TABLE => parsed(&body).map(Part::Table),
            ROW => Ok(Part::Row(body)),
            END => parsed(&body).map(Part::End),
            _ => Err(unreadable()),
        }
    }
}

/// A row as bytes that can be read in only one way.
pub(super) fn encoded(row: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut long = |kind: u8, value: &[u8]| {
        bytes.push(kind);
        if kind != NULL && kind != INTEGER {
            bytes.extend_from_slice(&length(value.len()));
        }
        bytes.extend_from_slice(value);
    };
    for value in row {
        match value {
            Value::Null => long(NULL, &[]),
            Value::Integer(integer) => long(INTEGER, &integer.to_be_bytes()),
            Value::Text(text) => long(TEXT, text.as_bytes()),
            Value::Bytes(value) => long(BYTES, value),
        }
    }
    bytes
}

/// The row that was encoded.
pub(super) fn decoded(mut bytes: &[u8]) -> Result<Vec<Value>, Failure> {
    let mut row = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let (value, rest) = match *kind {
            NULL => (Value::Null, rest),
            INTEGER => {
                let (integer, rest) = rest.split_first_chunk().ok_or_else(unreadable)?;
                (Value::Integer(i64::from_be_bytes(*integer)), rest)
            }
            TEXT => {
                let (text, rest) = lengthy(rest).ok_or_else(unreadable)?;
                let text = std::str::from_utf8(text).map_err(|_| unreadable())?;
                (Value::from(text), rest)
            }
            BYTES => {
                let (value, rest) = lengthy(rest).ok_or_else(unreadable)?;
                (Value::from(value), rest)
            }
            _ => return Err(unreadable()),
        };
        row.push(value);
        bytes = rest;
    }
    Ok(row)
}

fn lengthy(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Nothing longer than [`PART_MAX`] is written.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::doing("writing the backup", error))
}

fn parsed<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| unreadable())
}

fn unreadable() -> Failure {
    broken("it holds what this version of Coffer cannot read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_no_other_row_has_its_bytes() {
        let row = vec![
            Value::Null,
            Value::from(-7_i64),
            Value::from("ü"),
            Value::from(""),
            Value::from([0_u8, 255]),
        ];
        let bytes = encoded(&row);
        assert!(decoded(&bytes).unwrap() == row);
        assert_ne!(
            encoded(&[Value::from("a"), Value::from("bc")]),
            encoded(&[Value::from("ab"), Value::from("c")])
        );
        assert_ne!(
            encoded(&[Value::from("a")]),
            encoded(&[Value::from([b'a'])])
        );
        for cut in 1..bytes.len() {
            let shorter = decoded(&bytes[..cut]);
            assert!(shorter.is_err() || shorter.unwrap() != row);
        }
    }

    #[test]
    fn the_order_and_the_number_of_rows_are_in_the_digest() {
        let named = || Named {
            table: "payments".to_owned(),
            columns: vec!["id".to_owned()],
        };
        let of = |rows: &[&[u8]]| {
            let mut tally = Tally::new(named());
            rows.iter().for_each(|row| tally.add(row));
            tally.summary().digest
        };
        assert_ne!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b"a"]));
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
    }
}
