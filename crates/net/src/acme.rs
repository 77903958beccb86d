//! Certificates from an authority by ACME (RFC 8555): the account, an order for all of a role's hosts, the proofs.
//!
//! When to ask, what to keep and where is the caller's. All requests go through [`Outbound`]: verified TLS, allowed
//! addresses, limits.

mod challenges;
mod client;
mod plain;

use std::time::Duration;

use coffer_crypto::{SecretBytes, pki::KeyPair};
use instant_acme::{
    AccountCredentials, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use serde::Deserialize;
use tokio::time::timeout;

pub use challenges::Challenges;
pub use plain::{Site, serve_plain};

use crate::{Clock, outbound::Outbound, tls};
use client::Http;

/// The longest an order may take: authorities look from several places, one after the other.
const ISSUE_MAX: Duration = Duration::from_secs(5 * 60);
/// How long the authority is asked whether it is done; less often as time passes.
const POLL: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(2 * 60));
const ACCOUNT_UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// How a host is proven to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By a file over plain HTTP at port 80 (RFC 8555, 8.3).
    Http01,
    /// In a handshake at port 443 (RFC 8737).
    TlsAlpn01,
}

/// Whom to ask, for what.
pub struct Settings {
    /// The address of the authority's directory.
    pub directory: String,
    /// Whom the authority writes to.
    pub contact: Option<String>,
    /// The hosts that the certificate is for.
    pub hosts: Vec<String>,
    /// How they are proven.
    pub proof: Proof,
    /// What ties a new account to a customer of the authority, where it asks for that.
    pub binding: Option<Binding>,
}

/// An external account binding (RFC 8555, 7.3.4), as the authority gave it.
pub struct Binding {
    /// The key's name.
    pub key_id: String,
    /// The key of the HMAC.
    pub key: SecretBytes,
}

