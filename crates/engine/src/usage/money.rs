//! Money in usage: what payments have moved, for the key that made them, where and when it was moved.

use coffer_core::{Currency, id::ApiKeyId, payment::CaptureMode};
use coffer_db::params;
use coffer_net::contract::Place;

use super::{Slot, UsageHour, UsageName, hour_of, name};
use crate::{Engine, Error, ledger::Ledger, rows, rows::key_of, store::usage as sql};

/// Money in one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The currency.
    pub currency: Currency,
    /// Captured.
    pub captured: i64,
    /// Refunded.
    pub refunded: i64,
}

impl Moved {
    fn add(&mut self, other: Self) {
        self.captured = self.captured.saturating_add(other.captured);
        self.refunded = self.refunded.saturating_add(other.refunded);
    }
}

impl Engine {
    /// Counts what an attempt has moved, for the key that made the payment. `before` is what had been captured and refunded.
    pub(crate) fn count_money(&self, ledger: &Ledger, before: (i64, i64)) {
        let payment = &ledger.payment;
        let moved = Moved {
            currency: payment.currency,
            captured: payment.amount_captured.saturating_sub(before.0),
            refunded: payment.amount_refunded.saturating_sub(before.1),
        };
        let operation = match (moved.captured, moved.refunded, payment.capture) {
            (0, 0, _) => return,
            (0, _, _) => "refund_create",
            (_, _, CaptureMode::Automatic) => "payment_create",
            (_, _, CaptureMode::Manual) => "payment_capture",
        };
        let Some(key) = ledger.maker else { return };
        let slot = Slot {
            hour: hour_of(self.now()),
            place: payment.place,
            key,
            operation,
        };
        let mut slots = coffer_net::lock(&self.0.usage.money);
        let money = slots.entry(slot).or_default();
        match money
            .iter_mut()
            .find(|known| known.currency == moved.currency)
        {
            Some(known) => known.add(moved),
            None => money.push(moved),
        }
    }

    pub(super) async fn add_money(
        &self,
        place: Place,
        key: Option<ApiKeyId>,
        hours: &mut [UsageHour],
    ) -> Result<(), Error> {
        let [account, mode] = key_of(place);
        let (Some(first), Some(last)) = (hours.first(), hours.last()) else {
            return Ok(());
        };
        let of = |hour: &UsageHour| {
            let UsageName {
                hour,
                key,
                operation,
            } = hour.id.clone();
            params![hour, key.to_string(), operation]
        };
        let key = key.map_or_else(String::new, |key| key.to_string());
        let row = [params![account, mode], of(first), of(last), params![key]].concat();
        for row in self.db().read(&sql::LIST_MONEY, row).await? {
            let id = name(&row)?;
            if let Some(hour) = hours.iter_mut().find(|hour| hour.id == id) {
                hour.money.push(Moved {
                    currency: rows::word(&row, "currency")?,
                    captured: row.integer("captured")?,
                    refunded: row.integer("refunded")?,
                });
            }
        }
        Ok(())
    }
}

pub(super) fn row(slot: &Slot, moved: &Moved) -> Vec<coffer_db::Value> {
    let [account, mode] = key_of(slot.place);
    params![
        account,
        mode,
        slot.hour,
        slot.key.to_string(),
        slot.operation,
        moved.currency.to_string(),
        moved.captured,
        moved.refunded,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fresh, Metadata, NewRefund, Page, UsageFilter, fixture::Shop};

    async fn list(shop: &Shop, filter: UsageFilter) -> Vec<UsageHour> {
        let page = Page::new(Some(100), None).unwrap();
        let listed = shop.engine.usage_list(shop.place, filter, page);
        listed.await.unwrap().items
    }

    #[tokio::test]
    async fn money_counts_for_the_key_that_made_the_payment_where_it_was_moved() {
        let shop = Shop::open().await;
        let automatic = shop.pay(CaptureMode::Automatic).await.unwrap().object;
        let manual = shop.pay(CaptureMode::Manual).await.unwrap().object;
        let caller = shop.caller("POST /v1/refunds").await;
        let capture = shop
            .engine
            .payment_capture(&caller, Fresh::unkeyed(), manual.id, Some(700));
        capture.await.unwrap();
        for amount in [100, 200] {
            let new = NewRefund {
                payment: automatic.id,
                amount: Some(amount),
                reference: None,
                metadata: Metadata::default(),
            };
            let refund = shop.engine.refund_create(&caller, Fresh::unkeyed(), new);
            refund.await.unwrap();
        }
        let listed = list(&shop, UsageFilter::default()).await;
        let moved: Vec<_> = listed
            .iter()
            .flat_map(|hour| hour.money.iter().map(move |moved| (hour, moved)))
            .map(|(hour, moved)| (hour.operation.as_str(), moved.captured, moved.refunded))
            .collect();
        let whole = automatic.amount;
        assert_eq!(
            moved,
            [
                ("refund_create", 0, 300),
                ("payment_create", whole, 0),
                ("payment_capture", 700, 0)
            ]
        );
        assert!(listed.iter().all(|hour| hour.key == caller.api_key()));
        let other_key = UsageFilter {
            key: Some(ApiKeyId::from_bytes([1; 16])),
            ..UsageFilter::default()
        };
        assert!(list(&shop, other_key).await.is_empty());
    }
}
