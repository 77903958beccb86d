//! `[audit]`: the record of what was done.

use coffer_audit::Retention;
use coffer_engine::ReadRecords;
use ipnet::IpNet;
use serde::Deserialize;

use super::{Profile, PublicFile};

/// `[audit]`: what is recorded when, and how long it stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// When what was read is on record.
    pub(crate) reads: ReadRecords,
    /// An address that keeps the signed heads of all logs and takes lines of JSON by POST: `https://…`; in development also
    /// `http://…`.
    pub(crate) anchor_url: Option<String>,
    /// How often it is told, when there is something new.
    pub(crate) anchor_seconds: u32,
    /// Networks in which it may be, beside public ones.
    pub(crate) anchor_allow_networks: Vec<IpNet>,
    /// The certificate of a private authority that its certificate may come from.
    pub(crate) anchor_ca_file: Option<PublicFile>,
    /// How many months what is on record keeps its contents.
    pub(crate) retention_months: Retention,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            reads: ReadRecords::Grouped,
            anchor_url: None,
            anchor_seconds: 60,
            anchor_allow_networks: Vec::new(),
            anchor_ca_file: None,
            retention_months: Retention::default(),
        }
    }
}

impl Audit {
    pub(super) fn check(&self, profile: Profile) -> Result<(), String> {
        let plain = |url: &str| profile == Profile::Development && url.starts_with("http://");
        match &self.anchor_url {
            Some(url) if !url.starts_with("https://") && !plain(url) => {
                Err("[audit] anchor_url must begin with https://".to_owned())
            }
            Some(_) if self.anchor_seconds == 0 => {
                Err("[audit] anchor_seconds must be at least 1".to_owned())
            }
            Some(_) | None => Ok(()),
        }
    }
}
