//! What the nodes share their rates by: a store that is asked for units in the background, for many cells in one round.
//!
//! No names stand there: of a key, an account or an address only a keyed hash. When the store is away each node goes on by its own
//! cells; what it lets in meanwhile it tells afterwards.

use std::{
    mem,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use coffer_core::{
    Mode,
    id::{AccountId, ApiKeyId},
    lease::{CARRY, Grant},
    rate::Rate,
};
use coffer_crypto::{Context, Key, mac};
use coffer_db::SharedScript;
use data_encoding::BASE64URL_NOPAD;
use tokio::{sync::Notify, time::timeout};

use super::cell::{Cell, Sharing};
use crate::Engine;

/// What the store does with a cell.
pub const SHARED_SCRIPT: &str = include_str!("../store/lease.lua");

/// Cells that are asked for in one round.
const ROUND_MAX: usize = 1000;
/// How long a request waits for a round: longer than two may take.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How often it is looked for what nobody uses any more.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_EVERY_US: i64 = 500_000;
/// How often a store that is away is tried.
const CONNECT_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a hash: more cells than there can be.
const NAME_BYTES: usize = 16;

/// Whose rate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A key's.
    Key(ApiKeyId),
    /// An account's.
    Account(AccountId, Mode),
    /// An address', of keys that do not work.
    Address(IpAddr),
}

/// A cell that the store is to be asked for.
pub(super) struct Entry {
    pub(super) cell: Arc<Cell>,
    pub(super) name: Name,
    pub(super) rate: Rate,
}

/// The store, and who waits for it.
pub(crate) struct Shared {
    script: SharedScript,
    names: Key,
    here: AtomicBool,
    asked: Notify,
    answered: Notify,
    queue: Mutex<Vec<Entry>>,
    /// Those of which this node has something in hand.
    holding: Mutex<Vec<Entry>>,
    /// When it was last looked for what is left over of that.
    looked_us: AtomicI64,
}

impl Shared {
    /// Connects, if it can.
    pub(crate) async fn open(script: SharedScript, names: Key) -> Self {
        let shared = Self {
            script,
            names,
            here: AtomicBool::new(false),
            asked: Notify::new(),
            answered: Notify::new(),
            queue: Mutex::default(),
            holding: Mutex::default(),
            looked_us: AtomicI64::new(0),
        };
        if let Err(reason) = shared.connect().await {
            tracing::warn!(
                reason,
                "the store of shared rates is away; this node limits by itself"
            );
        }
        shared
    }

    pub(super) fn sharing(&self) -> Sharing {
        if self.is_here() {
            Sharing::Here
        } else {
            Sharing::Away
        }
    }

    fn is_here(&self) -> bool {
        self.here.load(Ordering::Acquire)
    }

    pub(super) fn queue(&self, entry: Entry) {
        let mut queue = coffer_net::lock(&self.queue);
        queue.push(entry);
        drop(queue);
        self.asked.notify_one();
    }

