//! Why the engine did not do what it was asked, named by what the caller can do about it.
//!
//! No variant holds a value of the request. What only an operator should know goes to the log where it is found.

use coffer_core::{Currency, Malformed};
use coffer_net::contract::{self, Refusal};

use crate::{CapExcess, Held, idempotency::StoredAnswer, store::idempotency};

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No such object in this account and mode.
    NotFound {
        /// `payment`, `refund` …
        object: &'static str,
    },
    /// A field is not what it should be.
    Invalid {
        /// Which field.
        field: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The object's state does not permit this now.
    State {
        /// `payment`, `customer` …
        object: &'static str,
        /// The state that it is in.
        status: &'static str,
        /// The state that would permit it.
        needed: &'static str,
    },
    /// More than what is left.
    AmountTooLarge {
        /// Minor units that are left.
        left: i64,
        /// Of this currency.
        currency: Currency,
    },
    /// The token has paid or was kept already.
    TokenUsed,
    /// The token's time is over.
    TokenExpired,
    /// No such token in this account and mode.
    TokenUnknown,
    /// The security code is not in memory any more.
    CvcLost,
    /// As many as there may be.
    LimitReached {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: i64,
    },
    /// No provider is configured for live payments.
    ProviderMissing,
    /// The request with this idempotency key was another one.
    IdempotencyMismatch,
    /// The first request with this idempotency key still runs.
    IdempotencyRunning,
    /// A twin was faster; this is its answer.
    Answered(StoredAnswer),
    /// Not permitted, and why.
    Refused(&'static str),
    /// Whoever asks looks hostile, and is slowed or blocked for a while.
    Held(Held),
    /// Too many keys from this address did not work.
    TooManyFailures {
        /// When to come back.
        retry_after_s: i64,
    },
    /// More than the caller's own key has, which it cannot give.
    BeyondCaller {
        /// Which setting.
        field: &'static str,
    },
    /// More than the caps of the key let pass. Nothing was done.
    CapExceeded(CapExcess),
    /// Only a signed request may do this.
    Unsigned,
    /// The account may not open or look up more cards in this hour.
    BudgetExhausted,
    /// The key server is sealed: what needs a card waits.
    Sealed,
    /// The store or another role cannot serve now. Nothing was done that is not on record.
    Unavailable,
    /// A bug; the log tells more.
    Defect,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Another change of the object came between, and nothing was done.
    pub(crate) const fn changing(object: &'static str) -> Self {
        Self::State {
            object,
            status: "changing",
            needed: "at rest: try again",
        }
    }

    pub(crate) const fn invalid(field: &'static str, malformed: Malformed) -> Self {
        Self::Invalid {
            field,
            expected: malformed.expected,
        }
    }
}

impl From<Held> for Error {
    fn from(held: Held) -> Self {
        Self::Held(held)
    }
}

impl From<coffer_db::Error> for Error {
    fn from(error: coffer_db::Error) -> Self {
        match error {
            coffer_db::Error::Unavailable(cause) => {
                tracing::warn!(%cause, "the store cannot serve");
                Self::Unavailable
            }
            // A twin was faster.
            error if error.is_conflict_at(&idempotency::CLAIM) => Self::IdempotencyRunning,
            coffer_db::Error::Conflict(conflict) => {
                tracing::error!(%conflict, "an unexpected conflict");
                Self::Defect
            }
            coffer_db::Error::Refused(cause) | coffer_db::Error::Defect(cause) => {
                tracing::error!(cause, "the store was used wrongly");
                Self::Defect
            }
        }
    }
}

impl From<coffer_crypto::Error> for Error {
    fn from(error: coffer_crypto::Error) -> Self {
        tracing::error!(%error, "cryptography failed");
        Self::Defect
    }
}

impl From<coffer_audit::Error> for Error {
    fn from(error: coffer_audit::Error) -> Self {
        tracing::error!(%error, "the log failed");
        Self::Unavailable
    }
}

impl From<contract::Error> for Error {
    fn from(error: contract::Error) -> Self {
        match error {
            contract::Error::Away | contract::Error::Unavailable => Self::Unavailable,
            contract::Error::Sealed => Self::Sealed,
            contract::Error::Refused(refusal) => refusal.into(),
            contract::Error::NotAllowed | contract::Error::Defect => {
                tracing::error!(%error, "another role failed");
                Self::Defect
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TokenUnknown => Self::TokenUnknown,
            Refusal::TokenUsed => Self::TokenUsed,
            Refusal::TokenExpired => Self::TokenExpired,
            Refusal::CvcLost => Self::CvcLost,
            Refusal::RecordUnknown | Refusal::KeyDestroyed => Self::NotFound { object: "card" },
            Refusal::ProviderMissing => Self::ProviderMissing,
            Refusal::BudgetExhausted => Self::BudgetExhausted,
            Refusal::OrderInvalid
            | Refusal::OrderExpired
            | Refusal::OrderUsed
            | Refusal::WrappedKeyInvalid
            | Refusal::TicketInvalid
            | Refusal::AttemptConflict
            | Refusal::CheckpointInconsistent
            | Refusal::CertificateRefused
            | Refusal::PassphraseWrong
            | Refusal::Malformed => {
                tracing::error!(%refusal, "another role refused");
                Self::Defect
            }
        }
    }
}

/// A stored value that cannot be read back: the store was changed by something else.
pub(crate) fn corrupt(malformed: Malformed) -> Error {
    tracing::error!(
        expected = malformed.expected,
        "a stored value cannot be read"
    );
    Error::Defect
}
