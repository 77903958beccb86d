//! The outer half of a card's fingerprint. Nothing here ever sees a number: the inner half is keyed by the vault, and
//! calls are counted, so that neither process alone can search for one.

use coffer_crypto::{Context, mac};
use coffer_net::contract::{
    Peer,
    keys::{Fingerprint, Fingerprinted},
};

use crate::{Error, Keys, budget::Purpose};

impl Keys {
    /// The fingerprint under each version of the account's key, the newest first.
    pub(crate) async fn fingerprint_of(
        &self,
        peer: &Peer,
        request: &Fingerprint,
    ) -> Result<Fingerprinted, Error> {
        let unsealed = self.unsealed()?;
        self.spend(peer, request.place, Purpose::Fingerprint)
            .await?;
        let keys = unsealed
            .hierarchy
            .fingerprints(request.place, self.clock().now())
            .await?;
        let context = Context::new("coffer fingerprint v1").bytes(&request.inner);
        let versions = keys
            .iter()
            .map(|key| (key.version, *mac(&key.key, &context).as_bytes()))
            .collect();
        Ok(Fingerprinted { versions })
    }
}
