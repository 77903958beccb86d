//! `[audit]`: the record of what was done.

use coffer_engine::ReadRecords;
use serde::Deserialize;

/// `[audit]`: what is recorded when.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// When what was read is on record.
    pub(crate) reads: ReadRecords,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            reads: ReadRecords::Grouped,
        }
    }
}