    /// Waits for the answers of rounds until this is so, or the store is away.
    pub(super) async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            // Knows of every round that ends after it was made.
            let answered = self.answered.notified();
            if is_so() || !self.is_here() {
                return;
            }
            if timeout(WAIT_MAX, answered).await.is_err() {
                // Nobody asks any more: the process is at its end, or the machine is overloaded.
                self.here.store(false, Ordering::Release);
            }
        }
    }

    async fn connect(&self) -> Result<(), String> {
        self.script.connect().await?;
        self.here.store(true, Ordering::Release);
        Ok(())
    }

    /// Asks for those that wait, and tells who waits for it.
    async fn round(&self, ticks_us: impl Fn() -> i64) {
        let round = self.next_round();
        if round.is_empty() {
            return;
        }
        let now_us = ticks_us();
        let calls: Vec<_> = round.iter().map(|entry| self.call(entry, now_us)).collect();
        let answers = if self.is_here() {
            self.script.run(&calls).await.ok()
        } else {
            None
        };
        if answers.is_none() && self.here.swap(false, Ordering::AcqRel) {
            tracing::warn!("the store of shared rates does not answer; this node limits by itself");
        }
        self.deliver(round, answers.unwrap_or_default(), ticks_us());
        self.answered.notify_waiters();
    }

    fn next_round(&self) -> Vec<Entry> {
        let mut queue = coffer_net::lock(&self.queue);
        let most = queue.len().min(ROUND_MAX);
        let rest = queue.split_off(most);
        if !rest.is_empty() {
            self.asked.notify_one();
        }
        mem::replace(&mut *queue, rest)
    }

    /// Hands out what the store has answered, or that it has not.
    fn deliver(&self, round: Vec<Entry>, answers: Vec<(i64, i64)>, now_us: i64) {
        let mut answers = answers.into_iter();
        let mut holding = coffer_net::lock(&self.holding);
        for entry in round {
            let grant = answers
                .next()
                .map(|(units, owed_us)| Grant { units, owed_us });
            if entry.cell.answered(now_us, grant) {
                holding.push(entry);
            }
        }
    }

    fn call(&self, Entry { cell, name, rate }: &Entry, now_us: i64) -> (String, [i64; 6]) {
        let ask = cell.ask(*rate, now_us);
        let (per_minute, burst) = (rate.per_minute(), rate.burst());
        let arguments = [
            per_minute,
            burst,
            CARRY,
            ask.settled,
            ask.needed,
            ask.wanted,
        ];
        (self.key_of(*name), arguments)
    }

    /// What a cell is called where others can read it.
    fn key_of(&self, name: Name) -> String {
        let context = Context::new("coffer shared rates v1");
        let context = match name {
            Name::Key(id) => context.text("key").bytes(id.as_bytes()),
            Name::Account(id, mode) => context.text(mode.as_str()).bytes(id.as_bytes()),
            Name::Address(address) => context.text("address").text(&address.to_string()),
        };
        let hash = mac(&self.names, &context);
        let (begin, _) = hash.as_bytes().split_at(NAME_BYTES);
        format!("coffer:rate:{}", BASE64URL_NOPAD.encode(begin))
    }

    /// Has what nobody has used for a while given back; looks for it now and then.
    fn give_back(&self, now_us: i64) {
        let looked_us = self.looked_us.load(Ordering::Relaxed);
        if now_us.saturating_sub(looked_us) < LOOK_EVERY_US {
            return;
        }
        self.looked_us.store(now_us, Ordering::Relaxed);
        let mut holding = coffer_net::lock(&self.holding);
        holding.retain(|entry| match entry.cell.left_over(now_us) {
            None => false,
            Some(is_left_over) => {
                if is_left_over {
                    let cell = Arc::clone(&entry.cell);
                    self.queue(Entry { cell, ..*entry });
                }
                true
            }
        });
    }
}

impl Engine {
    /// Whether the rates are shared now; none when they are not meant to be.
    #[must_use]
    pub fn shares_rates(&self) -> Option<bool> {
        self.0.limits.shared().map(Shared::is_here)
    }

