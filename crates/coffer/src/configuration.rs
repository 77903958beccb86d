//! `coffer.toml` and its overrides: read, checked as a whole, and handed on as values. Holds no secret, only files' names.
//!
//! An override is an environment variable named `COFFER_`, the section, `_`, the key, as in `COFFER_FACES_API=…`. Sections of
//! providers have none. Whatever is unknown is refused: a setting that is misspelt must not be silently ignored.

mod acme;
mod audit;
mod backup;
mod detection;
mod document;
mod limits;
mod listeners;
mod overrides;
mod postgres;
mod providers;
mod public_file;
mod redis;
mod section;

pub(crate) use acme::Acme;
pub(crate) use postgres::{Names, Postgres, Server};
pub(crate) use providers::{AdapterName, ProviderSection};
pub(crate) use public_file::PublicFile;
pub(crate) use redis::Redis;
pub(crate) use section::{Log, LogFormat, host_of};

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use coffer_core::words;
use serde::Deserialize;

use crate::{directory::Role, failure::Failure};
use audit::Audit;
use backup::Backup;
use detection::Detection;
use limits::Limits;
use providers::Providers;
use section::{Api, Faces, Keys, Links, Metrics, Simulator, Vault, Webhooks};

words! {
    /// What an installation is for; only `development` allows what is handy and unsafe.
    pub enum Profile {
        /// One developer's machine.
        Development = "development",
        /// Everything else.
        Production = "production",
    }
}

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration {
    /// What this installation is for.
    pub(crate) profile: Profile,
    /// What the world connects to.
    #[serde(default)]
    pub(crate) faces: Faces,
    /// Whom the faces' certificates are asked from; they are files that someone else renews when there is nobody.
    pub(crate) acme: Option<Acme>,
    /// What roles connect to.
    #[serde(default)]
    pub(crate) links: Links,
    /// The role `api`.
    #[serde(default)]
    pub(crate) api: Api,
    /// The role `vault`.
    #[serde(default)]
    pub(crate) vault: Vault,
    /// The role `keys`.
    #[serde(default)]
    pub(crate) keys: Keys,
    /// The server that keeps the roles' data; each keeps its own in files when there is none.
    pub(crate) postgres: Option<Postgres>,
    /// The server by which nodes share their rates; each counts by itself when there is none.
    pub(crate) redis: Option<Redis>,
    /// The provider of test mode.
    #[serde(default)]
    pub(crate) simulator: Simulator,
    /// Payment providers by name.
    #[serde(default)]
    pub(crate) providers: Providers,
    /// Messages to merchants.
    #[serde(default)]
    pub(crate) webhooks: Webhooks,
    /// Encrypted copies of the stores.
    #[serde(default)]
    pub(crate) backup: Backup,
    /// The record of what was done.
    #[serde(default)]
    pub(crate) audit: Audit,
    /// How much may be asked for.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// What looks hostile, and what is done then.
    #[serde(default)]
    pub(crate) detection: Detection,
    /// What is logged and how.
    #[serde(default)]
    pub(crate) log: Log,
    /// Where health and metrics are served.
    #[serde(default)]
    pub(crate) metrics: Metrics,
}

impl Configuration {
    /// The private authority behind the faces' certificates.
    pub(crate) fn acme_authority(&self) -> Option<&PublicFile> {
        self.acme.as_ref().and_then(|acme| acme.ca_file.as_ref())
    }

