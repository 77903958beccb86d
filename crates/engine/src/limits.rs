//! How much a key, an account and an address may ask for. All of it is in memory: a decision costs no query.
//!
//! Who is refused is told when to come back, and is let in then. Who comes back sooner, again and again, waits longer each time,
//! up to a ceiling, and is forgiven after a while.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use coffer_core::{
    Mode,
    id::{AccountId, ApiKeyId},
    rate::{Left, Rate, Verdict, ceil_s},
    words,
};
use coffer_net::face::client_of;
use quick_cache::sync::Cache;

use crate::{Caller, Engine};

/// Keys, accounts and addresses that are counted; of more, those that were seen least begin anew.
const CELLS_MAX: usize = 100_000;
const SECOND_US: i64 = 1_000_000;
/// Whoever comes back before the time that was told, this long after it was told, has not listened.
const HEARD_US: i64 = SECOND_US;
/// The longest wait of who does not listen.
const PENALTY_MAX_US: i64 = 60 * SECOND_US;
/// Whoever listens for this long is forgiven.
const FORGIVEN_US: i64 = 300 * SECOND_US;

words! {
    /// What was exceeded.
    pub enum LimitName {
        /// The rate of the key.
        Key = "key",
        /// The rate of the account, all keys of one mode together.
        Account = "account",
        /// Keys that do not work, from one address.
        Address = "address",
        /// Requests of one key at the same time.
        Concurrency = "concurrency",
    }
}

/// Limits for whoever has none of their own.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Of a key, in requests.
    pub key: Rate,
    /// Of an account and mode, in requests.
    pub account: Rate,
    /// Of an address, in keys that do not work.
    pub failures: Rate,
    /// Requests of one key at the same time.
    pub concurrent: usize,
}

/// How a key's rate stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Whose.
    pub limit: LimitName,
    /// How much.
    pub rate: Rate,
    /// How much is left at once.
    pub left: i64,
    /// Seconds until all of it is there again.
    pub full_in_s: i64,
}

/// Too much, and when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// How the limit stands that was exceeded; the key's own, when it is about requests at the same time.
    pub standing: Allowance,
    /// What was exceeded.
    pub limit: LimitName,
    /// Seconds after which the same request is let in.
    pub retry_after_s: i64,
}

/// Proof that a request is within its limits, for as long as it is worked on.
#[derive(Debug)]
pub struct Passage {
    /// How the key's rate stands.
    pub allowance: Allowance,
    _place: Place,
}

/// One of the requests that a key may have at the same time.
#[derive(Debug)]
struct Place(Arc<KeyCells>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, Default)]
struct KeyCells {
    rate: Cell,
    running: AtomicUsize,
}

/// What is counted on this node.
pub(crate) struct Limits {
    settings: LimitSettings,
    keys: Cache<ApiKeyId, Arc<KeyCells>>,
    accounts: Cache<(AccountId, Mode), Arc<Cell>>,
    failures: Cache<IpAddr, Arc<Cell>>,
}

impl Limits {
    pub(crate) fn new(settings: LimitSettings) -> Self {
        Self {
            settings,
            keys: Cache::new(CELLS_MAX),
            accounts: Cache::new(CELLS_MAX),
            failures: Cache::new(CELLS_MAX),
        }
    }

    /// Whether an address may try a key that this node does not know.
    pub(crate) fn may_try(&self, address: IpAddr, now_us: i64) -> Result<(), i64> {
        let Some(cell) = self.failures.get(&client_of(address)) else {
            return Ok(());
        };
        cell.peek(self.settings.failures, now_us).map_err(ceil_s)
    }

    /// A key from this address did not work.
    pub(crate) fn failed(&self, address: IpAddr, now_us: i64) {
        let cell = found(&self.failures, client_of(address));
        // What was tried was answered already; the next try is refused.
        let _ = cell.take(self.settings.failures, now_us, 1);
    }
}

impl Engine {
    /// Lets a request in that is within its limits, or says which of them it exceeds.
    ///
    /// # Errors
    /// [`Excess`]. Nothing was done.
    pub fn enter(&self, caller: &Caller, cost: i64) -> Result<Passage, Excess> {
        let (limits, now_us) = (&self.0.limits, self.0.clock.ticks_us());
        let settings = &limits.settings;
        let rate = caller.settings().rate.unwrap_or(settings.key);
        let cells = found(&limits.keys, caller.api_key());
        let place = seat(&cells, settings.concurrent).ok_or_else(|| Excess {
            standing: cells.rate.standing(LimitName::Key, rate, now_us),
            limit: LimitName::Concurrency,
            retry_after_s: 1,
        })?;
        let left = cells.rate.pass(LimitName::Key, rate, now_us, cost)?;
        let place_of = (caller.place().account, caller.place().mode);
        let account = found(&limits.accounts, place_of);
        account.pass(LimitName::Account, settings.account, now_us, cost)?;
        Ok(Passage {
            allowance: Allowance {
                limit: LimitName::Key,
                rate,
                left: left.units,
                full_in_s: left.full_in_s,
            },
            _place: place,
        })
    }
}

