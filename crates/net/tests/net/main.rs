//! Rules of the edges, tried from outside: links between roles, public faces, outbound requests, the operator's listeners.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod face;
mod link;
mod operator;
mod outbound;
mod support;
