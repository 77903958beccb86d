//! The vault's parsers of foreign bytes, for the fuzz targets (`crates/fuzz`): one line for each, and nothing else.

use coffer_core::Timestamp;
use coffer_crypto::Key;
use http::StatusCode;

use crate::{
    Adapter, CardNumber,
    adapter::{Reply, Verdict},
    fields::body,
    intake::{Ticket, is_origin},
};

/// The number of a deposit that is accepted.
#[must_use]
pub fn deposit(bytes: &[u8], now: Timestamp) -> Option<CardNumber> {
    body::parse(bytes, now).ok().map(|deposit| deposit.number)
}

/// The origin of a ticket that is accepted.
#[must_use]
pub fn ticket(key: &Key, text: &str, now: Timestamp) -> Option<String> {
    Ticket::verify(key, text, now)
        .ok()
        .map(|ticket| ticket.origin)
}

/// Whether a ticket may be minted for this origin.
#[must_use]
pub fn origin(text: &str) -> bool {
    is_origin(text)
}

/// What a provider's answer is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// It was done.
    pub succeeded: bool,
    /// It was not done, and never will be.
    pub not_done: bool,
    /// Where the payer is to be sent.
    pub address: Option<String>,
    /// The provider's own id.
    pub reference: Option<String>,
}

/// Reads the answer to an operation, or to a look-up.
#[must_use]
pub fn answer(looked_up: bool, status: StatusCode, body: &[u8]) -> Understood {
    let Reply { verdict, reference } = if looked_up {
        Adapter::Simulator.read_look_up(status, body)
    } else {
        Adapter::Simulator.read(status, body)
    };
    Understood {
        succeeded: verdict == Verdict::Succeeded,
        not_done: matches!(verdict, Verdict::Failed(_) | Verdict::NotFound),
        address: match verdict {
            Verdict::Challenged(address) => Some(address),
            Verdict::Succeeded | Verdict::Failed(_) | Verdict::NotFound | Verdict::Unclear => None,
        },
        reference,
    }
}
