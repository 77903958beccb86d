//! Looks at a page as a browser would, and compares what comes with what was made: every byte of it, its headers, and every
//! file that it loads. So whatever stands between us and payers, a proxy, a cache or another node of ours, is noticed when
//! it changes a page (PCI DSS 11.6.1).

use std::time::Duration;

use coffer_core::words;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    PageName,
    asset::{Listed, integrity},
    gzip,
};
use crate::outbound::{Outbound, OutboundLimits, OutboundRequest, OutboundResponse};

const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(10),
    body_max: 512 * 1024,
};
/// The longest text of a page or file.
const PLAIN_MAX: u64 = 512 * 1024;
/// Stands for the page's nonce, which is another one each time.
pub const NONCE: &str = "{nonce}";
/// What a browser sends when somebody follows a link. Who changes pages for some must not know us from the others.
const AS_A_BROWSER: &[(&str, &str)] = &[
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-encoding", "gzip"),
    ("accept-language", "en-US,en;q=0.9"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-user", "?1"),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    ),
];
/// Headers that make a browser do something, and which no page of ours has.
const NEVER: [HeaderName; 4] = [
    header::SET_COOKIE,
    header::LINK,
    header::REFRESH,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
];

words! {
    /// In what a page is not as it was made.
    pub enum DifferenceKind {
        /// It cannot be had.
        Unreachable = "unreachable",
        /// It has another status than 200.
        Status = "status",
        /// A header is missing, changed, or there twice.
        Header = "header",
        /// A header that the page does not have.
        HeaderAdded = "header_added",
        /// The page itself.
        Body = "body",
        /// A file that it loads.
        Asset = "asset",
    }
}

/// One way in which a page is not as it was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// Which page.
    pub page: PageName,
    /// In what.
    pub kind: DifferenceKind,
    /// Where exactly: our own word for it, never what came.
    pub place: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}", self.page, self.kind, self.place)
    }
}

/// A header that a page must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its whole value, with `{nonce}` where the nonce stands.
    pub value: String,
}

impl Header {
    /// One header.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }
}

/// A page as it was made.
pub struct Page {
    /// Which one.
    pub name: PageName,
    /// Scheme, host and port.
    pub origin: String,
    /// Path and query, at which this very page is.
    pub path: String,
    /// All of it, with `{nonce}` where the nonce stands.
    pub body: String,
    /// What else is another one each time: the text before it. It ends at the next quotation mark.
    pub varies_after: Option<String>,
    /// Its headers.
    pub headers: Vec<Header>,
    /// What it loads from its own origin.
    pub assets: Vec<Listed>,
}

/// Everything in which the page that is served differs from the one that was made.
pub async fn differences(outbound: &Outbound, page: &Page) -> Vec<Difference> {
    let mut found = match fetch(outbound, page, &page.path).await {
        Some(served) => page.compare(&served),
        None => vec![page.differs(DifferenceKind::Unreachable, "")],
    };
    for asset in &page.assets {
        let served = fetch(outbound, page, &asset.path).await;
        let is_same = |served: &OutboundResponse| {
            served.status == StatusCode::OK && integrity(&served.body) == asset.integrity
        };
        if !served.as_ref().is_some_and(is_same) {
            found.push(page.differs(DifferenceKind::Asset, &asset.path));
        }
    }
    found
}

async fn fetch(outbound: &Outbound, page: &Page, path: &str) -> Option<OutboundResponse> {
    let headers = AS_A_BROWSER.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    let request = OutboundRequest {
        method: Method::GET,
        url: format!("{}{path}", page.origin),
        headers: headers.collect(),
        body: Zeroizing::default(),
        plain_http: false,
    };
    match outbound.send(request, LIMITS).await {
        Ok(served) => unpacked(served),
        Err(error) => {
            tracing::debug!(page = %page.name, %error, "a page could not be looked at");
            None
        }
    }
}

fn unpacked(mut served: OutboundResponse) -> Option<OutboundResponse> {
    if served.headers.contains_key(header::CONTENT_ENCODING) {
        served.body = gzip::decompress(&served.body, PLAIN_MAX)?;
    }
    Some(served)
}

impl Page {
    fn differs(&self, kind: DifferenceKind, place: &str) -> Difference {
        Difference {
            page: self.name,
            kind,
            place: place.to_owned(),
        }
    }

    fn compare(&self, served: &OutboundResponse) -> Vec<Difference> {
        if served.status != StatusCode::OK {
            return vec![self.differs(DifferenceKind::Status, served.status.as_str())];
        }
        let nonce = nonce_of(&served.headers).unwrap_or(NONCE).to_owned();
        let mut found = self.compare_headers(&served.headers, &nonce);
        let body = String::from_utf8_lossy(&served.body).replace(&nonce, NONCE);
        let body = self.without_what_varies(body);
        if body != self.body {
            let line = first_difference(&body, &self.body);
            found.push(self.differs(DifferenceKind::Body, &format!("line {line}")));
        }
        found
    }

