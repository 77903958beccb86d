//! Usage in an hour.

use coffer_core::{Currency, id::ApiKeyId};
use coffer_engine::{Moved, Sums, UsageHour, UsageName};

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
        /// What was moved, by payments that the key made.
        money: Vec<MovedView>,
    }
}

object! {
    /// Money that was moved, in one currency.
    pub(crate) struct MovedView as "Moved" {
        /// ISO 4217.
        currency: Currency,
        /// Captured, in minor units.
        captured: i64,
        /// Refunded, in minor units.
        refunded: i64,
    }
}

impl MovedView {
    fn of(moved: Moved) -> Self {
        let Moved {
            currency,
            captured,
            refunded,
        } = moved;
        Self {
            currency,
            captured,
            refunded,
        }
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
            money,
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
            money: money.into_iter().map(MovedView::of).collect(),
        }
    }
}

/// Usage for the operator, as the API shows it.
#[must_use]
pub fn usage_json(usage: UsageHour) -> serde_json::Value {
    serde_json::to_value(UsageView::of(usage)).unwrap_or_default()
}
