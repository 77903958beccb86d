//! Comma-separated values (RFC 4180) that are nothing but values, whoever opens them: no spreadsheet takes a cell for a formula,
//! and no cell makes a line of its own.

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// One line of these cells.
pub(crate) fn line(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<_> = cells.iter().map(|text| cell(text.as_ref())).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell, always in quotes. One that would be a formula begins with an apostrophe; control characters become U+FFFD.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len().saturating_add(2));
    cell.push('"');
    if text.trim_start().starts_with(FORMULA) {
        cell.push('\'');
    }
    for symbol in text.chars() {
        match symbol {
            '"' => cell.push_str("\"\""),
            control if control.is_control() => cell.push(char::REPLACEMENT_CHARACTER),
            other => cell.push(other),
        }
    }
    cell.push('"');
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_a_line() {
        for (text, expected) in [
            ("", "\"\""),
            ("payment, captured", "\"payment, captured\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "\"'=1+1\""),
            (" @SUM(A1)", "\"' @SUM(A1)\""),
            ("\t-1", "\"'\u{fffd}-1\""),
            ("a\r\n\"=x", "\"a\u{fffd}\u{fffd}\"\"=x\""),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
        assert_eq!(line(&["a", "b"]), "\"a\",\"b\"\r\n");
    }
}
