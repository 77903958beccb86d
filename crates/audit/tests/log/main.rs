//! The log on a real store: what is written is sequenced and signed, and whatever is done to it behind its back is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod fixture;
mod packs;
mod retention;
mod verification;
