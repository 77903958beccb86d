//! Changes of the schema, forward only. The full text of each applied one is kept and compared.

use std::fmt::Write as _;

use crate::Error;

/// One change of the schema.
///
/// `{bigint}`, `{bytes}` and `{strict}` stand for the engine's words; several statements are separated by `;`.
/// Once released, a migration never changes: the next change is the next version.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the order, from 1.
    pub version: i64,
    /// A short name.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
}

/// The engine's words for what the texts name in braces.
pub(crate) struct Dialect {
    pub(crate) bigint: &'static str,
    pub(crate) bytes: &'static str,
    pub(crate) strict: &'static str,
}

/// A migration as the database remembers it.
pub(crate) struct Applied {
    pub(crate) version: i64,
    pub(crate) name: String,
    pub(crate) sql: String,
}

impl Migration {
    /// The text for an engine.
    pub(crate) fn render(&self, dialect: &Dialect) -> Result<String, Error> {
        let mut parts = self.sql.split('{');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (word, rest) = part.split_once('}').unwrap_or((part, ""));
            let spelled = match word {
                "bigint" => dialect.bigint,
                "bytes" => dialect.bytes,
                "strict" => dialect.strict,
                _ => return Err(self.defect("a word in braces that no engine knows")),
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "{spelled}{rest}");
        }
        self.check_isolation(&text)?;
        Ok(text)
    }

    /// Transactions of different callers share one commit, so no rule of the schema may wait for the commit
    /// or undo more than its own statement.
    fn check_isolation(&self, text: &str) -> Result<(), Error> {
        let upper = text.to_ascii_uppercase();
        if upper.contains("DEFERRED") || upper.contains("ROLLBACK") {
            return Err(self.defect(
                "deferred constraints and ROLLBACK would fail other callers' transactions",
            ));
        }
        Ok(())
    }

    fn defect(&self, what: &str) -> Error {
        Error::Defect(format!(
            "migration {} ({}): {what}",
            self.version, self.name
        ))
    }
}

/// The migrations still to run: `known` without the `applied` ones, which must be its beginning, unchanged.
pub(crate) fn pending<'m>(
    known: &'m [Migration],
    applied: &[Applied],
) -> Result<&'m [Migration], Error> {
    check_order(known)?;
    for (position, done) in applied.iter().enumerate() {
        match known.get(position) {
            Some(migration) if migration.version == done.version => check_same(migration, done)?,
            Some(migration) if migration.version < done.version => {
                return Err(refuse_inserted(migration, done));
            }
            Some(_) | None => return Err(refuse_unknown(done)),
        }
    }
    Ok(known.get(applied.len()..).unwrap_or_default())
}

fn check_order(known: &[Migration]) -> Result<(), Error> {
    let mut last = 0;
    for migration in known {
        if migration.version <= last {
            return Err(migration.defect("versions must start at 1 and rise"));
        }
        last = migration.version;
    }
    Ok(())
}

fn check_same(migration: &Migration, done: &Applied) -> Result<(), Error> {
    if migration.sql == done.sql && migration.name == done.name {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "migration {} ({}) was applied with another text than this program holds; \
         run the version of the program that applied it, or restore the database from a backup of this version",
        done.version, done.name
    )))
}

fn refuse_unknown(done: &Applied) -> Error {
    Error::Refused(format!(
        "the database holds migration {} ({}), which this program does not know; \
         run the newer version that wrote it, or restore a backup from before that upgrade",
        done.version, done.name
    ))
}

fn refuse_inserted(migration: &Migration, done: &Applied) -> Error {
    Error::Refused(format!(
        "this program holds migration {} ({}), which the database passed by when it took {} ({}); \
         run the version of the program that wrote the database",
        migration.version, migration.name, done.version, done.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: Dialect = Dialect {
        bigint: "INTEGER",
        bytes: "BLOB",
        strict: "STRICT",
    };
    const FIRST: Migration = Migration {
        version: 1,
        name: "first",
        sql: "A",
    };
    const SECOND: Migration = Migration {
        version: 2,
        name: "second",
        sql: "B",
    };
    const THIRD: Migration = Migration {
        version: 3,
        name: "third",
        sql: "C",
    };

    fn applied(migrations: &[Migration]) -> Vec<Applied> {
        let row = |m: &Migration| Applied {
            version: m.version,
            name: m.name.to_owned(),
            sql: m.sql.to_owned(),
        };
        migrations.iter().map(row).collect()
    }

    fn refusal(known: &[Migration], done: &[Migration]) -> String {
        match pending(known, &applied(done)) {
            Err(Error::Refused(text)) => text,
            other => panic!("not refused: {:?}", other.map(<[Migration]>::len)),
        }
    }

    #[test]
    fn an_unknown_a_changed_and_an_inserted_migration_are_refused() {
        let changed = Migration {
            sql: "B2",
            ..SECOND
        };
        assert!(refusal(&[FIRST], &[FIRST, SECOND]).contains("holds migration 2 (second)"));
        assert!(
            refusal(&[FIRST, THIRD], &[FIRST, SECOND, THIRD])
                .contains("holds migration 2 (second)")
        );
        assert!(refusal(&[FIRST, changed], &[FIRST, SECOND]).contains("another text"));
        assert!(refusal(&[FIRST, SECOND, THIRD], &[FIRST, THIRD]).contains("passed by"));
    }

    #[test]
    fn versions_that_do_not_rise_are_a_defect() {
        assert!(matches!(
            pending(&[SECOND, FIRST], &[]),
            Err(Error::Defect(_))
        ));
        assert!(matches!(
            pending(&[FIRST, FIRST], &[]),
            Err(Error::Defect(_))
        ));
    }

    #[test]
    fn only_what_is_new_is_pending() {
        let known = [FIRST, SECOND, THIRD];
        let versions: Vec<_> = pending(&known, &applied(&[FIRST]))
            .unwrap()
            .iter()
            .map(|m| m.version)
            .collect();
        assert_eq!(versions, [2, 3]);
        assert!(pending(&known, &applied(&known)).unwrap().is_empty());
    }

    #[test]
    fn words_in_braces_become_the_engines() {
        let migration = Migration {
            sql: "CREATE TABLE t (a {bigint}, b {bytes}) {strict}",
            ..FIRST
        };
        assert_eq!(
            migration.render(&SQLITE).unwrap(),
            "CREATE TABLE t (a INTEGER, b BLOB) STRICT"
        );
        let unknown = Migration {
            sql: "CREATE TABLE t (a {serial})",
            ..FIRST
        };
        assert!(matches!(unknown.render(&SQLITE), Err(Error::Defect(_))));
    }

    #[test]
    fn a_constraint_that_waits_for_the_commit_is_a_defect() {
        let sql =
            "CREATE TABLE t (a {bigint} REFERENCES u (a) DEFERRABLE INITIALLY DEFERRED) {strict}";
        assert!(matches!(
            Migration { sql, ..FIRST }.render(&SQLITE),
            Err(Error::Defect(_))
        ));
    }
}
