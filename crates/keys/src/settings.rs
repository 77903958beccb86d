//! What the process is told at its start.

use coffer_audit::Retention;
use coffer_net::Clock;

/// Records that an account may have opened per hour and mode, unless configured otherwise.
const OPEN_PER_HOUR: i64 = 100_000;
/// Fingerprints that an account may ask for per hour and mode, unless configured otherwise.
const FINGERPRINT_PER_HOUR: i64 = 1_000_000;

/// What the process is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which of the key servers this is.
    pub instance: String,
    /// Tells the time.
    pub clock: Clock,
    /// Records that each account may have opened per hour and mode.
    pub open_per_hour: i64,
    /// Fingerprints that each account may ask for per hour and mode.
    pub fingerprint_per_hour: i64,
    /// How long what is on record keeps its contents.
    pub retention: Retention,
}

impl Settings {
    /// The usual settings.
    #[must_use]
    pub fn new(instance: &str, clock: Clock) -> Self {
        Self {
            instance: instance.to_owned(),
            clock,
            open_per_hour: OPEN_PER_HOUR,
            fingerprint_per_hour: FINGERPRINT_PER_HOUR,
            retention: Retention::default(),
        }
    }
}
