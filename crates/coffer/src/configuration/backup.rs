//! `[backup]`: what `coffer backup` and `coffer doctor` must know.

use std::path::PathBuf;

use serde::Deserialize;

/// How old the last backup of a role may be.
const WARN_AFTER_HOURS: u32 = 26;

/// `[backup]`: encrypted copies of the roles' stores.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Backup {
    /// File with the passphrase that they are encrypted under, outside the data directory.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// `coffer doctor` warns when the last one is older.
    pub(crate) warn_after_hours: u32,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            passphrase_file: None,
            warn_after_hours: WARN_AFTER_HOURS,
        }
    }
}
