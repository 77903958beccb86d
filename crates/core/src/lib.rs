//! The words of Coffer: money, ids, modes, payments, rights, events, limits.
//!
//! Everything here is pure: no I/O, no async, no clock, no randomness. A value that needs one of them takes it as an
//! argument. No type here can hold a card number; only the vault can spell one.

#![warn(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

#[macro_use]
mod word;

pub mod access_token;
pub mod alert;
pub mod api_key;
mod base62;
pub mod brand;
pub mod cap;
pub mod card;
pub mod decline;
pub mod detection;
pub mod event;
pub mod id;
pub mod lease;
pub mod limits;
pub mod mode;
pub mod money;
pub mod network;
pub mod payment;
pub mod permission;
pub mod provider;
pub mod rate;
pub mod rotation;
pub mod scope;
pub mod signing_key;
pub mod time;

pub use card::{CardSummary, Expiry, Last4};
pub use id::Id;
pub use mode::Mode;
pub use money::{Currency, Money};
pub use time::Timestamp;

/// A text that is not what it should be; `expected` says what would be accepted. It never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// What would have been accepted, as the end of the sentence "expected …".
    pub expected: &'static str,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for Malformed {}