    /// One round with the store of shared rates, when there is something to ask, or a try to reach it.
    pub(crate) async fn share_rates(&self) {
        let Some(shared) = self.0.limits.shared() else {
            return;
        };
        let ticks_us = || self.0.clock.ticks_us();
        if shared.is_here() {
            let _ = timeout(LOOK_EVERY, shared.asked.notified()).await;
            shared.give_back(ticks_us());
        } else if shared.connect().await.is_ok() {
            tracing::info!("rates are shared again");
        } else {
            tokio::time::sleep(CONNECT_EVERY).await;
        }
        shared.round(ticks_us).await;
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use coffer_core::api_key::KeyText;
    use coffer_net::{Clock, task};
    use coffer_testkit::{Redis, eventually};

    use super::*;
    use crate::{
        Caller,
        fixture::{Shop, make_key, new_key, origin, presented},
    };

    /// A second node's clock is off by so much.
    const SKEW_MS: i64 = 90 * 24 * 3600 * 1000;
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Two nodes whose clocks stand still, far apart, and a key that each of them knows.
    struct Nodes {
        shop: Shop,
        key: String,
        engines: [Engine; 2],
        callers: [Caller; 2],
    }

    impl Nodes {
        async fn start(redis: &Redis) -> Self {
            let shop = Shop::open().await;
            let now = shop.clock.now();
            let clocks = [now, now.plus_millis(SKEW_MS)].map(Clock::fixed);
            let engines = [
                shop.sharing_node(&clocks[0], redis).await,
                shop.sharing_node(&clocks[1], redis).await,
            ];
            for engine in engines.clone() {
                task::spawn("shared rates", async move {
                    loop {
                        engine.share_rates().await;
                    }
                });
            }
            let (key, callers) = key(&shop, &engines).await;
            Self {
                shop,
                key,
                engines,
                callers,
            }
        }

        /// How many of so many requests pass that come at the same time, in turns at one node and the other.
        async fn passed_at_once(&self, requests: usize) -> usize {
            let nodes = self.engines.iter().zip(&self.callers).cycle();
            let requests: Vec<_> = nodes
                .take(requests)
                .map(|(engine, caller)| {
                    let (engine, caller) = (engine.clone(), caller.clone());
                    task::spawn("request", async move {
                        engine
                            .enter(&caller, 1)
                            .await
                            .map(|passage| passage.allowance)
                    })
                })
                .collect();
            let mut passed = 0;
            for request in requests {
                passed += usize::from(request.await.unwrap().is_ok());
            }
            passed
        }

        /// As many as pass at one node, one after the other.
        async fn passed_at(&self, node: usize, requests: usize) -> usize {
            let mut passed = 0;
            for _ in 0..requests {
                let entered = self.engines[node].enter(&self.callers[node], 1).await;
                passed += usize::from(entered.is_ok());
            }
            passed
        }

        async fn until_all(&self, here: bool) {
            let all = async || {
                let so = |engine: &Engine| engine.shares_rates() == Some(here);
                self.engines.iter().all(so).then_some(())
            };
            eventually(PATIENCE, "every node has noticed", all).await;
        }
    }

    /// A key that may be used a hundred times a minute, and as both nodes know it.
    async fn key(shop: &Shop, engines: &[Engine; 2]) -> (String, [Caller; 2]) {
        let kind = coffer_core::api_key::KeyKind::Secret;
        let mut new = new_key(kind, coffer_core::permission::Permissions::full());
        new.settings.rate = Some(Rate::new(100, 100).unwrap());
        let (_, key) = make_key(&shop.engine, shop.place, new).await;
        let caller = async |engine: &Engine| {
            let calling = engine.authenticate(presented(&key), origin("GET /v1/ping"));
            calling.await.ok().unwrap()
        };
        let callers = [caller(&engines[0]).await, caller(&engines[1]).await];
        (key, callers)
    }

    #[tokio::test]
    async fn two_nodes_with_clocks_far_apart_let_in_what_one_would() {
        let redis = Redis::start();
        let nodes = Nodes::start(&redis).await;
        let passed = nodes.passed_at_once(90).await + nodes.passed_at_once(210).await;
        // A unit is earned each 600 ms, and each node spends at most two that it has not asked for.
        assert!((100..=105).contains(&passed), "{passed}");
    }

    #[tokio::test]
    async fn what_is_spent_at_one_node_is_missing_at_the_other() {
        let redis = Redis::start();
        let nodes = Nodes::start(&redis).await;
        let (here, there) = (nodes.passed_at(0, 150).await, nodes.passed_at(1, 150).await);
        assert!((100..=101).contains(&here), "{here}");
        assert!(there <= 4, "{there}");
    }

    #[tokio::test]
    async fn without_the_store_each_node_goes_on_by_its_own_limit_and_with_it_they_share_again() {
        let mut redis = Redis::start();
        let mut nodes = Nodes::start(&redis).await;
        assert_eq!(nodes.passed_at_once(60).await, 60);
        redis.kill();
        // The clocks stand still: no more than what each has by itself, and all of that.
        assert_eq!(nodes.passed_at_once(300).await, 200 - 60);
        nodes.until_all(false).await;
        redis.start_again();
        nodes.until_all(true).await;
        // Of this key they have told what they let in meanwhile; of another one there is nothing to tell.
        (nodes.key, nodes.callers) = key(&nodes.shop, &nodes.engines).await;
        let passed = nodes.passed_at_once(300).await;
        assert!((100..=105).contains(&passed), "{passed}");
    }

    #[tokio::test]
    async fn nothing_can_be_read_in_the_store_and_nothing_stays_there() {
        let redis = Redis::start();
        let nodes = Nodes::start(&redis).await;
        nodes.passed_at_once(10).await;
        let address = std::net::IpAddr::from([203, 0, 113, 77]);
        let limits = &nodes.engines[0].0.limits;
        limits.failed(address, 0);
        let kept = async || {
            let names = redis.say(&["KEYS", "*"]);
            (names.lines().count() >= 2).then_some(names)
        };
        // The account's is gone in a moment: it has earned all again.
        let names = eventually(PATIENCE, "key and address are counted", kept).await;
        let id = KeyText::parse(&nodes.key).unwrap().id;
        let account = nodes.shop.place.account;
        for secret in [
            id.to_string(),
            account.to_string(),
            address.to_string(),
            BASE64URL_NOPAD.encode(id.as_bytes()),
            BASE64URL_NOPAD.encode(account.as_bytes()),
        ] {
            assert!(!names.contains(&secret), "{names}");
        }
        for name in names.lines() {
            let ends_ms: i64 = redis.say(&["PTTL", name]).trim().parse().unwrap();
            assert_ne!(ends_ms, -1, "it would stay");
        }
    }

    #[tokio::test]
    async fn keys_that_do_not_work_are_counted_for_all_nodes_together() {
        let redis = Redis::start();
        let nodes = Nodes::start(&redis).await;
        let address = std::net::IpAddr::from([203, 0, 113, 77]);
        let [one, other] = &nodes.engines;
        let now_us = |engine: &Engine| engine.0.clock.ticks_us();
        for _ in 0..one.0.limits.settings.failures.burst() {
            one.0.limits.failed(address, now_us(one));
        }
        let told = async || {
            other.0.limits.failed(address, now_us(other));
            other.0.limits.may_try(address, now_us(other)).err()
        };
        eventually(PATIENCE, "the other node knows", told).await;
    }

    #[tokio::test]
    async fn the_script_gives_what_is_needed_an_eighth_of_what_is_left_and_no_more_than_there_is() {
        let redis = Redis::start();
        let script = SharedScript::new(&redis.address(), SHARED_SCRIPT).unwrap();
        script.connect().await.unwrap();
        // A unit a minute: no time goes by. Settled, needed, wanted; given, and owed afterwards.
        for (ask, units, owed) in [
            ([0, 0, 1000], 2, 2),
            ([0, 0, 1], 1, 3),
            ([0, 5, 1], 5, 8),
            ([0, 5, 1], 5, 13),
            ([0, 0, 1], 0, 13),
            ([0, 9, 9], 7, 20),
            ([0, 3, 9], 0, 20),
            ([-4, 0, 0], 0, 16),
            ([2, 1, 0], 1, 19),
            ([100, 1, 0], 0, 20 + CARRY),
            ([-1000, 0, 0], 0, 0),
        ] {
            let [settled, needed, wanted] = ask;
            let calls = [(
                "coffer:rate:cell".to_owned(),
                [1, 20, CARRY, settled, needed, wanted],
            )];
            let answers = script.run(&calls).await.unwrap();
            let (given, owed_us) = answers[0];
            let owed_min = (owed_us + 59_999_999) / 60_000_000;
            assert_eq!((given, owed_min), (units, owed), "{ask:?}");
        }
        assert_eq!(redis.say(&["EXISTS", "coffer:rate:cell"]).trim(), "0");
    }
}
