//! Addresses that a request names: where the payer goes back to, and where notifications go.

use axum::http::Uri;
use coffer_core::{Malformed, limits::URL_MAX};
use serde::Deserialize;

const EXPECTED: Malformed = Malformed {
    expected: "an absolute http or https address",
};

/// An absolute `http` or `https` address without user information, safe in a header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct WebUrl(String);

impl WebUrl {
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl TryFrom<String> for WebUrl {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        if text.len() > URL_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EXPECTED);
        }
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let authority = uri.authority().ok_or(EXPECTED)?.as_str();
        let scheme_fits = matches!(uri.scheme_str(), Some("http" | "https"));
        if !scheme_fits || authority.contains('@') || uri.host().is_none_or(str::is_empty) {
            return Err(EXPECTED);
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_web_addresses_are_accepted() {
        for text in [
            "",
            "/back",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://shop.example/",
            "https://",
            "https://user:secret@shop.example/",
            "https://shop.example/\r\nSet-Cookie: a=b",
        ] {
            assert!(WebUrl::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        for text in [
            "https://shop.example/back?order=1",
            "http://localhost:3000/",
        ] {
            assert!(WebUrl::try_from(text.to_owned()).is_ok(), "{text}");
        }
    }
}
