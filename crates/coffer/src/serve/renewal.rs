//! What a role asks of the key server for itself: a new certificate in time, and which certificates count no more.
//!
//! The new pair is first written beside the old one and then put in its place: the certificate's file is the last to be
//! written and the last to be moved, so that a crash at any instant leaves a pair that can be completed.

use std::{collections::HashSet, fs, path::Path, sync::Arc, time::Duration};

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

use super::{certificates, process::Process};
use crate::{
    directory::{Directory, Role},
    failure::Failure,
    init::roles::{CERTIFICATE, CERTIFICATE_KEY},
    secret_file,
};

/// A certificate is renewed when this much of its 30 days is over.
const RENEW_AT_S: i64 = 20 * 24 * 60 * 60;
/// How often that is looked at.
const RENEWAL_POLL: Duration = Duration::from_secs(60 * 60);
/// How often revoked serials are asked for.
const REVOKED_POLL: Duration = Duration::from_secs(10);

const NEXT_CERTIFICATE: &str = "cert.next.pem";
const NEXT_KEY: &str = "key.next.pem";

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
    let (directory, role) = (process.directory.clone(), process.role);
    certificates::watch_identity(&directory, role, identity, tasks);
    run(directory, role, issuer, process.clock.clone(), tasks);
}

fn run(directory: Directory, role: Role, issuer: Issuer, clock: Clock, tasks: &Tasks) {
    let mut stopping = Box::pin(tasks.stopping());
    tasks.spawn("certificate renewal", async move {
        loop {
            match renew(&directory, role, &issuer, &clock).await {
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

/// Completes a renewal that a crash interrupted.
pub(super) fn complete(directory: &Directory, role: Role) -> Result<(), Failure> {
    // The new certificate was written last: where it is, the new key is complete, there or already in its place.
    if directory.file(role, NEXT_CERTIFICATE).exists() {
        put_in_place(directory, role)?;
    }
    Ok(())
}

async fn renew(
    directory: &Directory,
    role: Role,
    issuer: &Issuer,
    clock: &Clock,
) -> Result<bool, Failure> {
    let chain = certificates::read_public(&directory.file(role, CERTIFICATE))?;
    if !is_due(&chain, clock.now().as_seconds()) {
        return Ok(false);
    }
    let failed =
        |error: coffer_crypto::Error| Failure::doing("making a certificate request", error);
    let key = KeyPair::generate().map_err(failed)?;
    let chain_pem = issuer.issue(&key.request().map_err(failed)?).await?;
    secret_file::replace(&directory.file(role, NEXT_KEY), key.pem().expose())?;
    secret_file::replace(
        &directory.file(role, NEXT_CERTIFICATE),
        chain_pem.as_bytes(),
    )?;
    put_in_place(directory, role)?;
    Ok(true)
}

/// A certificate that cannot be read is replaced, too.
fn is_due(chain_pem: &str, now_s: i64) -> bool {
    let since_s = certificates::leaf(chain_pem).map(|leaf| leaf.not_before_s);
    since_s.is_none_or(|since_s| now_s.saturating_sub(since_s) >= RENEW_AT_S)
}

fn put_in_place(directory: &Directory, role: Role) -> Result<(), Failure> {
    let key = directory.file(role, NEXT_KEY);
    if key.exists() {
        rename(&key, &directory.file(role, CERTIFICATE_KEY))?;
    }
    rename(
        &directory.file(role, NEXT_CERTIFICATE),
        &directory.file(role, CERTIFICATE),
    )
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to)
        .map_err(|error| Failure::doing(format_args!("replacing {}", to.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Directory, name: &str, text: &str) {
        fs::write(directory.file(Role::Api, name), text).unwrap();
    }

    fn pair(directory: &Directory) -> (String, String) {
        let read = |name| fs::read_to_string(directory.file(Role::Api, name)).unwrap();
        (read(CERTIFICATE_KEY), read(CERTIFICATE))
    }

    #[test]
    fn a_crash_at_any_instant_of_a_renewal_leaves_one_whole_pair() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        let old = ("old".to_owned(), "old".to_owned());
        let new = ("new".to_owned(), "new".to_owned());
        let start = || {
            write(&directory, CERTIFICATE_KEY, "old");
            write(&directory, CERTIFICATE, "old");
        };
        // Only the key was written: it does not count.
        start();
        write(&directory, NEXT_KEY, "new");
        complete(&directory, Role::Api).unwrap();
        assert_eq!(pair(&directory), old);
        // Both were written.
        write(&directory, NEXT_CERTIFICATE, "new");
        complete(&directory, Role::Api).unwrap();
        assert_eq!(pair(&directory), new);
        // The key was moved, the certificate was not.
        start();
        write(&directory, CERTIFICATE_KEY, "new");
        write(&directory, NEXT_CERTIFICATE, "new");
        complete(&directory, Role::Api).unwrap();
        assert_eq!(pair(&directory), new);
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_due() {
        assert!(is_due("", 0));
    }
}
