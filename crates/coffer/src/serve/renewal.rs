//! What a role asks of the key server for itself: a new certificate in time, and which certificates count no more.

use std::{collections::HashSet, sync::Arc, time::Duration};

use coffer_crypto::pki::{CertificateRequest, KeyPair};
use coffer_keys::CERTIFICATE_LIFETIME_MS;
use coffer_net::{
    Clock, Tasks,
    contract::{
        self,
        keys::{GetRevoked, Keys, Renew},
    },
    link::{Identity, Revoked},
};

use super::{certificates, pair::Pair, process::Process};
use crate::failure::Failure;

/// A certificate is renewed when this much of its 30 days is over.
const RENEW_AT_S: i64 = 20 * 24 * 60 * 60;
/// How often that is looked at.
const RENEWAL_POLL: Duration = Duration::from_secs(60 * 60);
/// How often revoked serials are asked for.
const REVOKED_POLL: Duration = Duration::from_secs(10);

/// Who issues this process's new certificate.
pub(super) enum Issuer {
    /// The key server, over the link.
    Link(Arc<dyn Keys>),
    /// The key server itself, in its own process; and what this instance is called.
    Own(coffer_keys::Keys, String),
}

impl Issuer {
    async fn issue(&self, request: &CertificateRequest) -> Result<String, Failure> {
        match self {
            Self::Link(keys) => {
                let renewed = keys
                    .renew(Renew {
                        request: request.as_der().to_vec(),
                    })
                    .await;
                renewed
                    .map(|renewed| renewed.chain_pem)
                    .map_err(|error| Failure::doing("asking the key server", error))
            }
            Self::Own(keys, instance) => keys
                .issue_certificate(
                    contract::Role::Keys,
                    instance,
                    &[],
                    request,
                    CERTIFICATE_LIFETIME_MS,
                )
                .await
                .map_err(super::keys::failed),
        }
    }
}

/// Renews the role's certificate when it is time, and loads it when its files have changed, by this or by hand.
pub(super) fn keep(process: &Process, issuer: Issuer, identity: Arc<Identity>, tasks: &Tasks) {
    let pair = Pair::of_role(&process.directory, process.role);
    certificates::watch_identity(&process.directory, &pair, identity, tasks);
    run(pair, issuer, process.clock.clone(), tasks);
}

fn run(pair: Pair, issuer: Issuer, clock: Clock, tasks: &Tasks) {
    let mut stopping = Box::pin(tasks.stopping());
    tasks.spawn("certificate renewal", async move {
        loop {
            match renew(&pair, &issuer, &clock).await {
                Ok(true) => tracing::info!("the role's certificate was renewed"),
                Ok(false) => {}
                Err(failure) => tracing::warn!(%failure, "the role's certificate was not renewed; trying again in an hour"),
            }
            tokio::select! {
                () = &mut stopping => return,
                () = tokio::time::sleep(RENEWAL_POLL) => {}
            }
        }
    });
}

/// Keeps the list of certificates that count no more. While `keys` is away, the last list holds.
pub(super) fn poll_revoked(keys: Arc<dyn Keys>, revoked: Revoked, tasks: &Tasks) {
    let mut stopping = Box::pin(tasks.stopping());
    tasks.spawn("revoked certificates", async move {
        loop {
            match keys.revoked(GetRevoked {}).await {
                Ok(found) => {
                    revoked.store(Arc::new(found.serials.into_iter().collect::<HashSet<_>>()))
                }
                Err(error) => tracing::debug!(%error, "revoked certificates are not known"),
            }
            tokio::select! {
                () = &mut stopping => return,
                () = tokio::time::sleep(REVOKED_POLL) => {}
            }
        }
    });
}

async fn renew(pair: &Pair, issuer: &Issuer, clock: &Clock) -> Result<bool, Failure> {
    let chain = certificates::read_public(&pair.chain)?;
    if !is_due(&chain, clock.now().as_seconds()) {
        return Ok(false);
    }
    let failed =
        |error: coffer_crypto::Error| Failure::doing("making a certificate request", error);
    let key = KeyPair::generate().map_err(failed)?;
    let chain_pem = issuer.issue(&key.request().map_err(failed)?).await?;
    pair.replace(&chain_pem, &key.pem())?;
    Ok(true)
}

/// A certificate that cannot be read is replaced, too.
fn is_due(chain_pem: &str, now_s: i64) -> bool {
    let since_s = certificates::leaf(chain_pem).map(|leaf| leaf.not_before_s);
    since_s.is_none_or(|since_s| now_s.saturating_sub(since_s) >= RENEW_AT_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_cannot_be_read_is_due() {
        assert!(is_due("", 0));
    }
}
