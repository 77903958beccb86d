//! What can go wrong in custody, named by what the caller can do, and the one place that says it to other roles.

use coffer_net::contract::{self, Refusal};

/// Why custody did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The root key is not in memory: an operator must unseal.
    #[error("the key server is sealed")]
    Sealed,
    /// There is no root key yet: an operator must initialise.
    #[error("the key server has no root key yet")]
    NotInitialised,
    /// There is a root key already; nothing was changed.
    #[error("the key server has a root key already")]
    AlreadyInitialised,
    /// Not done, and why.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The store or the machine cannot serve now: try again later.
    #[error("the key server's store cannot serve now: {0}")]
    Unavailable(String),
    /// A bug, or a store that was damaged or tampered with.
    #[error("defect in custody: {0}")]
    Defect(String),
}

/// What another role may know of it.
impl From<Error> for contract::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Sealed | Error::NotInitialised => Self::Sealed,
            Error::Refused(refusal) => Self::Refused(refusal),
            Error::Unavailable(_) => Self::Unavailable,
            Error::AlreadyInitialised | Error::Defect(_) => Self::Defect,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<coffer_db::Error> for Error {
    fn from(error: coffer_db::Error) -> Self {
        match error {
            coffer_db::Error::Unavailable(why) => Self::Unavailable(why.to_string()),
            coffer_db::Error::Conflict(why) => Self::Defect(why.to_string()),
            coffer_db::Error::Refused(why) | coffer_db::Error::Defect(why) => Self::Defect(why),
        }
    }
}

impl From<coffer_audit::Error> for Error {
    fn from(error: coffer_audit::Error) -> Self {
        match error {
            coffer_audit::Error::Store(error) => error.into(),
            coffer_audit::Error::Unavailable => Self::Unavailable(error.to_string()),
            coffer_audit::Error::Damaged(_)
            | coffer_audit::Error::RolledBack { .. }
            | coffer_audit::Error::Refused(_) => Self::Defect(error.to_string()),
        }
    }
}

/// For what is our own and must open. Where a caller's value is opened, a failure is a refusal instead.
impl From<coffer_crypto::Error> for Error {
    fn from(error: coffer_crypto::Error) -> Self {
        match error {
            coffer_crypto::Error::Unavailable => Self::Unavailable(error.to_string()),
            coffer_crypto::Error::Refused | coffer_crypto::Error::Malformed => {
                Self::Defect(format!("a stored key does not open: {error}"))
            }
        }
    }
}