    /// Reads the file, applies the environment, checks the whole.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        Self::read(
            &path.display().to_string(),
            &read_text(path)?,
            overrides::from_environment(),
        )
    }

    /// What holds in production before anything is written.
    pub(crate) fn before_any() -> Result<Self, Failure> {
        let written = document::parse("the defaults", "profile = \"production\"\n");
        written.map_err(Failure::Operator)
    }

    /// The profile of an installation whose settings may not be complete yet.
    pub(crate) fn profile_of(path: &Path) -> Result<Profile, Failure> {
        Self::written(path).map(|written| written.profile)
    }

    /// The passphrase file of an installation whose settings may not be complete yet.
    pub(crate) fn passphrase_file_of(path: &Path) -> Result<Option<PathBuf>, Failure> {
        Self::written(path).map(|written| written.keys.passphrase_file)
    }

    /// The server that keeps the data of an installation whose settings may not be complete yet. The environment counts: the
    /// roles will look where it says.
    pub(crate) fn postgres_of(path: &Path) -> Result<Option<Postgres>, Failure> {
        let overrides = overrides::from_environment()
            .into_iter()
            .filter(|(name, _)| name.starts_with("COFFER_POSTGRES_"))
            .collect();
        let shown = path.display().to_string();
        let written = Self::written_with(&shown, &read_text(path)?, overrides)?;
        written
            .check_postgres()
            .map_err(|reason| Failure::Operator(format!("{shown}: {reason}")))?;
        Ok(written.postgres)
    }

    /// How the processes of an installation are called, whose settings may not be complete yet.
    pub(crate) fn instances_of(path: &Path) -> Result<impl Fn(Role) -> String + use<>, Failure> {
        let written = Self::written(path)?;
        Ok(move |role| match role {
            Role::Api => written.api.instance.clone(),
            Role::Vault => written.vault.instance.clone(),
            Role::Keys => written.keys.instance.clone(),
            Role::Simulator => "simulator".to_owned(),
        })
    }

    fn written(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path)?;
        document::parse(&path.display().to_string(), &text).map_err(Failure::Operator)
    }

    /// As [`Self::load`], of a text and overrides that are given.
    fn read(shown: &str, text: &str, overrides: Vec<(String, String)>) -> Result<Self, Failure> {
        let configuration = Self::written_with(shown, text, overrides)?;
        configuration
            .check()
            .map_err(|reason| Failure::Operator(format!("{shown}: {reason}")))?;
        Ok(configuration)
    }

    fn written_with(
        shown: &str,
        text: &str,
        overrides: Vec<(String, String)>,
    ) -> Result<Self, Failure> {
        let written: Self = document::parse(shown, text).map_err(Failure::Operator)?;
        if overrides.is_empty() {
            return Ok(written);
        }
        overrides::apply(text, overrides).map_err(Failure::Operator)
    }

    fn check_postgres(&self) -> Result<(), String> {
        self.postgres.as_ref().map_or(Ok(()), Postgres::check)
    }

    /// What no single section can know.
    fn check(&self) -> Result<(), String> {
        self.webhooks.check(self.profile)?;
        self.vault.check(self.profile)?;
        self.providers.check()?;
        self.metrics.check()?;
        self.limits.check()?;
        self.audit.check(self.profile)?;
        self.detection.check(self.profile)?;
        self.faces.check()?;
        self.check_postgres()?;
        self.redis.as_ref().map_or(Ok(()), Redis::check)?;
        self.acme
            .as_ref()
            .map_or(Ok(()), |acme| acme.check(self.profile))?;
        match self.profile {
            Profile::Development => Ok(()),
            Profile::Production => self.check_production(),
        }
    }

    /// In production every face has a name of its own: cookies and origins then keep them apart in the payer's browser.
    fn check_production(&self) -> Result<(), String> {
        let mut hosts = BTreeSet::new();
        for (key, origin) in self.faces.origins() {
            let origin = origin.ok_or_else(|| {
                format!("[faces] {key} is missing: in production it must say where people reach this face, such as \"https://pay.shop.eu\"")
            })?;
            let host = section::host_of(origin);
            if ["example.com", "localhost"]
                .iter()
                .any(|reserved| host == *reserved || host.ends_with(&format!(".{reserved}")))
            {
                return Err(format!(
                    "[faces] {key} = \"{origin}\" is only an example; set your own"
                ));
            }
            if !hosts.insert(host.to_owned()) {
                return Err(format!(
                    "[faces] {key} shares the host {host} with another face; in production each needs its own"
                ));
            }
        }
        Ok(())
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::Operator(format!("{} cannot be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCTION: &str = "profile = \"production\"\n[faces]\napi_origin = \"https://api.shop.eu\"\ncheckout_origin = \"https://pay.shop.eu\"\n\
        dashboard_origin = \"https://desk.shop.eu\"\nfields_origin = \"https://fields.shop.eu\"\n";

    fn read(text: &str) -> Result<Configuration, String> {
        Configuration::read("coffer.toml", text, Vec::new()).map_err(|failure| failure.to_string())
    }

    fn read_with(text: &str, name: &str, value: &str) -> Result<Configuration, String> {
        Configuration::read(
            "coffer.toml",
            text,
            vec![(name.to_owned(), value.to_owned())],
        )
        .map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
        let refusal =
            read("profile = \"development\"\n\n[faces]\nfeilds = \"127.0.0.1:1\"\n").unwrap_err();
        assert!(refusal.contains("line 4"), "{refusal}");
        assert!(refusal.contains("did you mean `fields`?"), "{refusal}");
        let refusal = read("profile = \"development\"\n[webhook]\n").unwrap_err();
        assert!(refusal.contains("did you mean `webhooks`?"), "{refusal}");
    }

    #[test]
    fn the_environment_overrides_and_is_checked_too() {
        let text = "profile = \"development\"\n";
        let changed = read_with(text, "COFFER_FACES_API", "127.0.0.1:9443").unwrap();
        assert_eq!(changed.faces.api.port(), 9443);
        let changed =
            read_with(text, "COFFER_WEBHOOKS_ALLOW_NETWORKS", "[\"10.0.0.0/8\"]").unwrap();
        assert_eq!(changed.webhooks.allow_networks.len(), 1);
        let refusal = read_with(text, "COFFER_FACES_APIS", "127.0.0.1:9443").unwrap_err();
        assert!(
            refusal.contains("COFFER_FACES_APIS") && refusal.contains("`api`"),
            "{refusal}"
        );
        let refusal = read_with(text, "COFFER_FACES_API", "everywhere").unwrap_err();
        assert!(refusal.contains("COFFER_FACES_API"), "{refusal}");
    }

    #[test]
    fn without_a_section_there_is_no_postgres_and_the_environment_can_name_one() {
        let text = "profile = \"development\"\n";
        assert_eq!(read(text).unwrap().postgres, None);
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let named = Configuration::read(
            "coffer.toml",
            text,
            vec![
                set("COFFER_POSTGRES_NAMES", "shop"),
                set("COFFER_POSTGRES_CA_FILE", "ca.pem"),
                set("COFFER_POSTGRES_ADDRESS", "db.shop.eu:5432"),
            ],
        );
        let postgres = named.unwrap().postgres.unwrap();
        assert_eq!(postgres.name_of(Role::Vault), "shop_vault");
        assert_eq!(postgres.address.port(), 5432);
        let refusal = read_with(text, "COFFER_POSTGRES_ADDRESS", "db.shop.eu:5432").unwrap_err();
        assert!(refusal.contains("ca_file is missing"), "{refusal}");
        let refusal = read(&format!("{text}[postgres]\naddress = \"db\"\n")).unwrap_err();
        assert!(
            refusal.contains("line 3") && refusal.contains("a host and a port"),
            "{refusal}"
        );
    }

    #[test]
    fn certificates_are_asked_from_nobody_whose_terms_nobody_read() {
        let with = |lines: &str| {
            read(&format!(
                "profile = \"development\"\n[acme]\ndirectory = \"https://ca.test/dir\"\n{lines}\n"
            ))
        };
        assert!(with("terms_of_service_agreed = true").is_ok());
        for wrong in [
            "",
            "terms_of_service_agreed = false",
            "terms_of_service_agreed = true\ncontact = \"mailto:a@b.test\"",
            "terms_of_service_agreed = true\nca_file = \"../ca.pem\"",
            "terms_of_service_agreed = true\nallow_networks = [\"169.254.0.0/16\"]",
            "terms_of_service_agreed = true\nhttp_listen = \"80\"",
            "terms_of_service_agreed = true\nagree = true",
        ] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
        let plain = "profile = \"development\"\n[acme]\ndirectory = \"http://ca.test/dir\"\nterms_of_service_agreed = true\n";
        assert!(read(plain).is_err());
    }

    #[test]
    fn production_needs_a_host_of_its_own_for_each_face() {
        read(PRODUCTION).unwrap();
        let refusal = read("profile = \"production\"\n").unwrap_err();
        assert!(refusal.contains("api_origin is missing"), "{refusal}");
        let refusal = read(&PRODUCTION.replace("desk.shop.eu", "pay.shop.eu")).unwrap_err();
        assert!(refusal.contains("shares the host"), "{refusal}");
        let refusal = read(&PRODUCTION.replace("desk.shop.eu", "desk.example.com")).unwrap_err();
        assert!(refusal.contains("only an example"), "{refusal}");
    }

    #[test]
    fn an_origin_is_https_and_nothing_more() {
        for wrong in [
            "http://api.shop.eu",
            "https://api.shop.eu/",
            "api.shop.eu",
            "https://a@api.shop.eu",
            "https://",
        ] {
            let refusal = read(&PRODUCTION.replace("https://api.shop.eu", wrong)).unwrap_err();
            assert!(refusal.contains("origin"), "{wrong}: {refusal}");
        }
    }

    #[test]
    fn proxies_are_named_and_never_everybody() {
        let with = |lines: &str| read(&format!("profile = \"development\"\n[faces]\n{lines}\n"));
        let read = with(
            "trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::/32\"]\nproxy_header = \"forwarded\"",
        );
        assert_eq!(read.unwrap().faces.trusted_proxies.len(), 2);
        for everybody in ["0.0.0.0/0", "::/0"] {
            let refusal = with(&format!("trusted_proxies = [\"{everybody}\"]")).unwrap_err();
            assert!(refusal.contains("is everybody"), "{refusal}");
        }
        assert!(with("proxy_header = \"x-real-ip\"").is_err());
    }

    #[test]
    fn link_local_networks_are_never_allowed_and_loopback_only_in_development() {
        let with = |profile: &str, network: &str| {
            read(&format!(
                "{profile}\n[webhooks]\nallow_networks = [\"{network}\"]\n"
            ))
        };
        assert!(with("profile = \"development\"", "127.0.0.0/8").is_ok());
        for network in [
            "169.254.0.0/16",
            "fe80::/10",
            "0.0.0.0/0",
            "169.254.169.254/32",
            "::/0",
        ] {
            assert!(
                with("profile = \"development\"", network).is_err(),
                "{network}"
            );
        }
        assert!(with(PRODUCTION, "127.0.0.0/8").is_err());
        assert!(with(PRODUCTION, "10.1.0.0/16").is_ok());
    }

    #[test]
    fn a_provider_has_https_and_the_simulator_only_test_mode() {
        let with = |lines: &str| {
            read(&format!(
                "profile = \"development\"\n[providers.acquirer]\nadapter = \"simulator\"\n{lines}\n"
            ))
        };
        assert!(
            with("mode = \"test\"\nurl = \"https://sim.test\"\ncredential_file = \"acquirer\"")
                .is_ok()
        );
        assert!(
            with("mode = \"test\"\nurl = \"http://sim.test\"\ncredential_file = \"acquirer\"")
                .is_err()
        );
        assert!(
            with("mode = \"live\"\nurl = \"https://sim.test\"\ncredential_file = \"acquirer\"")
                .is_err()
        );
        assert!(with("mode = \"test\"\nurl = \"https://sim.test\"\ncredential_file = \"../keys/passphrase\"").is_err());
    }

    #[test]
    fn health_and_metrics_stay_on_this_machine() {
        assert!(read("profile = \"development\"\n[metrics]\napi = \"0.0.0.0:9464\"\n").is_err());
    }
}
