//! What was found at one server, and the grade.

use coffer_core::{Timestamp, words};
use serde::Serialize;

use super::finding::{Finding, Severity};

words! {
    /// How good it is, by the worst finding.
    pub enum Grade {
        /// Nothing to mend.
        A = "A",
        /// Not as good as it could be.
        B = "B",
        /// Weaker than it has to be.
        C = "C",
        /// Can be attacked with effort, or fails for some.
        D = "D",
        /// Can be attacked, or fails.
        F = "F",
    }
}

impl Grade {
    pub(super) fn of(findings: &[Finding]) -> Self {
        match findings.iter().map(|finding| finding.severity).max() {
            None => Self::A,
            Some(Severity::Low) => Self::B,
            Some(Severity::Medium) => Self::C,
            Some(Severity::High) => Self::D,
            Some(Severity::Critical) => Self::F,
        }
    }

    /// 4 for A, 0 for F: for a graph.
    #[must_use]
    pub const fn points(self) -> i64 {
        match self {
            Self::A => 4,
            Self::B => 3,
            Self::C => 2,
            Self::D => 1,
            Self::F => 0,
        }
    }
}

/// Everything about one server.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Host and port.
    pub target: String,
    /// The grade.
    pub grade: Grade,
    /// Each version that was tried.
    pub versions: Vec<VersionFound>,
    /// Each group of a key exchange that was tried.
    pub groups: Vec<GroupFound>,
    /// The certificate, if one was shown.
    pub certificate: Option<CertificateFound>,
    /// The Strict-Transport-Security of the answer to a request.
    pub hsts: Option<String>,
    /// What to mend, the worst first.
    pub findings: Vec<Finding>,
}

/// Whether a version is spoken, and with which suites.
#[derive(Debug, Clone, Serialize)]
pub struct VersionFound {
    /// Such as `TLS 1.3`.
    pub name: &'static str,
    /// Whether it is spoken.
    pub accepted: bool,
    /// The suites, in the order in which the server chooses them.
    pub suites: Vec<&'static str>,
}

/// Whether a group is accepted.
#[derive(Debug, Clone, Serialize)]
pub struct GroupFound {
    /// Such as `X25519`.
    pub name: &'static str,
    /// Whether it is accepted.
    pub accepted: bool,
}

/// A certificate, in words.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateFound {
    /// The hosts that it names.
    pub names: Vec<String>,
    /// Kind and size of its key.
    pub key: String,
    /// The signature under it.
    pub signature: String,
    /// Its start (RFC 3339).
    pub not_before: String,
    /// Its end (RFC 3339).
    pub not_after: String,
    /// Its end, in seconds since 1970.
    #[serde(skip)]
    pub not_after_s: i64,
    /// How many certificates the server sent.
    pub chain_length: usize,
    /// Whether a client that trusts the given authorities accepts it for this host.
    pub trusted: bool,
}

pub(super) fn instant(seconds: i64) -> String {
    Timestamp::from_millis(seconds.saturating_mul(1000)).to_string()
}