fn seat(cells: &Arc<KeyCells>, most: usize) -> Option<Place> {
    let running = cells.running.fetch_add(1, Ordering::AcqRel);
    // Given back by its drop when it is one too many.
    let place = Place(Arc::clone(cells));
    (running < most).then_some(place)
}

fn found<K: std::hash::Hash + Eq + Clone, V: Default>(cells: &Cache<K, Arc<V>>, key: K) -> Arc<V> {
    let found =
        cells.get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(Arc::default()));
    match found {
        Ok(cell) => cell,
        Err(never) => match never {},
    }
}

/// What was taken of one rate, and how well who takes listens.
#[derive(Debug, Default)]
struct Cell(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    earned_us: i64,
    /// When a refusal was told, and until when.
    told_us: i64,
    told_until_us: i64,
    /// How often nobody listened, and when last.
    strikes: u32,
    struck_us: i64,
    /// Nothing passes before.
    shut_until_us: i64,
}

impl Cell {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        coffer_net::lock(&self.0)
    }

    fn take(&self, rate: Rate, now_us: i64, cost: i64) -> Result<Left, i64> {
        self.state().take(rate, now_us, cost)
    }

    /// Whether one unit could be taken; otherwise the wait.
    fn peek(&self, rate: Rate, now_us: i64) -> Result<(), i64> {
        let mut copy = *self.state();
        copy.take(rate, now_us, 1).map(drop)
    }

    fn standing(&self, limit: LimitName, rate: Rate, now_us: i64) -> Allowance {
        let earned_us = self.state().earned_us;
        Allowance {
            limit,
            rate,
            left: rate.units_left(earned_us, now_us),
            full_in_s: ceil_s(earned_us.saturating_sub(now_us)),
        }
    }

    fn pass(&self, limit: LimitName, rate: Rate, now_us: i64, cost: i64) -> Result<Left, Excess> {
        self.take(rate, now_us, cost).map_err(|wait_us| Excess {
            standing: self.standing(limit, rate, now_us),
            limit,
            retry_after_s: ceil_s(wait_us),
        })
    }
}

impl State {
    fn take(&mut self, rate: Rate, now_us: i64, cost: i64) -> Result<Left, i64> {
        let verdict = rate.decide(self.earned_us, now_us, cost);
        let shut_us = self.shut_until_us.saturating_sub(now_us);
        match verdict {
            Verdict::Passed(left) if shut_us <= 0 => {
                self.earned_us = left.earned_us;
                if now_us.saturating_sub(self.struck_us) >= FORGIVEN_US {
                    self.strikes = 0;
                }
                Ok(left)
            }
            Verdict::Passed(_) => Err(self.refuse(now_us, shut_us)),
            Verdict::Refused { wait_us } => Err(self.refuse(now_us, wait_us.max(shut_us))),
        }
    }

    /// The wait that is told, in whole seconds.
    fn refuse(&mut self, now_us: i64, wait_us: i64) -> i64 {
        let wait_us = ceil_s(wait_us).saturating_mul(SECOND_US);
        let heard = now_us.saturating_sub(self.told_us) >= HEARD_US;
        if self.told_until_us <= now_us {
            (self.told_us, self.told_until_us) = (now_us, now_us.saturating_add(wait_us));
            return wait_us;
        }
        if !heard {
            return wait_us;
        }
        let penalty_us = SECOND_US
            .checked_shl(self.strikes.min(30))
            .map_or(PENALTY_MAX_US, |penalty| penalty.min(PENALTY_MAX_US));
        let wait_us = wait_us.max(penalty_us);
        self.strikes = self.strikes.saturating_add(1);
        self.struck_us = now_us;
        self.shut_until_us = now_us.saturating_add(wait_us);
        (self.told_us, self.told_until_us) = (now_us, self.shut_until_us);
        wait_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Shop, origin, presented};

    fn rate(per_minute: i64, burst: i64) -> Rate {
        Rate::new(per_minute, burst).unwrap()
    }

    /// Takes until the first refusal; the seconds that are told.
    fn drained(cell: &Cell, rate: Rate, now_us: i64) -> i64 {
        loop {
            if let Err(wait_us) = cell.take(rate, now_us, 1) {
                return ceil_s(wait_us);
            }
        }
    }

    #[test]
    fn who_comes_back_when_told_is_let_in_however_often_it_was_refused_before() {
        let (cell, rate) = (Cell::default(), rate(60, 10));
        let mut now = 0;
        for _ in 0..50 {
            let wait = drained(&cell, rate, now);
            // A burst that was under way when the first refusal was told.
            for _ in 0..300 {
                assert!(cell.take(rate, now + HEARD_US / 2, 1).is_err());
            }
            now += wait * SECOND_US;
            assert!(cell.take(rate, now, 1).is_ok());
        }
    }

