//! Transactions as data, over one SQL text for every engine, and the job table.
//!
//! A [`Transaction`] is a list of registered [`Statement`]s with their parameters and the rows each must
//! touch. [`Database::transact`] commits all of it or nothing of it. No other crate names a database driver.

mod catalog;
mod copy;
mod database;
mod error;
mod health;
pub mod jobs;
mod migration;
mod postgres;
mod row;
mod shared;
mod sqlite;
mod statement;
mod transaction;
mod value;

pub use copy::{Filling, Snapshot, Table};
pub use database::{Database, Disk, RESERVE};
pub use error::{Conflict, ConflictKind, Error, Unavailable};
pub use jobs::{JOBS_MIGRATION, Job};
pub use migration::Migration;
pub use postgres::{PLANNER, PostgresAddress};
pub use row::Row;
pub use shared::{SharedAddress, SharedScript};
pub use statement::Statement;
pub use transaction::{Expect, Outcome, Transaction};
pub use value::Value;
