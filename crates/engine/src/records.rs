//! The account's own view of the log: what was done, read and refused in its name, the newest first.

use coffer_audit::{Audit, Listed as Entry, Outcome};
use coffer_core::{Malformed, Timestamp, id::LeafId, time::DAY_MS};
use coffer_db::{Database, Transaction};
use coffer_net::contract::Place;

use crate::{Engine, Error, Page, commit::By};

/// Leaves that are read at a time.
const LEAVES_PER_READ: i64 = 100;
/// How often more are read for one page when few of them match; then the page ends early, with a cursor.
const READS_MAX: usize = 20;
/// Entries exported at a time.
const EXPORT_RECORDS_MAX: usize = 1_000;
/// As [`READS_MAX`], for an export.
const EXPORT_READS_MAX: usize = 100;
/// No entry waits longer to be written.
const WRITTEN_WITHIN_MS: i64 = DAY_MS;
/// After every id of a leaf.
const NEWEST: &str = "~";

/// An entry of the log, as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Which: its leaf and its place in it.
    pub id: RecordName,
    /// What the log says.
    pub entry: Entry,
}

/// The name of an entry: its leaf's id and its place among the leaf's entries, `leaf_….0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordName {
    leaf: LeafId,
    place: usize,
}

impl std::fmt::Display for RecordName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.leaf, self.place)
    }
}

impl serde::Serialize for RecordName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::str::FromStr for RecordName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "the id of a record, leaf_….0",
        };
        let (leaf, place) = text.split_once('.').ok_or(malformed)?;
        Ok(Self {
            leaf: leaf.parse().map_err(|_| malformed)?,
            place: place.parse().map_err(|_| malformed)?,
        })
    }
}

/// A page of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    /// The entries; few or none where few match.
    pub items: Vec<AuditRecord>,
    /// After which one the next page begins, unless this is the last.
    pub next: Option<RecordName>,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// By this actor: a key's id.
    pub actor: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// About this object.
    pub object: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
}

impl RecordFilter {
    /// Before which leaf there is nothing to be found. Ids of leaves begin with the time at which they were made, which is
    /// that of their entries or a little later.
    fn newest(&self, now: Timestamp) -> String {
        let made = self.to.map(|to| to.plus_millis(WRITTEN_WITHIN_MS));
        made.filter(|made| *made < now).map_or_else(
            || NEWEST.to_owned(),
            |made| LeafId::from_parts(made, [u8::MAX; 10]).to_string(),
        )
    }

    fn takes(&self, of: Option<Place>, entry: &Entry) -> bool {
        let recorded = &entry.recorded;
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        // What belongs to no mode, such as the making of the account, is seen in both.
        recorded
            .mode
            .is_none_or(|mode| of.is_none_or(|place| place.mode == mode))
            && is(&self.actor, &recorded.actor.id)
            && is(&self.action, &recorded.action)
            && self
                .object
                .as_ref()
                .is_none_or(|object| recorded.objects.contains(object))
            && self
                .outcome
                .is_none_or(|outcome| outcome == recorded.outcome)
            && self.from.is_none_or(|from| recorded.time >= from)
            && self.to.is_none_or(|to| recorded.time < to)
    }
}

impl Engine {
    /// Entries about an account and mode, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no record's id.
    pub async fn record_list(
        &self,
        place: Place,
        filter: &RecordFilter,
        page: Page,
    ) -> Result<RecordPage, Error> {
        let most = usize::try_from(page.limit()).unwrap_or(usize::MAX);
        self.record_page(Some(place), filter, page.after()?, (most, READS_MAX))
            .await
    }

    /// As many entries as are exported at a time, the newest first: about an account and mode, or about none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record_export(
        &self,
        of: Option<Place>,
        filter: &RecordFilter,
        after: Option<RecordName>,
    ) -> Result<RecordPage, Error> {
        let most = (EXPORT_RECORDS_MAX, EXPORT_READS_MAX);
        self.record_page(of, filter, after, most).await
    }

    /// As [`Engine::record_export`], by the operator, which is on record before anything is told.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn record_export_by_operator(
        &self,
        of: Option<Place>,
        filter: &RecordFilter,
        after: Option<RecordName>,
    ) -> Result<RecordPage, Error> {
        let first = after.map_or_else(|| "newest".to_owned(), |after| after.to_string());
        self.commit(By::Operator, of, "audit.export", &first, Transaction::new())
            .await?;
        self.record_export(of, filter, after).await
    }

    async fn record_page(
        &self,
        of: Option<Place>,
        filter: &RecordFilter,
        after: Option<RecordName>,
        limits: (usize, usize),
    ) -> Result<RecordPage, Error> {
        let log = (&self.0.audit, self.db(), self.now());
        page_of(log, of, filter, after, limits).await
    }
}

