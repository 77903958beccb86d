//! When certificates end, and whether their renewal works.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::SharedRegistry;

/// The certificate of a role's faces.
#[derive(Clone, Default)]
pub struct CertificateMetrics {
    expires: Gauge,
    orders: Family<OrderLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrderLabels {
    outcome: &'static str,
}

impl CertificateMetrics {
    /// Puts them into the registry.
    pub fn register(&self, registry: &SharedRegistry) {
        let mut registry = crate::lock(registry);
        registry.register(
            "face_certificate_expires_timestamp_seconds",
            "When the certificate of the faces ends, in seconds since 1970; 0 without one",
            self.expires.clone(),
        );
        registry.register(
            "face_certificate_orders",
            "Certificates asked for at the ACME authority, by outcome",
            self.orders.clone(),
        );
    }

    /// A certificate is in use that ends then.
    pub fn loaded(&self, expires_s: i64) {
        self.expires.set(expires_s);
    }

    /// A certificate was issued, or not.
    pub fn ordered(&self, issued: bool) {
        let outcome = if issued { "issued" } else { "failed" };
        self.orders.get_or_create(&OrderLabels { outcome }).inc();
    }
}

/// What the daily check found at each public face.
#[derive(Clone, Default)]
pub struct TlsCheckMetrics {
    grade: Family<FaceLabels, Gauge>,
    findings: Family<FaceLabels, Gauge>,
    expires: Family<FaceLabels, Gauge>,
    checked: Family<FaceLabels, Gauge>,
    unreachable: Family<FaceLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaceLabels {
    face: &'static str,
}

/// What one check of one face found.
#[derive(Debug, Clone, Copy)]
pub struct TlsChecked {
    /// 4 for A, 3 for B, 2 for C, 1 for D, 0 for F.
    pub grade: i64,
    /// How many findings.
    pub findings: i64,
    /// When the certificate ends, if there is one.
    pub expires_s: Option<i64>,
    /// When it was checked.
    pub checked_s: i64,
}

impl TlsCheckMetrics {
    /// Puts them into the registry.
    pub fn register(&self, registry: &SharedRegistry) {
        let mut registry = crate::lock(registry);
        let mut gauge = |name: &str, help: &str, family: &Family<FaceLabels, Gauge>| {
            registry.register(name, help, family.clone());
        };
        gauge("tls_grade", "4 is A, 0 is F", &self.grade);
        gauge("tls_findings", "What should be mended", &self.findings);
        gauge(
            "tls_certificate_expires_timestamp_seconds",
            "When the certificate that the world sees ends, in seconds since 1970",
            &self.expires,
        );
        gauge(
            "tls_checked_timestamp_seconds",
            "When the face was last checked, in seconds since 1970",
            &self.checked,
        );
        registry.register(
            "tls_unreachable",
            "Checks that found nobody at the face's public address",
            self.unreachable.clone(),
        );
    }

    /// A face was checked.
    pub fn observe(&self, face: &'static str, found: TlsChecked) {
        let labels = FaceLabels { face };
        let set = |family: &Family<FaceLabels, Gauge>, value: i64| {
            family.get_or_create(&labels).set(value);
        };
        set(&self.grade, found.grade);
        set(&self.findings, found.findings);
        set(&self.checked, found.checked_s);
        if let Some(expires_s) = found.expires_s {
            set(&self.expires, expires_s);
        }
    }

    /// Nobody was found there.
    pub fn unreachable(&self, face: &'static str) {
        self.unreachable.get_or_create(&FaceLabels { face }).inc();
    }
}
