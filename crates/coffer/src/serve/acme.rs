//! Keeps the certificate of a role's faces fresh by ACME: asks for one when there is none or it is time, keeps account and
//! certificate in the role's own directory, and tries again when it did not work. Meanwhile the old one stays in use.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use coffer_core::Timestamp;
use coffer_crypto::SecretBytes;
use coffer_net::{
    Clock, Tasks,
    acme::{Account, Binding, Challenges, Client, Error, Proof, Settings, Site, serve_plain},
    face::{Overheard, PlainPolicy},
    metrics::CertificateMetrics,
};
use data_encoding::BASE64URL_NOPAD;
use tokio::sync::Notify;

use super::{
    certificates,
    pair::Pair,
    process::{Process, listener},
};
use crate::{configuration::Acme, failure::Failure, secret_file};

/// The account and its key.
const ACCOUNT: &str = "acme-account.json";
/// The key that ties the account to a customer of the authority.
const BINDING_KEY: &str = "acme-eab.key";
/// The directory of the authority that issued the certificate in use.
const ISSUED_BY: &str = "acme-issued-by";
/// A certificate is looked at this often, since clocks may be set and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// The pauses after failures, the last one again and again. Let's Encrypt blocks a host after five failures in an hour.
const BACK_OFF: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
];

/// The keeper of one role's certificate.
pub(super) struct Keeper {
    client: Client,
    challenges: Challenges,
    plain: Option<(std::net::TcpListener, Vec<Site>)>,
    pair: Pair,
    account: PathBuf,
    issued_by: PathBuf,
    clock: Clock,
}

impl Keeper {
    /// That of this role's faces, if certificates are to be asked for. Listens for plain HTTP where it is told to.
    pub(super) fn of(process: &mut Process, sites: Vec<Site>) -> Result<Option<Self>, Failure> {
        let Some(section) = process.configuration.acme.clone() else {
            return Ok(None);
        };
        if sites.is_empty() {
            return Ok(None);
        }
        let role = process.role;
        let hosts: BTreeSet<String> = sites.iter().map(|site| site.host.clone()).collect();
        let plain = match section.http_listen(role) {
            Some(address) => Some((process.bind(&format!("{role}_http"), address)?, sites)),
            None => None,
        };
        let proof = match plain {
            Some(_) => Proof::Http01,
            None => Proof::TlsAlpn01,
        };
        let outbound = super::outbound(
            &process.directory,
            &process.configuration,
            &section.allow_networks,
            section.ca_file.as_ref(),
        )?;
        let settings = Settings {
            binding: binding(process, &section)?,
            directory: section.directory,
            contact: section.contact,
            hosts: hosts.into_iter().collect(),
            proof,
        };
        let challenges = Challenges::default();
        let clock = process.clock.clone();
        Ok(Some(Self {
            client: Client::new(settings, outbound, challenges.clone(), clock.clone()),
            challenges,
            plain,
            pair: Pair::of_face(&process.directory, role),
            account: process.directory.file(role, ACCOUNT),
            issued_by: process.directory.file(role, ISSUED_BY),
            clock,
        }))
    }

    /// What the faces answer an authority that asks for proof.
    pub(super) fn challenges(&self) -> Challenges {
        self.challenges.clone()
    }

    /// Who wants to know which keys came over plain HTTP.
    pub(super) fn overheard(&mut self, overheard: &Overheard) {
        let sites = self.plain.iter_mut().flat_map(|(_, sites)| sites);
        for site in sites {
            if let PlainPolicy::Refuse403 {
                overheard: told, ..
            } = &mut site.plain
            {
                *told = Some(Overheard::clone(overheard));
            }
        }
    }

