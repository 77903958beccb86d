//! SQLite's result codes in this crate's words.
//!
//! SQLite's messages name tables, columns and words of the SQL, which is constant; they never hold a value.

use rusqlite::ffi;

use crate::{Conflict, ConflictKind, Error, Unavailable};

/// The step that was running.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) statement: &'static str,
    pub(super) step: usize,
}

/// A failure of a registered statement.
pub(super) fn of_statement(error: &rusqlite::Error, place: Place) -> Error {
    let Place { statement, step } = place;
    match conflict(error) {
        Some(kind) => Conflict {
            statement,
            step,
            kind,
        }
        .into(),
        None => unavailable(error).map_or_else(|| defect(statement, error), Error::Unavailable),
    }
}

/// A failure of our own BEGIN, COMMIT and the like. Whatever it is, nothing was acknowledged.
pub(super) fn of_commit(error: &rusqlite::Error) -> Unavailable {
    unavailable(error).unwrap_or_else(|| Unavailable::Io(error.to_string()))
}

/// A failure before the database is open: a lock is then for the operator to find.
pub(super) fn opening(error: &rusqlite::Error) -> Error {
    match unavailable(error) {
        Some(Unavailable::Overloaded) => Error::Refused(
            "another process holds a lock on the database file; stop it first".to_owned(),
        ),
        Some(unavailable) => unavailable.into(),
        None => defect("opening", error),
    }
}

fn defect(statement: &str, error: &rusqlite::Error) -> Error {
    Error::Defect(format!("statement {statement}: {error}"))
}

fn extended_code(error: &rusqlite::Error) -> i32 {
    error
        .sqlite_error()
        .map_or(ffi::SQLITE_OK, |failure| failure.extended_code)
}

/// The low byte of an extended code is the plain one.
fn code(error: &rusqlite::Error) -> i32 {
    extended_code(error) & 0xff
}

fn conflict(error: &rusqlite::Error) -> Option<ConflictKind> {
    match (code(error), extended_code(error)) {
        (
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID,
        ) => Some(ConflictKind::Unique),
        (ffi::SQLITE_CONSTRAINT, _) => Some(ConflictKind::Constraint),
        _ => None,
    }
}

fn unavailable(error: &rusqlite::Error) -> Option<Unavailable> {
    // No room for the index of the write-ahead log.
    if extended_code(error) == ffi::SQLITE_IOERR_SHMSIZE {
        return Some(Unavailable::DiskFull);
    }
    match code(error) {
        ffi::SQLITE_FULL => Some(Unavailable::DiskFull),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_NOMEM => Some(Unavailable::Overloaded),
        ffi::SQLITE_INTERRUPT => Some(Unavailable::ConnectionLost),
        ffi::SQLITE_IOERR
        | ffi::SQLITE_CANTOPEN
        | ffi::SQLITE_CORRUPT
        | ffi::SQLITE_NOTADB
        | ffi::SQLITE_READONLY
        | ffi::SQLITE_PERM
        | ffi::SQLITE_PROTOCOL => {
            let text = format!(
                "{} (SQLite code {})",
                error.sqlite_error()?,
                extended_code(error)
            );
            Some(Unavailable::Io(text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        statement: "s",
        step: 3,
    };

    fn failure(extended: i32) -> Error {
        of_statement(
            &rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None),
            PLACE,
        )
    }

    fn conflict_of(kind: ConflictKind) -> Error {
        Conflict {
            statement: "s",
            step: 3,
            kind,
        }
        .into()
    }

    #[test]
    fn constraints_are_typed_conflicts() {
        assert_eq!(
            failure(ffi::SQLITE_CONSTRAINT_UNIQUE),
            conflict_of(ConflictKind::Unique)
        );
        assert_eq!(
            failure(ffi::SQLITE_CONSTRAINT_PRIMARYKEY),
            conflict_of(ConflictKind::Unique)
        );
        assert_eq!(
            failure(ffi::SQLITE_CONSTRAINT_FOREIGNKEY),
            conflict_of(ConflictKind::Constraint)
        );
        assert_eq!(
            failure(ffi::SQLITE_CONSTRAINT_NOTNULL),
            conflict_of(ConflictKind::Constraint)
        );
    }

    #[test]
    fn a_failing_disk_is_unavailable_and_never_a_defect() {
        for full in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            assert_eq!(failure(full), Unavailable::DiskFull.into());
        }
        assert_eq!(
            failure(ffi::SQLITE_BUSY_SNAPSHOT),
            Unavailable::Overloaded.into()
        );
        let broken = [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_READONLY_DBMOVED,
        ];
        for code in broken {
            assert!(
                matches!(failure(code), Error::Unavailable(Unavailable::Io(_))),
                "{code}"
            );
        }
    }

    #[test]
    fn a_lock_at_the_start_is_for_the_operator() {
        let busy = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None);
        assert!(matches!(opening(&busy), Error::Refused(_)));
    }

    #[test]
    fn anything_else_is_a_defect_that_names_the_statement() {
        let Error::Defect(text) = failure(ffi::SQLITE_ERROR) else {
            panic!("not a defect")
        };
        assert!(text.starts_with("statement s: "), "{text}");
    }
}
