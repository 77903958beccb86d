//! The contract of `vault`: intake tickets, tokens, kept cards, and attempts at a provider.

use coffer_core::{
    CardSummary, Money, Timestamp,
    decline::DeclineReason,
    id::{AttemptId, CardId, CustomerId, IntakeId, PaymentId, RecordId, TokenId},
    provider::Provider,
    words,
};
use serde::{Deserialize, Serialize};

pub use super::{DiskHistory, GetDisk};
use super::{Place, contract, order::SignedOrder};
use crate::page::Finding;

/// Asks for permission to deposit one card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MintIntake {
    /// For which account and mode.
    pub place: Place,
    /// The page that may hold the frame, as an exact origin.
    pub origin: String,
    /// The payment whose checkout page it is; none for a merchant's own page.
    pub payment: Option<PaymentId>,
}

/// Permission to deposit one card; it can do nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intake {
    /// Its id.
    pub id: IntakeId,
    /// The ticket, for the frame's address.
    pub ticket: String,
    /// Until when.
    pub expires: Timestamp,
}

/// Asks what a token stands for. A token of a checkout page is unknown to everyone but its payment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResolveToken {
    /// Of which account and mode.
    pub place: Place,
    /// Which token.
    pub token: TokenId,
    /// The payment whose checkout page asks; none for a merchant's call.
    pub payment: Option<PaymentId>,
}

/// What a token stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResolvedToken {
    /// The sealed record, which an order must name.
    pub record: RecordId,
    /// What may be known of the card.
    pub card: CardSummary,
    /// The vault process that holds its security code.
    pub instance: String,
}

/// Keeps a token's card with a customer; never opens it. The same `card` again gives the same answer. A token of a checkout
/// page is unknown here: it pays its payment and nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeepCard {
    /// Of which account and mode.
    pub place: Place,
    /// The token, which is used up.
    pub token: TokenId,
    /// With whom.
    pub customer: CustomerId,
    /// The id that the card will have, made by the caller.
    pub card: CardId,
}

/// A kept card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptCard {
    /// Its record.
    pub record: RecordId,
    /// What may be known of it.
    pub card: CardSummary,
}

/// Asks to delete a record for good. Deleting what is not there succeeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteRecord {
    /// Of which account and mode.
    pub place: Place,
    /// Which record.
    pub record: RecordId,
}

/// It is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deleted {}

words! {
    /// A card that exists only in test mode and needs no deposit: `tok_test_…` in the API.
    pub enum TestToken {
        /// Approved at once.
        Approved = "tok_test_approved",
        /// The payer must pass a challenge.
        Challenge = "tok_test_challenge",
        /// Declined without a reason.
        DoNotHonor = "tok_test_declined_do_not_honor",
        /// Declined: not enough money.
        InsufficientFunds = "tok_test_declined_insufficient_funds",
        /// Declined: expired.
        CardExpired = "tok_test_declined_card_expired",
        /// Declined: wrong security code.
        IncorrectCvc = "tok_test_declined_incorrect_cvc",
        /// Declined: no such number.
        IncorrectNumber = "tok_test_declined_incorrect_number",
        /// Declined: lost.
        LostCard = "tok_test_declined_lost_card",
        /// Declined: stolen.
        StolenCard = "tok_test_declined_stolen_card",
        /// Declined: fraud suspected.
        FraudSuspected = "tok_test_declined_fraud_suspected",
        /// Declined: over a limit.
        LimitExceeded = "tok_test_declined_limit_exceeded",
        /// Declined: not supported.
        NotSupported = "tok_test_declined_not_supported",
        /// The provider fails without charging.
        ProcessingError = "tok_test_declined_processing_error",
    }
}

impl TestToken {
    /// The last four digits of the test card that it stands for (`docs/testing.md`); the vault's table has the card.
    #[must_use]
    pub const fn last4(self) -> [u8; 4] {
        match self {
            Self::Approved => [4, 2, 4, 2],
            Self::Challenge => [3, 2, 2, 0],
            Self::DoNotHonor => [0, 0, 0, 2],
            Self::InsufficientFunds => [9, 9, 9, 5],
            Self::CardExpired => [0, 0, 6, 9],
            Self::IncorrectCvc => [0, 1, 2, 7],
            Self::IncorrectNumber => [0, 2, 5, 9],
            Self::LostCard => [9, 9, 8, 7],
            Self::StolenCard => [9, 9, 7, 9],
            Self::FraudSuspected => [0, 0, 1, 9],
            Self::LimitExceeded => [6, 9, 7, 5],
            Self::NotSupported => [0, 3, 4, 1],
            Self::ProcessingError => [0, 1, 1, 9],
        }
    }
}