    #[test]
    fn who_does_not_listen_waits_longer_up_to_a_ceiling_and_is_forgiven() {
        let (cell, rate) = (Cell::default(), rate(60, 10));
        let mut now = 0;
        let mut told = vec![drained(&cell, rate, now)];
        for _ in 0..20 {
            // Always a little too soon, and always long enough after it was told.
            now += (told.last().unwrap() * SECOND_US - 1).max(HEARD_US);
            match cell.take(rate, now, 10) {
                Err(wait_us) => told.push(ceil_s(wait_us)),
                Ok(_) => told.push(1),
            }
        }
        assert_eq!(told.iter().max(), Some(&60), "{told:?}");
        now += 60 * SECOND_US;
        assert!(cell.take(rate, now, 1).is_ok(), "after the wait it is over");
        now += FORGIVEN_US;
        assert_eq!(drained(&cell, rate, now), 1);
        now += HEARD_US * 3 / 2;
        drained(&cell, rate, now);
        assert!(cell.state().strikes <= 1);
    }

    async fn caller_with(shop: &Shop, rate: Rate) -> Caller {
        let mut new = crate::fixture::new_key(
            coffer_core::api_key::KeyKind::Secret,
            coffer_core::permission::Permissions::full(),
        );
        new.settings.rate = Some(rate);
        let (_, text) = crate::fixture::make_key(&shop.engine, shop.place, new).await;
        let calling = shop
            .engine
            .authenticate(presented(&text), origin("GET /v1/ping"));
        calling.await.ok().unwrap()
    }

    #[tokio::test]
    async fn a_key_passes_as_often_as_its_own_rate_says_and_no_other_key_feels_it() {
        let shop = Shop::open().await;
        let (one, other) = (
            caller_with(&shop, rate(100, 100)).await,
            caller_with(&shop, rate(100, 100)).await,
        );
        let passed = (0..300).filter(|_| shop.engine.enter(&one, 1).is_ok());
        assert_eq!(passed.count(), 100);
        let excess = shop.engine.enter(&one, 1).unwrap_err();
        assert_eq!((excess.limit, excess.standing.left), (LimitName::Key, 0));
        let passage = shop.engine.enter(&other, 1).unwrap();
        assert_eq!(passage.allowance.left, 99);
        shop.clock.advance(excess.retry_after_s * 1000);
        assert!(shop.engine.enter(&one, 1).is_ok());
    }

    #[tokio::test]
    async fn all_keys_of_an_account_share_its_rate() {
        let shop = Shop::open().await;
        let most = shop.engine.0.limits.settings.account.burst();
        let half = usize::try_from(most).unwrap() * 2 / 3;
        let big = rate(10_000_000, 10_000_000);
        let callers = [caller_with(&shop, big).await, caller_with(&shop, big).await];
        let passed = callers.iter().map(|caller| {
            (0..half)
                .filter(|_| shop.engine.enter(caller, 1).is_ok())
                .count()
        });
        assert_eq!(passed.sum::<usize>(), usize::try_from(most).unwrap());
        let excess = shop.engine.enter(&callers[0], 1).unwrap_err();
        assert_eq!(excess.limit, LimitName::Account);
    }

    #[tokio::test]
    async fn a_key_has_so_many_requests_at_the_same_time_and_gets_their_places_back() {
        let shop = Shop::open().await;
        let caller = caller_with(&shop, rate(10_000_000, 10_000_000)).await;
        let most = shop.engine.0.limits.settings.concurrent;
        let mut running: Vec<_> = (0..most)
            .map(|_| shop.engine.enter(&caller, 1).unwrap())
            .collect();
        for _ in 0..3 {
            let excess = shop.engine.enter(&caller, 1).unwrap_err();
            assert_eq!(excess.limit, LimitName::Concurrency);
        }
        running.pop();
        running.push(shop.engine.enter(&caller, 1).unwrap());
        assert!(shop.engine.enter(&caller, 1).is_err());
    }

    #[tokio::test]
    async fn guessing_keys_ends_soon_and_stops_no_key_that_works() {
        use crate::AuthenticationError::{TooManyFailures, Unknown};
        let shop = Shop::open().await;
        shop.caller("GET /v1/ping").await;
        let guess = async |byte: u8| {
            let id = ApiKeyId::from_bytes([byte; 16]);
            let kind = coffer_core::api_key::KeyKind::Secret;
            let guess = coffer_core::api_key::compose(kind, Mode::Test, id, &[7; 32]);
            let tried = shop
                .engine
                .authenticate(presented(&guess), origin("GET /v1/ping"));
            tried.await.err().unwrap()
        };
        let mut refusals = Vec::new();
        for byte in 0..200 {
            refusals.push(guess(byte).await);
        }
        let most = shop.engine.0.limits.settings.failures.burst();
        let unknown = refusals.iter().filter(|error| **error == Unknown).count();
        assert_eq!(i64::try_from(unknown), Ok(most));
        assert!(matches!(refusals.last(), Some(TooManyFailures { .. })));
        shop.caller("GET /v1/ping").await;
        // Neither while the node hears nothing of others, and has to ask the store about every key.
        shop.clock.advance(1_001);
        guess(1).await;
        assert!(matches!(guess(2).await, TooManyFailures { .. }));
        shop.caller("GET /v1/ping").await;
    }

    #[test]
    fn one_customer_of_ipv6_is_one_address() {
        let of = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
