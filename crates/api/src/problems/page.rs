//! The page of a code: what happened, why, what to do, and an example; as HTML without scripts, and as the same in Markdown.

use std::{fmt::Write as _, sync::OnceLock};

use axum::{body::Body, response::Response};
use data_encoding::BASE64;
use http::{
    HeaderValue,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};

use super::{
    example::example,
    table::{Code, CodeRow},
};

const CSS: &str = ":root{color-scheme:light dark}body{font:1.05rem/1.6 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1.25rem}\
h1{font-size:1.5rem;line-height:1.3}h2{font-size:1.1rem}code{font-family:ui-monospace,monospace}nav a{color:inherit}.next{border-left:.25rem solid;padding-left:1rem}\
pre{overflow-x:auto;font-size:.9rem;line-height:1.45;padding:.75rem 1rem;background:light-dark(#f3f3f1,#26262a);border-radius:.35rem}\
td,th{text-align:start;padding:.15rem 1rem .15rem 0;vertical-align:top}";

const LIST: &str = "# Errors

Written from the table of codes; a test compares it. Every error is a problem document (RFC 9457): branch on its `code`, read its
`detail`, and tell its `request_id` when you ask for help. Its `type` is the address of the code's page, which the API serves. The
endpoints of OAuth answer in the form of RFC 6749, with that address as `error_uri`.

| code | status | what happened |
|---|---|---|
";

/// Where the page of a code is, at the API of this origin.
#[must_use]
pub fn address(api_origin: &str, code: Code) -> String {
    format!("{api_origin}/docs/errors/{}", code.row().name)
}

/// The page of the code with this name, at the API of this origin.
pub(crate) fn page_of(name: &str, api_origin: &str) -> Option<Response> {
    let code = Code::ALL.iter().find(|code| code.row().name == name)?;
    Some(served(html(*code, api_origin)))
}

/// The page that leads to all of them.
pub(crate) fn list_page() -> Response {
    served(list_html())
}

fn served(html: String) -> Response {
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, policy());
    response
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

fn html(code: Code, api_origin: &str) -> String {
    let CodeRow {
        name,
        status,
        title,
        advice,
        explanation,
    } = code.row();
    let (title, advice, explanation) = (escaped(title), escaped(advice), escaped(explanation));
    let example = escaped(&example(code, api_origin));
    document(
        name,
        &format!(
            "<h1>{title}</h1>\n<p><code>{name}</code> · HTTP status {status}</p>\n<p>{explanation}</p>\n\
<p class=\"next\"><strong>What to do:</strong> {advice}</p>\n<h2>Example</h2>\n<pre><code>{example}</code></pre>"
        ),
    )
}

fn list_html() -> String {
    let mut rows = String::new();
    for CodeRow {
        name,
        status,
        title,
        ..
    } in Code::ALL.iter().map(|code| code.row())
    {
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"/docs/errors/{name}\"><code>{name}</code></a></td><td>{status}</td><td>{}</td></tr>",
            escaped(title)
        );
    }
    document(
        "Errors",
        &format!(
            "<h1>Errors</h1>\n<table><tr><th>code</th><th>status</th><th>what happened</th></tr>\n{rows}</table>"
        ),
    )
}

fn document(title: &str, main: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>{title} · Coffer</title><style>{CSS}</style></head>\n<body><main>{main}</main>\n\
<nav><a href=\"/docs/errors\">All codes</a> · <a href=\"/openapi.json\">The API's description</a></nav></body></html>\n"
    )
}

/// The pages as files of the documentation, each with its name.
#[must_use]
pub fn error_pages(api_origin: &str) -> Vec<(String, String)> {
    let pages = Code::ALL.iter().map(|&code| {
        let CodeRow {
            name,
            status,
            title,
            advice,
            explanation,
        } = code.row();
        let example = example(code, api_origin);
        let text = format!(
            "# {title}\n\n`{name}` · HTTP status {status}\n\n{explanation}\n\n**What to do:** {advice}\n\n```http\n{example}\n```\n"
        );
        (format!("{name}.md"), text)
    });
    pages.chain([("README.md".to_owned(), list())]).collect()
}

fn list() -> String {
    let mut text = LIST.to_owned();
    for row in Code::ALL.iter().map(|code| code.row()) {
        let CodeRow {
            name,
            status,
            title,
            ..
        } = row;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| [`{name}`]({name}.md) | {status} | {title} |");
    }
    text
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
            let page = page_of(code.row().name, "https://localhost:8443").unwrap();
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'; style-src 'sha256-")
                    && !policy.contains("unsafe")
            );
        }
        for name in ["", "KEY_MISSING", "nothing", "../key_missing"] {
            assert!(page_of(name, "").is_none());
        }
    }

    #[test]
    fn a_page_has_no_script_and_its_texts_are_escaped() {
        assert_eq!(
            escaped("<a href=\"x\" title='&'>"),
            "&lt;a href=&quot;x&quot; title=&#39;&amp;&#39;&gt;"
        );
        for &code in Code::ALL {
            let page = html(code, "https://localhost:8443");
            assert!(!page.contains("<script") && page.contains(&escaped(code.row().advice)));
            assert!(list_html().contains(&format!("\"/docs/errors/{}\"", code.row().name)));
        }
    }
}
