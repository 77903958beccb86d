//! What Coffer does: payments, refunds, customers, API keys, events, webhooks. No HTTP types, no card number.
//!
//! Money moves in three numbered steps: a transaction records the intent, the vault acts, a transaction records the
//! outcome (`payments.rs`, `drive.rs`). What a crash leaves between them is settled by the sweeper (`sweeper.rs`).

#![warn(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod access_tokens;
mod accounts;
mod alerts;
mod anchor;
mod api_keys;
mod cache;
mod caller;
mod calls;
mod caps;
mod cards;
mod changes;
mod checkout;
mod client_assertions;
mod commit;
mod customers;
mod delivery;
mod detection;
mod drive;
mod engine;
mod error;
mod events;
#[cfg(test)]
mod fixture;
#[doc(hidden)]
pub mod fuzzing;
mod idempotency;
mod intakes;
mod invitations;
mod journal;
mod ledger;
mod limits;
#[cfg(test)]
mod nodes;
mod page;
mod payment;
mod payments;
mod records;
mod refunds;
mod refusals;
mod room;
mod rotation;
mod rows;
mod signature;
mod signed_requests;
mod signing_keys;
mod steward;
mod store;
mod sweeper;
mod text;
mod usage;
mod webhooks;

pub use access_tokens::{AccessToken, NewAccessToken};
pub use accounts::{AccountChange, AccountSummary, AccountView, Activation, ActivationNeed};
pub use alerts::Alert;
pub use anchor::AnchorSink;
pub use api_keys::{
    ApiKey, ApiKeyChange, AuthenticationError, KeySeen, KeySettings, KeyUses, LastUse, NewApiKey,
    Observed, OldSecret, Presented, Suggestion, UseCount,
};
pub use caller::{CallOrigin, Caller};
pub use calls::{Called, ReadRecords};
pub use caps::{CapExcess, CapUse};
pub use cards::Card;
pub use checkout::{CheckoutView, LastTry, Payer};
pub use client_assertions::{ASSERTION_ALGORITHMS, AssertionError};
pub use coffer_audit::{ActorKind, Outcome, Public, Recorded};
pub use customers::{Customer, CustomerChange, NewCustomer};
pub use detection::{Block, DetectionSettings, Held, Subject};
pub use engine::{Engine, Render, Settings, log_of};
pub use error::Error;
pub use events::EventFilter;
pub use idempotency::{Done, Failure, Fresh, IdempotencyKey, StoredAnswer};
pub use intakes::IntakeGrant;
pub use limits::{Allowance, Excess, LimitName, LimitSettings, Passage, SHARED_SCRIPT};
pub use page::{Listed, Page};
pub use payment::{CardInput, LastAttempt, NewPayment, Payment, PaymentFilter, TokenRef};
pub use records::{AuditRecord, RecordFilter, RecordName, RecordPage, records_of};
pub use refunds::{NewRefund, Refund, RefundFilter};
pub use signed_requests::{PresentedSignature, SignatureError, VerifiedSignature};
pub use signing_keys::{
    MadeSigningKey, NewSigningKey, Recipient, RecipientError, RegisteredKey, SigningKey,
    SigningKeyClient, SigningKeyError, SigningKeyRotation, Verifier,
};
pub use steward::Steward;
pub use store::{MIGRATIONS, STATEMENTS};
pub use text::{Metadata, Text};
pub use usage::{Moved, Sums, Taken, UsageFilter, UsageHour, UsageName};
pub use webhooks::{
    NewWebhookEndpoint, OldWebhookSecret, SecretRotation, ShownSecret, WebhookEndpoint,
    WebhookEndpointChange, WebhookEndpointState,
};