/// As many entries of another role's log as are exported at a time, the newest first: those about no account.
///
/// # Errors
/// When the store cannot be read.
pub async fn records_of(
    log: (&Audit, &Database, Timestamp),
    filter: &RecordFilter,
    after: Option<RecordName>,
) -> Result<RecordPage, Error> {
    page_of(
        log,
        None,
        filter,
        after,
        (EXPORT_RECORDS_MAX, EXPORT_READS_MAX),
    )
    .await
}

async fn page_of(
    (audit, db, now): (&Audit, &Database, Timestamp),
    of: Option<Place>,
    filter: &RecordFilter,
    after: Option<RecordName>,
    (most, reads): (usize, usize),
) -> Result<RecordPage, Error> {
    let account = of.map(|place| place.account);
    let newest = filter.newest(now);
    let oldest = filter.from.map(|from| LeafId::from_parts(from, [0; 10]));
    let (mut items, mut last): (Vec<AuditRecord>, _) = (Vec::new(), after);
    for _ in 0..reads {
        let up_to = last.map_or_else(|| newest.clone(), |last| last.leaf.to_string());
        let part = (up_to.as_str(), LEAVES_PER_READ);
        let entries = audit.of_account(db, account, part).await?;
        let before = last;
        for record in entries.into_iter().map(named) {
            if before.is_some_and(|before| record.id >= before) {
                continue;
            }
            if filter.takes(of, &record.entry) {
                if items.len() == most {
                    let next = items.last().map(|last| last.id);
                    return Ok(RecordPage { items, next });
                }
                items.push(record.clone());
            }
            last = Some(record.id);
        }
        let is_over = |last: RecordName| oldest.is_some_and(|oldest| last.leaf < oldest);
        if last == before || last.is_some_and(is_over) {
            return Ok(RecordPage { items, next: None });
        }
    }
    Ok(RecordPage { items, next: last })
}

