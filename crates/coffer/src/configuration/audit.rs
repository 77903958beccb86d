//! `[audit]`: the record of what was done.

use coffer_audit::Retention;
use coffer_engine::ReadRecords;
use serde::Deserialize;

/// `[audit]`: what is recorded when, and how long it stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// When what was read is on record.
    pub(crate) reads: ReadRecords,
    /// How many months what is on record keeps its contents.
    pub(crate) retention_months: Retention,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            reads: ReadRecords::Grouped,
            retention_months: Retention::default(),
        }
    }
}
