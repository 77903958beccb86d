//! The first `coffer.toml`: every section, every key, with its default.

use std::path::Path;

use crate::configuration::Profile;

const TEMPLATE: &str = include_str!("coffer.toml");

const FACES_DEVELOPMENT: &str = r#"# api = "127.0.0.1:8443"
# fields = "127.0.0.1:8446"
# api_origin = "https://localhost:8443"
# checkout_origin = "https://pay.coffer.localhost:8444"
# dashboard_origin = "https://dashboard.coffer.localhost:8445"
# fields_origin = "https://fields.coffer.localhost:8446""#;

const FACES_PRODUCTION: &str = r#"# api = "127.0.0.1:8443"
# fields = "127.0.0.1:8446"
# Needed in production, each with a host of its own:
# api_origin = "https://api.example.com"
# checkout_origin = "https://pay.example.com"
# dashboard_origin = "https://dashboard.example.com"
# fields_origin = "https://fields.example.com""#;

/// The text for a new installation.
pub(super) fn configuration(profile: Profile, passphrase_file: &Path) -> String {
    let faces = match profile {
        Profile::Development => FACES_DEVELOPMENT,
        Profile::Production => FACES_PRODUCTION,
    };
    let passphrase = toml::Value::String(passphrase_file.display().to_string());
    TEMPLATE
        .replace("@PROFILE@", profile.as_str())
        .replace("@FACES@", faces)
        .replace("@PASSPHRASE@", &format!("passphrase_file = {passphrase}"))
}

#[cfg(test)]
mod tests {
    use crate::configuration::Configuration;

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
            let text = configuration(profile, Path::new("/etc/coffer/passphrase"));
            let full = all_set(&text).replace("example.com", "shop.eu");
            std::fs::write(&path, &full).unwrap();
            let loaded = Configuration::load(&path).unwrap();
            assert_eq!(loaded.profile, profile);
            assert_eq!(
                loaded.keys.passphrase_file.as_deref(),
                Some(Path::new("/etc/coffer/passphrase"))
            );
        }
        let development = configuration(Profile::Development, Path::new("/p"));
        std::fs::write(&path, development).unwrap();
        Configuration::load(&path).unwrap();
    }
}
