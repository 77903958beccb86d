//! The simulator as its callers see it: through its router, over a database on disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bench;
mod challenge;
mod misbehaviour;
mod money;
mod secrecy;
