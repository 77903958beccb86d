//! PostgreSQL's failures in this crate's words.
//!
//! A server's message may repeat a value, so only those about the text of the SQL (class 42) are kept.

use std::error::Error as _;

use tokio_postgres::Error as Failure;
use tokio_postgres::error::SqlState;

use super::value::WrongKind;
use crate::{Conflict, ConflictKind, Error, Unavailable};

/// The step that was running.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) statement: &'static str,
    pub(super) step: usize,
}

impl Place {
    /// Something that is no step of a caller's transaction.
    pub(super) const fn own(what: &'static str) -> Self {
        Self {
            statement: what,
            step: 0,
        }
    }
}

/// A failure, and whether the same transaction may simply run again: nothing of it was kept.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) again: bool,
}

impl From<Error> for Failed {
    /// One of our own: a conflict, a defect.
    fn from(error: Error) -> Self {
        Self {
            error,
            again: false,
        }
    }
}

/// A failure of a statement, before the commit was asked for.
pub(super) fn of_statement(failure: &Failure, place: Place) -> Failed {
    let again = match failure.code() {
        Some(code) => {
            [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                // "cached plan must not change result type": a newer version changed the schema.
                SqlState::FEATURE_NOT_SUPPORTED,
            ]
            .contains(code)
                || is_lost(code)
        }
        None => !is_ours(failure),
    };
    let error = meaning(failure, place);
    Failed { error, again }
}

/// Of several steps by one statement not each touched its row. Which, and what that means, is known when they run apart.
pub(super) fn of_several(touched: u64) -> Failed {
    Failed {
        error: Error::Defect(format!("several steps touched {touched} rows")),
        again: true,
    }
}

/// A failure on a connection that only reads.
pub(super) fn of_read(failure: &Failure, place: Place) -> Failed {
    match failure.code() {
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Error::Defect(format!(
            "statement {} writes; it belongs in a transaction",
            place.statement
        ))
        .into(),
        Some(_) | None => of_statement(failure, place),
    }
}

/// A failure of the commit itself: it may have been carried out, so it is never simply run again.
pub(super) fn of_commit(failure: &Failure) -> Error {
    meaning(failure, Place::own("commit"))
}

/// A failure to connect, or to be let in.
pub(super) fn of_connection(failure: &Failure) -> Error {
    match failure.code() {
        Some(code) if code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME => {
            Error::Refused(format!(
                "PostgreSQL does not let us in ({}); check that the user and its database exist and that the password is right",
                code.code()
            ))
        }
        Some(_) => meaning(failure, Place::own("connecting")),
        None if is_tls(failure) => Error::Refused(format!(
            "no encrypted connection to PostgreSQL: {}",
            causes(failure)
        )),
        None => Unavailable::ConnectionLost.into(),
    }
}

fn meaning(failure: &Failure, place: Place) -> Error {
    let Place { statement, step } = place;
    let Some(code) = failure.code() else {
        return if is_ours(failure) {
            Error::Defect(format!("statement {statement}: {}", causes(failure)))
        } else {
            Unavailable::ConnectionLost.into()
        };
    };
    if let Some(kind) = conflict(code) {
        return Conflict {
            statement,
            step,
            kind,
        }
        .into();
    }
    unavailable(code).map_or_else(|| defect(statement, failure, code), Error::Unavailable)
}

fn conflict(code: &SqlState) -> Option<ConflictKind> {
    match code.code() {
        "23505" => Some(ConflictKind::Unique),
        code if code.starts_with("23") => Some(ConflictKind::Constraint),
        _ => None,
    }
}

fn unavailable(code: &SqlState) -> Option<Unavailable> {
    if is_lost(code) {
        return Some(Unavailable::ConnectionLost);
    }
    match code.code() {
        "53100" => Some(Unavailable::DiskFull),
        // Deadlocks, locks and statements that took too long, too many connections, no memory.
        "40001" | "40P01" | "55P03" | "57014" | "53200" | "53300" | "53400" => {
            Some(Unavailable::Overloaded)
        }
        // A damaged file, a failing disk, a server that only reads (after a switch to a standby).
        code if code.starts_with("58") || code.starts_with("XX") || code == "25006" => {
            Some(Unavailable::Io(format!("PostgreSQL reports {code}")))
        }
        _ => None,
    }
}

/// Whether the server ends the connection: a shutdown, a crash, a start, a session that was ended.
fn is_lost(code: &SqlState) -> bool {
    let code = code.code();
    code.starts_with("08") || ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"].contains(&code)
}

fn defect(statement: &str, failure: &Failure, code: &SqlState) -> Error {
    let message = failure
        .as_db_error()
        .filter(|_| code.code().starts_with("42"))
        .map_or("", |error| error.message());
    Error::Defect(format!(
        "statement {statement}: {message} ({})",
        code.code()
    ))
}

/// Whether the driver could not write or read a value, which is a matter of the statement and not of the server.
fn is_ours(failure: &Failure) -> bool {
    failure
        .source()
        .is_some_and(|source| source.is::<WrongKind>())
}

/// Whether the server has no TLS, or its certificate is not accepted. The driver tells its kinds by text only.
fn is_tls(failure: &Failure) -> bool {
    failure
        .to_string()
        .starts_with("error performing TLS handshake")
}

fn causes(failure: &Failure) -> String {
    failure
        .source()
        .map_or_else(|| failure.to_string(), ToString::to_string)
}
