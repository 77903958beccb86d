//! Settles what a crash or a silent provider left: asks the vault what became of each pending attempt, records it, and
//! takes up what should have followed. Any node may sweep; what is recorded first stays.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};

use coffer_core::{
    Money, Timestamp,
    event::EventType,
    id::{AttemptId, PaymentId},
    limits::{ATTEMPT_MARGIN_MS, IDEMPOTENCY_KEPT_MS},
    payment::{Closing, Operation, PaymentStatus},
};
use coffer_db::{Row, Transaction, params};
use coffer_net::{
    contract::{
        Place,
        vault::{Act, Perform, Settle, Settlement},
    },
    task,
};
use tokio::task::JoinHandle;

use crate::{
    Engine, Error,
    changes::CHANGES_KEPT_MS,
    commit::By,
    drive::{Ended, Waiting, perform},
    ledger::{Attempt, EXPIRE_AGAIN_MS, Ledger, NOT_DONE, SETTLE_AGAIN_MS},
    rows::{self, key_of},
    store::{accounts, idempotency, payments as sql},
};

/// The longest pause between two looks at one attempt.
const SETTLE_PAUSE_MAX_MS: i64 = 10 * 60 * 1000;
/// Idempotency keys forgotten by one transaction.
const PRUNE_MAX: i64 = 1_000;
/// Attempts and payments taken up by one pass.
const SWEEP_MAX: i64 = 64;

/// Attempts that this process settles at a time.
const SETTLING_MAX: usize = 256;

/// The attempts that this process is settling: a slow provider's are not begun twice, and hold up no others.
#[derive(Default)]
pub(crate) struct Settling(Mutex<HashSet<AttemptId>>);

impl Settling {
    /// As after a crash, or on another node: nothing is in hand.
    #[cfg(test)]
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<AttemptId>> {
        coffer_net::lock(&self.0)
    }
}

/// One attempt of [`Settling`]; leaves it when dropped, however its task ends.
pub(crate) struct Turn {
    engine: Engine,
    attempt: AttemptId,
}

impl Turn {
    /// For the task that performs the attempt: while it does, there is nothing to settle. `None` when this process has it
    /// in hand already.
    pub(crate) fn hold(engine: &Engine, attempt: AttemptId) -> Option<Self> {
        let held = engine.0.settling.lock().insert(attempt);
        held.then(|| Self {
            engine: engine.clone(),
            attempt,
        })
    }

