//! What browsers report about a page: something that the page's policy forbade was tried there (PCI DSS 11.6.1).
//!
//! Anyone can post here, and a report repeats the page's whole address and parts of scripts. So a report is counted, and of
//! its texts only the directive, the blocked origin and the script's address go anywhere.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use coffer_core::{Timestamp, brand::holds_card_number, words};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use serde::{Deserialize, Serialize};

use super::PageName;
use crate::metrics::SharedRegistry;

/// The largest body.
pub const REPORT_MAX: usize = 16 * 1024;
/// Bodies that are read in a minute; a page that is really attacked makes itself known by far fewer.
const REPORTS_PER_MINUTE_MAX: u32 = 300;
const MINUTE_MS: i64 = 60_000;
/// How long a violation is told to whoever asks, and how many different ones.
const RECENT_MS: i64 = 60 * MINUTE_MS;
const RECENT_MAX: usize = 32;
/// The longest host that is repeated, and the longest path of a script.
const HOST_MAX: usize = 255;
const PATH_MAX: usize = 128;
/// The longest keyword, such as `trusted-types-sink`, or scheme of an address.
const KEYWORD_MAX: usize = 32;
/// In place of what is not repeated.
const OTHER: &str = "other";
/// What extensions of payers' browsers try is no fault of the page: it is stopped and counted, and alarms nobody.
const EXTENSION: &str = "-extension";

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
        /// A script without the hash that the page demands (Integrity-Policy).
        Integrity = "integrity-policy",
        /// None of these.
        Other = "other",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    page: &'static str,
    directive: &'static str,
}

/// What is kept of a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    /// About which page.
    pub page: PageName,
    /// The directive that was violated.
    pub directive: Directive,
    /// The origin that was blocked, or a keyword.
    pub blocked: String,
    /// The script that tried it.
    pub source: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            page,
            directive,
            blocked,
            source,
        } = self;
        write!(f, "{page}: {directive} {blocked} {source}")
    }
}

/// Why a report is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many came in this minute.
    TooMany,
    /// It is of no type that browsers send.
    ContentType,
    /// It is not what its type says.
    Malformed,
}

/// The reports about one page, in this process.
pub struct Reports {
    page: PageName,
    counted: Family<Labels, Counter>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When the minute began, and how many came in it.
    minute: Option<(Timestamp, u32)>,
    /// Different violations, and when each was reported last.
    recent: BTreeMap<Violation, Timestamp>,
}

impl Reports {
    /// None yet.
    #[must_use]
    pub fn new(page: PageName) -> Self {
        Self {
            page,
            counted: Family::default(),
            seen: Mutex::default(),
        }
    }

    /// Shows the counts at the process's `/metrics`.
    pub fn register(&self, registry: &SharedRegistry) {
        let mut registry = crate::lock(registry);
        let help = "Violations of a page's policy that browsers reported";
        registry.register("page_reports", help, self.counted.clone());
    }

    /// Whether another body is read in this minute. To be asked before it is read.
    ///
    /// # Errors
    /// [`Refused::TooMany`].
    pub fn admit(&self, now: Timestamp) -> Result<(), Refused> {
        let mut seen = self.seen();
        let (begun, received) = seen
            .minute
            .filter(|(begun, _)| now.since(*begun) < MINUTE_MS)
            .unwrap_or((now, 0));
        if received >= REPORTS_PER_MINUTE_MAX {
            return Err(Refused::TooMany);
        }
        seen.minute = Some((begun, received.saturating_add(1)));
        Ok(())
    }

    /// Takes in what a browser sent under this media type.
    ///
    /// # Errors
    /// When it is no report.
    pub fn take(&self, content_type: &str, body: &[u8], now: Timestamp) -> Result<(), Refused> {
        let parse = match content_type.split(';').next().unwrap_or_default().trim() {
            "application/csp-report" => parse_single,
            "application/reports+json" => parse_batch,
            _ => return Err(Refused::ContentType),
        };
        // The parser's own words may repeat a value, so they go nowhere.
        let violations = parse(self.page, body).map_err(|_| Refused::Malformed)?;
        for violation in violations {
            self.note(violation, now);
        }
        Ok(())
    }

    fn note(&self, violation: Violation, now: Timestamp) {
        let (page, directive) = (self.page.as_str(), violation.directive.as_str());
        self.counted
            .get_or_create(&Labels { page, directive })
            .inc();
        let is_extension = |text: &str| text.ends_with(EXTENSION);
        if is_extension(&violation.blocked) || is_extension(&violation.source) {
            return;
        }
        let mut seen = self.seen();
        seen.forget(now);
        if seen.recent.len() < RECENT_MAX || seen.recent.contains_key(&violation) {
            seen.recent.insert(violation, now);
        }
    }

    /// The different violations of the last hour.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> Vec<Violation> {
        let mut seen = self.seen();
        seen.forget(now);
        seen.recent.keys().cloned().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        crate::lock(&self.seen)
    }
}

impl Seen {
    fn forget(&mut self, now: Timestamp) {
        self.recent.retain(|_, last| now.since(*last) < RECENT_MS);
    }
}

impl Violation {
    fn new(page: PageName, directive: &str, blocked: &str, source: &str) -> Self {
        // Older browsers repeat the directive's values behind its name.
        let name = directive.split(' ').next().unwrap_or_default();
        Self {
            page,
            directive: name.parse().unwrap_or(Directive::Other),
            blocked: harmless(origin_of(blocked)),
            source: harmless(file_of(source)),
        }
    }
}

/// What `report-uri` sends (CSP 3, 5.3).
fn parse_single(page: PageName, bytes: &[u8]) -> Result<Vec<Violation>, serde_json::Error> {
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
    let violation = Violation::new(page, directive, &report.blocked_uri, &report.source_file);
    Ok(vec![violation])
}

