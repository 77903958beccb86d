//! The record of keys that were refused: who tried, from where, how often. A stranger can try as often as he likes, so tries
//! are counted for each minute, address, key and reason, and only so many counts are kept; the rest are counted together.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard},
};

use coffer_audit::{Actor, ActorKind, Entry, Outcome};
use coffer_core::{Timestamp, id::ApiKeyId};
use coffer_net::{contract::Place, face::client_of};

use crate::{AuthenticationError, CallOrigin, Engine, Error};

const MINUTE_MS: i64 = 60_000;
/// Counts of a minute for keys of one account and mode; from further addresses they are counted together.
const OF_ACCOUNT_MAX: usize = 16;
/// The same for keys that are nobody's.
const OF_NOBODY_MAX: usize = 64;
/// Counts of a minute in all; what is beyond is counted together.
const COUNTS_MAX: usize = 1_024;

/// Whose key was presented, as far as that was known when it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// No key that there is.
    Nobody,
    /// This one by its id; its secret is another.
    Claimed(Place, ApiKeyId),
    /// This one.
    Proven(Place, ApiKeyId),
}

impl Whose {
    const fn place(self) -> Option<Place> {
        match self {
            Self::Nobody => None,
            Self::Claimed(place, _) | Self::Proven(place, _) => Some(place),
        }
    }
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    minute: i64,
    place: Option<Place>,
    /// Of one key, from one client; none when it stands for many.
    client: Option<(Whose, IpAddr, &'static str)>,
}

/// The first of them, and how many there were.
#[derive(Debug, Clone, Copy)]
struct Tries {
    first: CallOrigin,
    time: Timestamp,
    count: i64,
}

/// What was refused and is not on record yet.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<Slot, Tries>>);

impl Refusals {
    fn counts(&self) -> MutexGuard<'_, HashMap<Slot, Tries>> {
        coffer_net::lock(&self.0)
    }

    fn add(&self, slot: Slot, tries: Tries) {
        let mut counts = self.counts();
        let slot = room_for(&counts, slot);
        let known = counts.entry(slot).or_insert(Tries { count: 0, ..tries });
        known.count = known.count.saturating_add(tries.count);
    }

    /// Those of minutes before this one.
    fn over(&self, minute: i64) -> Vec<(Slot, Tries)> {
        let over = |slot: &Slot, _: &mut Tries| slot.minute < minute;
        self.counts().extract_if(over).collect()
    }
}

/// The slot that there is room for: the one asked for, that of its account, that of all.
fn room_for(counts: &HashMap<Slot, Tries>, slot: Slot) -> Slot {
    let Slot { minute, place, .. } = slot;
    if counts.contains_key(&slot) {
        return slot;
    }
    let of_place = counts
        .keys()
        .filter(|other| (other.minute, other.place) == (minute, place));
    let most = match place {
        Some(_) => OF_ACCOUNT_MAX,
        None => OF_NOBODY_MAX,
    };
    let many = Slot {
        client: None,
        ..slot
    };
    let slot = if of_place.count() < most { slot } else { many };
    if counts.len() < COUNTS_MAX || counts.contains_key(&slot) {
        slot
    } else {
        Slot {
            place: None,
            ..many
        }
    }
}

const fn reason(error: AuthenticationError) -> Option<&'static str> {
    match error {
        AuthenticationError::Malformed => Some("key_malformed"),
        AuthenticationError::Unknown => Some("key_unknown"),
        AuthenticationError::Revoked => Some("key_revoked"),
        AuthenticationError::Frozen => Some("key_frozen"),
        AuthenticationError::Expired => Some("key_expired"),
        AuthenticationError::AddressNotAllowed => Some("address_not_allowed"),
        AuthenticationError::InBrowser => Some("key_in_browser"),
        AuthenticationError::TokenUnknown => Some("access_token_unknown"),
        AuthenticationError::TokenExpired => Some("access_token_expired"),
        AuthenticationError::TokenRevoked => Some("access_token_revoked"),
        AuthenticationError::Assertion(_) => Some("client_assertion_invalid"),
        AuthenticationError::TooManyFailures { .. } => Some("rate_exceeded"),
        // Nothing was refused.
        AuthenticationError::Unavailable => None,
    }
}

