//! Paying at the checkout page, in the same three steps as by the API: the intent, the act, the outcome.
//!
//! There is no idempotency key. One attempt runs at a time because the intent is committed on the version of the payment
//! that was looked at, and a token pays once because the vault lets one attempt claim it. So a double click, a reload and
//! a second tab charge once.

use coffer_core::{
    CardSummary, Timestamp,
    alert::AlertKind,
    cap::code,
    id::{ApiKeyId, TokenId},
    payment::{Operation, PaymentStatus},
};
use coffer_db::Transaction;
use coffer_net::{
    contract::{
        self, Refusal,
        vault::{Perform, ResolveToken},
    },
    face::client_of,
    task,
};

use super::{CheckoutView, Payer};
use crate::{
    CapExcess, Engine, Error, Subject,
    commit::By,
    drive::perform,
    ledger::Ledger,
    payments::Found,
    store::{caps, payments as sql},
};

/// Authorizations that one payment may have, those that were never sent included.
const AUTHORIZATIONS_MAX: usize = 64;

impl Engine {
    /// Pays with a card that was deposited for this payment, and returns the payment as it then stands: a decline is no
    /// error. A token that has paid, or was declined, already changes nothing.
    ///
    /// # Errors
    /// [`Error::State`] while no card is required, [`Error::TokenUnknown`] for a token of anything else,
    /// [`Error::CvcLost`] when the card is to be entered again; [`Error::Sealed`] and [`Error::Unavailable`] when nothing
    /// was sent.
    pub async fn checkout_pay(&self, payer: Payer, token: TokenId) -> Result<CheckoutView, Error> {
        // A payer is told no more than that it does not go on now.
        let who = Subject::Payer(payer.place, client_of(payer.origin.address));
        self.check_held(&who).map_err(|_| Error::Unavailable)?;
        let engine = self.clone();
        // In a task of its own: the payer's browser may hang up, the payment may not.
        let work = task::spawn("checkout", async move {
            if let Some((job, maker)) = engine.checkout_intend(&payer, token).await? {
                let paid = engine.drive(job, None).await?;
                engine.note_try(&paid, maker, Some(payer.origin.address));
            }
            engine.checkout_view(&payer).await
        });
        work.await.unwrap_or(Err(Error::Defect))
    }

    /// Records the intent, and tells which key made the payment; none when the token was used before.
    async fn checkout_intend(
        &self,
        payer: &Payer,
        token: TokenId,
    ) -> Result<Option<(Perform, Option<ApiKeyId>)>, Error> {
        let mut ledger = self.ledger(payer.place, payer.payment).await?;
        let Some((found, card)) = self.checkout_card(payer, token).await? else {
            return Ok(None);
        };
        let now = self.now();
        payable(&ledger, now)?;
        let money = ledger.money()?;
        let mut attempt = self.own_attempt(Operation::Authorize, money.amount());
        let maker = self.maker(ledger.maker).await?;
        let reserve = match maker.as_ref().map(|known| known.key()) {
            Some(key) => self.reserve(key, &mut attempt, &ledger.payment).await,
            None => Ok(Transaction::new()),
        };
        let reserve = match reserve {
            Err(Error::CapExceeded(excess)) => {
                return Err(self.at_cap(payer, &ledger, excess).await);
            }
            reserve => reserve?,
        };
        let reserved = attempt.reserved.clone();
        let act = self.authorization(&ledger, &attempt, found, money).await?;
        let job = perform(&ledger, &attempt, act);
        ledger.payment.card = Some(card);
        ledger.begin(attempt);
        let (update, _) = ledger.update(now);
        let object = payer.payment.to_string();
        let by = By::Payer(payer);
        match self
            .commit(
                by,
                payer.place,
                "payment.pay",
                &object,
                update.append(reserve),
            )
            .await
        {
            Ok(done) => {
                if let Some(known) = maker {
                    self.watch_caps(known.key(), reserved.as_ref(), &done);
                }
                Ok(Some((job, ledger.maker)))
            }
            Err(error)
                if error.is_conflict_at(&sql::PAYMENT_UPDATE)
                    || error.is_conflict_at(&caps::COUNT) =>
            {
                Err(Error::changing("payment"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The merchant is told what stands in the way; the payer only that it does not go on now.
    async fn at_cap(&self, payer: &Payer, ledger: &Ledger, excess: CapExcess) -> Error {
        let key = ledger.maker.map_or_else(String::new, |key| key.to_string());
        let subject = format!("{key} {} {}", excess.kind, code(excess.currency));
        let raised = self.alert_raise(Some(payer.place), AlertKind::CapReached, subject.trim_end());
        match raised.await {
            Ok(()) => Error::Unavailable,
            Err(error) => error,
        }
    }

    /// The card behind a token of this payment's; none when it was used before.
    async fn checkout_card(
        &self,
        payer: &Payer,
        token: TokenId,
    ) -> Result<Option<(Found, CardSummary)>, Error> {
        let asked = ResolveToken {
            place: payer.place,
            token,
            payment: Some(payer.payment),
        };
        match self.0.vault.resolve_token(asked).await {
            Ok(resolved) => {
                let record = resolved.record;
                Ok(Some((Found::Deposited { token, record }, resolved.card)))
            }
            Err(contract::Error::Refused(Refusal::TokenUsed)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Only a payment that waits for a card, in time, and for which not too many came to nothing.
fn payable(ledger: &Ledger, now: Timestamp) -> Result<(), Error> {
    let status = ledger.payment.status;
    let in_time = ledger.expires.is_some_and(|expires| expires > now);
    if !ledger.at_checkout || status != PaymentStatus::RequiresCard || !in_time {
        return Err(Error::State {
            object: "payment",
            status: status.as_str(),
            needed: PaymentStatus::RequiresCard.as_str(),
        });
    }
    if ledger.attempts.len() >= AUTHORIZATIONS_MAX {
        return Err(Error::Unavailable);
    }
    Ok(())
}
