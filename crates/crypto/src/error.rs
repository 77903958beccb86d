//! The crate's one error. It never carries the contents of what failed.

use std::fmt;

/// Why an operation did not succeed, in terms of what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It did not authenticate: the wrong key, the wrong context, or someone changed it.
    /// Which of these is deliberately not told apart.
    Refused,
    /// The input does not have the required form, so no key could make it valid.
    Malformed,
    /// The machine gave no randomness or no memory. Nothing was done; trying later may help.
    Unavailable,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the value did not authenticate",
            Self::Malformed => "the value is malformed",
            Self::Unavailable => "the machine cannot provide randomness or memory",
        })
    }
}

impl std::error::Error for Error {}
