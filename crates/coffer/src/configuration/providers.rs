//! `[providers.NAME]`: the payment providers that the vault may send cards to.

use std::collections::BTreeMap;

use coffer_core::{Mode, provider::Provider, words};
use serde::Deserialize;

words! {
    /// How the vault speaks to a provider.
    pub enum AdapterName {
        /// As the simulator does.
        Simulator = "simulator",
    }
}

/// `[providers.NAME]`: one payment provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderSection {
    /// How to speak to it.
    pub(crate) adapter: AdapterName,
    /// For test or live payments.
    pub(crate) mode: Mode,
    /// Where it is.
    pub(crate) url: String,
    /// A file in the vault's directory with the credential.
    pub(crate) credential_file: String,
}

/// Every `[providers.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Providers(BTreeMap<String, ProviderSection>);

impl Providers {
    /// Name and settings of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &ProviderSection)> {
        self.0.iter()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        for (name, section) in &self.0 {
            let at = format!("[providers.{name}]");
            Provider::try_from(name.clone()).map_err(|malformed| format!("{at} {malformed}"))?;
            if !section.url.starts_with("https://") {
                return Err(format!("{at} url must begin with https://"));
            }
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if section.credential_file.starts_with('.')
                || !section.credential_file.bytes().all(plain)
            {
                return Err(format!(
                    "{at} credential_file must be the name of a file in the vault's directory"
                ));
            }
            match (section.adapter, section.mode) {
                (AdapterName::Simulator, Mode::Test) => {}
                (AdapterName::Simulator, Mode::Live) => {
                    return Err(format!(
                        "{at} the simulator moves no money: mode must be \"test\""
                    ));
                }
            }
        }
        Ok(())
    }
}
