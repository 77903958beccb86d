//! What a key could be tightened to.

use coffer_engine::Suggestion;

use super::{RateView, Rights, written};
use crate::shape::{Time, object};

object! {
    /// The least that a key needed in the last 30 days.
    pub(crate) struct SuggestionView as "ApiKeySuggestion" {
        /// Since when it was looked.
        since: Time,
        /// Calls that were looked at.
        calls: i64,
        /// The rights that they needed.
        permissions: Rights,
        /// The addresses that they came from; empty when there were too many to list.
        addresses: Vec<String>,
        /// A rate with room above the busiest hour.
        rate: Option<RateView>,
    }
}

impl SuggestionView {
    /// What was learned of a key.
    pub(crate) fn of(suggestion: Suggestion) -> Self {
        let Suggestion {
            since,
            calls,
            permissions,
            addresses,
            rate,
        } = suggestion;
        Self {
            since: Time(since),
            calls,
            permissions: Rights(permissions),
            addresses: written(&addresses),
            rate: rate.map(RateView::of),
        }
    }
}
