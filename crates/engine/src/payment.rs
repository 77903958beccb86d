//! A payment as callers see it, and as they ask for one.

use coffer_core::{
    CardSummary, Currency, Money, Timestamp,
    decline::DeclineReason,
    id::{CardId, CustomerId, PaymentId, TokenId},
    limits::{DESCRIPTION_MAX, REFERENCE_MAX},
    payment::{AttemptStatus, CaptureMode, Operation, PaymentStatus},
};
use coffer_net::contract::{Place, vault::TestToken};

use crate::{
    Done,
    text::{Metadata, Text},
};

/// A payment at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Its account and mode.
    pub place: Place,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Minor units to pay.
    pub amount: i64,
    /// In this currency.
    pub currency: Currency,
    /// Minor units captured.
    pub amount_captured: i64,
    /// Minor units refunded.
    pub amount_refunded: i64,
    /// When money is taken.
    pub capture: CaptureMode,
    /// What may be known of the card.
    pub card: Option<CardSummary>,
    /// The merchant's customer.
    pub customer: Option<CustomerId>,
    /// The merchant's own reference.
    pub reference: Option<Text<REFERENCE_MAX>>,
    /// What it is for, shown to the payer.
    pub description: Option<Text<DESCRIPTION_MAX>>,
    /// The merchant's own pairs.
    pub metadata: Metadata,
    /// Where the payer goes afterwards.
    pub return_url: Option<String>,
    /// The page where the payer enters a card, while one is required.
    pub checkout_url: Option<String>,
    /// The challenge that the payer must pass, while it must.
    pub challenge_url: Option<String>,
    /// How the last provider call stands.
    pub last_attempt: Option<LastAttempt>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
}

impl Payment {
    /// As the answer of a request that is `done` with this HTTP status.
    pub(crate) fn answered(self, done: u16) -> Done<Self> {
        Done {
            status: self.answer_status(done),
            object: self,
        }
    }

    /// The HTTP status of that answer: an outcome that is not known yet is 202.
    pub(crate) const fn answer_status(&self, done: u16) -> u16 {
        if matches!(self.status, PaymentStatus::Processing) {
            202
        } else {
            done
        }
    }
}

/// The last provider call of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAttempt {
    /// Its kind.
    pub operation: Operation,
    /// How it stands.
    pub status: AttemptStatus,
    /// Why it failed.
    pub decline_reason: Option<DeclineReason>,
}

/// A token as a merchant names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRef {
    /// A deposited card's.
    Deposited(TokenId),
    /// A test card's, which needs no deposit.
    Test(TestToken),
}

impl std::str::FromStr for TokenRef {
    type Err = coffer_core::Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = coffer_core::Malformed {
            expected: "a token (tok_…), or in test mode tok_test_approved and its kin",
        };
        text.parse()
            .map(Self::Test)
            .or_else(|_| text.parse().map(Self::Deposited))
            .map_err(|_| expected)
    }
}

/// Which card pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardInput {
    /// A token's.
    Token(TokenRef),
    /// One kept with a customer.
    Card(CardId),
    /// One that the payer will enter at the checkout page.
    AtCheckout,
}

/// What a merchant asks to be paid.
#[derive(Debug, Clone)]
pub struct NewPayment {
    /// How much.
    pub money: Money,
    /// By which card.
    pub card: CardInput,
    /// When money is taken.
    pub capture: CaptureMode,
    /// The merchant's customer.
    pub customer: Option<CustomerId>,
    /// The merchant's own reference.
    pub reference: Option<Text<REFERENCE_MAX>>,
    /// What it is for.
    pub description: Option<Text<DESCRIPTION_MAX>>,
    /// The merchant's own pairs.
    pub metadata: Metadata,
    /// Where the payer goes afterwards; an http(s) URL.
    pub return_url: Option<String>,
}

/// Which payments to list.
#[derive(Debug, Clone, Default)]
pub struct PaymentFilter {
    /// Only those that stand here.
    pub status: Option<PaymentStatus>,
    /// Only those with this reference.
    pub reference: Option<String>,
    /// Only this customer's.
    pub customer: Option<CustomerId>,
    /// Only those made at or after this time.
    pub created_after: Option<Timestamp>,
    /// Only those made before this time.
    pub created_before: Option<Timestamp>,
}