fn entry(slot: Slot, tries: Tries) -> (Timestamp, Entry) {
    let Tries { first, time, count } = tries;
    let actor = match slot.client {
        Some((Whose::Proven(_, key), ..)) => Actor::new(ActorKind::ApiKey, key),
        Some((Whose::Claimed(..) | Whose::Nobody, ..)) | None => Actor::new(ActorKind::Unknown, ""),
    };
    let mut entry = Entry::new(actor, "authentication").outcome(Outcome::Refused);
    if let Some(place) = slot.place {
        entry = entry.place(place.account, place.mode);
    }
    if let Some((whose, _, reason)) = slot.client {
        if let Whose::Claimed(_, key) | Whose::Proven(_, key) = whose {
            entry = entry.object(key);
        }
        entry = entry
            .object(format_args!("reason={reason}"))
            .route(first.route)
            .request(first.request_id)
            .address(first.address)
            .tls(first.tls_version);
    }
    (time, entry.object(format_args!("calls={count}")))
}

impl Engine {
    /// Counts a key that was refused.
    pub(crate) fn note_refused(
        &self,
        whose: Whose,
        error: AuthenticationError,
        origin: &CallOrigin,
    ) {
        let Some(reason) = reason(error) else { return };
        let now = self.now();
        let slot = Slot {
            minute: minute_of(now),
            place: whose.place(),
            client: Some((whose, client_of(origin.address), reason)),
        };
        let tries = Tries {
            first: *origin,
            time: now,
            count: 1,
        };
        self.0.refusals.add(slot, tries);
    }

    /// Records what was refused in minutes that are over.
    pub(crate) async fn write_refusals(&self) -> Result<(), Error> {
        self.write_refusals_before(minute_of(self.now())).await
    }

    /// Records all that was refused.
    pub(crate) async fn write_all_refusals(&self) -> Result<(), Error> {
        self.write_refusals_before(i64::MAX).await
    }

    async fn write_refusals_before(&self, minute: i64) -> Result<(), Error> {
        let over = self.0.refusals.over(minute);
        if over.is_empty() {
            return Ok(());
        }
        let entries = over.iter().map(|(slot, tries)| entry(*slot, *tries));
        let clock = &self.0.clock;
        let steps = self
            .0
            .audit
            .pack(clock.now(), || clock.id(), entries.collect())?;
        if let Err(error) = self.db().transact(steps).await {
            // They wait on, as many as there is room for.
            for (slot, tries) in over {
                self.0.refusals.add(slot, tries);
            }
            return Err(error.into());
        }
        Ok(())
    }
}

