//! Usage: how much was asked for, by key, operation and hour. Added up in memory, written now and then; a node that dies loses
//! the counts of the last half minute.

mod money;

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use coffer_audit::Outcome;
use coffer_core::{Malformed, Timestamp, id::ApiKeyId, time::DAY_MS};
use coffer_db::{Expect, Row, Transaction, params};
use coffer_net::contract::Place;

use crate::{
    Caller, Engine, Error, Listed, Page, api_keys::KeyUse, rows, rows::key_of, store::usage as sql,
};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// Rows that are written by one transaction.
const ROWS_PER_WRITE: usize = 500;
/// How long usage is kept: 13 months.
const KEPT_MS: i64 = 396 * DAY_MS;

pub use money::Moved;

/// What one call took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub latency: Duration,
    /// Bytes of the request's body.
    pub bytes_in: usize,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
}

/// Sums of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Calls.
    pub calls: i64,
    /// Those that were refused (4xx).
    pub refused: i64,
    /// Those that failed on our side (5xx).
    pub failed: i64,
    /// How long all of them took together, in microseconds.
    pub latency_us: i64,
    /// How long the longest took, in microseconds.
    pub latency_most_us: i64,
    /// Bytes of the requests' bodies.
    pub bytes_in: i64,
    /// Bytes of the answers' bodies.
    pub bytes_out: i64,
}

impl From<&Taken> for Sums {
    fn from(taken: &Taken) -> Self {
        let count = |of: Result<i64, std::num::TryFromIntError>| of.unwrap_or(i64::MAX);
        let is = |outcome| i64::from(taken.outcome == outcome);
        let latency_us = count(taken.latency.as_micros().try_into());
        Self {
            calls: 1,
            refused: is(Outcome::Refused),
            failed: is(Outcome::Failed),
            latency_us,
            latency_most_us: latency_us,
            bytes_in: count(taken.bytes_in.try_into()),
            bytes_out: count(taken.bytes_out.try_into()),
        }
    }
}

impl Sums {
    fn join(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.refused = self.refused.saturating_add(other.refused);
        self.failed = self.failed.saturating_add(other.failed);
        self.latency_us = self.latency_us.saturating_add(other.latency_us);
        self.latency_most_us = self.latency_most_us.max(other.latency_most_us);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }
}

/// What is added up: of which key and operation, in which hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    hour: i64,
    place: Place,
    key: ApiKeyId,
    operation: &'static str,
}

/// What one slot holds.
#[derive(Default)]
struct Counted {
    sums: Sums,
    /// One for each currency.
    money: Vec<Moved>,
}

/// Calls of one key, by hour and operation, since they were written last. Beside the key, so that a call finds it at once.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Vec<(i64, &'static str, Sums)>>);

impl Tally {
    /// Adds a call; whether it is the first since the last writing.
    fn add(&self, hour: i64, operation: &'static str, taken: &Taken) -> bool {
        let mut sums = coffer_net::lock(&self.0);
        let is_first = sums.is_empty();
        let known = sums
            .iter_mut()
            .find(|(of, by, _)| *of == hour && *by == operation);
        match known {
            Some((_, _, sums)) => sums.join(&taken.into()),
            None => sums.push((hour, operation, taken.into())),
        }
        is_first
    }

    fn take(&self) -> Vec<(i64, &'static str, Sums)> {
        std::mem::take(&mut *coffer_net::lock(&self.0))
    }
}

/// What this node has not written yet.
#[derive(Default)]
pub(crate) struct Usage {
    /// The keys that have called.
    called: Mutex<Vec<Arc<KeyUse>>>,
    money: Mutex<HashMap<Slot, Vec<Moved>>>,
}

impl Usage {
    fn take(&self) -> HashMap<Slot, Counted> {
        let money = std::mem::take(&mut *coffer_net::lock(&self.money));
        let moved = money.into_iter().map(|(slot, money)| {
            let sums = Sums::default();
            (slot, Counted { sums, money })
        });
        let mut counted: HashMap<Slot, Counted> = moved.collect();
        for key in std::mem::take(&mut *coffer_net::lock(&self.called)) {
            for (hour, operation, sums) in key.tally.take() {
                let slot = Slot {
                    hour,
                    place: key.place,
                    key: key.id,
                    operation,
                };
                counted.entry(slot).or_default().sums.join(&sums);
            }
        }
        counted
    }
}

