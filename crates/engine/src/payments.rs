//! Payments: made, captured, canceled, read. Money moves in three steps: record the intent, act, record the outcome.

mod card;
mod intent;
mod reading;

use coffer_core::{
    CardSummary, Mode, Money, Timestamp,
    event::EventType,
    id::{AttemptId, PaymentId},
    limits::{ATTEMPT_DEADLINE_MS, CHECKOUT_TTL_MS},
    payment::{AttemptStatus, Closing, Operation, PaymentStatus},
    provider::Provider,
};
use coffer_db::Transaction;
use coffer_net::contract::{
    Place,
    vault::{Act, CardSource},
};

pub(crate) use card::Found;

use crate::{
    Caller, Done, Engine, Error, Fresh, NewPayment, Payment, StoredAnswer, Subject,
    commit::Intent,
    drive::perform,
    ledger::{Attempt, Ledger},
    store::{caps, payments as sql},
    text::check_url,
};

impl Engine {
    /// Makes a payment; with a card it is authorized, and captured unless that is manual, before this returns.
    ///
    /// # Errors
    /// Before the intent is recorded: what is wrong with the request. After that only [`Error::Sealed`] and refusals of
    /// the card, which mean that nothing was sent. A decline is no error, an unknown outcome is 202.
    pub async fn payment_create(
        &self,
        caller: &Caller,
        fresh: Fresh,
        new: NewPayment,
    ) -> Result<Done<Payment>, Error> {
        self.check_held(&Subject::Key(caller.api_key))?;
        let provider = self.provider(caller.place.mode)?;
        if let Some(url) = &new.return_url {
            check_url("return_url", url)?;
        }
        if let Some(customer) = new.customer {
            self.customer(caller, customer).await?;
        }
        let Some((found, card)) = self.find_card(caller, &new).await? else {
            return self.payment_await_card(caller, &fresh, new, provider).await;
        };
        let now = self.now();
        let (payment, money) = (self.draft(caller.place, &new, Some(card), now), new.money);
        let mut ledger = Ledger::new(payment, provider, (Closing::Open, false, None), Vec::new());
        let id = ledger.payment.id;
        let key = caller.known.key();
        ledger.maker = Some(key.id);
        let mut attempt = self.attempt(Operation::Authorize, money.amount(), id.to_string(), now);
        let reserve = self.reserve(key, &mut attempt, &ledger.payment).await?;
        let act = self.authorization(&ledger, &attempt, found, money).await?;
        let job = perform(&ledger, &attempt, act);

        // 1. The intent: payment, attempt, caps, idempotency key and record, in one transaction.
        let reserved = attempt.reserved.clone();
        ledger.begin(attempt);
        let intent = ledger.insert(now).append(fresh.claim(&id.to_string(), now));
        let intent = Intent::new("payment.create", id, intent.append(reserve))
            .or(&caps::COUNT, Error::changing("cap"));
        match self.intend(caller, intent).await {
            Ok(done) => self.watch_caps(key, reserved.as_ref(), &done),
            Err(error) if error == Error::changing("cap") => {
                return Err(self.no_room(key, &ledger).await);
            }
            Err(error) => return Err(error),
        }

        // 2. and 3. The act and its outcome, in a task of their own: the client may hang up, the payment may not.
        let done = self.drive(job, Some(ledger.once_stored())).await?;
        self.note_try(&done, Some(caller.api_key), None);
        Ok(done.answered(201))
    }

    /// Takes reserved money, all of it unless an amount is given; the rest is given up.
    ///
    /// # Errors
    /// [`Error::State`] unless the payment is authorized, [`Error::AmountTooLarge`] for more than was reserved.
    pub async fn payment_capture(
        &self,
        caller: &Caller,
        fresh: Fresh,
        id: PaymentId,
        amount: Option<i64>,
    ) -> Result<Done<Payment>, Error> {
        let (job, ledger) = self
            .intend_on(caller, &fresh, id, "payment.capture", |engine, ledger| {
                let authorize = authorized(ledger)?;
                let reserved = ledger.payment.amount;
                let amount = amount.unwrap_or(reserved);
                if amount > reserved {
                    return Err(Error::AmountTooLarge {
                        left: reserved,
                        currency: ledger.payment.currency,
                    });
                }
                let money = Money::new(amount, ledger.payment.currency)
                    .map_err(|malformed| Error::invalid("amount", malformed))?;
                Ok((
                    engine.own_attempt(Operation::Capture, amount),
                    Act::Capture { money, authorize },
                    Transaction::new(),
                ))
            })
            .await?;
        Ok(self.drive(job, Some(ledger)).await?.answered(200))
    }