/// Where the card of an authorization comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum CardSource {
    /// A fresh token, with its security code while it is in memory; the attempt claims the token. One of a checkout page pays
    /// that page's payment only.
    Token {
        /// The token.
        token: TokenId,
        /// The order that opens its record.
        order: SignedOrder,
    },
    /// A kept card, without a security code.
    Kept {
        /// The order that opens its record.
        order: SignedOrder,
    },
    /// A test card; opens nothing, so there is no order. Refused in live mode.
    Test(TestToken),
}

/// What to do at the provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Act {
    /// Reserve money on a card.
    Authorize {
        /// How much.
        money: Money,
        /// On which card.
        source: CardSource,
        /// Where the provider sends the payer after a challenge.
        return_url: Option<String>,
    },
    /// Take reserved money.
    Capture {
        /// How much.
        money: Money,
        /// The attempt that reserved it.
        authorize: AttemptId,
    },
    /// Give up a reservation.
    Void {
        /// The attempt that reserved it.
        authorize: AttemptId,
    },
    /// Give captured money back.
    Refund {
        /// How much.
        money: Money,
        /// The attempt that reserved it in the first place.
        authorize: AttemptId,
    },
}

/// One provider call. The vault records it before any byte leaves and never sends it twice; the same attempt again waits
/// for, or repeats, the first one's outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Perform {
    /// Of which account and mode.
    pub place: Place,
    /// For which payment.
    pub payment: PaymentId,
    /// Which attempt; unique for ever.
    pub attempt: AttemptId,
    /// At which provider.
    pub provider: Provider,
    /// After this nothing is sent any more.
    pub deadline: Timestamp,
    /// What to do.
    pub act: Act,
}

/// How a provider call ended, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// The provider did it.
    Succeeded,
    /// The payer must pass a challenge at this address before the provider decides.
    Challenged {
        /// Where.
        url: String,
    },
    /// The provider did not do it and never will.
    Failed {
        /// Why.
        reason: DeclineReason,
    },
    /// Sent, and nobody knows.
    Unknown,
}

/// Asks what became of an attempt; the vault asks the provider when it does not know itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settle {
    /// Of which account and mode.
    pub place: Place,
    /// Which attempt.
    pub attempt: AttemptId,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    /// The vault has no such attempt. After its deadline this means: never sent, and never will be.
    NotRecorded,
    /// As far as vault and provider know now.
    Known(AttemptOutcome),
}

/// Asks what a person must look at about the page with the card fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InspectFields {}

/// What the vault finds when it looks, and what browsers reported in the last hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldsFindings {
    /// All of it; nothing when all is well.
    pub findings: Vec<Finding>,
}

contract! {
    /// What `api` asks of `vault`.
    trait Vault;
    /// What `vault` implements.
    service VaultService;
    /// `vault` over mutual TLS.
    client VaultClient of super::Role::Vault;
    /// Permission to deposit one card.
    mint_intake(MintIntake) -> Intake, callers [Api], within 2000 ms;
    /// What a token stands for.
    resolve_token(ResolveToken) -> ResolvedToken, callers [Api], within 2000 ms;
    /// Keeps a token's card with a customer.
    keep_card(KeepCard) -> KeptCard, callers [Api], within 2000 ms;
    /// Deletes a record.
    delete_record(DeleteRecord) -> Deleted, callers [Api], within 2000 ms;
    /// Performs one attempt at a provider.
    perform(Perform) -> AttemptOutcome, callers [Api], within 25000 ms;
    /// What became of an attempt.
    settle(Settle) -> Settlement, callers [Api], within 25000 ms;
    /// Whether the page with the card fields is as it was made.
    inspect_fields(InspectFields) -> FieldsFindings, callers [Api], within 25000 ms;
    /// How the disk under the vault's store has been.
    disk(GetDisk) -> DiskHistory, callers [Api], within 900 ms;
}
