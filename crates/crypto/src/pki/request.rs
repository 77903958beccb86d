//! The private key of a certificate, and the request that proves its possession.

use data_encoding::BASE64;
use rcgen::{
    CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use zeroize::Zeroize;

use super::dns_name;
use crate::{Error, SecretBytes};

const REQUEST_MAX_BYTES: usize = 4096;
const PEM_LINE_BYTES: usize = 48;

/// The private key of a certificate. It cannot be printed:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_crypto::pki::KeyPair>();
/// ```
pub struct KeyPair {
    pub(super) pair: rcgen::KeyPair,
}

impl KeyPair {
    /// A fresh key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the machine has no randomness to give.
    pub fn generate() -> Result<Self, Error> {
        let pair = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|_| Error::Unavailable)?;
        Ok(Self { pair })
    }

    /// The key as a PEM file's contents (PKCS#8).
    #[must_use]
    pub fn pem(&self) -> SecretBytes {
        private_key_pem(self.pair.serialized_der())
    }

    /// The key from a PEM file's contents.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it holds a P-256 key in PKCS#8.
    pub fn from_pem(pem: &SecretBytes) -> Result<Self, Error> {
        let mut der =
            PrivatePkcs8KeyDer::from_pem_slice(pem.expose()).map_err(|_| Error::Malformed)?;
        let outcome = Self::from_pkcs8(der.secret_pkcs8_der());
        der.zeroize();
        outcome
    }

    /// A request for a certificate, signed with this key to prove its possession. It names nobody.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the machine has no randomness to give.
    pub fn request(&self) -> Result<CertificateRequest, Error> {
        self.request_for(&[])
    }

    /// As [`Self::request`], for these host names: a public authority wants to read them in the request.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no host name; [`Error::Unavailable`] when the machine has no randomness to give.
    pub fn request_for(&self, hosts: &[String]) -> Result<CertificateRequest, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = hosts
            .iter()
            .map(|host| dns_name(host))
            .collect::<Result<_, _>>()?;
        let request = params
            .serialize_request(&self.pair)
            .map_err(|_| Error::Unavailable)?;
        CertificateRequest::from_der(request.der())
    }

    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(der),
            &PKCS_ECDSA_P256_SHA256,
        )
        .map(|pair| Self { pair })
        .map_err(|_| Error::Malformed)
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

/// A request for a certificate whose sender has proven to hold the private key.
pub struct CertificateRequest {
    der: Vec<u8>,
    pub(super) public_key: SubjectPublicKeyInfo,
}

impl CertificateRequest {
    /// Reads a request (PKCS#10, DER) and checks its signature, which covers its key.
    ///
    /// # Errors
    /// [`Error::Refused`] when the signature is not the key's;
    /// [`Error::Malformed`] when it cannot be read or its key is not on P-256.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > REQUEST_MAX_BYTES {
            return Err(Error::Malformed);
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| Error::Malformed)?;
        if !rest.is_empty() {
            return Err(Error::Malformed);
        }
        let public_key =
            SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
                .map_err(|_| Error::Malformed)?;
        if public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(Error::Malformed);
        }
        request.verify_signature().map_err(|_| Error::Refused)?;
        Ok(Self {
            der: der.to_vec(),
            public_key,
        })
    }

    /// The request's bytes, for sending.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }
}

/// Written into a buffer of the final size, so that no copy of the key is left by growing.
fn private_key_pem(der: &[u8]) -> SecretBytes {
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
    const END: &str = "-----END PRIVATE KEY-----\n";
    let lines = der.len().div_ceil(PEM_LINE_BYTES);
    let capacity = BEGIN.len() + BASE64.encode_len(der.len()) + lines + END.len();
    let mut pem = String::with_capacity(capacity);
    pem.push_str(BEGIN);
    for line in der.chunks(PEM_LINE_BYTES) {
        BASE64.encode_append(line, &mut pem);
        pem.push('\n');
    }
    pem.push_str(END);
    SecretBytes::from_vec(pem.into_bytes())
}