/// The name of a row: hour since 1970, key and operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageName {
    hour: i64,
    key: ApiKeyId,
    operation: String,
}

impl std::fmt::Display for UsageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.hour, self.key, self.operation)
    }
}

impl serde::Serialize for UsageName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for UsageName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "the id of a row of usage",
        };
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(malformed);
        Ok(Self {
            hour: part()?.parse().map_err(|_| malformed)?,
            key: part()?.parse().map_err(|_| malformed)?,
            operation: part()?.to_owned(),
        })
    }
}

/// Usage of one key and operation in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageHour {
    /// Which.
    pub id: UsageName,
    /// When the hour begins.
    pub hour: Timestamp,
    /// Which key.
    pub key: ApiKeyId,
    /// Which operation.
    pub operation: String,
    /// How much.
    pub sums: Sums,
    /// What was moved by payments of the key, by currency.
    pub money: Vec<Moved>,
}

/// Which rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsageFilter {
    /// Of this key.
    pub key: Option<ApiKeyId>,
    /// Of hours that end after this.
    pub from: Option<Timestamp>,
    /// Of hours that begin before this.
    pub to: Option<Timestamp>,
}

pub(crate) const fn hour_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(HOUR_MS)
}

impl Engine {
    /// Counts a call.
    pub fn count(&self, caller: &Caller, operation: &'static str, taken: &Taken) {
        let key = &caller.known.uses;
        if key.tally.add(hour_of(self.now()), operation, taken) {
            coffer_net::lock(&self.0.usage.called).push(Arc::clone(key));
        }
    }

    /// Usage of an account and mode, the newest hour first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no row's id.
    pub async fn usage_list(
        &self,
        place: Place,
        filter: UsageFilter,
        page: Page,
    ) -> Result<Listed<UsageHour>, Error> {
        self.write_usage().await?;
        let after: Option<UsageName> = page.after()?;
        let [account, mode] = key_of(place);
        let last = filter.to.map_or(i64::MAX, |to| hour_of(to.plus_millis(-1)));
        let seen = after.map(|after| (after.hour, after.key.to_string(), after.operation));
        let (hour, key, operation) =
            seen.unwrap_or_else(|| (i64::MAX, "~".to_owned(), String::new()));
        let row = params![
            account,
            mode,
            filter.from.map_or(0, hour_of),
            last.min(hour),
            filter.key.map_or_else(String::new, |key| key.to_string()),
            hour,
            key,
            operation,
            page.fetch(),
        ];
        let mut listed = page.read(&self.db().read(&sql::LIST, row).await?, read)?;
        self.add_money(place, filter.key, &mut listed.items).await?;
        Ok(listed)
    }

    /// Writes what was counted since the last time.
    pub(crate) async fn write_usage(&self) -> Result<(), Error> {
        let mut counted: Vec<_> = self.0.usage.take().into_iter().collect();
        // In one order on every node, so that two that write at once wait for each other and nothing worse.
        counted.sort_unstable_by_key(|(slot, _)| (*slot.key.as_bytes(), slot.operation, slot.hour));
        for some in counted.chunks(ROWS_PER_WRITE) {
            let mut steps = Transaction::new();
            for (slot, counted) in some {
                steps.push(&sql::ADD, row(slot, &counted.sums), Expect::Exactly(1));
            }
            for (slot, counted) in some {
                for moved in &counted.money {
                    let row = money::row(slot, moved);
                    steps.push(&sql::ADD_MONEY, row, Expect::Exactly(1));
                }
            }
            self.db().transact(steps).await?;
        }
        Ok(())
    }

    /// Forgets what is older than 13 months.
    pub(crate) async fn prune_usage(&self) -> Result<(), Error> {
        let before = hour_of(self.now().plus_millis(-KEPT_MS));
        let prune = Transaction::new()
            .any(&sql::PRUNE, params![before])
            .any(&sql::PRUNE_MONEY, params![before]);
        self.db().transact(prune).await?;
        Ok(())
    }
}

