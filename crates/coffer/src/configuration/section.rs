//! One struct per section of `coffer.toml`, with its defaults and the checks that it can make on its own.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use coffer_core::{provider::Provider, words};
use coffer_net::face::ClientHeader;
use ipnet::IpNet;
use serde::Deserialize;

use super::Profile;
use crate::directory::Role;

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// `[faces]`: where people and programs connect. The origins say how they get there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Faces {
    /// The API listens here.
    pub(crate) api: SocketAddr,
    /// The payers' pages listen here.
    pub(crate) checkout: SocketAddr,
    /// The card inputs, in the vault, listen here.
    pub(crate) fields: SocketAddr,
    /// All of them listen here as well, told apart by the host that a client asks for.
    pub(crate) listen: Option<SocketAddr>,
    /// Networks of proxies that may say who the client is.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// The header by which they do, unless it is PROXY protocol v2.
    pub(crate) proxy_header: ClientHeader,
    /// The API's address as merchants write it.
    pub(crate) api_origin: Option<String>,
    /// The checkout page's.
    pub(crate) checkout_origin: Option<String>,
    /// The dashboard's.
    pub(crate) dashboard_origin: Option<String>,
    /// The card inputs'.
    pub(crate) fields_origin: Option<String>,
}

impl Default for Faces {
    fn default() -> Self {
        Self {
            api: local(8443),
            checkout: local(8444),
            fields: local(8446),
            listen: None,
            trusted_proxies: Vec::new(),
            proxy_header: ClientHeader::XForwardedFor,
            api_origin: None,
            checkout_origin: None,
            dashboard_origin: None,
            fields_origin: None,
        }
    }
}

impl Faces {
    /// Every origin with its key.
    pub(super) fn origins(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("api_origin", self.api_origin.as_deref()),
            ("checkout_origin", self.checkout_origin.as_deref()),
            ("dashboard_origin", self.dashboard_origin.as_deref()),
            ("fields_origin", self.fields_origin.as_deref()),
        ]
    }

    pub(super) fn check(&self) -> Result<(), String> {
        for (key, origin) in self.origins() {
            if let Some(origin) = origin.filter(|origin| !is_origin(origin)) {
                return Err(format!(
                    "[faces] {key} = \"{origin}\" is not an origin: https://, a host, perhaps a port, and nothing after it"
                ));
            }
        }
        let everybody = self
            .trusted_proxies
            .iter()
            .find(|one| one.prefix_len() == 0);
        everybody.map_or(Ok(()), |network| {
            Err(format!(
                "[faces] trusted_proxies: {network} is everybody, and everybody could then say to be somebody else; name the networks of your proxies"
            ))
        })
    }
}

fn is_origin(text: &str) -> bool {
    let shape =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']');
    text.strip_prefix("https://")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(shape))
}

/// The host of an origin, without its port.
pub(crate) fn host_of(origin: &str) -> &str {
    let rest = origin.strip_prefix("https://").unwrap_or(origin);
    rest.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(rest, |(host, _)| host)
}

/// `[links]`: where roles listen for each other, and where they look for each other. Never for anyone else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Links {
    /// The vault listens here.
    pub(crate) vault_listen: SocketAddr,
    /// The key server listens here.
    pub(crate) keys_listen: SocketAddr,
    /// `api` finds the vault here, as host and port.
    pub(crate) vault: Option<String>,
    /// `api` and `vault` find the key server here, as host and port.
    pub(crate) keys: Option<String>,
    /// `api` finds the vault's face here, as host and port, to pass on what comes in at `[faces] listen`.
    pub(crate) fields: Option<String>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            vault_listen: local(8451),
            keys_listen: local(8452),
            vault: None,
            keys: None,
            fields: None,
        }
    }
}

/// `[api]`: the role behind the API and its pages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    /// This process among those of its role.
    pub(crate) instance: String,
    /// Which of `[providers]` live payments go to.
    pub(crate) live_provider: Option<Provider>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            instance: "api-1".to_owned(),
            live_provider: None,
        }
    }
}

