//! The account's own view of the log: what was done, read and refused in its name, the newest first.

use coffer_audit::{Listed as Entry, Outcome};
use coffer_core::{Malformed, Timestamp, id::LeafId};
use coffer_net::contract::Place;

use crate::{Engine, Error, Listed, Page};

/// Leaves that are read at a time.
const LEAVES_PER_READ: i64 = 100;
/// How often more are read for one page when few of them match; then the page ends early, with a cursor.
const READS_MAX: usize = 20;
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
    fn takes(&self, place: Place, entry: &Entry) -> bool {
        let recorded = &entry.recorded;
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        // What belongs to no mode, such as the making of the account, is seen in both.
        recorded.mode.is_none_or(|mode| mode == place.mode)
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
    ) -> Result<Listed<AuditRecord>, Error> {
        let after: Option<RecordName> = page.after()?;
        let wanted = usize::try_from(page.fetch()).unwrap_or(usize::MAX);
        let (mut found, mut last) = (Vec::new(), None);
        let mut up_to = after.map_or_else(|| NEWEST.to_owned(), |after| after.leaf.to_string());
        for _ in 0..READS_MAX {
            let reading =
                self.0
                    .audit
                    .of_account(self.db(), place.account, (&up_to, LEAVES_PER_READ));
            let entries = reading.await?.into_iter().map(named);
            let next: Vec<_> = entries
                .filter(|record| after.is_none_or(|after| record.id < after))
                .filter(|record| last.is_none_or(|last| record.id < last))
                .collect();
            let Some(oldest) = next.last().map(|record| record.id) else {
                break;
            };
            (last, up_to) = (Some(oldest), oldest.leaf.to_string());
            found.extend(
                next.into_iter()
                    .filter(|one| filter.takes(place, &one.entry)),
            );
            if found.len() >= wanted {
                break;
            }
        }
        let has_more = found.len() >= wanted;
        found.truncate(wanted.saturating_sub(1));
        Ok(Listed {
            items: found,
            has_more,
        })
    }
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
    use coffer_core::payment::CaptureMode;

    use super::*;
    use crate::{Called, fixture::Shop};

    async fn read(shop: &Shop, filter: RecordFilter, page: Page) -> Listed<AuditRecord> {
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
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = Page::new(Some(3), after.clone()).unwrap();
            let listed = read(&shop, RecordFilter::default(), page).await;
            found.extend(listed.items);
            after = found
                .last()
                .map(|record: &AuditRecord| record.id.to_string());
            if !listed.has_more {
                break;
            }
        }
        assert_eq!(found, whole);
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
        assert!(!actions.contains(&"payment".to_owned()), "{actions:?}");
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
