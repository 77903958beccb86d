//! Refunds: captured money on its way back. All refunds of a payment together never exceed what was captured.

use coffer_core::{
    Currency, Money, Timestamp,
    decline::DeclineReason,
    id::{PaymentId, RefundId},
    limits::REFERENCE_MAX,
    payment::{AttemptStatus, Operation, PaymentStatus, RefundStatus},
};
use coffer_db::{Row, Transaction, params};
use coffer_net::contract::{Place, vault::Act};

use crate::{
    Caller, Done, Engine, Error, Fresh, Listed, Metadata, Page, Payment, Text,
    ledger::{Attempt, Ledger},
    rows::{self, key_of},
    store::refunds as sql,
};

/// A refund at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// Its account and mode.
    pub place: Place,
    /// Of which payment.
    pub payment: PaymentId,
    /// Minor units.
    pub amount: i64,
    /// Of this currency.
    pub currency: Currency,
    /// How it stands.
    pub status: RefundStatus,
    /// Why it failed.
    pub decline_reason: Option<DeclineReason>,
    /// The merchant's own reference.
    pub reference: Option<Text<REFERENCE_MAX>>,
    /// The merchant's own pairs.
    pub metadata: Metadata,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
}

impl Refund {
    /// The HTTP status of the answer to the request for it: an outcome that is not known yet is 202.
    pub(crate) const fn answer_status(&self) -> u16 {
        match self.status {
            RefundStatus::Processing => 202,
            RefundStatus::Succeeded | RefundStatus::Failed => 201,
        }
    }
}

/// What a merchant asks to give back.
#[derive(Debug, Clone)]
pub struct NewRefund {
    /// Of which payment.
    pub payment: PaymentId,
    /// Minor units; all that is left when not said.
    pub amount: Option<i64>,
    /// The merchant's own reference.
    pub reference: Option<Text<REFERENCE_MAX>>,
    /// The merchant's own pairs.
    pub metadata: Metadata,
}

/// Which refunds to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefundFilter {
    /// Only of this payment.
    pub payment: Option<PaymentId>,
}

impl Engine {
    /// Gives captured money back.
    ///
    /// # Errors
    /// [`Error::State`] when nothing was captured, [`Error::AmountTooLarge`] for more than is left.
    pub async fn refund_create(
        &self,
        caller: &Caller,
        fresh: Fresh,
        new: NewRefund,
    ) -> Result<Done<Refund>, Error> {
        let id: RefundId = self.0.clock.id();
        let (job, ledger) = self
            .intend_on(
                caller,
                &fresh,
                new.payment,
                "refund.create",
                |engine, ledger| {
                    let (attempt, act) = engine.decide_refund(ledger, id, new.amount)?;
                    let row = insert(ledger, id, &new, &attempt);
                    Ok((attempt, act, row))
                },
            )
            .await?;
        self.drive(job, Some(ledger)).await?;
        let refund = self.refund(caller, id).await?;
        Ok(Done {
            status: refund.answer_status(),
            object: refund,
        })
    }

    /// One refund.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn refund(&self, caller: &Caller, id: RefundId) -> Result<Refund, Error> {
        self.refund_in(caller.place, id).await
    }

    /// Refunds, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no refund's id.
    pub async fn refund_list(
        &self,
        caller: &Caller,
        filter: RefundFilter,
        page: Page,
    ) -> Result<Listed<Refund>, Error> {
        let [account, mode] = key_of(caller.place);
        let row = params![account, mode, page.before_id::<RefundId>()?, page.fetch()];
        let rows = match filter.payment {
            None => self.db().read(&sql::REFUND_LIST, row).await?,
            Some(payment) => {
                let row = row
                    .into_iter()
                    .chain(params![payment.to_string()])
                    .collect();
                self.db().read(&sql::REFUND_LIST_BY_PAYMENT, row).await?
            }
        };
        page.read(&rows, read)
    }

    fn decide_refund(
        &self,
        ledger: &Ledger,
        id: RefundId,
        amount: Option<i64>,
    ) -> Result<(Attempt, Act), Error> {
        let payment = &ledger.payment;
        let Some(authorize) = ledger
            .authorization()
            .filter(|_| payment.amount_captured > 0)
        else {
            let needed = PaymentStatus::Captured.as_str();
            return Err(Error::State {
                object: "payment",
                status: payment.status.as_str(),
                needed,
            });
        };
        let left = ledger.refundable();
        let amount = amount.unwrap_or(left);
        if amount > left || left == 0 {
            return Err(Error::AmountTooLarge {
                left,
                currency: payment.currency,
            });
        }
        let money = Money::new(amount, payment.currency)
            .map_err(|malformed| Error::invalid("amount", malformed))?;
        let mut attempt = self.attempt(Operation::Refund, amount, id.to_string(), self.now());
        attempt.refund = Some(id);
        Ok((
            attempt,
            Act::Refund {
                money,
                authorize: authorize.id,
            },
        ))
    }

    async fn refund_in(&self, place: Place, id: RefundId) -> Result<Refund, Error> {
        read(&self.find(&sql::REFUND_FIND, "refund", place, id).await?)
    }

    /// The refund as it will be once its attempt's outcome is stored.
    pub(crate) async fn refund_after(
        &self,
        payment: &Payment,
        id: RefundId,
        attempt: &Attempt,
    ) -> Result<Refund, Error> {
        let mut refund = self.refund_in(payment.place, id).await?;
        if refund.status == RefundStatus::Processing && !attempt.is_pending() {
            refund.status = status_of(attempt.status);
            refund.decline_reason = attempt.decline_reason;
            refund.version = refund.version.saturating_add(1);
            // By the same transaction as the payment, so at the same time.
            refund.updated = payment.updated;
        }
        Ok(refund)
    }
}

