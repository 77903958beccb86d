//! How strong a certificate is: its key and the signature under it, named for people. Proves nothing about its holder.

use x509_parser::{
    oid_registry::{
        OID_MD5_WITH_RSA, OID_PKCS1_MD2WITHRSAENC, OID_PKCS1_MD4WITHRSAENC,
        OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA1WITHRSA,
        OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
        OID_SHA1_WITH_RSA, OID_SIG_DSA_WITH_SHA1, OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519, Oid,
    },
    public_key::PublicKey,
};

use super::parse_certificate;
use crate::Error;

/// What NIST SP 800-57 wants of RSA, and of curves, since 2014.
const RSA_BITS_MIN: usize = 2048;
const CURVE_BITS_MIN: usize = 224;

const SIGNATURES: &[(Oid<'static>, &str)] = &[
    (OID_SIG_ECDSA_WITH_SHA256, "ECDSA with SHA-256"),
    (OID_SIG_ECDSA_WITH_SHA384, "ECDSA with SHA-384"),
    (OID_SIG_ECDSA_WITH_SHA512, "ECDSA with SHA-512"),
    (OID_PKCS1_SHA256WITHRSA, "RSA with SHA-256"),
    (OID_PKCS1_SHA384WITHRSA, "RSA with SHA-384"),
    (OID_PKCS1_SHA512WITHRSA, "RSA with SHA-512"),
    (OID_PKCS1_RSASSAPSS, "RSA-PSS"),
    (OID_SIG_ED25519, "Ed25519"),
];
/// Whose signatures can be forged, or nearly so.
const BROKEN_SIGNATURES: &[(Oid<'static>, &str)] = &[
    (OID_PKCS1_SHA1WITHRSA, "RSA with SHA-1"),
    (OID_SHA1_WITH_RSA, "RSA with SHA-1"),
    (OID_SIG_DSA_WITH_SHA1, "DSA with SHA-1"),
    (OID_PKCS1_MD5WITHRSAENC, "RSA with MD5"),
    (OID_MD5_WITH_RSA, "RSA with MD5"),
    (OID_PKCS1_MD4WITHRSAENC, "RSA with MD4"),
    (OID_PKCS1_MD2WITHRSAENC, "RSA with MD2"),
];

/// A certificate's key and signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strength {
    /// Kind and size of the key, such as `RSA 2048`.
    pub key: String,
    /// Whether the key is too small, or of a kind that nobody should use.
    pub key_is_weak: bool,
    /// The signature's algorithm.
    pub signature: String,
    /// Whether such a signature can be forged.
    pub signature_is_weak: bool,
}

/// Reads it from a certificate (DER).
///
/// # Errors
/// [`Error::Malformed`] when it cannot be read completely and in one way.
pub fn strength(der: &[u8]) -> Result<Strength, Error> {
    let certificate = parse_certificate(der)?;
    let (key, key_is_weak) = key(&certificate.public_key().parsed());
    let algorithm = &certificate.signature_algorithm.algorithm;
    let named = |table: &[(Oid<'static>, &'static str)]| {
        let row = table.iter().find(|(oid, _)| oid == algorithm);
        row.map(|(_, name)| (*name).to_owned())
    };
    let (signature, signature_is_weak) = match (named(SIGNATURES), named(BROKEN_SIGNATURES)) {
        (Some(name), _) => (name, false),
        (None, Some(name)) => (name, true),
        (None, None) => (algorithm.to_id_string(), false),
    };
    Ok(Strength {
        key,
        key_is_weak,
        signature,
        signature_is_weak,
    })
}

fn key<E>(key: &Result<PublicKey<'_>, E>) -> (String, bool) {
    match key {
        Ok(PublicKey::RSA(rsa)) => (
            format!("RSA {}", rsa.key_size()),
            rsa.key_size() < RSA_BITS_MIN,
        ),
        Ok(PublicKey::EC(point)) => (
            format!("ECDSA {}", point.key_size()),
            point.key_size() < CURVE_BITS_MIN,
        ),
        Ok(PublicKey::DSA(_)) => ("DSA".to_owned(), true),
        // Ed25519 is among them: no certificate of a public authority has it.
        Ok(PublicKey::GostR3410(_) | PublicKey::GostR3410_2012(_) | PublicKey::Unknown(_))
        | Err(_) => ("of another kind".to_owned(), false),
    }
}