    /// `None` when the attempt has its turn already, or there are too many.
    fn take(engine: &Engine, attempt: AttemptId) -> Option<Self> {
        let mut settling = engine.0.settling.lock();
        let room = settling.len() < SETTLING_MAX && settling.insert(attempt);
        room.then(|| Self {
            engine: engine.clone(),
            attempt,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.engine.0.settling.lock().remove(&self.attempt);
    }
}

impl Engine {
    /// One pass: begins to settle what is due and to expire what nobody paid. What it began goes on whether or not somebody
    /// waits for it.
    pub(crate) async fn sweep(&self) -> Result<Vec<JoinHandle<()>>, Error> {
        let now = self.now().as_millis();
        let mut begun = Vec::new();
        let due = self
            .db()
            .read(&sql::ATTEMPTS_TO_SETTLE, params![now, SWEEP_MAX])
            .await?;
        for row in &due {
            begun.extend(self.begin_settling(row).await?);
        }
        let expired = self
            .db()
            .read(&sql::PAYMENTS_TO_EXPIRE, params![now, SWEEP_MAX])
            .await?;
        for row in expired {
            let engine = self.clone();
            begun.push(task::spawn("expire", async move {
                if let Err(error) = engine.expire(&row).await {
                    tracing::warn!(%error, "a payment has not expired yet");
                }
            }));
        }
        Ok(begun)
    }

    async fn begin_settling(&self, row: &Row) -> Result<Option<JoinHandle<()>>, Error> {
        let (place, payment) = (rows::place(row)?, rows::word(row, "payment")?);
        let (attempt, created) = (rows::word(row, "attempt")?, rows::time(row, "created")?);
        if !self.postpone(place, payment, attempt, created).await? {
            return Ok(None);
        }
        let Some(turn) = Turn::take(self, attempt) else {
            return Ok(None);
        };
        Ok(Some(task::spawn("settle", async move {
            if let Err(error) = turn.engine.settle(place, payment, attempt).await {
                tracing::warn!(%error, attempt.id = %attempt, "an attempt is not settled yet");
            }
        })))
    }

    /// Takes the attempt off the list for a while; false when another node was faster.
    async fn postpone(
        &self,
        place: Place,
        payment: PaymentId,
        attempt: AttemptId,
        created: Timestamp,
    ) -> Result<bool, Error> {
        let now = self.now();
        let again = now.plus_millis(settle_again_ms(created, now)).as_millis();
        let [account, mode] = key_of(place);
        let row = params![
            account,
            mode,
            payment.to_string(),
            attempt.to_string(),
            again,
            now.as_millis()
        ];
        let outcome = self
            .db()
            .transact(Transaction::new().any(&sql::ATTEMPT_POSTPONE, row))
            .await?;
        Ok(outcome.touched(&sql::ATTEMPT_POSTPONE) == 1)
    }

    async fn settle(
        &self,
        place: Place,
        payment: PaymentId,
        attempt: AttemptId,
    ) -> Result<(), Error> {
        let ledger = self.ledger(place, payment).await?;
        let Some(found) = ledger.attempt(attempt) else {
            return Err(Error::Defect);
        };
        let outcome = match self.0.vault.settle(Settle { place, attempt }).await? {
            Settlement::Known(outcome) => outcome,
            // Nothing is sent after the deadline, so then it never was.
            Settlement::NotRecorded
                if self.now() > found.deadline.plus_millis(ATTEMPT_MARGIN_MS) =>
            {
                NOT_DONE
            }
            // It may still be on its way to the vault, which sends nothing after the deadline.
            Settlement::NotRecorded if self.now() >= found.deadline => return Ok(()),
            // Whoever asks the vault, and however often: it performs the attempt once.
            Settlement::NotRecorded => {
                return self.go_on(follow_up(&ledger, found)).await;
            }
        };
        let ended = Ended {
            attempt,
            outcome: &outcome,
            waiting: Waiting::Nobody,
        };
        let recorded = self.record_outcome(place, payment, ended, None);
        let (_, next) = recorded.await?;
        self.go_on(next).await
    }

    /// Does what is to be done next, if anything is.
    async fn go_on(&self, next: Option<Perform>) -> Result<(), Error> {
        if let Some(job) = next {
            self.drive_to_end(job, None, Waiting::Nobody).await?;
        }
        Ok(())
    }

    /// Closes a payment that nobody paid in time, and gives up a reservation that nobody captured.
    async fn expire(&self, row: &Row) -> Result<(), Error> {
        let (place, payment): (Place, PaymentId) = (rows::place(row)?, rows::word(row, "payment")?);
        let now = self.now();
        let mut ledger = self.ledger(place, payment).await?;
        if ledger.expires.is_none_or(|expires| expires > now) {
            return Ok(());
        }
        let mut job = None;
        match ledger.payment.status {
            PaymentStatus::RequiresCard => {
                ledger.close(Closing::Expired, EventType::PaymentExpired);
            }
            PaymentStatus::Authorized => job = self.begin_expiry(&mut ledger),
            // It is decided when the attempt that runs has ended.
            PaymentStatus::Processing | PaymentStatus::RequiresAction => {
                ledger.expires = Some(now.plus_millis(EXPIRE_AGAIN_MS));
            }
            PaymentStatus::Captured
            | PaymentStatus::PartiallyRefunded
            | PaymentStatus::Refunded
            | PaymentStatus::Declined
            | PaymentStatus::Canceled
            | PaymentStatus::Expired => ledger.expires = None,
        }
        let (update, happened) = ledger.update(now);
        let steps = update.append(self.tell(place, &happened));
        let object = payment.to_string();
        match self
            .commit(By::System, place, "payment.expire", &object, steps)
            .await
        {
            Ok(_) => {}
            // Something else happened to it: the next pass looks again.
            Err(error) if error.is_conflict_at(&sql::PAYMENT_UPDATE) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        match job {
            Some(job) => self.drive(job, None).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Begins to give up a reservation. It has expired, and that is told, when the provider has given it up.
    fn begin_expiry(&self, ledger: &mut Ledger) -> Option<Perform> {
        ledger.expires = None;
        let authorize = ledger.authorization()?.id;
        let void = self.own_attempt(Operation::Void, ledger.payment.amount);
        let job = perform(ledger, &void, Act::Void { authorize });
        ledger.begin(void);
        ledger.closing = Closing::Expired;
        Some(job)
    }

    /// Forgets what is kept only for a time.
    pub(crate) async fn prune(&self) -> Result<(), Error> {
        self.prune_uses().await?;
        self.prune_usage().await?;
        self.prune_caps().await?;
        self.prune_revoked_tokens().await?;
        self.prune_blocks().await?;
        let now = self.now();
        let changes = now.plus_millis(-CHANGES_KEPT_MS).as_millis();
        let forget = Transaction::new().any(&accounts::CHANGES_PRUNE, params![changes]);
        self.db().transact(forget).await?;
        let keys = now.plus_millis(-IDEMPOTENCY_KEPT_MS).as_millis();
        loop {
            let forget = Transaction::new().any(&idempotency::PRUNE, params![keys, PRUNE_MAX]);
            let forgotten = self
                .db()
                .transact(forget)
                .await?
                .touched(&idempotency::PRUNE);
            if forgotten == 0 {
                return Ok(());
            }
        }
    }
}

/// The pause until the next look grows with the attempt's age: a challenge that nobody passes is not asked for for ever.
fn settle_again_ms(created: Timestamp, now: Timestamp) -> i64 {
    (now.since(created) / 32).clamp(SETTLE_AGAIN_MS, SETTLE_PAUSE_MAX_MS)
}

/// What an attempt asks of the vault, as far as the payment still tells: an authorization's card it does not.
fn follow_up(ledger: &Ledger, attempt: &Attempt) -> Option<Perform> {
    let authorize = ledger.authorization()?.id;
    let money = Money::new(attempt.amount, ledger.payment.currency).ok()?;
    let act = match attempt.operation {
        Operation::Authorize => return None,
        Operation::Capture => Act::Capture { money, authorize },
        Operation::Void => Act::Void { authorize },
        Operation::Refund => Act::Refund { money, authorize },
    };
    Some(perform(ledger, attempt, act))
}

#[cfg(test)]
mod tests {
    use coffer_core::{limits::CHECKOUT_TTL_MS, payment::CaptureMode};
    use coffer_net::contract::{self, vault::AttemptOutcome};

    use crate::{
        CardInput, Fresh, PaymentFilter,
        fixture::{self, Script, Shop, captures},
        ledger::CAPTURES_MAX,
    };

    use super::*;

    async fn only_payment(shop: &Shop) -> crate::Payment {
        let caller = shop.caller("GET /v1/payments").await;
        let page = crate::Page::new(None, None).unwrap();
        let listed = shop
            .engine
            .payment_list(&caller, PaymentFilter::default(), page)
            .await
            .unwrap();
        listed.items.into_iter().next().unwrap()
    }

    async fn status(shop: &Shop) -> PaymentStatus {
        only_payment(shop).await.status
    }

    /// The process "dies" after the provider has done its work: the caller is dropped and nothing is recorded.
    async fn dies_paying(shop: &Shop, outcome: AttemptOutcome) {
        shop.vault.next(Script::Silent(outcome));
        tokio::select! {
            biased;
            _ = shop.pay_once("order-1") => panic!("the vault is silent"),
            () = async {
                while shop.vault.ledger.lock().unwrap().is_empty() { tokio::task::yield_now().await; }
            } => {}
        }
    }

    #[tokio::test]
    async fn what_a_crash_left_is_settled_and_its_answer_is_kept() {
        let shop = Shop::open().await;
        dies_paying(&shop, AttemptOutcome::Succeeded).await;
        assert_eq!(status(&shop).await, PaymentStatus::Processing);
        shop.sweep_after(6_000).await;
        let settled = only_payment(&shop).await;
        assert_eq!(settled.status, PaymentStatus::Captured);
        assert_eq!(shop.vault.moved(captures), (1, 1999));
        let replayed = String::from_utf8(shop.pay_once("order-1").await.unwrap()).unwrap();
        assert!(
            replayed.starts_with(&settled.id.to_string()) && replayed.contains("captured"),
            "{replayed}"
        );
        assert_eq!(shop.vault.moved(captures), (1, 1999));
    }

    #[tokio::test]
    async fn after_a_crash_the_repeat_learns_of_the_challenge_without_which_nothing_would_end() {
        let shop = Shop::open().await;
        let url = "https://bank.example/challenge".to_owned();
        dies_paying(&shop, AttemptOutcome::Challenged { url }).await;
        shop.sweep_after(6_000).await;
        let replayed = String::from_utf8(shop.pay_once("order-1").await.unwrap()).unwrap();
        assert!(replayed.contains("requires_action"), "{replayed}");
    }

    #[tokio::test]
    async fn an_attempt_that_the_vault_never_saw_fails_only_after_its_deadline() {
        let shop = Shop::open().await;
        shop.vault.answer(Err(contract::Error::Away));
        shop.pay(CaptureMode::Automatic).await.unwrap();
        shop.sweep_after(10_000).await;
        assert_eq!(status(&shop).await, PaymentStatus::Processing);
        shop.sweep_after(25_000).await;
        assert_eq!(status(&shop).await, PaymentStatus::Declined);
    }

    #[tokio::test]
    async fn reserved_money_is_taken_later_when_it_could_not_be_taken_at_once() {
        let shop = Shop::open().await;
        shop.vault.answer(Ok(AttemptOutcome::Succeeded));
        shop.vault.answer(Ok(NOT_DONE));
        let done = shop.pay(CaptureMode::Automatic).await.unwrap();
        assert_eq!(
            (done.status, done.object.status),
            (202, PaymentStatus::Processing)
        );
        shop.vault.answer(Ok(NOT_DONE));
        shop.sweep_after(6_000).await;
        assert_eq!(status(&shop).await, PaymentStatus::Processing);
        shop.sweep_after(6_000).await;
        assert_eq!(status(&shop).await, PaymentStatus::Captured);
        assert_eq!(shop.vault.moved(captures), (1, 1999));
    }

    #[tokio::test]
    async fn a_provider_that_never_takes_reserved_money_is_not_asked_for_ever() {
        let shop = Shop::open().await;
        shop.vault.answer(Ok(AttemptOutcome::Succeeded));
        for _ in 0..CAPTURES_MAX {
            shop.vault.answer(Ok(NOT_DONE));
        }
        shop.pay(CaptureMode::Automatic).await.unwrap();
        for _ in 0..=CAPTURES_MAX {
            shop.sweep_after(6_000).await;
        }
        assert_eq!(status(&shop).await, PaymentStatus::Authorized);
        assert_eq!(shop.vault.moved(captures), (0, 0));
    }

    #[tokio::test]
    async fn a_capture_that_a_crash_kept_from_the_vault_is_performed_by_the_sweeper() {
        let shop = Shop::open().await;
        let id = shop.pay(CaptureMode::Manual).await.unwrap().object.id;
        let caller = shop.caller("POST /v1/payments/{id}/capture").await;
        shop.vault.answer(Err(contract::Error::Away));
        let done = shop
            .engine
            .payment_capture(&caller, Fresh::unkeyed(), id, Some(1_500))
            .await
            .unwrap();
        assert_eq!(done.status, 202);
        shop.sweep_after(6_000).await;
        assert_eq!(status(&shop).await, PaymentStatus::Captured);
        assert_eq!(shop.vault.moved(captures), (1, 1_500));
    }

    #[tokio::test]
    async fn a_checkout_that_nobody_paid_expires() {
        let shop = Shop::open().await;
        let caller = shop.caller("POST /v1/payments").await;
        let new = crate::NewPayment {
            card: CardInput::AtCheckout,
            ..fixture::payment(CaptureMode::Automatic)
        };
        let waiting = shop
            .engine
            .payment_create(&caller, Fresh::unkeyed(), new)
            .await
            .unwrap()
            .object;
        assert!(waiting.checkout_url.is_some());
        shop.sweep_after(CHECKOUT_TTL_MS).await;
        let expired = only_payment(&shop).await;
        assert_eq!(
            (expired.status, expired.checkout_url),
            (PaymentStatus::Expired, None)
        );
    }

    #[tokio::test]
    async fn a_reservation_that_nobody_captured_is_given_up() {
        let shop = Shop::open().await;
        shop.pay(CaptureMode::Manual).await.unwrap();
        shop.sweep_after(coffer_core::limits::AUTHORIZATION_TTL_MS + 1)
            .await;
        assert_eq!(status(&shop).await, PaymentStatus::Expired);
        assert_eq!(shop.vault.moved(captures), (0, 0));
        assert_eq!(shop.vault.ledger.lock().unwrap().len(), 2);
    }

    async fn events(shop: &Shop) -> Vec<EventType> {
        let caller = shop.caller("GET /v1/events").await;
        let page = crate::Page::new(None, None).unwrap();
        let listed = shop
            .engine
            .event_list(&caller, crate::EventFilter::default(), page)
            .await
            .unwrap();
        let payments = listed
            .items
            .iter()
            .filter(|event| event.object.kind == "payment");
        payments.map(|event| event.event_type).collect()
    }

    #[tokio::test]
    async fn a_reservation_that_the_provider_does_not_give_up_has_not_expired_and_is_tried_again() {
        let shop = Shop::open().await;
        shop.pay(CaptureMode::Manual).await.unwrap();
        shop.clock
            .advance(coffer_core::limits::AUTHORIZATION_TTL_MS + 1);
        shop.vault.answer(Ok(NOT_DONE));
        shop.sweep().await;
        assert_eq!(status(&shop).await, PaymentStatus::Authorized);
        assert_eq!(events(&shop).await, [EventType::PaymentAuthorized]);
        shop.sweep_after(EXPIRE_AGAIN_MS).await;
        assert_eq!(status(&shop).await, PaymentStatus::Expired);
        let told = [EventType::PaymentAuthorized, EventType::PaymentExpired];
        assert_eq!(events(&shop).await, told);
    }

    #[tokio::test]
    async fn a_capture_that_runs_when_the_time_is_over_decides_and_is_looked_at_again() {
        let shop = Shop::open().await;
        let id = shop.pay(CaptureMode::Manual).await.unwrap().object.id;
        let caller = shop.caller("POST /v1/payments/{id}/capture").await;
        shop.clock
            .advance(coffer_core::limits::AUTHORIZATION_TTL_MS + 1);
        shop.vault.answer(Err(contract::Error::Away));
        shop.engine
            .payment_capture(&caller, Fresh::unkeyed(), id, None)
            .await
            .unwrap();
        shop.sweep().await;
        assert_eq!(status(&shop).await, PaymentStatus::Processing);
        shop.clock.advance(EXPIRE_AGAIN_MS);
        // The capture never was; then the reservation can be given up.
        shop.sweep().await;
        shop.sweep_after(EXPIRE_AGAIN_MS).await;
        assert_eq!(status(&shop).await, PaymentStatus::Expired);
        assert_eq!(shop.vault.moved(captures), (0, 0));
    }

    #[test]
    fn an_old_attempt_is_looked_at_more_rarely() {
        let born = Timestamp::from_millis(0);
        let pause = |age_ms| settle_again_ms(born, born.plus_millis(age_ms));
        assert_eq!(pause(10_000), SETTLE_AGAIN_MS);
        assert_eq!(pause(320_000), 10_000);
        assert_eq!(pause(i64::MAX), SETTLE_PAUSE_MAX_MS);
    }

    #[tokio::test]
    async fn an_idempotency_key_is_forgotten_after_its_time_and_not_before() {
        let shop = Shop::open().await;
        let first = shop.pay_once("order-1").await.unwrap();
        shop.clock.advance(IDEMPOTENCY_KEPT_MS - 1);
        shop.engine.prune().await.unwrap();
        assert_eq!(shop.pay_once("order-1").await.unwrap(), first);
        shop.clock.advance(2);
        shop.engine.prune().await.unwrap();
        assert_ne!(shop.pay_once("order-1").await.unwrap(), first);
    }
}
