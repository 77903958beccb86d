//! Rules of the edges, tried from outside: links between roles, public faces, outbound requests, the operator's listeners.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod face;
mod floods;
mod front;
mod link;
mod operator;
mod outbound;
mod patience;
mod proxies;
mod served;
mod smuggling;
mod support;
