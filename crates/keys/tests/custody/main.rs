//! Custody's rules, on a real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod authority;
mod budget;
mod checkpoint;
mod fixture;
mod keys;
mod opening;
mod sealing;
