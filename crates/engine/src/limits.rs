//! How much a key, an account and an address may ask for. All of it is in memory: a decision costs no query.
//!
//! Who is refused is told when to come back, and is let in then. Who comes back sooner, again and again, waits longer each time,
//! up to a ceiling, and is forgiven after a while. Nodes that share their rates ask a store beside that, in the background.

mod cell;
mod shared;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use coffer_core::{
    Mode,
    id::{AccountId, ApiKeyId},
    rate::{Left, Rate, ceil_s},
    words,
};
use coffer_net::face::client_of;
use quick_cache::sync::Cache;

pub use self::shared::SHARED_SCRIPT;
pub(crate) use self::shared::Shared;
use self::{
    cell::{Cell, Place, Sharing, Taken},
    shared::{Entry, Name},
};
use crate::{Caller, Engine};

/// Keys, accounts and addresses that are counted; of more, those that were seen least begin anew.
const CELLS_MAX: usize = 100_000;
const SECOND_US: i64 = 1_000_000;
/// How often a request waits for the store at most. Each time others may have taken what it waited for.
const ROUNDS_MAX: u32 = 8;

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
        /// What somebody who looks hostile may do.
        Detection = "detection",
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

/// The cells of a key and of its account, looked up by the key's first request.
#[derive(Default)]
pub(crate) struct Cells(OnceLock<[Arc<Cell>; 2]>);

/// What is counted on this node.
pub(crate) struct Limits {
    settings: LimitSettings,
    keys: Cache<ApiKeyId, Arc<Cell>>,
    accounts: Cache<(AccountId, Mode), Arc<Cell>>,
    failures: Cache<IpAddr, Arc<Cell>>,
    shared: Option<Shared>,
}

impl Limits {
    pub(crate) fn new(settings: LimitSettings, shared: Option<Shared>) -> Self {
        Self {
            settings,
            keys: Cache::new(CELLS_MAX),
            accounts: Cache::new(CELLS_MAX),
            failures: Cache::new(CELLS_MAX),
            shared,
        }
    }

    /// Whether a key has worked on this node, whatever was forgotten of it since.
    pub(crate) fn has_worked(&self, key: ApiKeyId) -> bool {
        self.keys.peek(&key).is_some()
    }

    /// What the nodes share their rates by.
    pub(crate) const fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref()
    }

    fn sharing(&self) -> Sharing {
        self.shared.as_ref().map_or(Sharing::Alone, Shared::sharing)
    }

    /// Whether an address may try a key that this node does not know; otherwise the wait in seconds.
    pub(crate) fn may_try(&self, address: IpAddr, now_us: i64) -> Result<(), i64> {
        let Some(cell) = self.failures.get(&client_of(address)) else {
            return Ok(());
        };
        cell.peek(self.settings.failures, now_us, self.sharing())
            .map_err(ceil_s)
    }

    /// A key from this address did not work.
    pub(crate) fn failed(&self, address: IpAddr, now_us: i64) {
        let client = client_of(address);
        let (cell, rate) = (found(&self.failures, client), self.settings.failures);
        if cell.count(rate, now_us, self.sharing()) {
            self.queue(&cell, Name::Address(client), rate);
        }
    }

    fn queue(&self, cell: &Arc<Cell>, name: Name, rate: Rate) {
        if let Some(shared) = &self.shared {
            let cell = Arc::clone(cell);
            shared.queue(Entry { cell, name, rate });
        }
    }
}

/// One rate that a request has to be within.
struct Gate<'a> {
    limit: LimitName,
    name: Name,
    cell: &'a Arc<Cell>,
    rate: Rate,
}

impl Engine {
    /// Lets a request in that is within its limits, or says which of them it exceeds.
    ///
    /// # Errors
    /// [`Excess`]. Nothing was done.
    pub async fn enter(&self, caller: &Caller, cost: i64) -> Result<Passage, Excess> {
        let limits = &self.0.limits;
        let settings = &limits.settings;
        let rate = caller.settings().rate.unwrap_or(settings.key);
        let of_account = (caller.place().account, caller.place().mode);
        let [key, account] = caller.known.cells.0.get_or_init(|| {
            let key = found(&limits.keys, caller.api_key());
            [key, found(&limits.accounts, of_account)]
        });
        let place = key.seat(settings.concurrent).ok_or_else(|| Excess {
            standing: self.standing(key, LimitName::Key, rate),
            limit: LimitName::Concurrency,
            retry_after_s: 1,
        })?;
        let of_key = Gate {
            limit: LimitName::Key,
            name: Name::Key(caller.api_key()),
            cell: key,
            rate,
        };
        let left = self.pass(&of_key, cost).await?;
        let of_account = Gate {
            limit: LimitName::Account,
            name: Name::Account(of_account.0, of_account.1),
            cell: account,
            rate: settings.account,
        };
        self.pass(&of_account, cost).await?;
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

    async fn pass(&self, gate: &Gate<'_>, cost: i64) -> Result<Left, Excess> {
        match self.take(gate, cost) {
            Taken::Passed(left) => Ok(left),
            Taken::Refused(wait_us) => Err(self.excess(gate, wait_us)),
            // Apart, because it is seldom: what it keeps would be kept for every request.
            Taken::Waits(answers) => Box::pin(self.wait(gate, cost, answers)).await,
        }
    }

    /// Waits until the store has answered, or is known to be away.
    async fn wait(&self, gate: &Gate<'_>, cost: i64, mut before: u32) -> Result<Left, Excess> {
        for _ in 0..ROUNDS_MAX {
            if let Some(shared) = self.0.limits.shared() {
                shared.until(|| gate.cell.answers() != before).await;
            }
            match self.take(gate, cost) {
                Taken::Passed(left) => return Ok(left),
                Taken::Refused(wait_us) => return Err(self.excess(gate, wait_us)),
                Taken::Waits(answers) => before = answers,
            }
        }
        Err(self.excess(gate, SECOND_US))
    }

    fn take(&self, gate: &Gate<'_>, cost: i64) -> Taken {
        let (limits, now_us) = (&self.0.limits, self.0.clock.ticks_us());
        let (taken, asks) = gate.cell.take(gate.rate, now_us, cost, limits.sharing());
        if asks {
            limits.queue(gate.cell, gate.name, gate.rate);
        }
        taken
    }

    fn excess(&self, gate: &Gate<'_>, wait_us: i64) -> Excess {
        Excess {
            standing: self.standing(gate.cell, gate.limit, gate.rate),
            limit: gate.limit,
            retry_after_s: ceil_s(wait_us),
        }
    }

    fn standing(&self, cell: &Cell, limit: LimitName, rate: Rate) -> Allowance {
        let now_us = self.0.clock.ticks_us();
        cell.standing(limit, rate, now_us, self.0.limits.sharing())
    }
}

fn found<K: std::hash::Hash + Eq + Clone>(cells: &Cache<K, Arc<Cell>>, key: K) -> Arc<Cell> {
    let found =
        cells.get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(Arc::default()));
    match found {
        Ok(cell) => cell,
        Err(never) => match never {},
    }
}

