//! What the binary tells the vault at start, and the keys that are derived from its service key.

use coffer_audit::Retention;
use coffer_core::{Mode, provider::Provider};
use coffer_crypto::{Context, Key, SecretBytes};
use coffer_net::{Clock, outbound::Outbound};
use ipnet::IpNet;

use crate::{Adapter, Error, intake::is_origin};

/// Everything the vault has to be told.
pub struct Settings {
    /// The name of this process, which a token carries: the process that holds the token's security code.
    pub instance: String,
    /// The time.
    pub clock: Clock,
    /// The origin of the fields face, such as `https://fields.example.com`.
    pub fields_origin: String,
    /// The key of this role's own secrets; the same on every vault of one database.
    pub service_key: Key,
    /// The payment providers.
    pub providers: Vec<ProviderSettings>,
    /// Private networks in which a provider may live; loopback in development, none in production.
    pub allow_networks: Vec<IpNet>,
    /// The way on which the vault looks at its own face from outside, as payers do.
    pub outside: Outbound,
    /// How long what is on record keeps its contents.
    pub retention: Retention,
}

/// One payment provider in one mode.
pub struct ProviderSettings {
    /// Its name.
    pub name: Provider,
    /// In which mode it is used.
    pub mode: Mode,
    /// Which protocol it speaks.
    pub adapter: Adapter,
    /// Where its API begins: `https://host[:port]`.
    pub url: String,
    /// What proves the vault to it. It is sealed into the store when given; `None` uses the one that is there.
    pub credential: Option<SecretBytes>,
    /// A certificate authority of its own, beside the public ones.
    pub extra_ca_pem: Option<String>,
}

/// Keys for one purpose each, derived from the service key.
pub(crate) struct ServiceKeys {
    /// Authenticates intake tickets.
    pub(crate) intake: Key,
    /// The inner half of fingerprints.
    pub(crate) fingerprint: Key,
    /// Seals provider credentials.
    pub(crate) credentials: Key,
    /// Seals personal values in the log.
    pub(crate) audit: Key,
}

impl ServiceKeys {
    pub(crate) fn derive(service_key: &Key) -> Self {
        Self {
            intake: service_key.derive(&Context::new("vault/intake/v1")),
            fingerprint: service_key.derive(&Context::new("vault/fingerprint/v1")),
            credentials: service_key.derive(&Context::new("vault/credentials/v1")),
            audit: service_key.derive(&Context::new("vault/audit/v1")),
        }
    }
}

impl Settings {
    /// Refuses what cannot work, with what to change.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.instance.is_empty() {
            return Err(Error::Unfit("the vault's instance has no name".to_owned()));
        }
        if !self.fields_origin.starts_with("https://") || !is_origin(&self.fields_origin) {
            return Err(Error::Unfit(
                "the fields face's origin must be https://host[:port]".to_owned(),
            ));
        }
        let bad = self
            .providers
            .iter()
            .find(|one| !one.url.starts_with("https://") || !is_origin(&one.url));
        match bad {
            Some(one) => Err(Error::Unfit(format!(
                "the url of provider {} must be https://host[:port]",
                one.name.as_str()
            ))),
            None => Ok(()),
        }
    }
}
