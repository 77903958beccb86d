//! What can go wrong with the log, named by what the caller can do about it.

/// Why the log did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store failed; act as for any other call of the store.
    #[error(transparent)]
    Store(#[from] coffer_db::Error),
    /// The log is not whole: run the verification, which names the first bad record.
    #[error("the audit log is damaged: {0}")]
    Damaged(&'static str),
    /// The notary remembers more of this log than there is: it was rolled back or cut.
    #[error("the audit log has {size} entries, but {remembered} were signed")]
    RolledBack {
        /// Entries in the log.
        size: u64,
        /// Entries at the last signed checkpoint.
        remembered: u64,
    },
    /// The entry does not fit, or holds personal values that this log has no key for: a bug of the caller's.
    #[error("the audit entry was refused: {0}")]
    Refused(&'static str),
    /// The machine has no randomness or memory to give.
    #[error("the audit entry could not be sealed")]
    Unavailable,
}
