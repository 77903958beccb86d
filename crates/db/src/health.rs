//! Whether the storage worked when it was last used.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Error, Unavailable};

/// Bad after the storage failed, good again after a commit that wrote something.
pub(crate) struct Health {
    good: AtomicBool,
    /// Bad because the disk is full.
    full: AtomicBool,
    full_times: AtomicU64,
}

impl Health {
    pub(crate) const fn new() -> Self {
        Self {
            good: AtomicBool::new(true),
            full: AtomicBool::new(false),
            full_times: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.good.load(Ordering::Relaxed)
    }

    /// Whether the disk was full when it was last used. A small commit may fit into what is left and proves nothing.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// How often the disk was found full.
    pub(crate) fn full_times(&self) -> u64 {
        self.full_times.load(Ordering::Relaxed)
    }

    /// The disk was found full, though what was to be stored is.
    pub(crate) fn found_full(&self) {
        self.full_times.fetch_add(1, Ordering::Relaxed);
    }

    /// Logged here, once per turn for the worse, because every caller only answers 503.
    pub(crate) fn failed(&self, error: &Error) {
        let storage = match error {
            Error::Unavailable(
                Unavailable::DiskFull | Unavailable::Io(_) | Unavailable::ConnectionLost,
            ) => true,
            Error::Unavailable(Unavailable::Overloaded | Unavailable::Closed)
            | Error::Conflict(_)
            | Error::Refused(_)
            | Error::Defect(_) => false,
        };
        let full = *error == Error::Unavailable(Unavailable::DiskFull);
        if full && !self.full.swap(true, Ordering::Relaxed) {
            self.found_full();
        }
        if storage && self.good.swap(false, Ordering::Relaxed) {
            tracing::error!(db.error = %error, "the database cannot store");
        }
    }

    pub(crate) fn committed(&self) {
        if !self.is_good() {
            self.full.store(false, Ordering::Relaxed);
            if !self.good.swap(true, Ordering::Relaxed) {
                tracing::info!("the database stores again");
            }
        }
    }
}
