//! Reading certificates that exist already.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::SERIAL_LEN;
use crate::Error;

/// What a certificate says about its holder. Reading it proves nothing: TLS checked the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// URIs among the alternative names.
    pub spiffe: Vec<String>,
    /// Host names among the alternative names.
    pub dns: Vec<String>,
    /// Serial number, at least 16 bytes long, so that it equals the one in the profile.
    pub serial: Vec<u8>,
    /// Start, in seconds since 1970.
    pub not_before_s: i64,
    /// End, in seconds since 1970.
    pub not_after_s: i64,
}

/// Reads a certificate (DER).
///
/// # Errors
/// [`Error::Malformed`] when it cannot be read completely and in one way.
pub fn inspect(der: &[u8]) -> Result<Certificate, Error> {
    let certificate = parse_certificate(der)?;
    let mut spiffe = Vec::new();
    let mut dns = Vec::new();
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| Error::Malformed)?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => spiffe.push((*uri).to_owned()),
            GeneralName::DNSName(host) => dns.push((*host).to_owned()),
            GeneralName::Invalid(..) => return Err(Error::Malformed),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    Ok(Certificate {
        spiffe,
        dns,
        serial: padded_serial(certificate.raw_serial()),
        not_before_s: certificate.validity().not_before.timestamp(),
        not_after_s: certificate.validity().not_after.timestamp(),
    })
}

/// Whether a certificate names itself as its issuer.
///
/// # Errors
/// [`Error::Malformed`] when it cannot be read completely and in one way.
pub fn is_self_issued(der: &[u8]) -> Result<bool, Error> {
    let certificate = parse_certificate(der)?;
    Ok(certificate.subject().as_raw() == certificate.issuer().as_raw())
}

/// The certificates of a PEM file, in order.
///
/// # Errors
/// [`Error::Malformed`] when it is broken or holds none.
pub fn pem_to_der(pem: &str) -> Result<Vec<Vec<u8>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|section| section.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::Malformed)?;
    if certificates.is_empty() {
        return Err(Error::Malformed);
    }
    Ok(certificates)
}

pub(super) fn parse_certificate(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Error::Malformed)?;
    if !rest.is_empty() {
        return Err(Error::Malformed);
    }
    Ok(certificate)
}

/// DER drops leading zeros and adds one before a high bit; both are undone.
fn padded_serial(raw: &[u8]) -> Vec<u8> {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    let significant = raw.len().saturating_sub(zeros);
    let mut serial = vec![0; SERIAL_LEN.saturating_sub(significant)];
    serial.extend(raw.iter().skip(zeros));
    serial
}
