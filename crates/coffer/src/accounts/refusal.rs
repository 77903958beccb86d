//! Why the engine did not do what an operator asked.

use coffer_engine::Error;

use crate::failure::Failure;

/// In words for the operator.
pub(super) fn failed(error: Error) -> Failure {
    match error {
        Error::NotFound { object } => Failure::Operator(format!("there is no such {object}")),
        Error::Refused(why) => Failure::Operator(why.to_owned()),
        Error::Invalid { field, expected } => {
            Failure::Operator(format!("{field}: expected {expected}"))
        }
        Error::State {
            object,
            status,
            needed,
        } => Failure::Operator(format!("the {object} is {status}; this needs {needed}")),
        Error::LimitReached { what, limit } => {
            Failure::Operator(format!("there can be at most {limit} {what}"))
        }
        error @ (Error::AmountTooLarge { .. }
        | Error::CapExceeded(_)
        | Error::Held(_)
        | Error::TokenUsed
        | Error::TokenExpired
        | Error::TokenUnknown
        | Error::CvcLost
        | Error::ProviderMissing
        | Error::IdempotencyMismatch
        | Error::IdempotencyRunning
        | Error::Answered(_)
        | Error::BeyondCaller { .. }
        | Error::Unsigned
        | Error::TooManyFailures { .. }
        | Error::BudgetExhausted
        | Error::Sealed
        | Error::Unavailable
        | Error::Defect) => Failure::System(format!("the api's store refused: {error:?}")),
    }
}
