//! Backups: made under load, restored elsewhere to what they were, without keys; and what is refused, which is everything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod elsewhere;
mod record;
mod refused;
mod site;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
