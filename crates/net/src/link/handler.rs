//! What is behind a door: a role's methods, by name and bytes.

use std::sync::Arc;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{
    contract::{self, Answer, Peer, keys::KeysService, vault::VaultService},
    metrics::CallMetrics,
};

/// Answers the methods of one role. Whoever asks has passed the [`super::Door`].
pub trait Handler: Send + Sync + 'static {
    /// Decodes the message, does what it asks, encodes the answer.
    fn handle<'a>(
        &'a self,
        peer: &'a Peer,
        method: &'a str,
        body: &'a [u8],
    ) -> Answer<'a, Zeroizing<Vec<u8>>>;
}

/// The methods of `keys`.
pub struct KeysHandler(pub Arc<dyn KeysService>);

impl Handler for KeysHandler {
    fn handle<'a>(
        &'a self,
        peer: &'a Peer,
        method: &'a str,
        body: &'a [u8],
    ) -> Answer<'a, Zeroizing<Vec<u8>>> {
        Box::pin(contract::keys::dispatch(&*self.0, peer, method, body))
    }
}

/// The methods of `vault`.
pub struct VaultHandler(pub Arc<dyn VaultService>);

impl Handler for VaultHandler {
    fn handle<'a>(
        &'a self,
        peer: &'a Peer,
        method: &'a str,
        body: &'a [u8],
    ) -> Answer<'a, Zeroizing<Vec<u8>>> {
        Box::pin(contract::vault::dispatch(&*self.0, peer, method, body))
    }
}

/// Another handler's methods, counted and timed.
pub struct MeasuredHandler {
    /// Who answers.
    pub inner: Arc<dyn Handler>,
    /// Where it is counted.
    pub calls: CallMetrics,
}

impl Handler for MeasuredHandler {
    fn handle<'a>(
        &'a self,
        peer: &'a Peer,
        method: &'a str,
        body: &'a [u8],
    ) -> Answer<'a, Zeroizing<Vec<u8>>> {
        Box::pin(async move {
            let started = Instant::now();
            let answer = self.inner.handle(peer, method, body).await;
            let outcome = answer.as_ref().map_or_else(outcome_of, |_| "ok");
            self.calls
                .observe(peer.role, method, outcome, started.elapsed());
            answer
        })
    }
}

const fn outcome_of(error: &contract::Error) -> &'static str {
    match error {
        contract::Error::Away => "away",
        contract::Error::Unavailable => "unavailable",
        contract::Error::Sealed => "sealed",
        contract::Error::NotAllowed => "not_allowed",
        contract::Error::Refused(_) => "refused",
        contract::Error::Defect => "defect",
    }
}