    /// Gives a payment up: at once while it waits for a card, by a void when money is reserved.
    ///
    /// # Errors
    /// [`Error::State`] when there is nothing to give up any more.
    pub async fn payment_cancel(
        &self,
        caller: &Caller,
        fresh: Fresh,
        id: PaymentId,
    ) -> Result<Done<Payment>, Error> {
        if self.ledger(caller.place, id).await?.payment.status == PaymentStatus::RequiresCard {
            return self.close(caller, &fresh, id).await;
        }
        let (job, ledger) = self
            .intend_on(caller, &fresh, id, "payment.cancel", |engine, ledger| {
                let authorize = authorized(ledger)?;
                Ok((
                    engine.own_attempt(Operation::Void, ledger.payment.amount),
                    Act::Void { authorize },
                    Transaction::new(),
                ))
            })
            .await?;
        Ok(self.drive(job, Some(ledger)).await?.answered(200))
    }

    fn provider(&self, mode: Mode) -> Result<Provider, Error> {
        match mode {
            Mode::Test => Ok(Provider::simulator()),
            Mode::Live => self.0.live_provider.clone().ok_or(Error::ProviderMissing),
        }
    }

    async fn payment_await_card(
        &self,
        caller: &Caller,
        fresh: &Fresh,
        new: NewPayment,
        provider: Provider,
    ) -> Result<Done<Payment>, Error> {
        let now = self.now();
        let payment = self.draft(caller.place, &new, None, now);
        Self::check_call(&caller.settings().caps, &payment)?;
        let expires = Some(now.plus_millis(CHECKOUT_TTL_MS));
        let mut ledger = Ledger::new(
            payment,
            provider,
            (Closing::Open, true, expires),
            Vec::new(),
        );
        ledger.maker = Some(caller.api_key);
        let id = ledger.payment.id.to_string();
        let insert = ledger.insert(now);
        let answer = StoredAnswer {
            status: 201,
            body: (self.0.render.payment)(&ledger.payment),
        };
        let intent = insert.append(self.answered(fresh, &id, now, &answer)?);
        self.intend(caller, Intent::new("payment.create", id, intent))
            .await?;
        Ok(Done {
            status: 201,
            object: ledger.payment,
        })
    }

    async fn close(
        &self,
        caller: &Caller,
        fresh: &Fresh,
        id: PaymentId,
    ) -> Result<Done<Payment>, Error> {
        let now = self.now();
        let mut ledger = self.ledger(caller.place, id).await?;
        if ledger.payment.status != PaymentStatus::RequiresCard {
            // A card was entered, or a twin was faster, since the caller's request was looked at.
            return Err(Error::changing("payment"));
        }
        ledger.close(Closing::Canceled, EventType::PaymentCanceled);
        let (update, happened) = ledger.update(now);
        let answer = StoredAnswer {
            status: 200,
            body: (self.0.render.payment)(&ledger.payment),
        };
        let attempt: AttemptId = self.0.clock.id();
        let steps = update
            .append(self.answered(fresh, &attempt.to_string(), now, &answer)?)
            .append(self.tell(caller.place, &happened));
        let intent = Intent::new("payment.cancel", id, steps)
            .or(&sql::PAYMENT_UPDATE, Error::changing("payment"));
        self.intend(caller, intent).await?;
        Ok(Done {
            status: 200,
            object: ledger.payment,
        })
    }

