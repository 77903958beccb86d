//! A cap of an API key, with what was used of it.

use coffer_core::{
    Currency, Timestamp,
    cap::{Cap, CapKind, day_of, resets},
};
use coffer_engine::{CapExcess, CapUse, KeySeen};

use crate::shape::{Time, object};

object! {
    /// A cap of a key. Of the kinds that are listed, it permits the listed currencies only.
    pub(crate) struct CapView as "Cap" {
        /// What is capped: by day (UTC) or by call.
        kind: CapKind,
        /// In which currency; none for cards.
        currency: Option<Currency>,
        /// The most, in minor units, or a number of cards.
        limit: i64,
        /// What was used of it today; null for a cap by call, and where it was not looked up.
        used: Option<i64>,
        /// What is left of it; null like used.
        left: Option<i64>,
        /// When it begins anew; null for a cap by call.
        resets: Option<Time>,
    }
}

impl CapView {
    /// A cap at a time, with what was seen of its key if that was looked up.
    pub(crate) fn of(cap: Cap, seen: Option<&KeySeen>, now: Timestamp) -> Self {
        let (kind, currency, limit) = (cap.kind(), cap.currency(), cap.limit());
        let per_day = kind.is_per_day();
        let used = seen.filter(|_| per_day).map(|seen| {
            let of_it = |one: &&CapUse| (one.kind, one.currency) == (kind, currency);
            seen.caps.iter().find(of_it).map_or(0, |one| one.used)
        });
        Self {
            kind,
            currency,
            limit,
            used,
            left: used.map(|used| limit.saturating_sub(used).max(0)),
            resets: per_day.then(|| Time(resets(day_of(now)))),
        }
    }

    /// What was exceeded, for whoever did.
    pub(crate) fn exceeded(excess: CapExcess) -> Self {
        let CapExcess {
            kind,
            currency,
            limit,
            left,
            resets,
        } = excess;
        let per_day = kind.is_per_day();
        Self {
            kind,
            currency,
            limit,
            used: per_day.then(|| limit.saturating_sub(left)),
            left: Some(left),
            resets: resets.map(Time),
        }
    }
}
