//! `[limits]`: how much may be asked for by whom, unless a key has a rate of its own.

use coffer_core::{Malformed, rate::Rate};
use coffer_engine::LimitSettings;
use serde::Deserialize;

/// `[limits]`: of each node. A rate is so many units a minute on the average, and so many at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Requests of a key in a minute.
    pub(crate) key_per_minute: i64,
    /// And at once.
    pub(crate) key_burst: i64,
    /// Requests of an account and mode in a minute, all keys together.
    pub(crate) account_per_minute: i64,
    /// And at once.
    pub(crate) account_burst: i64,
    /// Keys from one address that do not work, in a minute.
    pub(crate) failures_per_minute: i64,
    /// And at once.
    pub(crate) failures_burst: i64,
    /// Handshakes from one address, in a minute.
    pub(crate) handshakes_per_minute: i64,
    /// And at once.
    pub(crate) handshakes_burst: i64,
    /// Requests that a key has at the same time.
    pub(crate) key_concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_per_minute: 6_000,
            key_burst: 600,
            account_per_minute: 60_000,
            account_burst: 6_000,
            failures_per_minute: 60,
            failures_burst: 30,
            handshakes_per_minute: 6_000,
            handshakes_burst: 600,
            key_concurrent: 100,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), String> {
        let handshakes = self.handshakes().map(drop);
        let all = handshakes.and(self.settings().map(drop));
        all.map_err(|malformed| {
            format!("[limits]: {malformed}, and at least one request at the same time")
        })
    }

    /// As the faces have them.
    pub(crate) const fn handshakes(&self) -> Result<Rate, Malformed> {
        Rate::new(self.handshakes_per_minute, self.handshakes_burst)
    }

    /// As the engine has them.
    pub(crate) fn settings(&self) -> Result<LimitSettings, Malformed> {
        let none = Malformed {
            expected: "key_concurrent of at least 1",
        };
        Ok(LimitSettings {
            key: Rate::new(self.key_per_minute, self.key_burst)?,
            account: Rate::new(self.account_per_minute, self.account_burst)?,
            failures: Rate::new(self.failures_per_minute, self.failures_burst)?,
            concurrent: Some(self.key_concurrent)
                .filter(|most| *most > 0)
                .ok_or(none)?,
        })
    }
}