    /// Keeps the certificate until the process stops; says so when there is a new one.
    pub(super) fn run(
        mut self,
        metrics: CertificateMetrics,
        renewed: Arc<Notify>,
        tasks: &Tasks,
    ) -> Result<(), Failure> {
        if let Some((bound, sites)) = self.plain.take() {
            let plain = serve_plain(
                listener(bound)?,
                self.challenges.clone(),
                sites,
                tasks.clone(),
            );
            tasks.spawn("plain HTTP", plain);
        }
        let mut stopping = Box::pin(tasks.stopping());
        tasks.spawn("certificates by ACME", async move {
            let mut failures = 0_usize;
            loop {
                let pause = self.look(&metrics, &renewed, &mut failures).await;
                tokio::select! {
                    () = &mut stopping => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        Ok(())
    }

    /// Renews what is due. How long to wait before the next look.
    async fn look(
        &self,
        metrics: &CertificateMetrics,
        renewed: &Notify,
        failures: &mut usize,
    ) -> Duration {
        let now = self.clock.now();
        if let Some(wait) = until(self.due(), now) {
            return wait.min(LOOK_EVERY);
        }
        let hosts = self.client.settings().hosts.join(", ");
        let outcome = self.renew().await;
        metrics.ordered(outcome.is_ok());
        match outcome {
            Ok(()) => {
                tracing::info!(
                    certificate.hosts = hosts,
                    "the authority issued a certificate"
                );
                *failures = 0;
                renewed.notify_one();
                until(self.due(), now).map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY))
            }
            Err(failure) => {
                let [.., longest] = BACK_OFF;
                let pause = BACK_OFF.get(*failures).copied().unwrap_or(longest);
                *failures = failures.saturating_add(1);
                let retry_s = pause.as_secs();
                match self.expires() {
                    Some(expires) => {
                        tracing::warn!(certificate.hosts = hosts, certificate.expires = %expires, retry.after_s = retry_s, %failure, "no new certificate; the old one stays in use")
                    }
                    None => {
                        tracing::warn!(certificate.hosts = hosts, retry.after_s = retry_s, %failure, "no certificate yet; the faces wait for it")
                    }
                }
                pause
            }
        }
    }

    /// When a new certificate is asked for, in seconds since 1970: at two thirds of the life of the one in use; at once if
    /// it is another authority's, does not have every host, or there is none.
    fn due(&self) -> i64 {
        let read = |path| certificates::read_public(path).ok();
        let issuer = read(&self.issued_by);
        let chain = read(&self.pair.chain).filter(|_| self.pair.exists());
        let settings = self.client.settings();
        let leaf = chain
            .filter(|_| issuer.as_deref() == Some(&settings.directory))
            .and_then(|chain| certificates::leaf(&chain))
            .filter(|leaf| settings.hosts.iter().all(|host| leaf.dns.contains(host)));
        leaf.map_or(0, |leaf| two_thirds(leaf.not_before_s, leaf.not_after_s))
    }

    fn expires(&self) -> Option<Timestamp> {
        let chain = certificates::read_public(&self.pair.chain).ok()?;
        let leaf = certificates::leaf(&chain)?;
        Some(Timestamp::from_millis(
            leaf.not_after_s.saturating_mul(1000),
        ))
    }

    async fn renew(&self) -> Result<(), Failure> {
        let account = self.account().await?;
        let issued = match self.client.issue(&account).await {
            // The authority lost it, or was set up anew.
            Err(Error::AccountUnknown) => {
                let account = self.new_account().await?;
                self.client.issue(&account).await
            }
            other => other,
        };
        let issued = issued.map_err(failed)?;
        self.pair.replace(&issued.chain_pem, &issued.key_pem)?;
        // Last: without it, the worst that happens is that a certificate is asked for once more.
        let directory = self.client.settings().directory.as_bytes();
        secret_file::replace(&self.issued_by, directory)?;
        if until(self.due(), self.clock.now()).is_none() {
            return Err(Failure::System(
                "what the authority issued lacks a host, or is due for renewal already".to_owned(),
            ));
        }
        Ok(())
    }

    async fn account(&self) -> Result<Account, Failure> {
        if self.account.exists() {
            let kept = secret_file::read(&self.account)?;
            let found = self.client.account_kept(&kept).await.map_err(failed)?;
            if let Some(account) = found {
                return Ok(account);
            }
        }
        self.new_account().await
    }

    async fn new_account(&self) -> Result<Account, Failure> {
        let (account, kept) = self.client.account_create().await.map_err(failed)?;
        secret_file::replace(&self.account, kept.expose())?;
        tracing::info!("the role has an account of its own at the certificate authority");
        Ok(account)
    }
}

/// What ties the role's account to a customer of the authority: the key's name is a setting, the key a file.
fn binding(process: &Process, section: &Acme) -> Result<Option<Binding>, Failure> {
    let Some(key_id) = section.eab_key_id(process.role) else {
        return Ok(None);
    };
    let path = process.directory.file(process.role, BINDING_KEY);
    let text = secret_file::read_text(&path)?;
    let unpadded = text.expose().split(|byte| *byte == b'=').next();
    let key = BASE64URL_NOPAD.decode(unpadded.unwrap_or_default()).map_err(|_| {
        Failure::Operator(format!(
            "{} does not hold the key as the authority gives it, in base64url (A-Z, a-z, 0-9, - and _)",
            path.display()
        ))
    })?;
    Ok(Some(Binding {
        key_id: key_id.to_owned(),
        key: SecretBytes::from_vec(key),
    }))
}

fn failed(error: Error) -> Failure {
    Failure::System(error.to_string())
}

fn two_thirds(from_s: i64, to_s: i64) -> i64 {
    let life_s = to_s.saturating_sub(from_s).max(0);
    from_s.saturating_add(life_s / 3 * 2)
}

/// How long until then, if it is still to come.
fn until(then_s: i64, now: Timestamp) -> Option<Duration> {
    let wait_s = then_s.saturating_sub(now.as_seconds());
    u64::try_from(wait_s)
        .ok()
        .filter(|wait_s| *wait_s > 0)
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        const DAY_S: i64 = 86_400;
        assert_eq!(two_thirds(DAY_S, 91 * DAY_S), 61 * DAY_S);
        assert_eq!(two_thirds(100, 106), 104);
        // Nonsense is due.
        assert_eq!(two_thirds(10, 0), 10);
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        assert!(BACK_OFF.is_sorted());
        // Fewer than five in the first hour.
        let begun = BACK_OFF.iter().scan(Duration::ZERO, |at, pause| {
            *at += *pause;
            Some(*at)
        });
        assert!(
            begun
                .filter(|at| *at < Duration::from_secs(60 * 60))
                .count()
                < 5
        );
    }
}