/// What `report-to` sends: reports of any kind together (Reporting API).
fn parse_batch(page: PageName, bytes: &[u8]) -> Result<Vec<Violation>, serde_json::Error> {
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
    let of = |Envelope { kind, body }: &Envelope| {
        let directive = match kind.as_str() {
            "csp-violation" => body.effective_directive.as_str(),
            "integrity-violation" => Directive::Integrity.as_str(),
            _ => return None,
        };
        let blocked = body.blocked_url.as_deref().unwrap_or_default();
        let source = body.source_file.as_deref().unwrap_or_default();
        Some(Violation::new(page, directive, blocked, source))
    };
    Ok(batch.iter().filter_map(of).collect())
}

/// The origin of an address; of other addresses the scheme; a keyword such as `inline` as it is.
fn origin_of(text: &str) -> String {
    let end = |symbol| matches!(symbol, '/' | '?' | '#');
    let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
    let host = rest.split(end).next().unwrap_or_default();
    if is_host(host) && matches!(scheme, "https" | "http" | "wss" | "ws") {
        return format!("{scheme}://{host}");
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    if scheme.len() <= KEYWORD_MAX && scheme.bytes().all(plain) {
        scheme.to_owned()
    } else {
        OTHER.to_owned()
    }
}

/// Whether this is a host, perhaps with a port, and nothing else.
fn is_host(text: &str) -> bool {
    let allowed =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= HOST_MAX && text.bytes().all(allowed)
}

/// The address of a script, without what follows its path; of anything else the origin: a page's own address is a secret.
fn file_of(text: &str) -> String {
    let origin = origin_of(text);
    let path = text.strip_prefix(&origin).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    let is_script = path.ends_with(".js") || path.ends_with(".mjs");
    if is_script && path.len() <= PATH_MAX && path.bytes().all(plain) {
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

    const PAGE: PageName = PageName::Fields;
    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    #[test]
    fn of_a_report_only_directive_origin_and_file_are_kept() {
        let single = br#"{"csp-report":{"document-uri":"https://fields.example/v1/fields?ticket=SECRET","script-sample":"SECRET",
            "violated-directive":"script-src 'nonce-SECRET'","blocked-uri":"https://evil.example:8443/a?b=SECRET#SECRET",
            "source-file":"https://fields.example/v1/fields?ticket=SECRET","original-policy":"SECRET"}}"#;
        let batch = br#"[{"type":"csp-violation","age":1,"url":"https://fields.example/v1/fields?ticket=SECRET","body":{
            "effectiveDirective":"script-src","blockedURL":"https://evil.example:8443/a?b=SECRET","sample":"SECRET",
            "sourceFile":"https://fields.example/v1/fields?ticket=SECRET"}},{"type":"deprecation","body":{"id":"SECRET"}}]"#;
        let kept = Violation {
            page: PAGE,
            directive: Directive::Script,
            blocked: "https://evil.example:8443".to_owned(),
            source: "https://fields.example".to_owned(),
        };
        assert_eq!(
            parse_single(PAGE, single).unwrap(),
            std::slice::from_ref(&kept)
        );
        assert_eq!(parse_batch(PAGE, batch).unwrap(), [kept]);
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
                "https://a.example/c/pay_1/SECRET",
                "https://a.example",
                "https://a.example",
            ),
            (
                "https://a.example/assets/x.0a.js?y#z",
                "https://a.example",
                "https://a.example/assets/x.0a.js",
            ),
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
            let violation = Violation::new(PAGE, "unheard-of 'self'", text, text);
            assert_eq!(
                (violation.blocked.as_str(), violation.source.as_str()),
                (origin, file)
            );
            assert_eq!(violation.directive, Directive::Other);
        }
    }

    #[test]
    fn reports_are_bounded_by_the_minute() {
        let reports = Reports::new(PAGE);
        assert!((0..REPORTS_PER_MINUTE_MAX).all(|_| reports.admit(NOW).is_ok()));
        let last = NOW.plus_millis(MINUTE_MS - 1);
        assert_eq!(reports.admit(last), Err(Refused::TooMany));
        assert!(reports.admit(NOW.plus_millis(MINUTE_MS)).is_ok());
    }

    #[test]
    fn a_violation_is_told_for_an_hour_and_a_flood_of_them_is_bounded() {
        let reports = Reports::new(PAGE);
        let take = |blocked: &str, now| {
            let body = format!(
                r#"[{{"type":"csp-violation","body":{{"effectiveDirective":"connect-src","blockedURL":"{blocked}"}}}}]"#
            );
            reports.take("application/reports+json", body.as_bytes(), now)
        };
        for number in 0..2 * RECENT_MAX {
            take(&format!("https://{number}.example"), NOW).unwrap();
        }
        assert_eq!(reports.recent(NOW).len(), RECENT_MAX);
        assert!(reports.recent(NOW.plus_millis(RECENT_MS)).is_empty());
    }

    #[test]
    fn an_extension_of_a_browser_alarms_nobody() {
        let reports = Reports::new(PAGE);
        let body = br#"[{"type":"csp-violation","body":{"effectiveDirective":"script-src-elem",
            "blockedURL":"chrome-extension://abcdef/inject.js"}},{"type":"integrity-violation","body":{"blockedURL":
            "https://evil.example/x.js","documentURL":"SECRET"}}]"#;
        reports.take("application/reports+json", body, NOW).unwrap();
        let recent = reports.recent(NOW);
        let directives: Vec<_> = recent.iter().map(|one| one.directive).collect();
        assert_eq!(directives, [Directive::Integrity]);
    }
}
