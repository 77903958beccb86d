//! Usage in an hour.

use coffer_core::id::ApiKeyId;
use coffer_engine::{Sums, UsageHour, UsageName};

use crate::{
    routes::routes,
    shape::{ObjectType, Time, object},
};

object! {
    /// What one key asked of one endpoint in one hour.
    pub(crate) struct UsageView as "Usage" {
        /// Its id, for the next page.
        id: UsageName,
        /// The kind of object.
        r#type: ObjectType,
        /// When the hour begins.
        hour: Time,
        /// Which key.
        api_key: ApiKeyId,
        /// Which endpoint: method and route.
        endpoint: String,
        /// Calls.
        calls: i64,
        /// Those that were refused (4xx).
        refused: i64,
        /// Those that failed on our side (5xx).
        failed: i64,
        /// How long a call took on the average, in microseconds.
        latency_mean_us: i64,
        /// How long the longest took, in microseconds.
        latency_most_us: i64,
        /// Bytes of the requests' bodies.
        bytes_in: i64,
        /// Bytes of the answers' bodies.
        bytes_out: i64,
    }
}

impl UsageView {
    /// An hour as its account sees it.
    pub(crate) fn of(usage: UsageHour) -> Self {
        let UsageHour {
            id,
            hour,
            key,
            operation,
            sums,
        } = usage;
        let Sums {
            calls,
            refused,
            failed,
            latency_us,
            latency_most_us,
            bytes_in,
            bytes_out,
        } = sums;
        let row = routes().iter().find(|row| row.operation() == operation);
        Self {
            id,
            r#type: ObjectType::Usage,
            hour: Time(hour),
            api_key: key,
            endpoint: row.map_or(operation, |row| row.route().to_owned()),
            calls,
            refused,
            failed,
            latency_mean_us: latency_us.checked_div(calls).unwrap_or_default(),
            latency_most_us,
            bytes_in,
            bytes_out,
        }
    }
}
