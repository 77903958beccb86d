//! Free text and metadata of merchants: bounded, without control characters, never a card number.

use std::{collections::BTreeMap, net::Ipv6Addr};

use coffer_core::{
    Malformed,
    brand::holds_card_number,
    limits::{METADATA_KEY_MAX, METADATA_KEYS_MAX, METADATA_VALUE_MAX, URL_MAX},
};

use crate::Error;

const EXPECTED_TEXT: Malformed = Malformed {
    expected: "text within its length, without control characters and without a card number",
};
const EXPECTED_METADATA: Malformed = Malformed {
    expected: "at most 32 pairs: keys of 1 to 40 and values of up to 500 characters, without card numbers",
};

/// Text of at most `MAX` characters and at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Takes a text that a merchant gave.
    ///
    /// # Errors
    /// When it is empty, too long, has control characters or holds a card number.
    pub fn parse(text: String) -> Result<Self, Malformed> {
        let fits = (1..=MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits && !holds_card_number(&text) {
            Ok(Self(text))
        } else {
            Err(EXPECTED_TEXT)
        }
    }

    /// Read back from the store, where only parsed text is written.
    pub(crate) const fn from_store(text: String) -> Self {
        Self(text)
    }
}

impl<const MAX: usize> std::ops::Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A merchant's own pairs on an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Takes pairs that a merchant gave.
    ///
    /// # Errors
    /// When there are too many, one is too long, or one holds a card number.
    pub fn from_pairs(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Malformed> {
        let pairs: BTreeMap<_, _> = pairs.into_iter().collect();
        let fits = |(key, value): (&String, &String)| {
            (1..=METADATA_KEY_MAX).contains(&key.chars().count())
                && value.chars().count() <= METADATA_VALUE_MAX
                && !holds_card_number(key)
                && !holds_card_number(value)
        };
        if pairs.len() <= METADATA_KEYS_MAX && pairs.iter().all(fits) {
            Ok(Self(pairs))
        } else {
            Err(EXPECTED_METADATA)
        }
    }

    /// The pairs, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn to_store(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    pub(crate) fn from_store(text: &str) -> Result<Self, Malformed> {
        serde_json::from_str(text)
            .map(Self)
            .map_err(|_| EXPECTED_METADATA)
    }
}

/// The longest host, and a port.
const AUTHORITY_MAX: usize = 253 + 6;

/// Whether a browser or a webhook could go there. Whether it may is decided when it does.
pub(crate) fn check_url(field: &'static str, url: &str) -> Result<(), Error> {
    let expected = "an https:// or http:// address of at most 2048 characters, without a user, password or fragment";
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let authority = rest
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default())
        .unwrap_or_default();
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic())
        && !url.contains('#')
        && !url.contains('\\');
    let fits = (1..=AUTHORITY_MAX).contains(&authority.len())
        && !authority.contains('@')
        && is_bracketed_well(authority)
        && plain
        && url.len() <= URL_MAX;
    if fits {
        Ok(())
    } else {
        Err(Error::Invalid { field, expected })
    }
}

/// Brackets are for addresses of IPv6 (RFC 3986, 3.2.2).
fn is_bracketed_well(authority: &str) -> bool {
    let Some(rest) = authority.strip_prefix('[') else {
        return !authority.contains(['[', ']']);
    };
    rest.split_once(']').is_some_and(|(address, port)| {
        address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_a_card_number_or_control_characters_is_refused() {
        for bad in [
            "",
            "too long for it",
            "4242 4242 4242 4242",
            "two\nlines",
            "nul\0",
        ] {
            assert!(Text::<10>::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Text::<128>::parse("4242424242424242".to_owned()).is_err());
        let good = Text::<10>::parse("order-1042".to_owned()).unwrap();
        assert_eq!(&*good, "order-1042");
    }

    #[test]
    fn metadata_is_bounded_and_holds_no_card_number() {
        let pair =
            |key: &str, value: &str| Metadata::from_pairs([(key.to_owned(), value.to_owned())]);
        assert!(pair("note", "4242-4242-4242-4242").is_err());
        assert!(
            pair("", "x").is_err()
                && pair(&"k".repeat(41), "x").is_err()
                && pair("k", &"v".repeat(501)).is_err()
        );
        assert!(Metadata::from_pairs((0..33).map(|n| (n.to_string(), String::new()))).is_err());
        let kept = pair("note", "blue").unwrap();
        assert_eq!(Metadata::from_store(&kept.to_store()), Ok(kept));
    }

    #[test]
    fn only_web_addresses_without_credentials_are_taken() {
        for bad in [
            "",
            "ftp://a",
            "javascript:alert(1)",
            "https://",
            "https://u:p@host/",
            "https://a b",
            "https://a/#x",
            "https://[",
            "https://a]/",
            "https://[a]/",
            "https://[::1]x/",
        ] {
            assert!(check_url("url", bad).is_err(), "{bad}");
        }
        for good in ["https://shop.example/hook?x=1", "https://[::1]:8443/x[0]"] {
            assert!(check_url("url", good).is_ok(), "{good}");
        }
    }
}