fn named(entry: Entry) -> AuditRecord {
    let id = RecordName {
        leaf: entry.leaf,
        place: entry.place,
    };
    AuditRecord { id, entry }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, time::Duration};

    use coffer_core::payment::CaptureMode;
    use coffer_testkit::eventually;

    use super::*;
    use crate::{Called, calls::TOGETHER_MAX, fixture::Shop};

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn read(shop: &Shop, filter: RecordFilter, page: Page) -> RecordPage {
        shop.engine
            .record_list(shop.place, &filter, page)
            .await
            .unwrap()
    }

    fn all() -> Page {
        Page::new(Some(100), None).unwrap()
    }

    async fn called(shop: &Shop, strict: bool) {
        let called = Called {
            caller: shop.caller("GET /v1/payments/{id}").await,
            operation: "payment",
            object: Called::object("pay_1"),
            outcome: Outcome::Succeeded,
            came: shop.clock.now(),
            latency_ms: 3,
        };
        shop.engine.record_call(called, strict).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_read_is_on_record_with_who_and_from_where() {
        let shop = Shop::open().await;
        for _ in 0..3 {
            called(&shop, false).await;
        }
        let reads = RecordFilter {
            action: Some("payment".to_owned()),
            ..RecordFilter::default()
        };
        assert!(read(&shop, reads.clone(), all()).await.items.is_empty());
        shop.engine.write_calls().await.unwrap();
        let listed = read(&shop, reads, all()).await.items;
        assert_eq!(listed.len(), 3);
        for record in &listed {
            let entry = &record.entry;
            assert_eq!(entry.recorded.route, "GET /v1/payments/{id}");
            assert_eq!(entry.recorded.objects, ["pay_1"]);
            assert_eq!(entry.recorded.tls, "1.3");
            assert_eq!(entry.address.as_deref(), Some("127.0.0.1"));
            assert_eq!(entry.leaf, listed[0].entry.leaf, "packed");
        }
    }

    #[tokio::test]
    async fn a_full_pack_is_recorded_without_waiting_for_the_time_to_do_so() {
        let shop = Shop::open().await;
        for _ in 0..TOGETHER_MAX {
            called(&shop, false).await;
        }
        let reads = RecordFilter {
            action: Some("payment".to_owned()),
            ..RecordFilter::default()
        };
        let recorded = async || {
            let one = Page::new(Some(1), None).unwrap();
            read(&shop, reads.clone(), one).await.items.pop()
        };
        eventually(PATIENCE, "the reads are on record", recorded).await;
    }

    #[tokio::test]
    async fn what_must_be_on_record_is_before_the_answer() {
        let shop = Shop::open().await;
        called(&shop, true).await;
        let by_action = RecordFilter {
            action: Some("payment".to_owned()),
            ..RecordFilter::default()
        };
        assert_eq!(read(&shop, by_action, all()).await.items.len(), 1);
    }

    #[tokio::test]
    async fn pages_follow_each_other_without_gaps_and_repetitions() {
        let shop = Shop::open().await;
        for _ in 0..4 {
            for _ in 0..5 {
                called(&shop, false).await;
            }
            shop.engine.write_calls().await.unwrap();
            shop.pay(CaptureMode::Automatic).await.unwrap();
        }
        let whole: Vec<_> = read(&shop, RecordFilter::default(), all()).await.items;
        assert!(whole.len() > 25);
        let reads = RecordFilter {
            action: Some("payment".to_owned()),
            ..RecordFilter::default()
        };
        let only = |whole: &[AuditRecord]| -> Vec<_> {
            let taken = |record: &&AuditRecord| record.entry.recorded.action == "payment";
            whole.iter().filter(taken).cloned().collect()
        };
        for (filter, expected) in [
            (RecordFilter::default(), whole.clone()),
            (reads, only(&whole)),
        ] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = Page::new(Some(3), after.clone()).unwrap();
                let listed = read(&shop, filter.clone(), page).await;
                found.extend(listed.items);
                let Some(next) = listed.next else { break };
                after = Some(next.to_string());
            }
            assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn a_page_of_which_little_matches_says_where_to_go_on() {
        let shop = Shop::open().await;
        for _ in 0..5 * LEAVES_PER_READ / 2 {
            shop.clock.advance(1);
            called(&shop, true).await;
        }
        let every = RecordFilter::default();
        let whole = shop.engine.record_export(Some(shop.place), &every, None);
        let oldest = whole.await.unwrap().items.pop().unwrap();
        let filter = RecordFilter {
            action: Some(oldest.entry.recorded.action.to_string()),
            ..RecordFilter::default()
        };
        let part = async |after| {
            let most = (3, 2);
            let part = shop
                .engine
                .record_page(Some(shop.place), &filter, after, most);
            part.await.unwrap()
        };
        let first = part(None).await;
        assert!(first.items.is_empty() && first.next.is_some());
        let second = part(first.next).await;
        assert_eq!(second.items.last(), Some(&oldest));
        assert_eq!(second.next, None);
    }

    #[tokio::test]
    async fn times_bound_what_is_looked_at_and_what_is_found() {
        let shop = Shop::open().await;
        let began = shop.clock.now();
        for _ in 0..3 {
            shop.clock.advance(DAY_MS);
            called(&shop, true).await;
        }
        let day = |days: i64| Some(began.plus_millis(days * DAY_MS));
        for (from, to, count) in [
            (day(1), day(2), 1),
            (day(2), None, 2),
            (None, day(3), 2),
            (day(3), day(4), 1),
            (day(4), None, 0),
        ] {
            let action = Some("payment".to_owned());
            let filter = RecordFilter {
                action,
                from,
                to,
                ..RecordFilter::default()
            };
            let found = read(&shop, filter, all()).await.items;
            assert_eq!(found.len(), count, "{from:?} {to:?}");
        }
    }

    #[tokio::test]
    async fn nobody_sees_what_another_account_did() {
        let shop = Shop::open().await;
        called(&shop, true).await;
        let (elsewhere, _) = crate::fixture::merchant(&shop.engine, "stranger").await;
        let filter = RecordFilter::default();
        let listed = shop.engine.record_list(elsewhere, &filter, all()).await;
        let actions: Vec<_> = listed
            .unwrap()
            .items
            .into_iter()
            .map(|record| record.entry.recorded.public.action)
            .collect();
        assert!(!actions.contains(&Cow::Borrowed("payment")), "{actions:?}");
        assert!(!actions.is_empty());
    }

    #[test]
    fn only_what_can_be_an_id_is_recorded_of_a_path() {
        assert_eq!(
            Called::object("pay_06ajfp8e7k").as_deref(),
            Some("pay_06ajfp8e7k")
        );
        for wrong in ["", "a b", "ä", "line\nfeed", "A", &"x".repeat(65)] {
            assert_eq!(Called::object(wrong), None, "{wrong:?}");
        }
    }
}