    pub(crate) async fn authorization(
        &self,
        ledger: &Ledger,
        attempt: &Attempt,
        found: Found,
        money: Money,
    ) -> Result<Act, Error> {
        let source = match found {
            Found::Test(token) => CardSource::Test(token),
            Found::Deposited { token, record } => CardSource::Token {
                token,
                order: self.order(ledger, attempt, record, money).await?,
            },
            Found::Kept { record } => CardSource::Kept {
                order: self.order(ledger, attempt, record, money).await?,
            },
        };
        Ok(Act::Authorize {
            money,
            source,
            return_url: self.return_url(ledger),
        })
    }

    /// Where the provider sends the payer after a challenge: back to the page that the payer came from.
    fn return_url(&self, ledger: &Ledger) -> Option<String> {
        let payment = &ledger.payment;
        if ledger.at_checkout {
            return Some(self.0.checkout.url(payment.place, payment.id));
        }
        payment.return_url.clone()
    }

    /// An attempt whose request waits for the attempt itself, not for the payment's first answer.
    pub(crate) fn own_attempt(&self, operation: Operation, amount: i64) -> Attempt {
        let mut attempt = self.attempt(operation, amount, String::new(), self.now());
        attempt.answers = attempt.id.to_string();
        attempt
    }

    pub(crate) fn attempt(
        &self,
        operation: Operation,
        amount: i64,
        answers: String,
        now: Timestamp,
    ) -> Attempt {
        Attempt {
            id: self.0.clock.id(),
            operation,
            status: AttemptStatus::Sending,
            amount,
            decline_reason: None,
            challenge_url: None,
            refund: None,
            answers,
            deadline: now.plus_millis(ATTEMPT_DEADLINE_MS),
            created: now,
            reserved: None,
        }
    }

    fn draft(
        &self,
        place: Place,
        new: &NewPayment,
        card: Option<CardSummary>,
        now: Timestamp,
    ) -> Payment {
        let id = self.0.clock.id();
        let checkout_url = card.is_none().then(|| self.0.checkout.url(place, id));
        Payment {
            id,
            place,
            status: PaymentStatus::RequiresCard,
            amount: new.money.amount(),
            currency: new.money.currency(),
            amount_captured: 0,
            amount_refunded: 0,
            capture: new.capture,
            card,
            customer: new.customer,
            reference: new.reference.clone(),
            description: new.description.clone(),
            metadata: new.metadata.clone(),
            return_url: new.return_url.clone(),
            checkout_url,
            challenge_url: None,
            last_attempt: None,
            version: 0,
            created: now,
            updated: now,
        }
    }
}

