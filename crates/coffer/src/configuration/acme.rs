//! `[acme]`: certificates for the faces from an authority, instead of files.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Profile, PublicFile, section::check_networks};
use crate::directory::Role;

/// Whom certificates are asked from. Without the section they are files that someone else renews.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acme {
    /// The address of the authority's directory.
    pub(crate) directory: String,
    /// Whom the authority writes to.
    pub(crate) contact: Option<String>,
    /// That somebody has read the authority's terms and agrees.
    #[serde(default)]
    pub(crate) terms_of_service_agreed: bool,
    /// Where `api` answers plain HTTP: proofs are files there. Without it, proofs are handshakes at its faces.
    pub(crate) http_listen: Option<SocketAddr>,
    /// The same for the vault.
    pub(crate) fields_http_listen: Option<SocketAddr>,
    /// The name of the key that ties the account of `api` to a customer of the authority, where it asks for that.
    pub(crate) eab_key_id: Option<String>,
    /// The same for the vault.
    pub(crate) fields_eab_key_id: Option<String>,
    /// A file in `public/` with the certificate of a private authority.
    pub(crate) ca_file: Option<PublicFile>,
    /// Private networks that the authority may be in.
    #[serde(default)]
    pub(crate) allow_networks: Vec<IpNet>,
}

impl Acme {
    /// Where a role answers plain HTTP.
    pub(crate) const fn http_listen(&self, role: Role) -> Option<SocketAddr> {
        match role {
            Role::Api => self.http_listen,
            Role::Vault => self.fields_http_listen,
            Role::Keys | Role::Simulator => None,
        }
    }

    /// The name of the key that ties a role's account to a customer.
    pub(crate) fn eab_key_id(&self, role: Role) -> Option<&str> {
        match role {
            Role::Api => self.eab_key_id.as_deref(),
            Role::Vault => self.fields_eab_key_id.as_deref(),
            Role::Keys | Role::Simulator => None,
        }
    }

    pub(super) fn check(&self, profile: Profile) -> Result<(), String> {
        if !self.directory.starts_with("https://") {
            return Err("[acme] directory must begin with https://".to_owned());
        }
        if !self.terms_of_service_agreed {
            return Err(
                "[acme] the authority issues nothing to who has not agreed to its terms: read them, then set terms_of_service_agreed = true"
                    .to_owned(),
            );
        }
        let is_mail = |text: &&String| text.contains('@') && !text.starts_with("mailto:");
        if let Some(wrong) = self.contact.as_ref().filter(|text| !is_mail(text)) {
            return Err(format!(
                "[acme] contact = \"{wrong}\" is not a mail address, such as \"security@shop.eu\""
            ));
        }
        check_networks("[acme] allow_networks", &self.allow_networks, profile)
    }
}
