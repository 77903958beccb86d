//! The process's edges: listeners, TLS, the links between roles, guarded outbound HTTP, the clock and tasks.
//!
//! What enters or leaves a process does so here, with a limit of time, size and number. Nothing here knows what a payment
//! is; the contracts say only who may ask whom for what.

mod accept;
pub mod acme;
pub mod admin;
pub mod clock;
pub mod contract;
pub mod face;
#[doc(hidden)]
pub mod fuzzing;
mod gather;
pub mod link;
pub mod metrics;
pub mod outbound;
pub mod page;
pub mod plain;
pub mod request_id;
pub mod task;
pub mod tls;
pub mod tls_check;

pub use clock::Clock;
pub use gather::{Gather, Missed};
pub use task::{Tasks, lock};
