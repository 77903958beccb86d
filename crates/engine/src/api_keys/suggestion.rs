//! The least that a key needs, learned from what it did in the last 30 days.

use std::collections::HashMap;

use coffer_core::{
    Timestamp,
    id::ApiKeyId,
    limits::RATE_MAX,
    network::{Network, Networks},
    permission::{Permission, Permissions},
    rate::Rate,
    time::DAY_MS,
};
use coffer_db::params;
use coffer_net::contract::Place;

use super::{ApiKeyChange, OBJECT, uses::KeyUses};
use crate::{
    ApiKey, Engine, Error, Fresh, Steward, rows::key_of, store::usage as sql, usage::hour_of,
};

/// How far back is looked.
const LOOKED_AT_MS: i64 = 30 * DAY_MS;
/// A key that is younger has not shown yet what it needs.
const KNOWN_AFTER_MS: i64 = DAY_MS;
/// The suggested rate is so many times what the busiest hour needed on the average.
const HEADROOM: i64 = 10;
/// And at least this, in requests a minute.
const RATE_LEAST: i64 = 60;
const MINUTES_PER_HOUR: i64 = 60;

/// The least that a key needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Since when it was looked.
    pub since: Timestamp,
    /// Calls that were looked at.
    pub calls: i64,
    /// The rights that they needed.
    pub permissions: Permissions,
    /// The addresses that they came from; anywhere when there were too many to list, or none is known.
    pub addresses: Networks,
    /// A rate with room above the busiest hour; none when there were no calls.
    pub rate: Option<Rate>,
}

impl Engine {
    /// What a key needed in the last 30 days. `needs` tells which permission an operation needs.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key in the account and mode.
    pub async fn api_key_suggestion(
        &self,
        place: Place,
        id: ApiKeyId,
        needs: impl Fn(&str) -> Option<Permission>,
    ) -> Result<Suggestion, Error> {
        let uses = self.api_key_uses(place, id).await?;
        self.write_usage().await?;
        let since = self.now().plus_millis(-LOOKED_AT_MS);
        let [account, mode] = key_of(place);
        let row = params![account, mode, id.to_string(), hour_of(since)];
        let (mut calls, mut hours) = (0_i64, HashMap::<i64, i64>::new());
        let mut permissions = Permissions::none();
        for row in self.db().read(&sql::OF_KEY, row).await? {
            let count = row.integer("calls")?;
            calls = calls.saturating_add(count);
            let in_hour = hours.entry(row.integer("hour")?).or_default();
            *in_hour = in_hour.saturating_add(count);
            if let Some(needed) = needs(row.text("operation")?) {
                permissions = permissions.with(needed);
            }
        }
        let busiest = hours.into_values().max();
        Ok(Suggestion {
            since,
            calls,
            permissions,
            addresses: addresses(&uses, since),
            rate: busiest.and_then(rate),
        })
    }

    /// Gives a key no more than it needed. What it needed and did not have stays refused.
    ///
    /// # Errors
    /// As [`Engine::api_key_update`]; [`Error::State`] for a key of less than a day or without a call.
    pub async fn api_key_tighten(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        id: ApiKeyId,
        needs: impl Fn(&str) -> Option<Permission>,
    ) -> Result<ApiKey, Error> {
        let place = steward.place();
        let key = self.api_key(place, id).await?;
        let suggestion = self.api_key_suggestion(place, id, needs).await?;
        if suggestion.calls == 0 || self.now().since(key.created) < KNOWN_AFTER_MS {
            return Err(Error::State {
                object: OBJECT,
                status: "not known yet",
                needed: "at least a day of use",
            });
        }
        let change = ApiKeyChange {
            permissions: Some(key.settings.permissions.both(&suggestion.permissions)),
            addresses: Some(suggestion.addresses)
                .filter(|addresses| addresses.within(&key.settings.addresses)),
            rate: suggestion
                .rate
                .filter(|rate| key.settings.rate.is_none_or(|own| rate.within(own)))
                .map(Some),
            ..ApiKeyChange::default()
        };
        self.api_key_update(steward, fresh, id, change).await
    }
}

