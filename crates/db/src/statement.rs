//! A named SQL text. It is a constant, so no SQL is ever put together from data.

/// A named SQL text with placeholders `$1…$n`, the same on every engine.
///
/// Each crate lists its own in a `STATEMENTS` constant; a database runs only what was listed when it was opened.
/// It is one `SELECT`, `INSERT`, `UPDATE`, `DELETE` or `WITH`, and its name is unique within a database.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// The name: appears in errors and measurements.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
}

impl Statement {
    /// Names a text.
    pub const fn new(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql }
    }

    /// Whether both are the same statement. Two addresses may hold one constant, so the name decides.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}
