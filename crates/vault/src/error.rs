//! The vault's one error, by what its caller can do, and its translation for the other roles.
//!
//! No variant can hold anything of a request: texts are ours, about our store and our settings.

use coffer_net::contract::{self, Refusal};

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that the vault needs cannot serve now: try again later.
    #[error("the vault cannot serve now: {0}")]
    Away(String),
    /// The key server is sealed: an operator must open it.
    #[error("the key server is sealed")]
    Sealed,
    /// Not done, and the asker must change something.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The settings or the store cannot be used as they are: an operator must act.
    #[error("the vault cannot start: {0}")]
    Unfit(String),
    /// A bug, or a store that was changed from outside.
    #[error("the vault failed: {0}")]
    Defect(String),
}

impl Error {
    /// The error for another role; logs here, once, what is not the asker's doing.
    pub(crate) fn into_contract(self) -> contract::Error {
        match self {
            Self::Away(why) => {
                tracing::warn!(reason = %why, "the vault cannot serve now");
                contract::Error::Unavailable
            }
            Self::Sealed => contract::Error::Sealed,
            Self::Refused(refusal) => contract::Error::Refused(refusal),
            Self::Unfit(why) | Self::Defect(why) => {
                tracing::error!(reason = %why, "the vault failed");
                contract::Error::Defect
            }
        }
    }
}

impl From<coffer_db::Error> for Error {
    fn from(error: coffer_db::Error) -> Self {
        match error {
            coffer_db::Error::Unavailable(why) => Self::Away(why.to_string()),
            coffer_db::Error::Refused(why) => Self::Unfit(why),
            coffer_db::Error::Conflict(conflict) => Self::Defect(conflict.to_string()),
            coffer_db::Error::Defect(why) => Self::Defect(why),
        }
    }
}

impl From<coffer_crypto::Error> for Error {
    /// What was sealed here and does not open here was changed, or the service key is another one.
    fn from(error: coffer_crypto::Error) -> Self {
        match error {
            coffer_crypto::Error::Unavailable => Self::Away(error.to_string()),
            coffer_crypto::Error::Refused | coffer_crypto::Error::Malformed => {
                Self::Defect(error.to_string())
            }
        }
    }
}

/// What `keys` answered.
impl From<contract::Error> for Error {
    fn from(error: contract::Error) -> Self {
        match error {
            // For the asker a key server that is away is one that is sealed: nothing was done.
            contract::Error::Away | contract::Error::Unavailable | contract::Error::Sealed => {
                Self::Sealed
            }
            contract::Error::Refused(refusal) => Self::Refused(refusal),
            contract::Error::NotAllowed | contract::Error::Defect => {
                Self::Defect(format!("the key server: {error}"))
            }
        }
    }
}

impl From<coffer_core::Malformed> for Error {
    /// A stored word that is none of ours.
    fn from(malformed: coffer_core::Malformed) -> Self {
        Self::Defect(format!("a stored value is not {}", malformed.expected))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
