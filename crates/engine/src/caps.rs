//! Money caps of keys. What an attempt will take of them is reserved by the transaction that records its intent, and given back
//! by the one that records that it came to nothing (`ledger/caps.rs`), whoever that is: so a cap holds whatever runs side by
//! side, and a crash loses nothing of it.
//!
//! The money of an automatic payment is reserved before its card is authorized, by the key that made the payment, at a checkout
//! page too; that of a manual one by the key that captures it.

use std::{fmt, str::FromStr};

use coffer_core::{
    Currency, Malformed, Timestamp,
    cap::{CapKind, Caps, code, day_of, resets},
    event::EventType,
    id::ApiKeyId,
    payment::{CaptureMode, Operation},
};
use coffer_db::{Outcome, Transaction, Value, params};
use coffer_net::{contract::Place, task};

use crate::{
    ApiKey, Engine, Error, Payment,
    api_keys::Known,
    commit::By,
    events::Happened,
    ledger::{Attempt, Ledger},
    rows::{self, key_of},
    store::caps as sql,
};

/// Per cent of a cap at which its account is told.
const NEARLY: i64 = 80;
/// How long what was used is kept: longer than any attempt is open.
const KEPT_DAYS: i64 = 40;

/// What was exceeded, as whoever did may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapExcess {
    /// Of what kind.
    pub kind: CapKind,
    /// In which currency, if it is about money.
    pub currency: Option<Currency>,
    /// The most; nothing where the key's caps list other currencies only.
    pub limit: i64,
    /// What is left of it.
    pub left: i64,
    /// When it begins anew, if it is counted by day.
    pub resets: Option<Timestamp>,
}

/// What a key has used of a cap today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapUse {
    /// Of what kind.
    pub kind: CapKind,
    /// In which currency, if it is about money.
    pub currency: Option<Currency>,
    /// Minor units, or cards.
    pub used: i64,
}

/// What an attempt has reserved, of which key and day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) key: ApiKeyId,
    pub(crate) day: i64,
    pub(crate) kinds: Vec<CapKind>,
}

/// As the store keeps it: the key, the day, the kinds.
impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.day)?;
        self.kinds.iter().try_for_each(|kind| write!(f, " {kind}"))
    }
}