/// A rate that each node counts for itself.
#[derive(Debug, Default)]
pub(crate) struct OwnRate(Cell);

impl OwnRate {
    /// Takes one unit; otherwise the wait in microseconds.
    pub(crate) fn take(&self, rate: Rate, now_us: i64) -> Result<(), i64> {
        match self.0.take(rate, now_us, 1, Sharing::Alone).0 {
            Taken::Passed(_) | Taken::Waits(_) => Ok(()),
            Taken::Refused(wait_us) => Err(wait_us),
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::fixture::{Shop, origin, presented};

    fn rate(per_minute: i64, burst: i64) -> Rate {
        Rate::new(per_minute, burst).unwrap()
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

    /// How many of so many requests are let in.
    async fn passed(engine: &Engine, caller: &Caller, requests: usize) -> usize {
        let mut passed = 0;
        for _ in 0..requests {
            passed += usize::from(engine.enter(caller, 1).await.is_ok());
        }
        passed
    }

    #[tokio::test]
    async fn a_key_passes_as_often_as_its_own_rate_says_and_no_other_key_feels_it() {
        let shop = Shop::open().await;
        let (one, other) = (
            caller_with(&shop, rate(100, 100)).await,
            caller_with(&shop, rate(100, 100)).await,
        );
        assert_eq!(passed(&shop.engine, &one, 300).await, 100);
        let excess = shop.engine.enter(&one, 1).await.unwrap_err();
        assert_eq!((excess.limit, excess.standing.left), (LimitName::Key, 0));
        let passage = shop.engine.enter(&other, 1).await.unwrap();
        assert_eq!(passage.allowance.left, 99);
        shop.clock.advance(excess.retry_after_s * 1000);
        assert!(shop.engine.enter(&one, 1).await.is_ok());
    }

    #[tokio::test]
    async fn all_keys_of_an_account_share_its_rate() {
        let shop = Shop::open().await;
        let most = usize::try_from(shop.engine.0.limits.settings.account.burst()).unwrap();
        let big = rate(10_000_000, 10_000_000);
        let (one, other) = (caller_with(&shop, big).await, caller_with(&shop, big).await);
        let of_one = passed(&shop.engine, &one, most * 2 / 3).await;
        let of_other = passed(&shop.engine, &other, most * 2 / 3).await;
        assert_eq!(of_one + of_other, most);
        let excess = shop.engine.enter(&one, 1).await.unwrap_err();
        assert_eq!(excess.limit, LimitName::Account);
    }

    #[tokio::test]
    async fn a_key_has_so_many_requests_at_the_same_time_and_gets_their_places_back() {
        let shop = Shop::open().await;
        let caller = caller_with(&shop, rate(10_000_000, 10_000_000)).await;
        let mut running = Vec::new();
        for _ in 0..shop.engine.0.limits.settings.concurrent {
            running.push(shop.engine.enter(&caller, 1).await.unwrap());
        }
        for _ in 0..3 {
            let excess = shop.engine.enter(&caller, 1).await.unwrap_err();
            assert_eq!(excess.limit, LimitName::Concurrency);
        }
        running.pop();
        running.push(shop.engine.enter(&caller, 1).await.unwrap());
        assert!(shop.engine.enter(&caller, 1).await.is_err());
    }

    #[tokio::test]
    async fn guessing_keys_ends_soon_and_stops_no_key_that_works() {
        use crate::AuthenticationError::{TooManyFailures, Unknown};
        let shop = Shop::open().await;
        let caller = shop.caller("GET /v1/ping").await;
        drop(shop.engine.enter(&caller, 1).await.unwrap());
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
        // As after a change of it, of which this node was told.
        shop.engine.0.key_cache.forget(caller.api_key());
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
