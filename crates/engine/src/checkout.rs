//! What a payer can do who has the address of a payment's checkout page: see how the payment stands, and pay it with a
//! card that was deposited for it. There is no API key here; the secret in the address is all that the payer has.

mod address;
mod pay;

use coffer_core::{
    CardSummary, Mode, Money, Timestamp,
    decline::DeclineReason,
    id::PaymentId,
    limits::CHECKOUT_ATTEMPTS_MAX,
    payment::{Operation, PaymentStatus},
};
use coffer_db::params;
use coffer_net::contract::Place;

pub(crate) use address::Checkout;

use crate::{
    CallOrigin, Engine, Error,
    ledger::{Attempt, Ledger},
    store::accounts,
};

/// Somebody who has the whole address of a checkout page. There is no other way to make one than [`Engine::payer`].
#[derive(Debug, Clone)]
pub struct Payer {
    pub(crate) place: Place,
    pub(crate) payment: PaymentId,
    pub(crate) origin: CallOrigin,
}

/// What became of the card that was tried last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastTry {
    /// It was refused.
    Declined(DeclineReason),
    /// It was never sent: it is needed once more.
    NotSent,
}

/// A payment as its payer may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutView {
    /// Which payment.
    pub payment: PaymentId,
    /// Test or live.
    pub mode: Mode,
    /// The merchant's name.
    pub merchant: String,
    /// How much.
    pub money: Money,
    /// What it is for.
    pub description: Option<String>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What may be known of the card.
    pub card: Option<CardSummary>,
    /// What became of the card before, if the payer is to enter another one.
    pub last_try: Option<LastTry>,
    /// Cards that the payer may still try.
    pub attempts_left: usize,
    /// Where the payer goes afterwards.
    pub return_url: Option<String>,
    /// The challenge that the payer must pass, while it must.
    pub challenge_url: Option<String>,
    /// Until when it can be paid.
    pub expires: Option<Timestamp>,
}

impl CheckoutView {
    /// A payment that does not exist, which waits for a card: what the page is compared with.
    ///
    /// # Errors
    /// Never in a program whose tests pass.
    pub fn specimen() -> Result<Self, Error> {
        let euro = "EUR".parse().map_err(|_| Error::Defect)?;
        Ok(Self {
            payment: PaymentId::from_bytes([0; 16]),
            mode: Mode::Test,
            merchant: "Specimen".to_owned(),
            money: Money::new(1999, euro).map_err(|_| Error::Defect)?,
            description: None,
            status: PaymentStatus::RequiresCard,
            card: None,
            last_try: None,
            attempts_left: CHECKOUT_ATTEMPTS_MAX,
            return_url: None,
            challenge_url: None,
            expires: None,
        })
    }
}

impl Engine {
    /// The address of the page of a specimen. Nobody but us can tell it from that of a payment, so who changes the pages of
    /// payers changes this one as well.
    #[must_use]
    pub fn checkout_specimen(&self) -> (PaymentId, String) {
        let payment = self.0.clock.id();
        let checkout = &self.0.checkout;
        (payment, checkout.url(checkout.nobody(), payment))
    }

    /// The payer who has this address.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a secret that is not this payment's.
    pub fn payer(
        &self,
        payment: PaymentId,
        secret: &str,
        origin: CallOrigin,
    ) -> Result<Payer, Error> {
        let place = self.0.checkout.open(payment, secret);
        let place = place.ok_or(Error::NotFound { object: "payment" })?;
        Ok(Payer {
            place,
            payment,
            origin,
        })
    }

    /// The payment as it stands.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such payment, or none that is paid at a checkout page.
    pub async fn checkout_view(&self, payer: &Payer) -> Result<CheckoutView, Error> {
        if payer.place == self.0.checkout.nobody() {
            let payment = payer.payment;
            return CheckoutView::specimen().map(|specimen| CheckoutView {
                payment,
                ..specimen
            });
        }
        let ledger = self.ledger(payer.place, payer.payment).await?;
        if !ledger.at_checkout {
            return Err(Error::NotFound { object: "payment" });
        }
        let account = payer.place.account.to_string();
        let row = self
            .db()
            .read_optional(&accounts::ACCOUNT_FIND, params![account])
            .await?
            .ok_or(Error::NotFound { object: "account" })?;
        shown(&ledger, row.text("name")?.to_owned())
    }
}

fn shown(ledger: &Ledger, merchant: String) -> Result<CheckoutView, Error> {
    let payment = &ledger.payment;
    let waits = payment.status == PaymentStatus::RequiresCard;
    Ok(CheckoutView {
        payment: payment.id,
        mode: payment.place.mode,
        merchant,
        money: ledger.money()?,
        description: payment.description.as_deref().map(str::to_owned),
        status: payment.status,
        card: payment.card,
        last_try: ledger.attempts.last().filter(|_| waits).and_then(last_try),
        attempts_left: ledger.tries_left(),
        return_url: payment.return_url.clone(),
        challenge_url: payment.challenge_url.clone(),
        expires: ledger.expires,
    })
}

fn last_try(attempt: &Attempt) -> Option<LastTry> {
    if attempt.operation != Operation::Authorize {
        return None;
    }
    if attempt.is_withdrawn() {
        return Some(LastTry::NotSent);
    }
    attempt.decline_reason.map(LastTry::Declined)
}