impl FromStr for Reserved {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "a key, a day and kinds of caps",
        };
        let mut words = text.split_ascii_whitespace();
        let mut word = || words.next().ok_or(malformed);
        Ok(Self {
            key: word()?.parse()?,
            day: word()?.parse().map_err(|_| malformed)?,
            kinds: words.map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

/// What an attempt takes of a cap of this kind.
struct Take {
    kind: CapKind,
    currency: Option<Currency>,
    units: i64,
}

/// What an attempt takes of its key's caps. That which takes the money of an automatic payment by itself takes nothing: its
/// authorization did.
fn takes(operation: Operation, amount: i64, payment: &Payment) -> Vec<Take> {
    let take = |kind| Take {
        kind,
        currency: Some(payment.currency),
        units: amount,
    };
    let captured = || [CapKind::CapturedPerCall, CapKind::CapturedPerDay].map(take);
    let card = Take {
        kind: CapKind::CardsPerDay,
        currency: None,
        units: 1,
    };
    match (operation, payment.capture) {
        (Operation::Authorize, CaptureMode::Automatic) => {
            captured().into_iter().chain([card]).collect()
        }
        (Operation::Authorize, CaptureMode::Manual) => vec![card],
        (Operation::Capture, _) => captured().into(),
        (Operation::Refund, _) => [CapKind::RefundedPerCall, CapKind::RefundedPerDay]
            .map(take)
            .into(),
        (Operation::Void, _) => Vec::new(),
    }
}

/// The step that adds to what a key has used on a day, as long as no more than `limit` is used then.
pub(crate) fn count(
    place: Place,
    reserved: (ApiKeyId, i64),
    cap: (CapKind, Option<Currency>),
    (units, limit): (i64, i64),
) -> Transaction {
    let mut row = row_of(place, reserved, cap);
    row.extend(params![units, limit]);
    Transaction::new().closing(Transaction::new().one(&sql::COUNT, row))
}

fn row_of(
    place: Place,
    (key, day): (ApiKeyId, i64),
    (kind, currency): (CapKind, Option<Currency>),
) -> Vec<Value> {
    let [account, mode] = key_of(place);
    params![
        account,
        mode,
        key.to_string(),
        day,
        kind.as_str(),
        code(currency)
    ]
}

impl Engine {
    /// Reserves what an attempt takes of its key's caps: the steps for its intent. A key without caps costs nothing.
    ///
    /// # Errors
    /// [`Error::CapExceeded`].
    pub(crate) async fn reserve(
        &self,
        key: &ApiKey,
        attempt: &mut Attempt,
        payment: &Payment,
    ) -> Result<Transaction, Error> {
        let caps = &key.settings.caps;
        let mut steps = Transaction::new();
        if caps.is_empty() {
            return Ok(steps);
        }
        let day = day_of(self.now());
        let used = self.used_of(key.place, [key.id, key.id]).await?;
        let mut kinds = Vec::new();
        for Take {
            kind,
            currency,
            units,
        } in takes(attempt.operation, attempt.amount, payment)
        {
            let Some(limit) = caps.limit(kind, currency) else {
                continue;
            };
            let of_it =
                |(_, one): &&(ApiKeyId, CapUse)| (one.kind, one.currency) == (kind, currency);
            let used = used.iter().find(of_it).map_or(0, |(_, one)| one.used);
            let left = limit.saturating_sub(used).max(0);
            if units > left {
                let resets = kind.is_per_day().then(|| resets(day));
                return Err(Error::CapExceeded(CapExcess {
                    kind,
                    currency,
                    limit,
                    left,
                    resets,
                }));
            }
            if kind.is_per_day() {
                kinds.push(kind);
                steps = steps.append(count(
                    key.place,
                    (key.id, day),
                    (kind, currency),
                    (units, limit),
                ));
            }
        }
        let key = key.id;
        attempt.reserved = (!kinds.is_empty()).then_some(Reserved { key, day, kinds });
        Ok(steps)
    }

    /// Why the guard of a cap refused what [`Self::reserve`] had found room for: others took it meanwhile.
    pub(crate) async fn no_room(&self, key: &ApiKey, ledger: &Ledger) -> Error {
        let Some(mut attempt) = ledger.attempts.last().cloned() else {
            return Error::Defect;
        };
        match self.reserve(key, &mut attempt, &ledger.payment).await {
            Err(error) => error,
            // And gave it back.
            Ok(_) => Error::changing("cap"),
        }
    }

    /// What could be refused of an automatic payment before anybody pays it: what is more than a single payment may take.
    pub(crate) fn check_call(caps: &Caps, payment: &Payment) -> Result<(), Error> {
        for Take {
            kind,
            currency,
            units,
        } in takes(Operation::Authorize, payment.amount, payment)
        {
            let limit = caps.limit(kind, currency).filter(|limit| units > *limit);
            if let Some(limit) = limit {
                return Err(Error::CapExceeded(CapExcess {
                    kind,
                    currency,
                    limit,
                    left: limit,
                    resets: None,
                }));
            }
        }
        Ok(())
    }

    /// Tells the account of a key that has nearly reached a cap, once a day of each, in a task of its own.
    pub(crate) fn watch_caps(&self, key: &ApiKey, reserved: Option<&Reserved>, outcome: &Outcome) {
        let Some(reserved) = reserved else {
            return;
        };
        for row in outcome.rows(&sql::COUNT) {
            let Ok((cap_use, told)) = read(row) else {
                continue;
            };
            let CapUse {
                kind,
                currency,
                used,
            } = cap_use;
            let limit = key.settings.caps.limit(kind, currency).unwrap_or(i64::MAX);
            if told || used.saturating_mul(100) < limit.saturating_mul(NEARLY) {
                continue;
            }
            let (engine, place, version) = (self.clone(), key.place, key.version);
            let row = row_of(place, (reserved.key, reserved.day), (kind, currency));
            let key = key.id;
            let telling = task::spawn("cap", async move {
                if let Err(error) = engine.tell_nearly(place, key, version, row).await {
                    tracing::warn!(%error, api_key.id = %key, "a cap is nearly reached, which is told with its next use");
                }
            });
            drop(telling);
        }
    }

    async fn tell_nearly(
        &self,
        place: Place,
        key: ApiKeyId,
        version: i64,
        row: Vec<Value>,
    ) -> Result<(), Error> {
        let event = EventType::ApiKeyCapNearlyReached;
        let steps = Transaction::new().one(&sql::TOLD, row);
        let steps = steps.append(self.tell(place, &[Happened::to(key, version, event)]));
        match self
            .commit(By::System, place, event.as_str(), &key.to_string(), steps)
            .await
        {
            // Another request was faster.
            Err(error) if error.is_conflict_at(&sql::TOLD) => Ok(()),
            done => done.map(drop).map_err(Error::from),
        }
    }

    /// What each of these keys, all of one account and mode, has used of its caps today.
    pub(crate) async fn used_of(
        &self,
        place: Place,
        [first, last]: [ApiKeyId; 2],
    ) -> Result<Vec<(ApiKeyId, CapUse)>, Error> {
        let [account, mode] = key_of(place);
        let today = day_of(self.now());
        let row = params![account, mode, first.to_string(), last.to_string(), today];
        let rows = self.db().read(&sql::USED, row).await?;
        rows.iter()
            .map(|row| Ok((rows::word(row, "api_key")?, read_use(row)?)))
            .collect()
    }

    /// The key that made a payment, as it is now: its caps count at the checkout page. A payment of the time before caps has none.
    pub(crate) async fn maker(
        &self,
        key: Option<ApiKeyId>,
    ) -> Result<Option<std::sync::Arc<Known>>, Error> {
        match key {
            Some(key) => self.known_key(key).await,
            None => Ok(None),
        }
    }

    /// Forgets what was used long ago.
    pub(crate) async fn prune_caps(&self) -> Result<(), Error> {
        let before = day_of(self.now()).saturating_sub(KEPT_DAYS);
        let prune = Transaction::new().any(&sql::PRUNE, params![before]);
        self.db().transact(prune).await?;
        Ok(())
    }
}

fn read(row: &coffer_db::Row) -> Result<(CapUse, bool), Error> {
    Ok((read_use(row)?, row.integer("told")? != 0))
}

fn read_use(row: &coffer_db::Row) -> Result<CapUse, Error> {
    let currency = match row.text("currency")? {
        "" => None,
        _ => Some(rows::word(row, "currency")?),
    };
    Ok(CapUse {
        kind: rows::word(row, "kind")?,
        currency,
        used: row.integer("used")?,
    })
}

#[cfg(test)]
mod tests {

    use coffer_core::{
        Money,
        api_key::KeyKind,
        decline::DeclineReason,
        id::PaymentId,
        payment::PaymentStatus,
        permission::{Permission, Permissions, Resource},
    };
    use coffer_net::contract::{self, vault::AttemptOutcome};

    use super::*;
    use crate::{
        ApiKeyChange, Caller, CardInput, Done, EventFilter, Fresh, Metadata, NewApiKey, NewPayment,
        NewRefund, Page, Steward,
        fixture::{Script, Shop, captures, make_key, new_key, origin, payment, presented, refunds},
    };

    const DECLINED: AttemptOutcome = AttemptOutcome::Failed {
        reason: DeclineReason::InsufficientFunds,
    };

    fn capped(caps: &str) -> NewApiKey {
        let mut new = new_key(KeyKind::Secret, Permissions::full());
        new.settings.caps = caps.parse().unwrap();
        new
    }

    /// A caller whose key has these caps.
    async fn caller(shop: &Shop, caps: &str) -> Caller {
        let (_, text) = make_key(&shop.engine, shop.place, capped(caps)).await;
        let calling = shop
            .engine
            .authenticate(presented(&text), origin("POST /v1/payments"));
        calling.await.ok().unwrap()
    }

    /// Pays 19.99.
    async fn pay(
        engine: &Engine,
        caller: &Caller,
        capture: CaptureMode,
    ) -> Result<Done<Payment>, Error> {
        engine
            .payment_create(caller, Fresh::unkeyed(), payment(capture))
            .await
    }

    async fn paid(engine: &Engine, caller: &Caller) -> Result<Payment, Error> {
        pay(engine, caller, CaptureMode::Automatic)
            .await
            .map(|done| done.object)
    }

    async fn refund(
        engine: &Engine,
        caller: &Caller,
        payment: PaymentId,
        amount: i64,
    ) -> Result<(), Error> {
        let new = NewRefund {
            payment,
            amount: Some(amount),
            reference: None,
            metadata: Metadata::default(),
        };
        engine
            .refund_create(caller, Fresh::unkeyed(), new)
            .await
            .map(drop)
    }

    /// What the caller's key has used today, in the order of the kinds.
    async fn used(shop: &Shop, caller: &Caller) -> Vec<i64> {
        let seen = shop.engine.api_key_seen(caller.known.key()).await.unwrap();
        let mut caps = seen.caps;
        caps.sort_by_key(|one| one.kind);
        caps.into_iter().map(|one| one.used).collect()
    }

    fn excess(refused: Result<impl std::fmt::Debug, Error>) -> (CapKind, i64) {
        match refused {
            Err(Error::CapExceeded(excess)) => (excess.kind, excess.left),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn payments_side_by_side_on_two_nodes_cannot_exceed_a_cap() {
        let shop = Shop::open().await;
        let other = shop.another_node().await;
        let caller = caller(&shop, "captured_per_day:EUR:7000").await;
        let racing = (0..12).map(|at| {
            let engine = if at % 2 == 0 {
                shop.engine.clone()
            } else {
                other.clone()
            };
            let caller = caller.clone();
            task::spawn("payment", async move { paid(&engine, &caller).await })
        });
        let mut passed = 0;
        for racer in racing.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                Ok(_) => passed += 1,
                Err(error) => assert!(matches!(error, Error::CapExceeded(_)), "{error}"),
            }
        }
        assert_eq!(passed, 3);
        assert_eq!(shop.vault.moved(captures), (3, 5997));
        assert_eq!(
            excess(paid(&shop.engine, &caller).await),
            (CapKind::CapturedPerDay, 1003)
        );
        assert_eq!(used(&shop, &caller).await, [5997]);
    }

    #[tokio::test]
    async fn captures_and_refunds_side_by_side_cannot_exceed_theirs() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:2500 refunded_per_day:EUR:1000").await;
        let held = [
            pay(&shop.engine, &caller, CaptureMode::Manual)
                .await
                .unwrap()
                .object
                .id,
            pay(&shop.engine, &caller, CaptureMode::Manual)
                .await
                .unwrap()
                .object
                .id,
        ];
        assert_eq!(used(&shop, &caller).await, [0; 0], "reserved, not captured");
        let capture = |id| {
            shop.engine
                .payment_capture(&caller, Fresh::unkeyed(), id, None)
        };
        let (one, two) = tokio::join!(capture(held[0]), capture(held[1]));
        assert_eq!([&one, &two].iter().filter(|done| done.is_ok()).count(), 1);
        let captured = one.or(two).unwrap().object.id;
        let back = || refund(&shop.engine, &caller, captured, 400);
        let done = tokio::join!(back(), back(), back(), back());
        let done = [done.0, done.1, done.2, done.3];
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 2);
        assert_eq!(shop.vault.moved(refunds), (2, 800));
        let of_it = excess(refund(&shop.engine, &caller, captured, 201).await);
        assert_eq!(of_it, (CapKind::RefundedPerDay, 200));
    }

    #[tokio::test]
    async fn over_a_cap_nothing_is_recorded_and_nothing_sent() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_call:EUR:1998").await;
        let refused = paid(&shop.engine, &caller).await;
        assert_eq!(excess(refused), (CapKind::CapturedPerCall, 1998));
        let at_checkout = NewPayment {
            card: CardInput::AtCheckout,
            ..payment(CaptureMode::Automatic)
        };
        let refused = shop
            .engine
            .payment_create(&caller, Fresh::unkeyed(), at_checkout);
        assert_eq!(excess(refused.await), (CapKind::CapturedPerCall, 1998));
        let page = Page::new(None, None).unwrap();
        let listed = shop
            .engine
            .payment_list(&caller, crate::PaymentFilter::default(), page);
        assert!(listed.await.unwrap().items.is_empty());
        assert!(shop.vault.ledger.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_kind_that_is_capped_in_one_currency_is_not_passed_in_another() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:100000").await;
        let new = NewPayment {
            money: Money::new(1, "USD".parse().unwrap()).unwrap(),
            ..payment(CaptureMode::Automatic)
        };
        let refused = shop
            .engine
            .payment_create(&caller, Fresh::unkeyed(), new)
            .await;
        assert_eq!(excess(refused), (CapKind::CapturedPerDay, 0));
    }

    #[tokio::test]
    async fn what_was_declined_gives_its_money_back_but_its_card_was_opened() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:2000 cards_per_day:2").await;
        shop.vault.answer(Ok(DECLINED));
        assert_eq!(
            paid(&shop.engine, &caller).await.unwrap().status,
            PaymentStatus::Declined
        );
        assert_eq!(used(&shop, &caller).await, [0, 1]);
        paid(&shop.engine, &caller).await.unwrap();
        assert_eq!(used(&shop, &caller).await, [1999, 2]);
        let manual = pay(&shop.engine, &caller, CaptureMode::Manual).await;
        assert_eq!(excess(manual), (CapKind::CardsPerDay, 0));
    }

    #[tokio::test]
    async fn what_was_never_sent_gives_everything_back() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:2000 cards_per_day:1").await;
        shop.vault.answer(Err(contract::Error::Unavailable));
        assert_eq!(paid(&shop.engine, &caller).await, Err(Error::Unavailable));
        assert_eq!(used(&shop, &caller).await, [0, 0]);
        paid(&shop.engine, &caller).await.unwrap();
    }

    #[tokio::test]
    async fn after_a_crash_the_sweeper_gives_back_what_came_to_nothing_and_only_that() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:4000").await;
        for (happened, then) in [(DECLINED, 0), (AttemptOutcome::Succeeded, 1999)] {
            shop.vault.ledger.lock().unwrap().clear();
            shop.vault.next(Script::Silent(happened));
            tokio::select! {
                biased;
                _ = paid(&shop.engine, &caller) => panic!("the vault is silent"),
                () = async {
                    while shop.vault.ledger.lock().unwrap().is_empty() { tokio::task::yield_now().await; }
                } => {}
            }
            assert_eq!(used(&shop, &caller).await, [1999]);
            shop.sweep_after(40_000).await;
            assert_eq!(used(&shop, &caller).await, [then]);
        }
    }

    #[tokio::test]
    async fn an_unknown_outcome_holds_its_part_until_it_is_known() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:2000").await;
        shop.vault.answer(Err(contract::Error::Away));
        assert_eq!(
            paid(&shop.engine, &caller).await.unwrap().status,
            PaymentStatus::Processing
        );
        assert_eq!(
            excess(paid(&shop.engine, &caller).await),
            (CapKind::CapturedPerDay, 1)
        );
        shop.sweep_after(40_000).await;
        paid(&shop.engine, &caller).await.unwrap();
    }

    #[tokio::test]
    async fn money_that_is_reserved_and_then_refused_counts_no_more_and_counts_anew_when_it_is_captured()
     {
        let shop = Shop::open().await;
        let (maker, taker) = (
            caller(&shop, "captured_per_day:EUR:2000").await,
            caller(&shop, "captured_per_day:EUR:5000").await,
        );
        shop.vault.answer(Ok(AttemptOutcome::Succeeded));
        shop.vault.answer(Ok(DECLINED));
        let held = paid(&shop.engine, &maker).await.unwrap();
        assert_eq!(held.status, PaymentStatus::Authorized);
        assert_eq!(used(&shop, &maker).await, [0]);
        let captured = shop
            .engine
            .payment_capture(&taker, Fresh::unkeyed(), held.id, Some(1500));
        captured.await.unwrap();
        assert_eq!(
            (used(&shop, &maker).await, used(&shop, &taker).await),
            (vec![0], vec![1500])
        );
    }

    #[tokio::test]
    async fn a_day_ends_at_midnight_and_what_it_reserved_is_given_back_to_it() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:2000").await;
        let midnight = resets(day_of(shop.clock.now()));
        shop.clock.advance(midnight.since(shop.clock.now()) - 1);
        shop.vault.answer(Err(contract::Error::Away));
        paid(&shop.engine, &caller).await.unwrap();
        let Err(Error::CapExceeded(full)) = paid(&shop.engine, &caller).await else {
            panic!("the day is used up")
        };
        assert_eq!(full.resets, Some(midnight));
        shop.clock.advance(1);
        paid(&shop.engine, &caller).await.unwrap();
        shop.sweep_after(40_000).await;
        assert_eq!(
            used(&shop, &caller).await,
            [1999],
            "of the new day nothing was given back"
        );
        let days = shop.engine.db().read(&sql::USED, {
            let [account, mode] = key_of(shop.place);
            let key = caller.api_key.to_string();
            params![
                account,
                mode,
                key.as_str(),
                key.as_str(),
                day_of(midnight) - 1
            ]
        });
        assert_eq!(days.await.unwrap()[0].integer("used").unwrap(), 0);
    }

    #[tokio::test]
    async fn a_cap_that_is_lowered_below_what_was_used_leaves_nothing_and_gives_back_all_the_same()
    {
        let shop = Shop::open().await;
        let first = caller(&shop, "captured_per_day:EUR:6000").await;
        shop.vault.answer(Err(contract::Error::Away));
        paid(&shop.engine, &first).await.unwrap();
        paid(&shop.engine, &first).await.unwrap();
        let to = async |caps: &str| {
            let change = ApiKeyChange {
                caps: Some(caps.parse().unwrap()),
                ..ApiKeyChange::default()
            };
            let steward = Steward::Operator(shop.place);
            let key = shop
                .engine
                .api_key_update(steward, Fresh::unkeyed(), first.api_key, change);
            let mut caller = first.clone();
            key.await.unwrap();
            caller.known = shop.engine.known_key(first.api_key).await.unwrap().unwrap();
            caller
        };
        let lowered = to("captured_per_day:EUR:1000").await;
        assert_eq!(
            excess(paid(&shop.engine, &lowered).await),
            (CapKind::CapturedPerDay, 0)
        );
        shop.sweep_after(40_000).await;
        assert_eq!(used(&shop, &lowered).await, [1999]);
        assert_eq!(
            excess(paid(&shop.engine, &lowered).await),
            (CapKind::CapturedPerDay, 0)
        );
        let raised = to("captured_per_day:EUR:3998").await;
        paid(&shop.engine, &raised).await.unwrap();
    }

    #[tokio::test]
    async fn eighty_per_cent_of_a_cap_is_told_once_a_day() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:4900 cards_per_day:100").await;
        let told = async || {
            let filter = EventFilter {
                event_type: Some(EventType::ApiKeyCapNearlyReached),
            };
            let page = Page::new(None, None).unwrap();
            let listed = shop
                .engine
                .event_list(&caller, filter, page)
                .await
                .unwrap()
                .items;
            listed
                .into_iter()
                .map(|event| event.object.id)
                .collect::<Vec<_>>()
        };
        paid(&shop.engine, &caller).await.unwrap();
        assert!(told().await.is_empty());
        for _ in 0..2 {
            shop.vault.answer(Ok(DECLINED));
            paid(&shop.engine, &caller).await.unwrap();
        }
        while told().await.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(told().await, [caller.api_key.to_string()]);
    }

    #[tokio::test]
    async fn a_key_gives_no_more_money_than_it_may_move_and_no_second_helping_of_it() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "captured_per_day:EUR:5000 refunded_per_call:EUR:100").await;
        let steward = Steward::Caller(&caller);
        let create = async |caps: &str, rights: Permissions| {
            let mut new = capped(caps);
            new.settings.permissions = rights;
            shop.engine
                .api_key_create(steward, Fresh::unkeyed(), new)
                .await
                .map(drop)
        };
        let right = |resource| Permissions::none().with(Permission::write(resource));
        let own = "captured_per_day:EUR:5000 refunded_per_call:EUR:100";
        let beyond = Err(Error::BeyondCaller { field: "caps" });
        assert_eq!(create("", right(Resource::Refunds)).await, beyond);
        assert_eq!(
            create(own, right(Resource::Payments)).await,
            beyond,
            "that would be twice as much"
        );
        create(own, right(Resource::Refunds)).await.unwrap();
        let mut wider = ApiKeyChange {
            caps: Some(format!("{own} cards_per_day:5").parse().unwrap()),
            ..ApiKeyChange::default()
        };
        let update = |change| {
            shop.engine
                .api_key_update(steward, Fresh::unkeyed(), caller.api_key, change)
        };
        update(wider.clone()).await.unwrap();
        wider.caps = Some(Caps::default());
        assert_eq!(update(wider).await.map(drop), beyond);
    }

    #[tokio::test]
    async fn a_key_without_caps_leaves_no_count() {
        let shop = Shop::open().await;
        let caller = caller(&shop, "").await;
        let payment = paid(&shop.engine, &caller).await.unwrap();
        refund(&shop.engine, &caller, payment.id, 100)
            .await
            .unwrap();
        assert_eq!(used(&shop, &caller).await, [0; 0]);
    }
}
