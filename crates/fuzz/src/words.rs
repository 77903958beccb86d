//! Texts that are values: what is read and written is read as the same.

use std::{fmt::Display, str::FromStr};

use coffer_core::{
    Currency, Last4, Timestamp,
    access_token::Claims,
    api_key::KeyText,
    event::EventType,
    id::{ApiKeyId, PaymentId, TokenId},
    permission::Permissions,
    scope::Scope,
};

/// Ids, money, times, rights and keys.
pub(crate) fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    one_spelling::<PaymentId>(text);
    one_spelling::<TokenId>(text);
    one_spelling::<ApiKeyId>(text);
    one_spelling::<Currency>(text);
    one_spelling::<Last4>(text);
    one_spelling::<EventType>(text);
    same_again::<Timestamp>(text);
    same_again::<Permissions>(text);
    same_again::<Scope>(text);
    if let Ok((claims, code)) = Claims::parse(text) {
        assert_eq!(claims.compose(&code), text, "a second spelling");
    }
    if let Ok(key) = KeyText::parse(text) {
        assert!(text.starts_with(key.kind.as_str()) && text.contains(key.secret));
    }
}

fn one_spelling<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text, "a second spelling");
    }
}

fn same_again<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let written = value.to_string();
        let again = written.parse::<T>().map(|value| value.to_string());
        assert_eq!(again.ok(), Some(written), "written and not read");
    }
}

/// A URL that a request goes to has the host that its reader sees: no user, no second host.
pub(crate) fn url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some((host, path, header)) = coffer_net::fuzzing::outbound_url(text) {
        assert!(!host.is_empty() && header.to_ascii_lowercase().starts_with(&host));
        assert!(
            path.starts_with('/') || path.starts_with('?') || path == "*",
            "{path}"
        );
        assert!(!header.contains(['@', '/', ' ']));
    }
    if coffer_engine::fuzzing::origin(text, true) {
        assert!(!text[8..].contains(['/', '@', '?', '#', ' ']));
        assert!(coffer_engine::fuzzing::web_address(text));
    }
}