/// A certificate and its key; PEM.
pub struct Issued {
    /// The certificate and those that lead to the authority's.
    pub chain_pem: String,
    /// The key.
    pub key_pem: SecretBytes,
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The authority does not know this account: a new one is needed.
    AccountUnknown,
    /// It did not work this time, for a reason that the operator should read.
    Failed(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AccountUnknown => f.write_str("the authority does not know the account"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl From<instant_acme::Error> for Error {
    fn from(error: instant_acme::Error) -> Self {
        if let instant_acme::Error::Api(problem) = &error
            && problem.r#type.as_deref() == Some(ACCOUNT_UNKNOWN)
        {
            return Self::AccountUnknown;
        }
        Self::Failed(error.to_string())
    }
}

fn failed(reason: impl Into<String>) -> Error {
    Error::Failed(reason.into())
}

/// An account at the authority.
pub struct Account(instant_acme::Account);

/// The directory that kept credentials are for; the rest is the library's.
#[derive(Deserialize)]
struct Kept {
    directory: String,
}

/// Who asks the authority.
pub struct Client {
    settings: Settings,
    outbound: Outbound,
    challenges: Challenges,
    clock: Clock,
}

impl Client {
    /// A client; the challenges are what its faces answer.
    #[must_use]
    pub const fn new(
        settings: Settings,
        outbound: Outbound,
        challenges: Challenges,
        clock: Clock,
    ) -> Self {
        Self {
            settings,
            outbound,
            challenges,
            clock,
        }
    }

    /// What is asked for.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The account that was kept, when it is one at this directory.
    ///
    /// # Errors
    /// [`Error::Failed`] when the authority does not answer.
    pub async fn account_kept(&self, kept: &SecretBytes) -> Result<Option<Account>, Error> {
        let at = serde_json::from_slice::<Kept>(kept.expose()).ok();
        if at.is_none_or(|at| at.directory != self.settings.directory) {
            return Ok(None);
        }
        let Ok(credentials) = serde_json::from_slice::<AccountCredentials>(kept.expose()) else {
            return Ok(None);
        };
        let account = self.builder().from_credentials(credentials).await?;
        Ok(Some(Account(account)))
    }

    /// A new account, and what to keep of it: its key is in it. The caller's operator has agreed to the authority's terms.
    ///
    /// # Errors
    /// [`Error::Failed`] when the authority does not answer or refuses.
    pub async fn account_create(&self) -> Result<(Account, SecretBytes), Error> {
        let contact = self.settings.contact.iter();
        let contact: Vec<String> = contact.map(|mail| format!("mailto:{mail}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let binding = self.settings.binding.as_ref();
        // Exposed to the library that makes an HMAC with it.
        let binding = binding
            .map(|Binding { key_id, key }| ExternalAccountKey::new(key_id.clone(), key.expose()));
        let directory = self.settings.directory.clone();
        let created = self.builder().create(&wanted, directory, binding.as_ref());
        let (account, credentials) = created.await?;
        let kept = serde_json::to_vec(&credentials)
            .map_err(|_| failed("the account's key cannot be written"))?;
        Ok((Account(account), SecretBytes::from_vec(kept)))
    }

    /// A certificate for all hosts, with a key of its own.
    ///
    /// # Errors
    /// [`Error::AccountUnknown`] or [`Error::Failed`].
    pub async fn issue(&self, account: &Account) -> Result<Issued, Error> {
        let outcome = timeout(ISSUE_MAX, self.order(account)).await;
        self.challenges.clear();
        outcome.unwrap_or_else(|_| Err(failed("the authority took too long")))
    }

    fn builder(&self) -> instant_acme::AccountBuilder {
        instant_acme::Account::builder_with_http(Box::new(Http::new(self.outbound.clone())))
    }

    async fn order(&self, account: &Account) -> Result<Issued, Error> {
        let hosts = self.settings.hosts.iter().cloned();
        let identifiers: Vec<_> = hosts.map(Identifier::Dns).collect();
        let mut order = account.0.new_order(&NewOrder::new(&identifiers)).await?;
        self.prove(&mut order).await?;
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(instant_acme::Error::Api(_)) => return Err(why_invalid(&mut order).await),
            Err(other) => return Err(other.into()),
        }
        let made = |_| failed("the machine has no randomness to give");
        let key = KeyPair::generate().map_err(made)?;
        let request = key.request_for(&self.settings.hosts);
        let request = request.map_err(|_| failed("a host is not a host name"))?;
        order.finalize_csr(request.as_der()).await?;
        let chain_pem = order.poll_certificate(&POLL).await?;
        let key_pem = key.pem();
        tls::certified_key(&chain_pem, &key_pem)
            .map_err(|error| failed(format!("what the authority issued is not usable: {error}")))?;
        Ok(Issued { chain_pem, key_pem })
    }

    /// Answers every challenge that is open, and says so.
    async fn prove(&self, order: &mut Order) -> Result<(), Error> {
        let kind = match self.settings.proof {
            Proof::Http01 => ChallengeType::Http01,
            Proof::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let host = authorization.identifier().to_string();
            let none = || failed(format!("the authority offers no such proof for {host}"));
            let mut challenge = authorization.challenge(kind.clone()).ok_or_else(none)?;
            let answer = challenge.key_authorization();
            match self.settings.proof {
                Proof::Http01 => self.challenges.put_http(&challenge.token, answer.as_str()),
                Proof::TlsAlpn01 => {
                    let now_s = self.clock.now().as_seconds();
                    let put = self
                        .challenges
                        .put_tls(&host, answer.digest().as_ref(), now_s);
                    put.ok_or_else(|| failed(format!("no proof can be made for {host}")))?;
                }
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }
}

/// The authority's own words about the hosts that it could not verify.
async fn why_invalid(order: &mut Order) -> Error {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let host = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let problems = state.challenges.iter();
        let problems = problems.filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(problems.map(|problem| format!("{host}: {problem}")));
    }
    if reasons.is_empty() {
        return failed("the authority did not accept the order");
    }
    failed(reasons.join("; "))
}
