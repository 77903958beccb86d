//! What is only to be seen with PostgreSQL: that it keeps the same as SQLite does, two nodes of a role on one store, a server
//! that could lose what it said it kept, and a backup of one that is away. (That it is killed is in `crash`.) Skipped where no
//! server was started for the tests (`./test --postgres`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod backup_waits;
mod nodes;
mod schema;
mod shared_rates;
mod unsafe_settings;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