/// The attempt that holds the reservation of a payment that stands at `authorized`.
fn authorized(ledger: &Ledger) -> Result<AttemptId, Error> {
    let status = ledger.payment.status;
    let wrong = Error::State {
        object: "payment",
        status: status.as_str(),
        needed: "authorized",
    };
    match status {
        PaymentStatus::Authorized => ledger
            .authorization()
            .map(|attempt| attempt.id)
            .ok_or(wrong),
        PaymentStatus::RequiresCard
        | PaymentStatus::Processing
        | PaymentStatus::RequiresAction
        | PaymentStatus::Captured
        | PaymentStatus::PartiallyRefunded
        | PaymentStatus::Refunded
        | PaymentStatus::Declined
        | PaymentStatus::Canceled
        | PaymentStatus::Expired => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coffer_core::{decline::DeclineReason, payment::CaptureMode};
    use coffer_net::contract::{self, vault::AttemptOutcome};

    use super::*;
    use crate::{
        Page, PaymentFilter,
        fixture::{Shop, authorizations, captures, merchant, origin, presented},
    };

    #[tokio::test]
    async fn a_payment_is_authorized_and_captured_once() {
        let shop = Shop::open().await;
        let done = shop.pay(CaptureMode::Automatic).await.unwrap();
        assert_eq!(
            (done.status, done.object.status),
            (201, PaymentStatus::Captured)
        );
        assert_eq!(shop.vault.moved(captures), (1, 1999));
    }

    #[tokio::test]
    async fn what_is_answered_is_what_is_stored() {
        let shop = Shop::open().await;
        let caller = shop.caller("POST /v1/payments").await;
        let mut answered = Vec::new();
        for capture in [CaptureMode::Automatic, CaptureMode::Manual] {
            answered.push(shop.pay(capture).await.unwrap().object);
        }
        let id = shop.pay(CaptureMode::Manual).await.unwrap().object.id;
        let part = shop
            .engine
            .payment_capture(&caller, Fresh::unkeyed(), id, Some(5));
        answered.push(part.await.unwrap().object);
        let id = shop.pay(CaptureMode::Manual).await.unwrap().object.id;
        let canceled = shop.engine.payment_cancel(&caller, Fresh::unkeyed(), id);
        answered.push(canceled.await.unwrap().object);
        for answered in answered {
            let stored = shop.engine.payment(&caller, answered.id).await.unwrap();
            assert_eq!(answered, stored);
        }
    }

    #[tokio::test]
    async fn parallel_twins_charge_once_and_get_the_same_answer() {
        let shop = Arc::new(Shop::open().await);
        let twins: Vec<_> = (0..8)
            .map(|_| {
                let shop = Arc::clone(&shop);
                coffer_net::task::spawn("twin", async move { shop.pay_once("order-1").await })
            })
            .collect();
        let mut answers = Vec::new();
        for twin in twins {
            answers.push(twin.await.unwrap().unwrap());
        }
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
        assert_eq!(shop.vault.moved(captures), (1, 1999));
    }

    #[tokio::test]
    async fn a_request_of_which_nothing_was_sent_may_be_made_again() {
        let shop = Shop::open().await;
        for (nothing_done, told) in [
            (contract::Error::Sealed, Error::Sealed),
            (contract::Error::Unavailable, Error::Unavailable),
        ] {
            shop.vault.answer(Err(nothing_done));
            assert_eq!(shop.pay_once("order-1").await.unwrap_err(), told);
            assert_eq!(shop.vault.moved(captures), (0, 0));
        }
        shop.pay_once("order-1").await.unwrap();
        assert_eq!(shop.vault.moved(captures), (1, 1999));
    }

    #[tokio::test]
    async fn a_vault_that_fails_at_an_attempt_may_have_sent_it() {
        let shop = Shop::open().await;
        shop.vault.answer(Err(contract::Error::Defect));
        let first = shop.pay_once("order-1").await.unwrap();
        assert!(String::from_utf8_lossy(&first).contains("processing"));
        assert_eq!(shop.pay_once("order-1").await.unwrap(), first);
        assert_eq!(shop.vault.moved(captures), (0, 0));
    }

    #[tokio::test]
    async fn a_request_that_reserved_money_is_answered_though_its_capture_was_not_sent() {
        let shop = Shop::open().await;
        shop.vault.answer(Ok(AttemptOutcome::Succeeded));
        let late = contract::Error::Refused(contract::Refusal::OrderExpired);
        shop.vault.answer(Err(late));
        let first = shop.pay_once("order-1").await.unwrap();
        assert!(String::from_utf8_lossy(&first).contains("processing"));
        assert_eq!(shop.pay_once("order-1").await.unwrap(), first);
        assert_eq!(shop.vault.moved(authorizations), (1, 1999));
    }

    #[tokio::test]
    async fn a_twin_that_comes_too_late_to_capture_gets_the_first_ones_answer() {
        let shop = Shop::open().await;
        let id = shop.pay(CaptureMode::Manual).await.unwrap().object.id;
        let caller = shop.caller("POST /v1/payments/{id}/capture").await;
        let capture = |fresh| shop.engine.payment_capture(&caller, fresh, id, None);
        let done = shop.once(&caller, "key", capture).await;
        assert_eq!(done.unwrap().object.status, PaymentStatus::Captured);
        let twin = shop.once(&caller, "key", capture).await;
        assert!(matches!(twin.unwrap_err(), Error::Answered(answer) if answer.status == 200));
        assert_eq!(shop.vault.moved(captures), (1, 1999));
    }

    #[tokio::test]
    async fn a_payment_that_left_its_checkout_meanwhile_is_not_canceled() {
        let shop = Shop::open().await;
        let caller = shop.caller("POST /v1/payments/{id}/cancel").await;
        let paid = shop.pay(CaptureMode::Automatic).await.unwrap().object;
        let refused = shop
            .engine
            .close(&caller, &Fresh::unkeyed(), paid.id)
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::State { .. }));
        let now = shop.engine.payment(&caller, paid.id).await.unwrap();
        assert_eq!(now.version, paid.version);
    }

    #[tokio::test]
    async fn a_decline_is_an_answer_and_an_unknown_outcome_is_processing() {
        let shop = Shop::open().await;
        let reason = DeclineReason::InsufficientFunds;
        shop.vault.answer(Ok(AttemptOutcome::Failed { reason }));
        let declined = shop.pay(CaptureMode::Automatic).await.unwrap();
        assert_eq!(
            (declined.status, declined.object.status),
            (201, PaymentStatus::Declined)
        );
        assert_eq!(
            declined.object.last_attempt.unwrap().decline_reason,
            Some(reason)
        );

        shop.vault.answer(Err(contract::Error::Away));
        let unknown = shop.pay(CaptureMode::Automatic).await.unwrap();
        assert_eq!(
            (unknown.status, unknown.object.status),
            (202, PaymentStatus::Processing)
        );
    }

    #[tokio::test]
    async fn another_accounts_payment_is_not_found() {
        let shop = Shop::open().await;
        let id = shop.pay(CaptureMode::Automatic).await.unwrap().object.id;
        let (_, key) = merchant(&shop.engine, "stranger").await;
        let stranger = shop
            .engine
            .authenticate(presented(&key), origin("GET /v1/payments/{id}"))
            .await
            .unwrap();
        let missing = Error::NotFound { object: "payment" };
        assert_eq!(
            shop.engine.payment(&stranger, id).await.unwrap_err(),
            missing
        );
        let capture = shop
            .engine
            .payment_capture(&stranger, Fresh::unkeyed(), id, None)
            .await;
        assert_eq!(capture.unwrap_err(), missing);
        let listed = shop
            .engine
            .payment_list(
                &stranger,
                PaymentFilter::default(),
                Page::new(None, None).unwrap(),
            )
            .await;
        assert!(listed.unwrap().items.is_empty());
    }

    #[tokio::test]
    async fn a_capture_takes_no_more_than_was_reserved_and_only_once() {
        let shop = Shop::open().await;
        let id = shop.pay(CaptureMode::Manual).await.unwrap().object.id;
        let caller = shop.caller("POST /v1/payments/{id}/capture").await;
        let too_much = shop
            .engine
            .payment_capture(&caller, Fresh::unkeyed(), id, Some(2000))
            .await
            .unwrap_err();
        assert!(matches!(too_much, Error::AmountTooLarge { left: 1999, .. }));
        let done = shop
            .engine
            .payment_capture(&caller, Fresh::unkeyed(), id, Some(1000))
            .await
            .unwrap()
            .object;
        assert_eq!(
            (done.status, done.amount_captured),
            (PaymentStatus::Captured, 1000)
        );
        let twice = shop
            .engine
            .payment_capture(&caller, Fresh::unkeyed(), id, Some(999))
            .await
            .unwrap_err();
        assert!(matches!(twice, Error::State { .. }));
        assert_eq!(shop.vault.moved(captures), (1, 1000));
    }

    #[tokio::test]
    async fn lists_show_the_newest_first_and_continue_after_the_last_one_seen() {
        let shop = Shop::open().await;
        let mut made = Vec::new();
        for _ in 0..3 {
            shop.clock.advance(1);
            made.push(shop.pay(CaptureMode::Automatic).await.unwrap().object.id);
        }
        made.reverse();
        let caller = shop.caller("GET /v1/payments").await;
        let page = |after| Page::new(Some(2), after).unwrap();
        let first = shop
            .engine
            .payment_list(&caller, PaymentFilter::default(), page(None))
            .await
            .unwrap();
        let ids: Vec<_> = first.items.iter().map(|payment| payment.id).collect();
        assert_eq!((ids.as_slice(), first.has_more), (&made[..2], true));
        let after = Some(made[1].to_string());
        let rest = shop
            .engine
            .payment_list(&caller, PaymentFilter::default(), page(after))
            .await
            .unwrap();
        assert_eq!(
            (rest.items[0].id, rest.items.len(), rest.has_more),
            (made[2], 1, false)
        );
    }
}
