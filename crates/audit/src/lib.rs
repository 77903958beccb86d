//! The tamper-evident log that each role keeps on its own database.
//!
//! A transaction that does something writes a leaf ([`Audit::leaf`], or [`Audit::pack`] for many things); a sequencer chains the leaves into a Merkle log
//! (RFC 6962) within a second ([`Audit::sequence`]); a notary signs the log's head ([`Audit::checkpoint`]); and
//! [`verify`] recomputes everything. This crate has no clock, no task and no connection of its own.

mod anchor;
mod checkpoint;
mod edge;
mod entry;
mod error;
mod fault;
mod leaf;
mod listing;
mod log;
pub mod merkle;
mod pack;
mod proof;
mod retention;
mod sequencer;
mod store;
mod tiles;
mod verify;

pub use anchor::Anchor;
pub use checkpoint::{Checkpoint, Growth, Notary, Signature, checkpoint_text, last_signed};
pub use entry::{Actor, ActorKind, Entry, Outcome, Public};
pub use error::Error;
pub use fault::Fault;
pub use listing::Listed;
pub use log::{Audit, Head};
pub use merkle::Hash;
pub use pack::{PACK_ENTRIES_MAX, Recorded, read};
pub use retention::Retention;
pub use store::{BY_ACCOUNT, RETENTION, SCHEMA, STATEMENTS};
pub use verify::{Trust, Verdict, verify};
