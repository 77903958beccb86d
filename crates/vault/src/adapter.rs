//! Adapters: how each provider is asked and how its answers read. Pure: they build bytes and read bytes.
//!
//! An adapter lives in the vault, so that nobody outside can place a card number anywhere; what a merchant gave (amount,
//! address to return to) is data that it encodes.

pub(crate) mod simulator;

use coffer_core::{Expiry, Money, decline::DeclineReason, id::AttemptId};
use zeroize::Zeroizing;

use crate::{CardNumber, Cvc};

/// The protocols that the vault speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// Coffer's own provider for test mode.
    Simulator,
}

/// How the outcome of a call can be learned after its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The provider can be asked about the call by its idempotency key.
    LookUp,
}

/// A card on its way into a provider's request.
pub(crate) struct PlainCard {
    pub(crate) number: CardNumber,
    pub(crate) expiry: Expiry,
    pub(crate) cvc: Option<Cvc>,
}

/// What a provider is asked to do.
pub(crate) enum Ask<'a> {
    /// Reserve money on a card.
    Authorize {
        money: Money,
        card: PlainCard,
        return_url: Option<&'a str>,
    },
    /// Take money that the provider reserved under this reference.
    Capture { money: Money, reference: &'a str },
    /// Give up a reservation.
    Void { reference: &'a str },
    /// Give captured money back.
    Refund { money: Money, reference: &'a str },
}

/// A request to a provider, complete but for its host and credential, which only `egress.rs` adds.
pub(crate) struct ProviderRequest {
    pub(crate) method: http::Method,
    /// Path below the provider's origin.
    pub(crate) path: String,
    /// For the provider to know a repeat by.
    pub(crate) idempotency_key: Option<AttemptId>,
    /// Wiped when dropped.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// What a provider's answer says.
pub(crate) struct Reply {
    pub(crate) verdict: Verdict,
    /// The provider's own id of the operation.
    pub(crate) reference: Option<String>,
}

/// How the operation stands at the provider.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Done.
    Succeeded,
    /// The payer must pass a challenge there.
    Challenged(String),
    /// Not done, and never will be.
    Failed(DeclineReason),
    /// The provider knows no such operation (the answer to a look-up only).
    NotFound,
    /// The answer says nothing that can be relied on.
    Unclear,
}

impl Reply {
    pub(crate) const fn unclear() -> Self {
        Self {
            verdict: Verdict::Unclear,
            reference: None,
        }
    }

    /// The provider did not do it and never will.
    pub(crate) const fn not_done() -> Self {
        Self {
            verdict: Verdict::Failed(DeclineReason::ProcessingError),
            reference: None,
        }
    }
}

/// A request does not fit into its buffer; nothing was sent.
#[derive(Debug)]
pub(crate) struct TooLong;

impl Adapter {
    /// How a lost answer is recovered.
    #[must_use]
    pub const fn recovery(self) -> Recovery {
        match self {
            Self::Simulator => Recovery::LookUp,
        }
    }

    pub(crate) fn request(
        self,
        attempt: AttemptId,
        ask: &Ask<'_>,
    ) -> Result<ProviderRequest, TooLong> {
        match self {
            Self::Simulator => simulator::request(attempt, ask),
        }
    }

    pub(crate) fn look_up(self, attempt: AttemptId) -> ProviderRequest {
        match self {
            Self::Simulator => simulator::look_up(attempt),
        }
    }

    pub(crate) fn read(self, status: http::StatusCode, body: &[u8]) -> Reply {
        match self {
            Self::Simulator => simulator::read(status, body),
        }
    }

    pub(crate) fn read_look_up(self, status: http::StatusCode, body: &[u8]) -> Reply {
        match self {
            Self::Simulator => simulator::read_look_up(status, body),
        }
    }
}
