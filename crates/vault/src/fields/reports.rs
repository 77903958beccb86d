//! What browsers report about the fields page: something that the page's policy forbade was tried there (PCI DSS 11.6.1).
//!
//! Anyone can post here, and a report repeats the page's whole address and parts of scripts. So a report is counted, one in
//! a minute is logged, and of its texts only the directive, the blocked origin and the script's address go anywhere.

use std::sync::{Mutex, PoisonError};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
};
use coffer_core::{Timestamp, brand::holds_card_number, words};
use coffer_net::metrics::SharedRegistry;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use serde::Deserialize;

use super::{
    body,
    problem::{Code, Problem},
};
use crate::{Vault, intake::is_origin};

/// The largest body.
const REPORT_MAX: usize = 16 * 1024;
/// Bodies that are read in a minute; a page that is really attacked makes itself known by far fewer.
const REPORTS_PER_MINUTE_MAX: u32 = 300;
const MINUTE_MS: i64 = 60_000;
/// The longest path of a script that is repeated.
const PATH_MAX: usize = 128;
/// The longest keyword, such as `trusted-types-sink`, or scheme of an address.
const KEYWORD_MAX: usize = 32;
/// In place of what is not repeated.
const OTHER: &str = "other";

words! {
    /// The directive that was violated: of the page's policy, or another one.
    pub enum Directive {
        /// Everything that no other directive names.
        Default = "default-src",
        /// Scripts.
        Script = "script-src",
        /// Scripts in elements.
        ScriptElement = "script-src-elem",
        /// Scripts in attributes.
        ScriptAttribute = "script-src-attr",
        /// Style sheets.
        Style = "style-src",
        /// Style sheets in elements.
        StyleElement = "style-src-elem",
        /// Styles in attributes.
        StyleAttribute = "style-src-attr",
        /// Requests of scripts.
        Connect = "connect-src",
        /// Images.
        Image = "img-src",
        /// Fonts.
        Font = "font-src",
        /// Frames in the page.
        Frame = "frame-src",
        /// Where forms are sent.
        FormAction = "form-action",
        /// The base of addresses.
        BaseUri = "base-uri",
        /// Who may hold the page.
        FrameAncestors = "frame-ancestors",
        /// Texts that scripts make into markup.
        TrustedTypesSink = "require-trusted-types-for",
        /// Policies that scripts make for it.
        TrustedTypes = "trusted-types",
        /// None of these.
        Other = "other",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    directive: &'static str,
}

/// The reports of this process.
#[derive(Default)]
pub(crate) struct Reports {
    counted: Family<Labels, Counter>,
    minute: Mutex<Minute>,
}

/// A minute that begins with a report.
#[derive(Default)]
struct Minute {
    begun: Option<Timestamp>,
    received: u32,
    logged: bool,
}

impl Reports {
    pub(crate) fn register(&self, registry: &SharedRegistry) {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Violations of the fields page's policy that browsers reported";
        registry.register("fields_reports", help, self.counted.clone());
    }

    /// Whether another body is read in this minute.
    fn admit(&self, now: Timestamp) -> Result<(), Problem> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute
            .begun
            .is_none_or(|begun| now.since(begun) >= MINUTE_MS)
        {
            *minute = Minute {
                begun: Some(now),
                ..Minute::default()
            };
        }
        if minute.received >= REPORTS_PER_MINUTE_MAX {
            return Err(Problem::new(Code::TooManyReports));
        }
        minute.received = minute.received.saturating_add(1);
        Ok(())
    }

    fn take(&self, violation: &Violation) {
        let Violation {
            directive,
            blocked,
            source,
        } = violation;
        let directive = directive.as_str();
        self.counted.get_or_create(&Labels { directive }).inc();
        if self.is_first() {
            tracing::warn!(report.directive = directive, report.blocked = %blocked, report.source = %source,
                "a browser reports that something tried what the fields page forbids");
        }
    }

    /// Whether this is the minute's first violation.
    fn is_first(&self) -> bool {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut minute.logged, true)
    }
}

/// What is kept of a report.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    directive: Directive,
    blocked: String,
    source: String,
}

impl Violation {
    fn new(directive: &str, blocked: &str, source: &str) -> Self {
        // Older browsers repeat the directive's values behind its name.
        let name = directive.split(' ').next().unwrap_or_default();
        Self {
            directive: name.parse().unwrap_or(Directive::Other),
            blocked: harmless(origin_of(blocked)),
            source: harmless(file_of(source)),
        }
    }
}

pub(super) async fn report_create(
    State(vault): State<Vault>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let reports = &vault.parts.fields.reports;
    reports.admit(vault.parts.clock.now())?;
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let parse = match kind.split(';').next().unwrap_or_default().trim() {
        "application/csp-report" => parse_single,
        "application/reports+json" => parse_batch,
        _ => return Err(Problem::new(Code::ContentTypeNotSupported)),
    };
    let bytes = body::read(request.into_body(), REPORT_MAX).await?;
    // The parser's own words may repeat a value, so they go nowhere.
    let violations = parse(&bytes).map_err(|_| Problem::new(Code::RequestMalformed))?;
    for violation in &violations {
        reports.take(violation);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What `report-uri` sends (CSP 3, 5.3).
fn parse_single(bytes: &[u8]) -> Result<Vec<Violation>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(rename = "csp-report")]
        report: Report,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Report {
        #[serde(default)]
        effective_directive: String,
        #[serde(default)]
        violated_directive: String,
        #[serde(default)]
        blocked_uri: String,
        #[serde(default)]
        source_file: String,
    }
    let Envelope { report } = serde_json::from_slice(bytes)?;
    let directive = if report.effective_directive.is_empty() {
        &report.violated_directive
    } else {
        &report.effective_directive
    };
    let violation = Violation::new(directive, &report.blocked_uri, &report.source_file);
    Ok(vec![violation])
}

