//! The headers of every answer of the face. A page's own Content-Security-Policy lets in what carries its nonce, and the
//! frame of the vault's; every other answer's lets in nothing.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Which origins may read an answer's bytes at all.
pub(super) const RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// The one header that pages have their own of.
pub(super) const POLICY: &str = "content-security-policy";

/// What a page needs none of: a script that got in could not use it either.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), bluetooth=(), camera=(), display-capture=(), \
    encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), local-fonts=(), \
    magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-create=(), \
    publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), web-share=(), xr-spatial-tracking=()";

/// For an answer that is no page.
const NOTHING: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer that does not set its own.
pub(super) const ALWAYS: &[(&str, &str)] = &[
    (POLICY, NOTHING),
    ("reporting-endpoints", "csp=\"/reports\""),
    (
        "integrity-policy",
        "blocked-destinations=(script), endpoints=(csp)",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", PERMISSIONS),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cache-control", "no-store"),
];

/// Sets what the answer has not set itself.
pub(super) fn complete(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
}

/// The policy of a page: its own script and style, by nonce, the vault's frame, and requests to this origin.
pub(super) fn page_policy(nonce: &str, fields_origin: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; frame-src {fields_origin}; \
        connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
        require-trusted-types-for 'script'; trusted-types 'none'; report-uri /reports; report-to csp"
    )
}
