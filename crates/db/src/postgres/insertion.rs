//! New rows of several callers by one statement: for a server, to be asked costs more than to store.

use std::sync::OnceLock;

/// How many rows at a time, the most first. Few enough texts for every connection to keep, and few statements for any number
/// of rows.
const AT_ONCE: [usize; 4] = [16, 8, 4, 2];

/// An insertion of one row, which can be written for more.
pub(super) struct Insertion {
    /// Up to the values.
    head: &'static str,
    /// The values of one row.
    values: &'static str,
    parameters: usize,
    texts: [OnceLock<String>; AT_ONCE.len()],
}

impl Insertion {
    /// None when it is something else, or returns what it stored.
    pub(super) fn of(sql: &'static str, parameters: usize) -> Option<Self> {
        let (head, values) = sql.split_at(sql.find("VALUES")?.checked_add("VALUES".len())?);
        let is_insertion = sql.trim_start().starts_with("INSERT") && !sql.contains("SELECT");
        let plain = is_insertion && is_one_row(values.trim());
        plain.then(|| Self {
            head,
            values,
            parameters,
            texts: Default::default(),
        })
    }

    /// A text for as many of these rows as go together, and how many they are; none when one is all.
    pub(super) fn together(&self, rows: usize) -> Option<(usize, &str)> {
        let mut sizes = AT_ONCE.iter().zip(&self.texts);
        let (size, text) = sizes.find(|(size, _)| **size <= rows)?;
        Some((*size, text.get_or_init(|| self.text(*size))))
    }

    /// The values of each row with places of their own, after those of the rows before.
    fn text(&self, rows: usize) -> String {
        let first = |row: usize| row.saturating_mul(self.parameters);
        let rows = (0..rows).map(|row| numbered_after(self.values, first(row)));
        [self.head, &rows.collect::<Vec<_>>().join(",")].concat()
    }
}

/// Whether the values are all between one pair of parentheses, and nothing comes after.
fn is_one_row(values: &str) -> bool {
    let mut open = 0_usize;
    let ends = values.bytes().position(|byte| {
        match byte {
            b'(' => open = open.saturating_add(1),
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0
    });
    ends.and_then(|end| end.checked_add(1)) == Some(values.len())
}

/// The text with places that begin after so many.
fn numbered_after(values: &str, before: usize) -> String {
    let mut parts = values.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number = number.parse::<usize>().unwrap_or_default();
        text.push_str(&format!("${}{rest}", number.saturating_add(before)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_places_of_its_own() {
        let insertion =
            Insertion::of("INSERT INTO t (a, b, c) VALUES ($1, f(7), $11)", 11).unwrap();
        let two = "INSERT INTO t (a, b, c) VALUES ($1, f(7), $11), ($12, f(7), $22)";
        assert_eq!(insertion.together(3), Some((2, two)));
        assert_eq!(insertion.together(1), None);
        assert_eq!(insertion.together(40).map(|(rows, _)| rows), Some(16));
    }

    #[test]
    fn only_what_stores_one_row_and_nothing_else_is_written_for_more() {
        for other in [
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING",
            "INSERT INTO t (a) VALUES ($1) RETURNING (a)",
            "INSERT INTO t (a) VALUES ($1), ($2)",
            "INSERT INTO t (a) SELECT max(a) FROM t",
            "INSERT INTO t (a) VALUES ((SELECT max(a) FROM t))",
            "UPDATE t SET a = $1",
        ] {
            assert!(Insertion::of(other, 1).is_none(), "{other}");
        }
    }
}