fn addresses(uses: &KeyUses, since: Timestamp) -> Networks {
    let seen = uses.present.iter().chain(&uses.old);
    let seen = seen.filter(|count| count.last >= since);
    let networks: Result<Vec<Network>, _> = seen.map(|count| count.value.parse()).collect();
    networks.and_then(Networks::new).unwrap_or_default()
}

fn rate(busiest: i64) -> Option<Rate> {
    let mean = busiest.checked_div(MINUTES_PER_HOUR)?;
    let rate = mean.saturating_mul(HEADROOM).clamp(RATE_LEAST, RATE_MAX);
    Rate::new(rate, rate).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coffer_core::{api_key::KeyKind, permission::Resource};

    use super::*;
    use crate::{
        Outcome, Taken,
        fixture::{Shop, origin, presented},
    };

    fn needs(operation: &str) -> Option<Permission> {
        match operation {
            "payment_list" => Some(Permission::read(Resource::Payments)),
            "refund_create" => Some(Permission::write(Resource::Refunds)),
            _ => None,
        }
    }

    async fn call(shop: &Shop, text: &str, operation: &'static str) {
        let calling = shop
            .engine
            .authenticate(presented(text), origin("GET /v1/payments"));
        let caller = calling.await.ok().unwrap();
        let taken = Taken {
            outcome: Outcome::Succeeded,
            latency: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
        };
        shop.engine.count(&caller, operation, &taken);
    }

    #[tokio::test]
    async fn a_key_is_tightened_to_what_it_used_and_never_widened() {
        let shop = Shop::open().await;
        let rights = Permissions::full();
        let (id, text) = shop.make_key(KeyKind::Secret, rights).await;
        let steward = Steward::Operator(shop.place);
        for _ in 0..3 {
            call(&shop, &text, "payment_list").await;
        }
        call(&shop, &text, "ping").await;
        let early = shop
            .engine
            .api_key_tighten(steward, Fresh::unkeyed(), id, needs)
            .await;
        assert!(matches!(early, Err(Error::State { .. })));
        shop.clock.advance(2 * DAY_MS);
        shop.engine.poll_changes().await.unwrap();
        let seen = shop.engine.api_key_suggestion(shop.place, id, needs).await;
        let seen = seen.unwrap();
        assert_eq!(
            (seen.calls, seen.addresses.to_string()),
            (4, "127.0.0.1".to_owned())
        );
        let key = shop
            .engine
            .api_key_tighten(steward, Fresh::unkeyed(), id, needs)
            .await
            .unwrap();
        assert_eq!(key.settings.permissions.to_string(), "payments:read");
        assert_eq!(key.settings.addresses.to_string(), "127.0.0.1");
        assert_eq!(key.settings.rate, Rate::new(60, 60).ok());
        // A refused call needed more; that is no reason to give it.
        call(&shop, &text, "refund_create").await;
        let key = shop
            .engine
            .api_key_tighten(steward, Fresh::unkeyed(), id, needs)
            .await
            .unwrap();
        assert_eq!(key.settings.permissions.to_string(), "payments:read");
    }

    #[tokio::test]
    async fn what_is_older_than_30_days_is_not_looked_at() {
        let shop = Shop::open().await;
        let (id, text) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        call(&shop, &text, "refund_create").await;
        shop.engine.write_usage().await.unwrap();
        shop.clock.advance(31 * DAY_MS);
        shop.engine.poll_changes().await.unwrap();
        call(&shop, &text, "payment_list").await;
        let seen = shop.engine.api_key_suggestion(shop.place, id, needs).await;
        assert_eq!(seen.unwrap().permissions.to_string(), "payments:read");
    }
}