/// What `report-to` sends: reports of any kind together (Reporting API).
fn parse_batch(bytes: &[u8]) -> Result<Vec<Violation>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(rename = "type")]
        kind: String,
        body: Report,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        #[serde(default)]
        effective_directive: String,
        #[serde(default, rename = "blockedURL")]
        blocked_url: Option<String>,
        #[serde(default)]
        source_file: Option<String>,
    }
    let batch: Vec<Envelope> = serde_json::from_slice(bytes)?;
    let violations = batch.iter().filter(|one| one.kind == "csp-violation");
    let of = |Envelope { body, .. }: &Envelope| {
        Violation::new(
            &body.effective_directive,
            body.blocked_url.as_deref().unwrap_or_default(),
            body.source_file.as_deref().unwrap_or_default(),
        )
    };
    Ok(violations.map(of).collect())
}

/// The origin of an address; of other addresses the scheme; a keyword such as `inline` as it is.
fn origin_of(text: &str) -> String {
    let end = |symbol| matches!(symbol, '/' | '?' | '#');
    let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
    let host = rest.split(end).next().unwrap_or_default();
    let origin = format!("{scheme}://{host}");
    if is_origin(&origin) {
        return origin;
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    if scheme.len() <= KEYWORD_MAX && scheme.bytes().all(plain) {
        scheme.to_owned()
    } else {
        OTHER.to_owned()
    }
}

/// The address of a script without what follows its path: a page's own address carries its ticket there.
fn file_of(text: &str) -> String {
    let origin = origin_of(text);
    let path = text.strip_prefix(&origin).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    if path.len() <= PATH_MAX && path.bytes().all(plain) {
        origin + path
    } else {
        origin
    }
}

/// A page that sends cards away may have them in its addresses.
fn harmless(text: String) -> String {
    if holds_card_number(&text) {
        OTHER.to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_report_only_directive_origin_and_file_are_kept() {
        let single = br#"{"csp-report":{"document-uri":"https://fields.example/v1/fields?ticket=SECRET","script-sample":"SECRET",
            "violated-directive":"script-src 'nonce-SECRET'","blocked-uri":"https://evil.example:8443/a?b=SECRET#SECRET",
            "source-file":"https://fields.example/v1/fields?ticket=SECRET","original-policy":"SECRET"}}"#;
        let batch = br#"[{"type":"csp-violation","age":1,"url":"https://fields.example/v1/fields?ticket=SECRET","body":{
            "effectiveDirective":"script-src","blockedURL":"https://evil.example:8443/a?b=SECRET","sample":"SECRET",
            "sourceFile":"https://fields.example/v1/fields?ticket=SECRET"}},{"type":"deprecation","body":{"id":"SECRET"}}]"#;
        let kept = Violation {
            directive: Directive::Script,
            blocked: "https://evil.example:8443".to_owned(),
            source: "https://fields.example/v1/fields".to_owned(),
        };
        assert_eq!(parse_single(single).unwrap(), std::slice::from_ref(&kept));
        assert_eq!(parse_batch(batch).unwrap(), [kept]);
    }

    #[test]
    fn what_could_be_anything_is_not_repeated() {
        for (text, origin, file) in [
            ("inline", "inline", "inline"),
            ("", "", ""),
            ("data:text/plain,x", "other", "other"),
            (
                "chrome-extension://abc/x.js",
                "chrome-extension",
                "chrome-extension",
            ),
            ("https://a:b@evil.example/", "https", "https"),
            (
                "https://a.example/x y",
                "https://a.example",
                "https://a.example",
            ),
            (
                "https://a.example/x.js:1",
                "https://a.example",
                "https://a.example",
            ),
            ("Free text\nwith a line", "other", "other"),
            ("https://4242424242424242.example/", "other", "other"),
            (
                "https://a.example/4242-4242-4242-4242.js",
                "https://a.example",
                "other",
            ),
        ] {
            let violation = Violation::new("unheard-of 'self'", text, text);
            assert_eq!(
                (violation.blocked.as_str(), violation.source.as_str()),
                (origin, file)
            );
            assert_eq!(violation.directive, Directive::Other);
        }
    }

    #[test]
    fn reports_are_bounded_by_the_minute() {
        let (reports, now) = (
            Reports::default(),
            Timestamp::from_millis(1_795_341_600_000),
        );
        assert!((0..REPORTS_PER_MINUTE_MAX).all(|_| reports.admit(now).is_ok()));
        assert!(reports.admit(now.plus_millis(MINUTE_MS - 1)).is_err());
        assert!(reports.is_first() && !reports.is_first());
        assert!(reports.admit(now.plus_millis(MINUTE_MS)).is_ok());
        assert!(reports.is_first() && !reports.is_first());
    }
}
