//! Settles what a crash or a silent provider left: asks the vault what became of each pending attempt, records it, and
//! takes up what should have followed. Any node may sweep; what is recorded first stays.

use coffer_core::{
    decline::DeclineReason,
    event::EventType,
    id::{AttemptId, PaymentId},
    limits::{ATTEMPT_MARGIN_MS, IDEMPOTENCY_KEPT_MS},
    payment::{Closing, Operation, PaymentStatus},
};
use coffer_db::{Row, Transaction, params};
use coffer_net::{
    contract::{
        Place,
        vault::{Act, AttemptOutcome, Settle, Settlement},
    },
    task,
};

use crate::{
    Engine, Error,
    commit::By,
    drive::{Waiting, perform},
    idempotency::key_of,
    ledger::SETTLE_AGAIN_MS,
    rows,
    store::{accounts, idempotency, payments as sql},
};

/// Attempts and payments taken up by one pass.
const SWEEP_MAX: i64 = 64;
/// How long the list of changes is kept; a node that was away for longer begins anew.
const CHANGES_KEPT_MS: i64 = 60 * 60 * 1000;

impl Engine {
    /// One pass: settles what is due and expires what nobody paid.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        let now = self.now().as_millis();
        let due = self
            .db()
            .read(&sql::ATTEMPTS_TO_SETTLE, params![now, SWEEP_MAX])
            .await?;
        let mut tasks = Vec::new();
        for row in &due {
            let (place, payment, attempt) = (
                rows::place(row)?,
                rows::word(row, "payment")?,
                rows::word(row, "attempt")?,
            );
            if self.postpone(place, payment, attempt).await? {
                let engine = self.clone();
                tasks.push(task::spawn("settle", async move {
                    engine.settle(place, payment, attempt).await
                }));
            }
        }
        for settling in tasks {
            if let Ok(Err(error)) = settling.await {
                tracing::warn!(%error, "an attempt is not settled yet");
            }
        }
        let expired = self
            .db()
            .read(&sql::PAYMENTS_TO_EXPIRE, params![now, SWEEP_MAX])
            .await?;
        for row in &expired {
            self.expire(row).await?;
        }
        Ok(())
    }

    /// Takes the attempt off the list for a while; false when another node was faster.
    async fn postpone(
        &self,
        place: Place,
        payment: PaymentId,
        attempt: AttemptId,
    ) -> Result<bool, Error> {
        let now = self.now();
        let again = now.plus_millis(SETTLE_AGAIN_MS).as_millis();
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
        let Some(deadline) = ledger.attempt(attempt).map(|attempt| attempt.deadline) else {
            return Err(Error::Defect);
        };
        let outcome = match self.0.vault.settle(Settle { place, attempt }).await? {
            Settlement::Known(outcome) => outcome,
            // Nothing is sent after the deadline, so then it never was.
            Settlement::NotRecorded if self.now() > deadline.plus_millis(ATTEMPT_MARGIN_MS) => {
                AttemptOutcome::Failed {
                    reason: DeclineReason::ProcessingError,
                }
            }
            Settlement::NotRecorded => return Ok(()),
        };
        let (_, next) = self
            .record_outcome(place, payment, attempt, &outcome, Waiting::Nobody)
            .await?;
        match next {
            Some(job) => self
                .drive_to_end(place, payment, job, Waiting::Nobody)
                .await
                .map(|_| ()),
            None => Ok(()),
        }
    }

    /// Closes a payment that nobody paid in time, and gives up a reservation that nobody captured.
    async fn expire(&self, row: &Row) -> Result<(), Error> {
        let (place, payment): (Place, PaymentId) = (rows::place(row)?, rows::word(row, "payment")?);
        let now = self.now();
        let mut ledger = self.ledger(place, payment).await?;
        let waits = ledger.payment.status == PaymentStatus::RequiresCard;
        let reserved = ledger.authorization().map(|attempt| attempt.id);
        let mut job = None;
        if ledger.payment.status == PaymentStatus::Authorized
            && let Some(authorize) = reserved
        {
            let void = self.own_attempt(Operation::Void, ledger.payment.amount);
            job = Some(perform(&ledger, &void, Act::Void { authorize }));
            ledger.begin(void);
        }
        if waits || job.is_some() {
            ledger.close(Closing::Expired, EventType::PaymentExpired);
        } else {
            ledger.expires = None;
        }
        let (update, happened) = ledger.update(now);
        let steps = update.append(self.tell(place, &happened));
        self.commit(
            By::System,
            place,
            "payment.expire",
            &payment.to_string(),
            steps,
        )
        .await?;
        match job {
            Some(job) => self.drive(place, payment, job).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Forgets what is kept only for a time.
    pub(crate) async fn prune(&self) -> Result<(), Error> {
        let now = self.now();
        let steps = Transaction::new()
            .any(
                &idempotency::PRUNE,
                params![now.plus_millis(-IDEMPOTENCY_KEPT_MS).as_millis()],
            )
            .any(
                &accounts::CHANGES_PRUNE,
                params![now.plus_millis(-CHANGES_KEPT_MS).as_millis()],
            );
        self.db().transact(steps).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{limits::CHECKOUT_TTL_MS, payment::CaptureMode};
    use coffer_net::contract;

    use crate::{
        CardInput, Fresh, PaymentFilter,
        fixture::{self, Script, Shop, captures},
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

    #[tokio::test]
    async fn what_a_crash_left_is_settled_and_its_answer_is_kept() {
        let shop = Shop::open().await;
        shop.vault.next(Script::Silent);
        // The process "dies" after the provider has done its work: the caller is dropped and nothing is recorded.
        tokio::select! {
            biased;
            _ = shop.pay_once("order-1") => panic!("the vault is silent"),
            () = async {
                while shop.vault.ledger.lock().unwrap().is_empty() { tokio::task::yield_now().await; }
            } => {}
        }
        assert_eq!(only_payment(&shop).await.status, PaymentStatus::Processing);
        shop.clock.advance(6_000);
        shop.engine.sweep().await.unwrap();
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
    async fn an_attempt_that_the_vault_never_saw_fails_only_after_its_deadline() {
        let shop = Shop::open().await;
        shop.vault.next(Script::Answer(Err(contract::Error::Away)));
        shop.pay(CaptureMode::Automatic).await.unwrap();
        shop.clock.advance(10_000);
        shop.engine.sweep().await.unwrap();
        assert_eq!(only_payment(&shop).await.status, PaymentStatus::Processing);
        shop.clock.advance(25_000);
        shop.engine.sweep().await.unwrap();
        assert_eq!(only_payment(&shop).await.status, PaymentStatus::Declined);
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
        shop.clock.advance(CHECKOUT_TTL_MS);
        shop.engine.sweep().await.unwrap();
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
        shop.clock
            .advance(coffer_core::limits::AUTHORIZATION_TTL_MS + 1);
        shop.engine.sweep().await.unwrap();
        assert_eq!(only_payment(&shop).await.status, PaymentStatus::Expired);
        assert_eq!(shop.vault.moved(captures), (0, 0));
        assert_eq!(shop.vault.ledger.lock().unwrap().len(), 2);
    }
}