/// The step that stores a refund for the first time, beside its attempt.
fn insert(ledger: &Ledger, id: RefundId, new: &NewRefund, attempt: &Attempt) -> Transaction {
    let [account, mode] = key_of(ledger.payment.place);
    let row = params![
        account,
        mode,
        id.to_string(),
        new.payment.to_string(),
        RefundStatus::Processing.as_str(),
        attempt.amount,
        ledger.payment.currency.code(),
        new.reference.as_deref(),
        new.metadata.to_store(),
        attempt.created.as_millis(),
    ];
    Transaction::new().one(&sql::REFUND_INSERT, row)
}

/// How a refund stands when its attempt stands so.
pub(crate) const fn status_of(attempt: AttemptStatus) -> RefundStatus {
    match attempt {
        AttemptStatus::Sending | AttemptStatus::Unknown => RefundStatus::Processing,
        AttemptStatus::Succeeded => RefundStatus::Succeeded,
        AttemptStatus::Failed => RefundStatus::Failed,
    }
}

fn read(row: &Row) -> Result<Refund, Error> {
    Ok(Refund {
        id: rows::word(row, "refund")?,
        place: rows::place(row)?,
        payment: rows::word(row, "payment")?,
        amount: row.integer("amount")?,
        currency: rows::word(row, "currency")?,
        status: rows::word(row, "status")?,
        decline_reason: rows::maybe_word(row, "decline_reason")?,
        reference: rows::maybe_text(row, "reference")?,
        metadata: rows::metadata(row)?,
        version: row.integer("version")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coffer_core::payment::CaptureMode;
    use coffer_net::contract::{self, vault::AttemptOutcome};

    use super::*;
    use crate::fixture::{self, Shop};

    fn refund(payment: PaymentId, amount: Option<i64>) -> NewRefund {
        NewRefund {
            payment,
            amount,
            reference: None,
            metadata: Metadata::default(),
        }
    }

    #[tokio::test]
    async fn refunds_together_never_exceed_the_capture() {
        let shop = Arc::new(Shop::open().await);
        let payment = shop.pay(CaptureMode::Automatic).await.unwrap().object.id;
        let racing: Vec<_> = (0..6)
            .map(|_| {
                let shop = Arc::clone(&shop);
                coffer_net::task::spawn("refund", async move {
                    let caller = shop.caller("POST /v1/refunds").await;
                    shop.engine
                        .refund_create(&caller, Fresh::unkeyed(), refund(payment, Some(700)))
                        .await
                        .is_ok()
                })
            })
            .collect();
        for racer in racing {
            racer.await.unwrap();
        }
        let (_, refunded) = shop.vault.moved(fixture::refunds);
        assert!(refunded <= 1999, "{refunded}");
        assert_eq!(refunded, 1400);
    }

    #[tokio::test]
    async fn a_refund_on_its_way_is_reserved_and_a_failed_one_is_released() {
        let shop = Shop::open().await;
        let payment = shop.pay(CaptureMode::Automatic).await.unwrap().object.id;
        let caller = shop.caller("POST /v1/refunds").await;
        shop.vault.answer(Err(contract::Error::Away));
        let unknown = shop
            .engine
            .refund_create(&caller, Fresh::unkeyed(), refund(payment, Some(1500)))
            .await
            .unwrap();
        assert_eq!(
            (unknown.status, unknown.object.status),
            (202, RefundStatus::Processing)
        );
        let more = shop
            .engine
            .refund_create(&caller, Fresh::unkeyed(), refund(payment, Some(500)))
            .await;
        assert!(matches!(
            more.unwrap_err(),
            Error::AmountTooLarge { left: 499, .. }
        ));
        shop.sweep_after(40_000).await;
        let reason = DeclineReason::ProcessingError;
        let settled = shop
            .engine
            .refund(&caller, unknown.object.id)
            .await
            .unwrap();
        assert_eq!(
            (settled.status, settled.decline_reason),
            (RefundStatus::Failed, Some(reason))
        );
        shop.vault.answer(Ok(AttemptOutcome::Succeeded));
        let all = shop
            .engine
            .refund_create(&caller, Fresh::unkeyed(), refund(payment, None))
            .await
            .unwrap()
            .object;
        assert_eq!((all.amount, all.status), (1999, RefundStatus::Succeeded));
    }

    #[tokio::test]
    async fn a_twin_that_finds_nothing_left_to_refund_gets_the_first_ones_answer() {
        let shop = Shop::open().await;
        let payment = shop.pay(CaptureMode::Automatic).await.unwrap().object.id;
        let caller = shop.caller("POST /v1/refunds").await;
        let all = |fresh| {
            let new = refund(payment, None);
            shop.engine.refund_create(&caller, fresh, new)
        };
        shop.once(&caller, "key", all).await.unwrap();
        let twin = shop.once(&caller, "key", all).await;
        assert!(matches!(twin.unwrap_err(), Error::Answered(answer) if answer.status == 201));
    }

    #[tokio::test]
    async fn nothing_captured_means_nothing_to_refund() {
        let shop = Shop::open().await;
        let payment = shop.pay(CaptureMode::Manual).await.unwrap().object.id;
        let caller = shop.caller("POST /v1/refunds").await;
        let refused = shop
            .engine
            .refund_create(&caller, Fresh::unkeyed(), refund(payment, None))
            .await;
        assert!(matches!(refused.unwrap_err(), Error::State { .. }));
    }
}
