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
    own_rows: bool,
    by_key: bool,
}

impl Statement {
    /// Names a text.
    pub const fn new(name: &'static str, sql: &'static str) -> Self {
        Self {
            name,
            sql,
            own_rows: false,
            by_key: false,
        }
    }

    /// Says that whoever runs it in a transaction changes rows of one object there, which its first parameters name, and of no
    /// second one, apart from what [`crate::Transaction::closing`] is for. Then several callers' transactions may hold their
    /// locks together: taken in the order of the objects, none waits for one that waits for it.
    #[must_use]
    pub const fn on_own_rows(mut self) -> Self {
        self.own_rows = true;
        self
    }

    /// Whether it was said to be [`Self::on_own_rows`].
    pub(crate) const fn has_own_rows(&self) -> bool {
        self.own_rows
    }

    /// Says that it finds or changes the one row, if there is one, that its parameters name: a `SELECT` by a key that is
    /// all that it takes, an `UPDATE` by a key that it leaves as it is. Then a server is asked for those of many at once. An
    /// `UPDATE` should nearly always find its row: when one of many does not, all run again.
    #[must_use]
    pub const fn by_key(mut self) -> Self {
        self.by_key = true;
        self
    }

    /// Whether it was said to be [`Self::by_key`].
    pub(crate) const fn is_by_key(&self) -> bool {
        self.by_key
    }

    /// Whether it finds a row by its key.
    pub(crate) fn finds_by_key(&self) -> bool {
        self.by_key && self.sql.trim_start().starts_with("SELECT")
    }

    /// Whether it locks nothing but rows of its own: new ones, or those that it says. One that only reads is not among them:
    /// what a transaction looks at last should be as it was found when it is committed, and not wait for others first.
    pub(crate) fn keeps_to_its_own(&self) -> bool {
        let inserts = self.sql.trim_start().starts_with("INSERT");
        self.own_rows || (inserts && !self.sql.contains("ON CONFLICT"))
    }

    /// Whether both are the same statement. Two addresses may hold one constant, so the name decides.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}
