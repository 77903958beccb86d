//! The first `coffer.toml`: every section, every key, with its default.

use std::path::Path;

use crate::configuration::{Postgres, Profile};

const TEMPLATE: &str = include_str!("coffer.toml");

const FACES_DEVELOPMENT: &str = r#"# api = "127.0.0.1:8443"
# checkout = "127.0.0.1:8444"
# fields = "127.0.0.1:8446"
# listen = "127.0.0.1:9443"
# trusted_proxies = []
# proxy_header = "x-forwarded-for"
# api_origin = "https://localhost:8443"
# checkout_origin = "https://pay.coffer.localhost:8444"
# dashboard_origin = "https://dashboard.coffer.localhost:8445"
# fields_origin = "https://fields.coffer.localhost:8446""#;

const FACES_PRODUCTION: &str = r#"# api = "127.0.0.1:8443"
# checkout = "127.0.0.1:8444"
# fields = "127.0.0.1:8446"
# listen = "0.0.0.0:443"
# trusted_proxies = []
# proxy_header = "x-forwarded-for"
# Needed in production, each with a host of its own:
# api_origin = "https://api.example.com"
# checkout_origin = "https://pay.example.com"
# dashboard_origin = "https://dashboard.example.com"
# fields_origin = "https://fields.example.com""#;

const POSTGRES_NONE: &str = r#"# [postgres]
# address = "127.0.0.1:5432"
# names = "coffer"
# ca_file = "postgres-ca.pem""#;

const POSTGRES_CA_FILE: &str = r#"# ca_file = "postgres-ca.pem""#;

/// The text for a new installation.
pub(super) fn configuration(
    profile: Profile,
    passphrase_file: &Path,
    postgres: Option<&Postgres>,
) -> String {
    let faces = match profile {
        Profile::Development => FACES_DEVELOPMENT,
        Profile::Production => FACES_PRODUCTION,
    };
    let passphrase = toml::Value::String(passphrase_file.display().to_string());
    TEMPLATE
        .replace("@PROFILE@", profile.as_str())
        .replace("@FACES@", faces)
        .replace("@PASSPHRASE@", &format!("passphrase_file = {passphrase}"))
        .replace(
            "@POSTGRES@",
            &postgres.map_or_else(|| POSTGRES_NONE.to_owned(), postgres_section),
        )
}

/// What it holds is checked when it is parsed: nothing in it needs quoting.
fn postgres_section(postgres: &Postgres) -> String {
    let Postgres {
        address,
        names,
        ca_file,
    } = postgres;
    let ca_file = match ca_file {
        Some(name) => format!("ca_file = \"{name}\""),
        None => POSTGRES_CA_FILE.to_owned(),
    };
    format!("[postgres]\naddress = \"{address}\"\nnames = \"{names}\"\n{ca_file}")
}

#[cfg(test)]
mod tests {
    use crate::configuration::{Configuration, PublicFile};

    use super::*;

    /// Every commented setting, uncommented.
    fn all_set(text: &str) -> String {
        let uncomment = |line: &str| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[')
                    || rest
                        .split_once(" = ")
                        .is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                rest.to_owned()
            }
            Some(_) | None => line.to_owned(),
        };
        text.lines().map(uncomment).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_template_is_valid_and_every_key_in_it_exists() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("coffer.toml");
        for profile in [Profile::Development, Profile::Production] {
            let text = configuration(profile, Path::new("/etc/coffer/passphrase"), None);
            let full = all_set(&text).replace("example.com", "shop.eu");
            std::fs::write(&path, &full).unwrap();
            let loaded = Configuration::load(&path).unwrap();
            assert_eq!(loaded.profile, profile);
            assert_eq!(
                loaded.keys.passphrase_file.as_deref(),
                Some(Path::new("/etc/coffer/passphrase"))
            );
            assert!(loaded.postgres.is_some_and(|found| found.ca_file.is_some()));
        }
        let development = configuration(Profile::Development, Path::new("/p"), None);
        std::fs::write(&path, development).unwrap();
        assert_eq!(Configuration::load(&path).unwrap().postgres, None);
    }

    /// The names that are known where nobody knows `nothing`.
    fn names(text: &str) -> Vec<String> {
        let error = toml::from_str::<Configuration>(text)
            .unwrap_err()
            .to_string();
        let (_, known) = error.split_once("expected ").expect(&error);
        let quoted = known.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    #[test]
    fn every_setting_stands_in_the_template() {
        const BEGIN: &str = "profile = \"production\"\n";
        let text = all_set(&configuration(Profile::Production, Path::new("/p"), None));
        let sections = names(&format!("{BEGIN}nothing = 1"));
        assert!(sections.len() > 12, "{sections:?}");
        // A provider has the name that an operator gives it.
        let own = |section: &&String| !["profile", "providers"].contains(&section.as_str());
        for section in sections.iter().filter(own) {
            let part = text.split_once(&format!("\n[{section}]\n"));
            let (_, part) = part.unwrap_or_else(|| panic!("[{section}] is missing"));
            let part = part.split("\n[").next().unwrap();
            for key in names(&format!("{BEGIN}[{section}]\nnothing = 1")) {
                let stands = part
                    .lines()
                    .any(|line| line.starts_with(&format!("{key} = ")));
                assert!(stands, "[{section}] {key} is missing");
            }
        }
    }

    #[test]
    fn the_server_that_was_asked_for_is_what_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("coffer.toml");
        for (server, ca_file) in [
            ("127.0.0.1:5432", None),
            ("[::1]:5432", None),
            ("db.shop.eu:6432", Some(PublicFile::of_postgres())),
        ] {
            let asked = Postgres::at(server.parse().unwrap(), "shop".parse().unwrap());
            let text = configuration(Profile::Development, Path::new("/p"), Some(&asked));
            std::fs::write(&path, text).unwrap();
            let found = Configuration::load(&path).unwrap().postgres;
            assert_eq!(found.as_ref(), Some(&asked));
            assert_eq!(asked.ca_file, ca_file);
        }
    }
}