/// `[vault]`: the role that holds cards.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Vault {
    /// This process among those of its role.
    pub(crate) instance: String,
    /// Private networks that a payment provider may be in.
    pub(crate) allow_networks: Vec<IpNet>,
}

impl Vault {
    pub(super) fn check(&self, profile: Profile) -> Result<(), String> {
        check_networks("[vault] allow_networks", &self.allow_networks, profile)
    }
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            instance: "vault-1".to_owned(),
            allow_networks: Vec::new(),
        }
    }
}

/// `[keys]`: the role that holds keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keys {
    /// This process among those of its role.
    pub(crate) instance: String,
    /// Opens the key server at its start; without it an operator does, by `coffer keys unseal`.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Cards that one account may open per hour.
    pub(crate) open_per_hour: Option<i64>,
    /// Cards that one account may recognise per hour.
    pub(crate) fingerprint_per_hour: Option<i64>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            instance: "keys-1".to_owned(),
            passphrase_file: None,
            open_per_hour: None,
            fingerprint_per_hour: None,
        }
    }
}

/// `[simulator]`: the payment provider of test mode.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Simulator {
    /// It listens here.
    pub(crate) listen: SocketAddr,
}

impl Default for Simulator {
    fn default() -> Self {
        Self {
            listen: local(8449),
        }
    }
}

/// `[webhooks]`: messages to merchants.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Webhooks {
    /// Private networks that receivers may be in; link-local ones never.
    pub(crate) allow_networks: Vec<IpNet>,
}

impl Webhooks {
    pub(super) fn check(&self, profile: Profile) -> Result<(), String> {
        check_networks("[webhooks] allow_networks", &self.allow_networks, profile)
    }
}

/// Nothing that holds a link-local address (where clouds keep their metadata), and this machine only in development.
pub(super) fn check_networks(at: &str, networks: &[IpNet], profile: Profile) -> Result<(), String> {
    let link_local = [
        network(Ipv4Addr::new(169, 254, 0, 0).into(), 16),
        network(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10),
    ];
    let loopback = [
        network(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
        network(Ipv6Addr::LOCALHOST.into(), 128),
    ];
    let meets = |one: &IpNet, others: &[IpNet]| {
        others
            .iter()
            .any(|other| one.contains(other) || other.contains(one))
    };
    for found in networks {
        if meets(found, &link_local) {
            return Err(format!(
                "{at}: {found} holds link-local addresses, which are never allowed"
            ));
        }
        if profile == Profile::Production && meets(found, &loopback) {
            return Err(format!(
                "{at}: {found} holds this machine's own addresses, which only the development profile allows"
            ));
        }
    }
    Ok(())
}

fn network(address: IpAddr, length: u8) -> IpNet {
    IpNet::new_assert(address, length)
}

words! {
    /// How a line of the log looks.
    pub enum LogFormat {
        /// For people.
        Human = "human",
        /// One JSON object per line.
        Json = "json",
    }
}

/// `[log]`: what is logged, on stderr.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `human` or `json`.
    pub(crate) format: LogFormat,
    /// A level, or levels per module: `info`, `warn,coffer_vault=debug`.
    pub(crate) level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            level: "info".to_owned(),
        }
    }
}

/// `[metrics]`: `/livez`, `/readyz` and `/metrics` of each role, on this machine only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    pub(crate) api: SocketAddr,
    pub(crate) vault: SocketAddr,
    pub(crate) keys: SocketAddr,
    pub(crate) simulator: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            api: local(9464),
            vault: local(9465),
            keys: local(9466),
            simulator: local(9467),
        }
    }
}

impl Metrics {
    /// Where a role's are.
    pub(crate) const fn of(&self, role: Role) -> SocketAddr {
        match role {
            Role::Api => self.api,
            Role::Vault => self.vault,
            Role::Keys => self.keys,
            Role::Simulator => self.simulator,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let elsewhere = Role::ALL
            .iter()
            .find(|role| !self.of(**role).ip().is_loopback());
        elsewhere.map_or(Ok(()), |role| {
            Err(format!(
                "[metrics] {role} must be a loopback address: it is served without TLS or keys"
            ))
        })
    }
}
