//! The act and its outcome: asks the vault to perform an attempt and records how it ended, until nothing is left to do.

use std::{sync::Arc, time::Duration};

use coffer_core::{
    Money,
    id::{AttemptId, PaymentId, RecordId},
    payment::Operation,
};
use coffer_crypto::Key;
use coffer_db::{Transaction, params};
use coffer_net::{
    contract::{
        self, Place, Refusal,
        keys::GetOrderKey,
        order::{Order, SignedOrder},
        vault::{Act, AttemptOutcome, Perform},
    },
    task,
};
use tokio::sync::RwLock;

use crate::{
    Engine, Error, Payment, StoredAnswer,
    commit::By,
    ledger::{Attempt, Ledger, NOT_DONE, SETTLE_AFTER_MS},
    rows::key_of,
    store::{idempotency as idempotency_sql, payments as sql},
    sweeper::Turn,
};

/// How often a task that waits for the vault says so: twice before [`SETTLE_AFTER_MS`] is over.
const HOLD_EVERY: Duration = Duration::from_secs(2);

/// The key with which this process signs orders, asked for once.
pub(crate) struct OrderSigner(RwLock<Option<Arc<(String, Key)>>>);

impl OrderSigner {
    pub(crate) const fn new() -> Self {
        Self(RwLock::const_new(None))
    }
}

/// How an attempt ended, and who waits for that.
pub(crate) struct Ended<'o> {
    pub(crate) attempt: AttemptId,
    pub(crate) outcome: &'o AttemptOutcome,
    pub(crate) waiting: Waiting,
}

/// Who waits for the outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A client: it is answered with what is known when the work ends.
    Client,
    /// Nobody any more: the answer of its request is stored once the outcome is settled.
    Nobody,
}

impl Engine {
    /// Performs an attempt, and the capture that follows it, in a task of its own; returns the payment as it then is. `known`
    /// is the payment as it was stored with the attempt, where that is at hand.
    pub(crate) async fn drive(
        &self,
        job: Perform,
        known: Option<Ledger>,
    ) -> Result<Payment, Error> {
        let engine = self.clone();
        let work = task::spawn("payment", async move {
            engine.drive_to_end(job, known, Waiting::Client).await
        });
        work.await.unwrap_or(Err(Error::Defect))
    }

    pub(crate) async fn drive_to_end(
        &self,
        job: Perform,
        known: Option<Ledger>,
        waiting: Waiting,
    ) -> Result<Payment, Error> {
        let (place, payment) = (job.place, job.payment);
        let (mut job, mut known) = (job, known);
        loop {
            let attempt = job.attempt;
            // Or the sweeper could record the outcome first, and the client be told that nothing is known yet.
            let _turn = Turn::hold(self, attempt);
            let outcome = match self.perform_held(place, payment, job).await {
                Ok(outcome) => outcome,
                // It may have been sent, also when the vault failed at it: the sweeper will ask.
                Err(contract::Error::Away | contract::Error::Defect) => AttemptOutcome::Unknown,
                Err(
                    error @ (contract::Error::Unavailable
                    | contract::Error::Sealed
                    | contract::Error::NotAllowed
                    | contract::Error::Refused(_)),
                ) => {
                    return self
                        .record_not_sent(place, payment, attempt, error, waiting)
                        .await;
                }
            };
            let ended = Ended {
                attempt,
                outcome: &outcome,
                waiting,
            };
            let (settled, next) = self.record_outcome(place, payment, ended, known).await?;
            match next {
                Some(next) => (job, known) = (next, Some(settled.once_stored())),
                None => return Ok(settled.payment),
            }
        }
    }

    /// Has the vault perform an attempt. Until it answers, the sweepers of other nodes are told again and again that somebody
    /// waits: should one settle the attempt, the client would be told that nothing is known yet.
    async fn perform_held(
        &self,
        place: Place,
        payment: PaymentId,
        job: Perform,
    ) -> Result<AttemptOutcome, contract::Error> {
        let attempt = job.attempt;
        let holding = async {
            loop {
                tokio::time::sleep(HOLD_EVERY).await;
                if let Err(error) = self.hold(place, payment, attempt).await {
                    tracing::warn!(%error, attempt.id = %attempt, "another node may settle what this one performs");
                }
            }
        };
        tokio::select! {
            biased;
            outcome = self.0.vault.perform(job) => outcome,
            () = holding => Err(contract::Error::Defect),
        }
    }