    fn compare_headers(&self, served: &HeaderMap, nonce: &str) -> Vec<Difference> {
        let is_as_made = |header: &&Header| {
            let mut values = served.get_all(&header.name).iter();
            let value = values.next().and_then(|value| value.to_str().ok());
            value.is_some_and(|value| value.replace(nonce, NONCE) == header.value)
                && values.next().is_none()
        };
        let changed = self.headers.iter().filter(|header| !is_as_made(header));
        let changed = changed.map(|header| self.differs(DifferenceKind::Header, &header.name));
        let added = NEVER.iter().filter(|name| served.contains_key(*name));
        let added = added.map(|name| self.differs(DifferenceKind::HeaderAdded, name.as_str()));
        changed.chain(added).collect()
    }

    fn without_what_varies(&self, body: String) -> String {
        let Some(before) = &self.varies_after else {
            return body;
        };
        match body.split_once(before) {
            Some((head, rest)) => {
                let end = rest.find('"').unwrap_or(rest.len());
                let tail = rest.get(end..).unwrap_or_default();
                format!("{head}{before}{tail}")
            }
            None => body,
        }
    }
}

/// The nonce that the page's own policy names.
fn nonce_of(headers: &HeaderMap) -> Option<&str> {
    let policy = headers
        .get(header::CONTENT_SECURITY_POLICY)?
        .to_str()
        .ok()?;
    let (_, rest) = policy.split_once("'nonce-")?;
    let (nonce, _) = rest.split_once('\'')?;
    Some(nonce).filter(|nonce| !nonce.is_empty())
}

/// The number of the first line that is another one.
fn first_difference(one: &str, other: &str) -> usize {
    let (mut one, mut other) = (one.lines(), other.lines());
    let same = std::iter::from_fn(|| match (one.next(), other.next()) {
        (Some(one), Some(other)) if one == other => Some(()),
        _ => None,
    });
    same.count().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "script-src 'nonce-abc'; frame-src https://fields.example";

    fn page() -> Page {
        Page {
            name: PageName::Checkout,
            origin: "https://pay.example".to_owned(),
            path: "/c/x/y".to_owned(),
            body: "<p>\n<script nonce=\"{nonce}\"></script>\n<iframe src=\"/f?t=\"></iframe>\n"
                .to_owned(),
            varies_after: Some("/f?t=".to_owned()),
            headers: vec![
                Header::new("content-security-policy", &POLICY.replace("abc", NONCE)),
                Header::new("x-frame-options", "DENY"),
            ],
            assets: Vec::new(),
        }
    }

    fn served(body: &str, headers: &[(&'static str, &'static str)]) -> OutboundResponse {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        OutboundResponse {
            status: StatusCode::OK,
            headers: all,
            body: body.as_bytes().to_vec(),
        }
    }

    const BODY: &str =
        "<p>\n<script nonce=\"abc\"></script>\n<iframe src=\"/f?t=TICKET\"></iframe>\n";
    const HEADERS: [(&str, &str); 2] = [
        ("content-security-policy", POLICY),
        ("x-frame-options", "DENY"),
    ];

    fn found(body: &str, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let differences = page().compare(&served(body, headers));
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_page_as_it_was_made_has_no_differences() {
        assert!(found(BODY, &HEADERS).is_empty());
    }

    #[test]
    fn every_change_of_the_page_is_noticed() {
        let skimmer = BODY.replace(
            "<iframe",
            "<script src=\"https://evil.example/s.js\"></script><iframe",
        );
        let with_nonce = skimmer.replace("<script src", "<script nonce=\"abc\" src");
        let elsewhere = BODY.replace("/f?t=", "https://evil.example/f?t=");
        let after = format!("{BODY}<!-- -->");
        let handler = BODY.replace("<p>", "<p onclick=\"x()\">");
        for (changed, line) in [
            (&skimmer, 3),
            (&with_nonce, 3),
            (&elsewhere, 3),
            (&after, 4),
            (&handler, 1),
        ] {
            assert_eq!(
                found(changed, &HEADERS),
                [format!("checkout: body line {line}")],
                "{changed}"
            );
        }
    }

    #[test]
    fn every_change_of_its_headers_is_noticed() {
        let [policy, frame] = HEADERS;
        let other = (
            "content-security-policy",
            "script-src 'nonce-abc' https:; frame-src https://fields.example",
        );
        for (headers, expected) in [
            (vec![policy], "header x-frame-options"),
            (vec![policy, frame, frame], "header x-frame-options"),
            (
                vec![policy, ("x-frame-options", "SAMEORIGIN")],
                "header x-frame-options",
            ),
            (vec![other, frame], "header content-security-policy"),
            (
                vec![policy, frame, ("set-cookie", "a=b")],
                "header_added set-cookie",
            ),
            (
                vec![policy, frame, ("link", "</x.js>; rel=preload")],
                "header_added link",
            ),
        ] {
            assert_eq!(found(BODY, &headers), [format!("checkout: {expected}")]);
        }
        // Without a policy the page's own nonce means nothing.
        assert_eq!(
            found(BODY, &[frame]),
            [
                "checkout: header content-security-policy",
                "checkout: body line 2"
            ]
        );
    }

    #[test]
    fn another_status_is_noticed() {
        let mut page_served = served(BODY, &HEADERS);
        page_served.status = StatusCode::FOUND;
        let differences = page().compare(&page_served);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].to_string(), "checkout: status 302");
    }
}
