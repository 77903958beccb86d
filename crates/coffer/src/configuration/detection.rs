//! `[detection]`: when something looks hostile, and what is done then.

use coffer_core::{Malformed, detection::Policy, rate::Rate};
use coffer_engine::DetectionSettings;
use serde::Deserialize;

use super::Profile;

const MINUTE_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// The longest time that can be set, in minutes: a month.
const MINUTES_MAX: i64 = 31 * 24 * 60;
/// Keys that are remembered of each address.
const STUFFING_KEYS_MAX: usize = 200;

/// `[detection]`: of each node, except for `rate_…`, which is of all of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Detection {
    /// What is done about addresses from which no key speaks for an account: `watch`, `slow` or `block`. Unless told `watch` in
    /// development and `slow` in production. What concerns an account is the account's own choice.
    pub(crate) strangers: Option<Policy>,
    /// How long what was seen is remembered.
    pub(crate) window_minutes: i64,
    /// Requests of an address for what is not there, or without a key that works, within the window.
    pub(crate) scanning_misses: i64,
    /// Different keys that do not work, from one address within the window.
    pub(crate) stuffing_keys: usize,
    /// Declines of a key, a payer's address or a card within the window; one of a small amount counts twice.
    pub(crate) testing_declines: i64,
    /// As long as they are fewer than this share of what was tried, declines are usual; in per cent.
    pub(crate) testing_share: i64,
    /// What a small amount is, in minor units.
    pub(crate) testing_small: i64,
    /// How many times a key's busiest hour of the last week is unusual.
    pub(crate) rate_factor: i64,
    /// Calls of a key in an hour below which nothing is unusual.
    pub(crate) rate_floor: i64,
    /// For how long a key is only learned.
    pub(crate) learning_days: i64,
    /// What who is slowed gets done in a minute,
    pub(crate) slow_per_minute: i64,
    /// and for how long.
    pub(crate) slow_minutes: i64,
    /// For how long who is blocked gets nothing done.
    pub(crate) block_minutes: i64,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            strangers: None,
            window_minutes: 10,
            scanning_misses: 60,
            stuffing_keys: 20,
            testing_declines: 20,
            testing_share: 50,
            testing_small: 200,
            rate_factor: 4,
            rate_floor: 600,
            learning_days: 3,
            slow_per_minute: 30,
            slow_minutes: 15,
            block_minutes: 60,
        }
    }
}

impl Detection {
    pub(super) fn check(&self, profile: Profile) -> Result<(), String> {
        let settings = self.settings(profile).map(drop);
        settings.map_err(|malformed| format!("[detection]: {malformed}"))
    }

    /// As the engine has them.
    pub(crate) fn settings(&self, profile: Profile) -> Result<DetectionSettings, Malformed> {
        let usual = match profile {
            Profile::Development => Policy::Watch,
            Profile::Production => Policy::Slow,
        };
        let counts = [
            self.scanning_misses,
            self.testing_declines,
            self.testing_share,
            self.testing_small,
            self.rate_factor,
            self.rate_floor,
            self.learning_days,
        ];
        let times = [self.window_minutes, self.slow_minutes, self.block_minutes];
        let sound = counts.into_iter().all(|count| count >= 1)
            && times
                .into_iter()
                .all(|minutes| (1..=MINUTES_MAX).contains(&minutes))
            && (1..=STUFFING_KEYS_MAX).contains(&self.stuffing_keys);
        if !sound {
            return Err(Malformed {
                expected: "numbers from 1 on, times of at most a month, and stuffing_keys of at most 200",
            });
        }
        let ms = |minutes: i64| minutes.saturating_mul(MINUTE_MS);
        Ok(DetectionSettings {
            strangers: self.strangers.unwrap_or(usual),
            window_ms: ms(self.window_minutes),
            scanning_misses: self.scanning_misses,
            stuffing_keys: self.stuffing_keys,
            testing_declines: self.testing_declines,
            testing_share: self.testing_share,
            testing_small: self.testing_small,
            rate_factor: self.rate_factor,
            rate_floor: self.rate_floor,
            learning_ms: self.learning_days.saturating_mul(DAY_MS),
            slow: Rate::new(self.slow_per_minute, self.slow_per_minute)?,
            slow_ms: ms(self.slow_minutes),
            block_ms: ms(self.block_minutes),
        })
    }
}