    /// Keeps the attempt from the sweepers for a while longer.
    pub(crate) async fn hold(
        &self,
        place: Place,
        payment: PaymentId,
        attempt: AttemptId,
    ) -> Result<(), Error> {
        let until = self.now().plus_millis(SETTLE_AFTER_MS).as_millis();
        let [account, mode] = key_of(place);
        let (payment, attempt) = (payment.to_string(), attempt.to_string());
        let row = params![account, mode, payment, attempt, until, until];
        self.db()
            .transact(Transaction::new().any(&sql::ATTEMPT_POSTPONE, row))
            .await?;
        Ok(())
    }

    /// Records how an attempt ended, with its events and the answer of the request that waits for it; and the intent of
    /// the capture that follows, if one does. What is recorded already stays.
    pub(crate) async fn record_outcome(
        &self,
        place: Place,
        payment: PaymentId,
        ended: Ended<'_>,
        known: Option<Ledger>,
    ) -> Result<(Ledger, Option<Perform>), Error> {
        let Ended {
            attempt,
            outcome,
            waiting,
        } = ended;
        let mut known = known;
        loop {
            // What is known may be outdated: then it is in conflict with what is stored.
            let mut ledger = match known.take() {
                Some(known) => known,
                None => self.ledger(place, payment).await?,
            };
            let payment_before = &ledger.payment;
            let before = (
                payment_before.amount_captured,
                payment_before.amount_refunded,
            );
            let (steps, next) = self
                .settle_in(&mut ledger, attempt, outcome, waiting)
                .await?;
            if steps.is_empty() {
                return Ok((ledger, next));
            }
            let id = attempt.to_string();
            match self
                .commit(By::System, place, "attempt.outcome", &id, steps)
                .await
            {
                Ok(_) => {
                    self.count_money(&ledger, before);
                    return Ok((ledger, next));
                }
                Err(error)
                    if error.is_conflict_at(&sql::PAYMENT_UPDATE)
                        || error.is_conflict_at(&sql::ATTEMPT_UPDATE) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The steps that store an attempt's outcome with all that follows from it, and what is to be done next.
    async fn settle_in(
        &self,
        ledger: &mut Ledger,
        attempt: AttemptId,
        outcome: &AttemptOutcome,
        waiting: Waiting,
    ) -> Result<(Transaction, Option<Perform>), Error> {
        let now = self.now();
        if !ledger.settle(attempt, outcome, now) {
            let answer = match waiting {
                Waiting::Client => self.answer(ledger, attempt).await?,
                Waiting::Nobody => Transaction::new(),
            };
            return Ok((answer, None));
        }
        let tried_before = ledger.captures() > 0;
        let capture = if ledger.wants_capture() {
            Some(self.begin_capture(ledger)?)
        } else {
            None
        };
        // A payer at a challenge goes on only when the client learns of it.
        let settled = capture.is_none()
            && ledger
                .attempt(attempt)
                .is_some_and(|attempt| !attempt.is_pending() || attempt.is_challenged());
        // What failed once is tried again by the sweeper, after a pause.
        let next = capture.filter(|_| !tried_before);
        let (mut steps, happened) = ledger.update(now);
        if next.is_none() && (settled || waiting == Waiting::Client) {
            steps = steps.append(self.answer(ledger, attempt).await?);
        }
        let told = self.tell(ledger.payment.place, &happened);
        Ok((steps.append(told), next))
    }

    /// Nothing was sent: the attempt failed, and the request may be made again with the same idempotency key. Not so when
    /// this was the capture after an authorization that was sent: money is reserved, so that is tried again.
    async fn record_not_sent(
        &self,
        place: Place,
        payment: PaymentId,
        attempt: AttemptId,
        error: contract::Error,
        waiting: Waiting,
    ) -> Result<Payment, Error> {
        loop {
            let mut ledger = self.ledger(place, payment).await?;
            let found = ledger.attempt(attempt).ok_or(Error::Defect)?;
            if !found.is_pending() {
                // Another node has settled it meanwhile, and that stays.
                return Err(error.into());
            }
            if ledger.is_own_capture(found) {
                tracing::warn!(%error, attempt.id = %attempt, "reserved money was not taken; it is tried again");
                let ended = Ended {
                    attempt,
                    outcome: &NOT_DONE,
                    waiting,
                };
                let recorded = self
                    .record_outcome(place, payment, ended, Some(ledger))
                    .await;
                return recorded.map(|(ledger, _)| ledger.payment);
            }
            let (id, steps) = (attempt.to_string(), self.take_back(&mut ledger, attempt)?);
            match self
                .commit(By::System, place, "attempt.not_sent", &id, steps)
                .await
            {
                Ok(_) => break,
                Err(error) if error.is_conflict_at(&sql::PAYMENT_UPDATE) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if error == contract::Error::Refused(Refusal::OrderInvalid) {
            // The api's certificate was renewed, and its order key with it.
            *self.0.orders.0.write().await = None;
            return Err(Error::Unavailable);
        }
        Err(error.into())
    }

    /// The steps that take an attempt back of which nothing was sent, and release the key of the request that waits for it.
    fn take_back(&self, ledger: &mut Ledger, attempt: AttemptId) -> Result<Transaction, Error> {
        let (now, place) = (self.now(), ledger.payment.place);
        let found = ledger.attempt(attempt).ok_or(Error::Defect)?;
        let [account, mode] = key_of(place);
        let release = params![account, mode, found.answers.as_str()];
        if found.operation == Operation::Authorize && ledger.at_checkout {
            ledger.withdraw(attempt);
        } else if found.operation == Operation::Authorize {
            ledger.abandon(attempt, now);
        } else {
            ledger.settle(attempt, &NOT_DONE, now);
        }
        let (update, happened) = ledger.update(now);
        Ok(update
            .any(&idempotency_sql::RELEASE, release)
            .append(self.tell(place, &happened)))
    }

    fn begin_capture(&self, ledger: &mut Ledger) -> Result<Perform, Error> {
        let authorize = ledger.authorization().ok_or(Error::Defect)?.id;
        let money = ledger.money()?;
        let capture = self.attempt(
            Operation::Capture,
            money.amount(),
            ledger.payment.id.to_string(),
            self.now(),
        );
        let job = perform(ledger, &capture, Act::Capture { money, authorize });
        ledger.begin(capture);
        Ok(job)
    }

    /// Stores the answer for the request that waits for this attempt: that of a crashed process too.
    async fn answer(&self, ledger: &Ledger, attempt: AttemptId) -> Result<Transaction, Error> {
        let Some(attempt) = ledger.attempt(attempt) else {
            return Ok(Transaction::new());
        };
        let payment = &ledger.payment;
        let (status, body) = if let Some(id) = attempt.refund {
            let refund = self.refund_after(payment, id, attempt).await?;
            (refund.answer_status(), (self.0.render.refund)(&refund))
        } else {
            let makes_it = attempt.answers == payment.id.to_string();
            let done = if makes_it { 201 } else { 200 };
            (
                payment.answer_status(done),
                (self.0.render.payment)(payment),
            )
        };
        let answer = StoredAnswer { status, body };
        self.store_answer(payment.place, &attempt.answers, &answer)
    }

    /// Signs the order that opens one record for one attempt.
    pub(crate) async fn order(
        &self,
        ledger: &Ledger,
        attempt: &Attempt,
        record: RecordId,
        money: Money,
    ) -> Result<SignedOrder, Error> {
        let order = Order {
            place: ledger.payment.place,
            payment: ledger.payment.id,
            attempt: attempt.id,
            record,
            money,
            destination: ledger.provider.clone(),
            expires: attempt.deadline,
        };
        let signer = self.order_key().await?;
        Ok(order.sign(signer.0.clone(), &signer.1))
    }

    async fn order_key(&self) -> Result<Arc<(String, Key)>, Error> {
        if let Some(known) = self.0.orders.0.read().await.as_ref() {
            return Ok(Arc::clone(known));
        }
        let granted = self.0.keys.order_key(GetOrderKey {}).await?;
        let granted = Arc::new((granted.key_id, granted.key.into_key()));
        *self.0.orders.0.write().await = Some(Arc::clone(&granted));
        Ok(granted)
    }
}

/// What the vault is asked to do for an attempt.
pub(crate) fn perform(ledger: &Ledger, attempt: &Attempt, act: Act) -> Perform {
    Perform {
        place: ledger.payment.place,
        payment: ledger.payment.id,
        attempt: attempt.id,
        provider: ledger.provider.clone(),
        deadline: attempt.deadline,
        act,
    }
}
