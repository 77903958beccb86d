//! What can be wrong with a server's TLS, how bad it is, and what to do about it. The codes are stable: scripts know them.

use coffer_core::words;
use serde::Serialize;

words! {
    /// How bad a finding is.
    pub enum Severity {
        /// Not as good as it could be.
        Low = "low",
        /// Weaker than it has to be.
        Medium = "medium",
        /// Can be attacked with effort, or fails for some visitors.
        High = "high",
        /// Can be attacked now, or fails for everybody.
        Critical = "critical",
    }
}

words! {
    /// What is wrong.
    pub enum Code {
        /// SSL 3.0 is spoken.
        VersionSsl3 = "version_ssl3",
        /// TLS 1.0 is spoken.
        VersionTls10 = "version_tls10",
        /// TLS 1.1 is spoken.
        VersionTls11 = "version_tls11",
        /// TLS 1.3 is not spoken.
        VersionTls13Missing = "version_tls13_missing",
        /// A suite without encryption or without authentication.
        SuiteNone = "suite_none",
        /// A suite whose cipher is broken.
        SuiteBroken = "suite_broken",
        /// A suite without forward secrecy.
        SuiteRsaExchange = "suite_rsa_exchange",
        /// A suite with CBC padding.
        SuiteCbc = "suite_cbc",
        /// No modern curve.
        GroupModernMissing = "group_modern_missing",
        /// No key exchange that resists quantum computers.
        GroupHybridMissing = "group_hybrid_missing",
        /// A modern client cannot complete a handshake.
        HandshakeFailed = "handshake_failed",
        /// The certificate is over.
        CertificateExpired = "certificate_expired",
        /// The certificate's time has not begun.
        CertificateNotYetValid = "certificate_not_yet_valid",
        /// The certificate ends soon, and should have been renewed.
        CertificateEndsSoon = "certificate_ends_soon",
        /// The certificate is for other names.
        CertificateName = "certificate_name",
        /// Only the certificate itself was sent.
        CertificateChainIncomplete = "certificate_chain_incomplete",
        /// The chain leads to no trusted authority.
        CertificateUntrusted = "certificate_untrusted",
        /// The key is too small.
        CertificateKeyWeak = "certificate_key_weak",
        /// The signature can be forged.
        CertificateSignatureWeak = "certificate_signature_weak",
        /// Answers have no Strict-Transport-Security.
        HstsMissing = "hsts_missing",
        /// Strict-Transport-Security ends too soon.
        HstsShort = "hsts_short",
    }
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub detail: String,
    /// What to do.
    pub advice: &'static str,
}

impl Finding {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            detail: detail.into(),
            advice: code.advice(),
        }
    }
}

impl Code {
    /// How bad it is.
    const fn severity(self) -> Severity {
        match self {
            Self::VersionSsl3
            | Self::SuiteNone
            | Self::HandshakeFailed
            | Self::CertificateExpired
            | Self::CertificateNotYetValid
            | Self::CertificateName
            | Self::CertificateUntrusted
            | Self::CertificateSignatureWeak => Severity::Critical,
            Self::VersionTls10
            | Self::VersionTls11
            | Self::SuiteBroken
            | Self::CertificateChainIncomplete
            | Self::CertificateKeyWeak => Severity::High,
            Self::VersionTls13Missing
            | Self::SuiteRsaExchange
            | Self::SuiteCbc
            | Self::GroupModernMissing
            | Self::CertificateEndsSoon
            | Self::HstsMissing => Severity::Medium,
            Self::GroupHybridMissing | Self::HstsShort => Severity::Low,
        }
    }

    /// What to do about it.
    const fn advice(self) -> &'static str {
        match self {
            Self::VersionSsl3 => "Switch SSL 3.0 off: what it protects can be read (RFC 7568).",
            Self::VersionTls10 => "Switch TLS 1.0 off (RFC 8996).",
            Self::VersionTls11 => "Switch TLS 1.1 off (RFC 8996).",
            Self::VersionTls13Missing => {
                "Switch TLS 1.3 on; if a proxy stands before Coffer, let it pass TLS through."
            }
            Self::SuiteNone => {
                "Switch off suites with NULL, aNULL, ADH, AECDH: they protect nothing."
            }
            Self::SuiteBroken => "Switch off RC4, DES, 3DES, RC2, IDEA, SEED and export suites.",
            Self::SuiteRsaExchange => {
                "Switch off suites without ECDHE or DHE: a stolen key would open recorded traffic."
            }
            Self::SuiteCbc => {
                "Switch off CBC suites; AES-GCM and ChaCha20-Poly1305 do the same work."
            }
            Self::GroupModernMissing => "Offer X25519 or P-256 for the key exchange.",
            Self::GroupHybridMissing => {
                "Offer X25519MLKEM768: traffic recorded today may be opened by a quantum computer."
            }
            Self::HandshakeFailed => {
                "Look into the server's log: clients with TLS 1.2 or 1.3 get no connection."
            }
            Self::CertificateExpired => {
                "Renew the certificate now; with [acme], the role's log says why it was not renewed."
            }
            Self::CertificateNotYetValid => {
                "Set the clocks of this machine and the server, or use the certificate that is valid now."
            }
            Self::CertificateEndsSoon => {
                "Renew the certificate; with [acme], the role's log says why it was not renewed in time."
            }
            Self::CertificateName => {
                "Get a certificate that names this host, and check that the address leads to this face."
            }
            Self::CertificateChainIncomplete => {
                "Put the intermediate certificates after the server's own into its file."
            }
            Self::CertificateUntrusted => {
                "Use a certificate of a public authority; if the authority is your own, give it with --ca-file."
            }
            Self::CertificateKeyWeak => {
                "Make a new key, ECDSA P-256 or RSA 2048 and up, and a certificate for it."
            }
            Self::CertificateSignatureWeak => {
                "Get a certificate that is signed with SHA-256 or better."
            }
            Self::HstsMissing => {
                "Answer with Strict-Transport-Security: max-age=63072000; includeSubDomains."
            }
            Self::HstsShort => "Raise max-age of Strict-Transport-Security to two years: 63072000.",
        }
    }
}
