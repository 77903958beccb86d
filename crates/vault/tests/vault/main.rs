//! The vault as a whole: fields face, contract and egress, with a key server in memory and a provider over real TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

mod attempts;
mod binding;
mod custody;
mod deposits;
mod faults;
mod keeping;
mod page;
mod provider;
mod reports;
mod script;
mod settling;
mod shop;