fn minute_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{
        NewAccessToken, RecordFilter,
        fixture::{Shop, origin, presented},
    };

    fn from(address: u32) -> CallOrigin {
        CallOrigin {
            address: Ipv4Addr::from_bits(address).into(),
            ..origin("GET /v1/payments")
        }
    }

    async fn refused(shop: &Shop, key: &str, times: u32, address: u32) {
        for _ in 0..times {
            let called = shop.engine.authenticate(presented(key), from(address));
            assert!(called.await.is_err());
        }
    }

    /// Objects, actors and addresses of what is on record as refused, of an account or of none.
    async fn on_record(
        shop: &Shop,
        of: Option<Place>,
    ) -> Vec<(Vec<String>, ActorKind, Option<String>)> {
        shop.engine.write_refusals().await.unwrap();
        let filter = RecordFilter {
            action: Some("authentication".to_owned()),
            ..RecordFilter::default()
        };
        let found = shop.engine.record_export(of, &filter, None).await.unwrap();
        let entries = found.items.into_iter().map(|record| record.entry);
        entries
            .map(|entry| {
                let public = entry.recorded.public;
                (public.objects, public.actor.kind, entry.address)
            })
            .collect()
    }

    /// The key with another secret, or with another id.
    fn forged(key: &str, known: bool) -> String {
        let text = coffer_core::api_key::KeyText::parse(key).unwrap();
        let id = if known {
            text.id
        } else {
            ApiKeyId::from_bytes([7; 16])
        };
        coffer_core::api_key::compose(text.kind, text.mode, id, &[7; 32])
    }

    #[tokio::test]
    async fn a_wrong_key_is_on_record_where_it_belongs_once_for_each_minute_and_address() {
        let shop = Shop::open().await;
        let claimed = forged(&shop.key, true);
        refused(&shop, &claimed, 3, 1).await;
        refused(&shop, &claimed, 1, 2).await;
        refused(&shop, &forged(&shop.key, false), 2, 1).await;
        refused(&shop, "sk_test_cut", 1, 1).await;
        assert!(on_record(&shop, Some(shop.place)).await.is_empty());
        shop.clock.advance(MINUTE_MS);
        let of_account = on_record(&shop, Some(shop.place)).await;
        let key = coffer_core::api_key::KeyText::parse(&shop.key).unwrap().id;
        for (calls, address) in [(3, "0.0.0.1"), (1, "0.0.0.2")] {
            let objects = vec![
                key.to_string(),
                "reason=key_unknown".to_owned(),
                format!("calls={calls}"),
            ];
            let expected = (objects, ActorKind::Unknown, Some(address.to_owned()));
            assert!(of_account.contains(&expected), "{of_account:?}");
        }
        assert_eq!(of_account.len(), 2);
        let mut of_nobody = on_record(&shop, None).await;
        of_nobody.sort_by(|one, other| one.0.cmp(&other.0));
        let objects: Vec<_> = of_nobody.into_iter().map(|(objects, ..)| objects).collect();
        assert_eq!(
            objects,
            [
                ["reason=key_malformed", "calls=1"],
                ["reason=key_unknown", "calls=2"]
            ]
        );
    }

    #[tokio::test]
    async fn a_token_is_refused_on_record_as_a_key_is() {
        let shop = Shop::open().await;
        let caller = shop.caller("POST /oauth/token").await;
        let issued = shop
            .engine
            .access_token_issue(&caller, NewAccessToken::default());
        let (token, text) = issued.await.unwrap();
        let text = String::from_utf8(text.expose().to_vec()).unwrap();
        refused(&shop, &token.claims.compose(&[7; 32]), 2, 1).await;
        shop.clock.advance(600_000);
        refused(&shop, &text, 1, 1).await;
        shop.clock.advance(MINUTE_MS);
        let key = caller.api_key().to_string();
        let told = |reason: &str, calls: i64| {
            let (reason, calls) = (format!("reason={reason}"), format!("calls={calls}"));
            vec![key.clone(), reason, calls]
        };
        let mut found = on_record(&shop, Some(shop.place)).await;
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let (expired, forged) = (&found[0], &found[1]);
        assert_eq!(expired.0, told("access_token_expired", 1));
        assert_eq!(expired.1, ActorKind::ApiKey);
        assert_eq!(forged.0, told("access_token_unknown", 2));
        assert_eq!(forged.1, ActorKind::Unknown);
    }

    #[tokio::test]
    async fn a_stranger_with_many_addresses_fills_no_disk_and_no_try_is_lost() {
        let shop = Shop::open().await;
        for address in 0..1_000 {
            refused(&shop, "sk_test_cut", 1, address << 8).await;
        }
        shop.clock.advance(MINUTE_MS);
        let found = on_record(&shop, None).await;
        assert_eq!(found.len(), OF_NOBODY_MAX + 1);
        let calls = |objects: &[String]| -> i64 {
            let calls = objects.iter().find_map(|one| one.strip_prefix("calls="));
            calls.unwrap().parse().unwrap()
        };
        let all: i64 = found.iter().map(|(objects, ..)| calls(objects)).sum();
        assert_eq!(all, 1_000);
    }
}
