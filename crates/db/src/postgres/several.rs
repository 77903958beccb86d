//! One statement for the rows of several callers: for a server, to be asked costs more than to find, store or change a row.
//!
//! Each parameter comes as an array, so the text is the same for any number of rows.

use crate::Statement;

impl Statement {
    /// The text that does for each of several rows what this does for one, where its parameters have types of these names: what a
    /// server is asked for, and what is planned. None when it is about something else than one row, or answers what it did. Of
    /// those found, each comes with its place.
    #[must_use]
    pub fn for_several(&self, kinds: &[String]) -> Option<String> {
        let sql = self.sql;
        let by_key = self.is_by_key();
        let looks_elsewhere = sql.contains("SELECT") || sql.contains("RETURNING");
        match sql.split_whitespace().next()? {
            "SELECT" if by_key => Some(found(sql, kinds)),
            _ if looks_elsewhere || kinds.is_empty() => None,
            "INSERT" => stored(sql, kinds),
            "UPDATE" if by_key => changed(sql, kinds),
            _ => None,
        }
    }
}

/// The limit has the server look for each by itself, whatever it thinks of the size of the table.
fn found(sql: &str, kinds: &[String]) -> String {
    let (one, rows, names) = (of_each(sql), rows(kinds), names(kinds));
    format!(
        "SELECT found.*, each.place FROM {rows} WITH ORDINALITY AS each ({names}, place), LATERAL ({one} LIMIT 1) AS found"
    )
}

fn stored(sql: &str, kinds: &[String]) -> Option<String> {
    let (head, values) = sql.split_once("VALUES")?;
    let (values, rows, names) = (one_row(values)?, rows(kinds), names(kinds));
    let values = of_each(values);
    Some(format!(
        "{head}SELECT {values} FROM {rows} AS each ({names})"
    ))
}

fn changed(sql: &str, kinds: &[String]) -> Option<String> {
    let (head, condition) = sql.split_once("WHERE")?;
    let (head, condition) = (of_each(head), of_each(condition));
    let (rows, names) = (rows(kinds), names(kinds));
    Some(format!(
        "{head}FROM {rows} AS each ({names}) WHERE{condition}"
    ))
}

/// What is between the parentheses, when that is all.
fn one_row(values: &str) -> Option<&str> {
    let values = values.trim().strip_prefix('(')?;
    let mut open = 1_usize;
    let end = values.bytes().position(|byte| {
        match byte {
            b'(' => open = open.saturating_add(1),
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0
    })?;
    let (values, rest) = values.split_at(end);
    (rest == ")").then_some(values)
}

/// The arrays of all parameters, a row for each place in them.
fn rows(kinds: &[String]) -> String {
    let array = |(place, kind): (usize, &String)| format!("${place}::{kind}[]");
    let arrays: Vec<_> = (1..).zip(kinds).map(array).collect();
    format!("unnest({})", arrays.join(", "))
}

fn names(kinds: &[String]) -> String {
    let names: Vec<_> = (1..=kinds.len()).map(|place| format!("p{place}")).collect();
    names.join(", ")
}

/// The text with a row's own value where a parameter is.
fn of_each(sql: &str) -> String {
    sql.replace('$', "each.p")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sql: &'static str, kinds: &[&str]) -> Option<String> {
        let kinds: Vec<_> = kinds.iter().copied().map(str::to_owned).collect();
        Statement::new("s", sql).by_key().for_several(&kinds)
    }

    #[test]
    fn each_row_has_values_of_its_own() {
        let kinds = ["text", "int8"];
        let insert = "INSERT INTO t (a, b, c) VALUES ($1, f(7), $2)";
        assert_eq!(
            written(insert, &kinds).unwrap(),
            "INSERT INTO t (a, b, c) SELECT each.p1, f(7), each.p2 \
             FROM unnest($1::text[], $2::int8[]) AS each (p1, p2)"
        );
        let change = "UPDATE t SET a = COALESCE($2, a) WHERE b = $1";
        assert_eq!(
            written(change, &kinds).unwrap(),
            "UPDATE t SET a = COALESCE(each.p2, a) \
             FROM unnest($1::text[], $2::int8[]) AS each (p1, p2) WHERE b = each.p1"
        );
        let find = "SELECT c FROM t WHERE a = $1 AND b = $2";
        assert_eq!(
            written(find, &kinds).unwrap(),
            "SELECT found.*, each.place FROM unnest($1::text[], $2::int8[]) WITH ORDINALITY AS each (p1, p2, place), \
             LATERAL (SELECT c FROM t WHERE a = each.p1 AND b = each.p2 LIMIT 1) AS found"
        );
    }

    #[test]
    fn only_what_is_about_one_row_and_answers_nothing_is_written_for_several() {
        for other in [
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING",
            "INSERT INTO t (a) VALUES ($1) RETURNING (a)",
            "INSERT INTO t (a) VALUES ($1), ($2)",
            "INSERT INTO t (a) SELECT max(a) FROM t",
            "INSERT INTO t (a) VALUES ((SELECT max(a) FROM t))",
            "UPDATE t SET a = $1",
            "UPDATE t SET a = 1 WHERE b = $1 RETURNING a",
            "UPDATE t SET a = (SELECT max(a) FROM u) WHERE b = $1",
            "DELETE FROM t WHERE a = $1",
        ] {
            assert_eq!(written(other, &["text"]), None, "{other}");
        }
        assert_eq!(written("INSERT INTO t (a) VALUES (1)", &[]), None);
        let of_any = Statement::new("s", "UPDATE t SET a = 1 WHERE b = $1");
        assert_eq!(of_any.for_several(&["text".to_owned()]), None);
    }
}
