//! Settings from the environment: `COFFER_` section `_` key, over what the file says.

use toml::{Table, Value};

use super::{Configuration, document};

/// Sections whose keys the environment may set. Providers are missing: their names would be ambiguous.
const SECTIONS: &[&str] = &[
    "faces",
    "acme",
    "links",
    "api",
    "vault",
    "keys",
    "postgres",
    "redis",
    "simulator",
    "webhooks",
    "backup",
    "audit",
    "limits",
    "detection",
    "log",
    "metrics",
];

/// Variables of ours that are no settings: where the data directory is, and what `coffer env` exports.
const NO_SETTINGS: &[&str] = &["COFFER_DIR", "COFFER_URL", "COFFER_API_KEY", "COFFER_CA"];
/// Variables of the project's own tests.
const OF_TESTS: &str = "COFFER_TEST_";

/// Every variable that sets something, or is named as if it did.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub(super) fn from_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_setting(name))
        .collect()
}

fn is_setting(name: &str) -> bool {
    name.starts_with("COFFER_") && !name.starts_with(OF_TESTS) && !NO_SETTINGS.contains(&name)
}

/// The settings of the file's text with the overrides in place.
pub(super) fn apply(
    text: &str,
    mut overrides: Vec<(String, String)>,
) -> Result<Configuration, String> {
    // In the order of their names, so that a section's `address` is there before what belongs to it.
    overrides.sort();
    let mut table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    for (name, value) in overrides {
        set(&mut table, &name, &value).ok_or_else(|| unknown(&name))?;
        // One at a time, so that a refusal can name its variable.
        let merged = Value::Table(table.clone()).try_into::<Configuration>();
        merged.map_err(|error| format!("{name}: {}", document::explain(error.message())))?;
    }
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

fn set(table: &mut Table, name: &str, value: &str) -> Option<()> {
    let (section, key) = target(name)?;
    let Some(section) = section else {
        table.insert(key, value_of(value));
        return Some(());
    };
    let inner = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = inner {
        inner.insert(key, value_of(value));
    }
    Some(())
}

/// A variable that is misspelt must not be silently ignored, any more than a key of the file.
fn unknown(name: &str) -> String {
    let sections: Vec<String> = SECTIONS
        .iter()
        .map(|section| format!("COFFER_{}_…", section.to_uppercase()))
        .collect();
    format!(
        "{name} sets nothing: a setting is COFFER_PROFILE or one of {}",
        sections.join(", ")
    )
}

/// The section and key that a variable sets.
fn target(name: &str) -> Option<(Option<&'static str>, String)> {
    let rest = name.strip_prefix("COFFER_")?.to_ascii_lowercase();
    if rest == "profile" {
        return Some((None, rest));
    }
    let (section, key) = rest.split_once('_')?;
    let section = SECTIONS.iter().find(|known| **known == section)?;
    Some((Some(section), key.to_owned()))
}

/// Lists, numbers and truth values as TOML writes them; everything else is text.
fn value_of(text: &str) -> Value {
    let parsed = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    match parsed {
        Some(value @ (Value::Array(_) | Value::Integer(_) | Value::Boolean(_))) => value,
        Some(Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_)) | None => {
            Value::String(text.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_are_taken_from_the_environment() {
        assert_eq!(
            target("COFFER_FACES_API_ORIGIN"),
            Some((Some("faces"), "api_origin".to_owned()))
        );
        assert_eq!(target("COFFER_PROFILE"), Some((None, "profile".to_owned())));
        for other in [
            "COFFER_DIR",
            "COFFER_URL",
            "COFFER_CA",
            "PATH",
            "COFFER_TEST_STORE",
            "COFFER_PROVIDERS_X_URL",
        ] {
            assert_eq!(target(other), None, "{other}");
        }
    }

    #[test]
    fn a_variable_that_sets_nothing_is_refused_unless_it_has_another_use() {
        for other in [
            "COFFER_DIR",
            "COFFER_API_KEY",
            "COFFER_TEST_STORE",
            "PATH",
            "MY_COFFER_FACE",
        ] {
            assert!(!is_setting(other), "{other}");
        }
        for misspelt in ["COFFER_FACE_API", "COFFER_PROVIDERS_X_URL", "COFFER_"] {
            assert!(is_setting(misspelt));
            let given = vec![(misspelt.to_owned(), "1".to_owned())];
            let refusal = apply("profile = \"development\"\n", given).unwrap_err();
            assert!(
                refusal.starts_with(misspelt) && refusal.contains("COFFER_FACES_…"),
                "{refusal}"
            );
        }
    }
}
