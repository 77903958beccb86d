//! Whether the storage worked when it was last used.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Unavailable};

/// Bad after the storage failed, good again after a commit that wrote something.
pub(crate) struct Health {
    good: AtomicBool,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            good: AtomicBool::new(true),
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.good.load(Ordering::Relaxed)
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
        if storage && self.good.swap(false, Ordering::Relaxed) {
            tracing::error!(db.error = %error, "the database cannot store");
        }
    }

    pub(crate) fn committed(&self) {
        if !self.is_good() && !self.good.swap(true, Ordering::Relaxed) {
            tracing::info!("the database stores again");
        }
    }
}
