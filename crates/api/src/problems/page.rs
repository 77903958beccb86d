//! The page of a code: what happened, what to do, and why, as HTML without scripts.

use std::sync::OnceLock;

use axum::{body::Body, response::Response};
use data_encoding::BASE64;
use http::{
    HeaderValue,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};

use super::table::{Code, CodeRow};

const CSS: &str = ":root{color-scheme:light dark}body{font:1.05rem/1.6 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1.25rem}\
h1{font-size:1.5rem;line-height:1.3}code{font-family:ui-monospace,monospace}nav a{color:inherit}.next{border-left:.25rem solid;padding-left:1rem}";

/// Where the page of a code is, at the API of this origin.
#[must_use]
pub fn address(api_origin: &str, code: Code) -> String {
    format!("{api_origin}/docs/errors/{}", code.row().name)
}

/// The page of the code with this name.
pub(crate) fn page_of(name: &str) -> Option<Response> {
    let row = Code::ALL
        .iter()
        .map(|code| code.row())
        .find(|row| row.name == name)?;
    let mut response = Response::new(Body::from(html(row)));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, policy());
    Some(response)
}

/// Nothing but the one style sheet, known by its hash.
fn policy() -> HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    let made = POLICY.get_or_init(|| {
        let hash = BASE64.encode(&coffer_crypto::digest(&[CSS.as_bytes()]));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
    });
    made.clone()
}

fn html(row: &CodeRow) -> String {
    let CodeRow {
        name,
        status,
        title,
        advice,
        explanation,
    } = row;
    let (title, advice, explanation) = (escaped(title), escaped(advice), escaped(explanation));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>{name} · Coffer</title><style>{CSS}</style></head>\n<body><main><h1>{title}</h1>\n<p><code>{name}</code> · HTTP status {status}</p>\n\
<p>{explanation}</p>\n<p class=\"next\"><strong>What to do:</strong> {advice}</p></main>\n\
<nav><a href=\"/openapi.json\">The API's description</a></nav></body></html>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_and_nothing_else_has() {
        for &code in Code::ALL {
            let page = page_of(code.row().name).unwrap();
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'; style-src 'sha256-")
                    && !policy.contains("unsafe")
            );
        }
        for name in ["", "KEY_MISSING", "nothing", "../key_missing"] {
            assert!(page_of(name).is_none());
        }
    }

    #[test]
    fn a_page_has_no_script_and_its_texts_are_escaped() {
        assert_eq!(
            escaped("<a href=\"x\" title='&'>"),
            "&lt;a href=&quot;x&quot; title=&#39;&amp;&#39;&gt;"
        );
        for &code in Code::ALL {
            let page = html(code.row());
            assert!(!page.contains("<script") && page.contains(&escaped(code.row().advice)));
        }
    }
}
