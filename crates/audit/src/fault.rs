//! What a verification can find wrong.

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry is not there.
    #[error("entry {sequence} is missing")]
    Missing {
        /// Its place.
        sequence: u64,
    },
    /// An entry is not the one that was sequenced: changed, swapped or inserted.
    #[error("entry {sequence} ({leaf}) is not the one that was recorded")]
    Changed {
        /// Its place.
        sequence: u64,
        /// Its id.
        leaf: String,
    },
    /// The sealed personal values of an entry are not its own.
    #[error("the personal values of entry {sequence} ({leaf}) are not those that were recorded")]
    Personal {
        /// Its place.
        sequence: u64,
        /// Its id.
        leaf: String,
    },
    /// Contents are gone that were to be kept: no entry says so, or its time had not come.
    #[error("the contents of the first {entries} entries were removed before their time")]
    Pruned {
        /// So many.
        entries: u64,
    },
    /// An entry has a place outside the log.
    #[error("entry {sequence} is outside the log")]
    Outside {
        /// Its place.
        sequence: i64,
    },
    /// A tile is not what the entries give.
    #[error("tile {index} of level {level} does not match the entries")]
    Tile {
        /// Its level.
        level: u32,
        /// Its place in the level.
        index: u64,
    },
    /// The head is not what the entries give.
    #[error("the head of {size} entries does not match them")]
    Head {
        /// Its size.
        size: u64,
    },
    /// A checkpoint carries no valid signature of the notary's.
    #[error("the checkpoint at {size} entries is not signed by the notary")]
    Forged {
        /// Its size.
        size: u64,
    },
    /// The entries are not those that were signed: the first that differs comes after `after`.
    #[error("the first {size} entries are not those that were signed; the first {after} are")]
    Contradicted {
        /// Entries under the checkpoint.
        size: u64,
        /// Entries under the checkpoint before, which agrees.
        after: u64,
    },
    /// More entries were signed than there are: the end was cut off or the log was rolled back.
    #[error("{signed} entries were signed, but there are only {size}")]
    Cut {
        /// Entries that there are.
        size: u64,
        /// Entries that were signed.
        signed: u64,
    },
}
