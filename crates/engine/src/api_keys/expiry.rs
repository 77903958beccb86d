//! The end of a key, told 30, 7 and 1 days before, and when it has come.

use coffer_core::{Timestamp, event::EventType, id::ApiKeyId, time::DAY_MS};
use coffer_db::params;

use super::{
    UNKEYED,
    change::{Asked, Step},
};
use crate::{Engine, Error, commit::By, rows, store::api_keys as sql};

/// Days before its end on which a key's owner is told; the last is the end itself.
const TOLD_DAYS: [i64; 4] = [0, 1, 7, 30];
/// The next of the days that is told has come with this end: none yet when it is further away.
pub(super) fn days_told(expires: Option<Timestamp>, now: Timestamp) -> Option<i64> {
    let left = expires?.since(now);
    TOLD_DAYS
        .into_iter()
        .find(|days| left <= days.saturating_mul(DAY_MS))
}

impl Engine {
    /// Tells of the keys that end soon, and of those that have ended. A key is told of once for each of the days.
    pub(crate) async fn tell_expiries(&self) -> Result<(), Error> {
        let now = self.now();
        for days in TOLD_DAYS {
            let within = now.plus_millis(days.saturating_mul(DAY_MS)).as_millis();
            let due = self.db().read(&sql::EXPIRIES_DUE, params![within, days]);
            for row in due.await? {
                self.tell_expiry(rows::word(&row, "api_key")?).await?;
            }
        }
        Ok(())
    }

    async fn tell_expiry(&self, id: ApiKeyId) -> Result<(), Error> {
        let asked = || Asked {
            by: By::System,
            fresh: &UNKEYED,
        };
        let told = self.change_key(id, asked, |mut stored, now| {
            let days = days_told(stored.key.settings.expires, now);
            let (before, after) = (stored.key.days_told, days);
            if after.is_none() || before.is_some_and(|before| Some(before) <= after) {
                return Ok(Step::Done);
            }
            stored.key.days_told = days;
            let event = if days == Some(0) {
                EventType::ApiKeyExpired
            } else {
                EventType::ApiKeyExpiring
            };
            Ok(Step::To(stored, event))
        });
        told.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{api_key::KeyKind, permission::Permissions};

    use super::*;
    use crate::{
        EventFilter, NewApiKey, Page,
        fixture::{Shop, make_key, new_key},
    };

    async fn told(shop: &Shop) -> Vec<EventType> {
        let caller = shop.caller("GET /v1/events").await;
        let filter = EventFilter { event_type: None };
        let page = Page::new(Some(100), None).unwrap();
        let listed = shop.engine.event_list(&caller, filter, page).await.unwrap();
        let events = listed.items.into_iter().map(|event| event.event_type);
        events
            .filter(|event| matches!(event, EventType::ApiKeyExpiring | EventType::ApiKeyExpired))
            .collect()
    }

    async fn key_for(shop: &Shop, days: i64) {
        let mut new: NewApiKey = new_key(KeyKind::Secret, Permissions::none());
        new.settings.expires = Some(shop.clock.now().plus_millis(days.saturating_mul(DAY_MS)));
        make_key(&shop.engine, shop.place, new).await;
    }

    async fn pass(shop: &Shop, days: i64) {
        for _ in 0..days {
            shop.clock.advance(DAY_MS);
            shop.engine.poll_changes().await.unwrap();
            for _ in 0..2 {
                shop.engine.keep_keys().await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn the_end_of_a_key_is_told_30_7_and_1_days_before_and_when_it_comes() {
        let shop = Shop::open().await;
        key_for(&shop, 40).await;
        let mut told_after = Vec::new();
        for day in 1..=42 {
            pass(&shop, 1).await;
            if told(&shop).await.len() > told_after.len() {
                told_after.push(day);
            }
        }
        assert_eq!(told_after, [10, 33, 39, 40]);
        let last = told(&shop).await.pop();
        assert_eq!(last, Some(EventType::ApiKeyExpired));
    }

    #[tokio::test]
    async fn a_short_lived_key_is_not_called_ending_as_soon_as_it_is_made() {
        let shop = Shop::open().await;
        key_for(&shop, 5).await;
        shop.engine.keep_keys().await.unwrap();
        assert!(told(&shop).await.is_empty());
        pass(&shop, 5).await;
        assert_eq!(
            told(&shop).await,
            [EventType::ApiKeyExpiring, EventType::ApiKeyExpired]
        );
    }
}