fn row(slot: &Slot, sums: &Sums) -> Vec<coffer_db::Value> {
    let [account, mode] = key_of(slot.place);
    params![
        account,
        mode,
        slot.hour,
        slot.key.to_string(),
        slot.operation,
        sums.calls,
        sums.refused,
        sums.failed,
        sums.latency_us,
        sums.latency_most_us,
        sums.bytes_in,
        sums.bytes_out,
    ]
}

fn name(row: &Row) -> Result<UsageName, Error> {
    Ok(UsageName {
        hour: row.integer("hour")?,
        key: rows::word(row, "api_key")?,
        operation: row.text("operation")?.to_owned(),
    })
}

fn read(row: &Row) -> Result<UsageHour, Error> {
    let id = name(row)?;
    Ok(UsageHour {
        hour: Timestamp::from_millis(id.hour.saturating_mul(HOUR_MS)),
        key: id.key,
        operation: id.operation.clone(),
        id,
        money: Vec::new(),
        sums: Sums {
            calls: row.integer("calls")?,
            refused: row.integer("refused")?,
            failed: row.integer("failed")?,
            latency_us: row.integer("latency_us")?,
            latency_most_us: row.integer("latency_most_us")?,
            bytes_in: row.integer("bytes_in")?,
            bytes_out: row.integer("bytes_out")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Shop;

    async fn count(shop: &Shop, operation: &'static str, outcome: Outcome) {
        let caller = shop.caller("GET /v1/ping").await;
        let taken = Taken {
            outcome,
            latency: Duration::from_micros(250),
            bytes_in: 10,
            bytes_out: 100,
        };
        shop.engine.count(&caller, operation, &taken);
    }

    async fn list(shop: &Shop, filter: UsageFilter, page: Page) -> Listed<UsageHour> {
        let listed = shop.engine.usage_list(shop.place, filter, page);
        listed.await.unwrap()
    }

    fn all() -> Page {
        Page::new(Some(100), None).unwrap()
    }

    #[tokio::test]
    async fn calls_are_added_up_by_key_operation_and_hour() {
        let shop = Shop::open().await;
        for outcome in [Outcome::Succeeded, Outcome::Refused, Outcome::Failed] {
            count(&shop, "payment", outcome).await;
            shop.engine.write_usage().await.unwrap();
        }
        count(&shop, "ping", Outcome::Succeeded).await;
        shop.clock.advance(HOUR_MS);
        shop.engine.poll_changes().await.unwrap();
        count(&shop, "payment", Outcome::Succeeded).await;
        let hours = list(&shop, UsageFilter::default(), all()).await.items;
        let seen: Vec<_> = hours
            .iter()
            .map(|hour| (hour.operation.as_str(), hour.sums.calls))
            .collect();
        assert_eq!(seen, [("payment", 1), ("ping", 1), ("payment", 3)]);
        let first = hours[2].sums;
        assert_eq!((first.refused, first.failed), (1, 1));
        assert_eq!((first.latency_us, first.latency_most_us), (750, 250));
        assert_eq!((first.bytes_in, first.bytes_out), (30, 300));
    }

    #[tokio::test]
    async fn pages_follow_each_other_and_filters_hold() {
        let shop = Shop::open().await;
        let began = shop.clock.now();
        for _ in 0..3 {
            for operation in ["ping", "payment", "refund", "event_list"] {
                count(&shop, operation, Outcome::Succeeded).await;
            }
            shop.clock.advance(HOUR_MS);
            shop.engine.poll_changes().await.unwrap();
        }
        let whole = list(&shop, UsageFilter::default(), all()).await.items;
        assert_eq!(whole.len(), 12);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = Page::new(Some(5), after).unwrap();
            let listed = list(&shop, UsageFilter::default(), page).await;
            found.extend(listed.items);
            if !listed.has_more {
                break;
            }
            after = found.last().map(|hour: &UsageHour| hour.id.to_string());
        }
        assert_eq!(found, whole);
        let second = UsageFilter {
            from: Some(began.plus_millis(HOUR_MS)),
            to: Some(began.plus_millis(HOUR_MS + 1)),
            key: Some(whole[0].key),
        };
        assert_eq!(list(&shop, second, all()).await.items.len(), 4);
        let other_key = UsageFilter {
            key: Some(ApiKeyId::from_bytes([1; 16])),
            ..second
        };
        assert!(list(&shop, other_key, all()).await.items.is_empty());
    }
}
