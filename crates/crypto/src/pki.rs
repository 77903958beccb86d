//! The internal certificate authority and the certificates of roles (X.509, ECDSA P-256).
//!
//! What a certificate says comes from a [`Profile`] that the issuer wrote; of a request only the
//! proven public key counts. Trusting a peer's chain is TLS's work, not done here.

mod certificate;
mod challenge;
mod request;
mod strength;

use std::net::IpAddr;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, DnsName};
use x509_parser::time::ASN1Time;

use crate::{Error, SecretBytes, random};

use certificate::parse_certificate;
pub use certificate::{Certificate, inspect, is_self_issued, pem_to_der};
pub use challenge::challenge_certificate;
pub use request::{CertificateRequest, KeyPair};
pub use strength::{Strength, strength};

const DAY_S: i64 = 24 * 60 * 60;
const AUTHORITY_LIFETIME_S: i64 = 10 * 365 * DAY_S;

/// The authority's certificate starts a little early, for machines whose clocks are behind.
const AUTHORITY_BACKDATE_S: i64 = 60 * 60;

/// The end of the year 9999, the last instant that X.509 can write (RFC 5280, 4.1.2.5).
const LATEST_S: i64 = 253_402_300_799;

/// Upper bound of a common name (RFC 5280, appendix A: ub-common-name).
const NAME_MAX: usize = 64;
const SPIFFE_MAX_BYTES: usize = 2048;
const SAN_MAX: usize = 64;
const SERIAL_LEN: usize = 16;

/// A certificate authority: its self-signed certificate and the key that signs.
pub struct Authority {
    certificate_pem: String,
    certificate_der: CertificateDer<'static>,
    not_before_s: i64,
    not_after_s: i64,
    key: KeyPair,
}

impl Authority {
    /// A new authority, valid for ten years, which may issue end certificates only.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a name that is empty or over 64 characters, or a time out of range;
    /// [`Error::Unavailable`] when the machine has no randomness to give.
    pub fn create(name: &str, now_s: i64) -> Result<Self, Error> {
        if name.is_empty() || name.chars().count() > NAME_MAX {
            return Err(Error::Malformed);
        }
        let key = KeyPair::generate()?;
        let not_before_s = now_s.saturating_sub(AUTHORITY_BACKDATE_S).max(0);
        let not_after_s = now_s.saturating_add(AUTHORITY_LIFETIME_S);
        let mut params = base_params(not_before_s, not_after_s, random()?)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params
            .self_signed(&key.pair)
            .map_err(|_| Error::Unavailable)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().clone(),
            not_before_s,
            not_after_s,
            key,
        })
    }

    /// The authority's certificate, which every peer trusts.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The signing key (PKCS#8, DER), to be sealed at once.
    #[must_use]
    pub fn key_secret(&self) -> SecretBytes {
        SecretBytes::from_vec(self.key.pair.serialized_der().to_vec())
    }

    /// An authority from its certificate and its opened key.
    ///
    /// # Errors
    /// [`Error::Malformed`] when either cannot be read or the certificate is no authority's;
    /// [`Error::Refused`] when they do not belong together.
    pub fn restore(certificate_pem: &str, key: &SecretBytes) -> Result<Self, Error> {
        let certificate_der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| Error::Malformed)?;
        let key = KeyPair::from_pkcs8(key.expose())?;
        let certificate = parse_certificate(&certificate_der)?;
        if !certificate.is_ca() {
            return Err(Error::Malformed);
        }
        certificate
            .verify_signature(None)
            .map_err(|_| Error::Refused)?;
        if certificate.public_key().raw != key.pair.subject_public_key_info() {
            return Err(Error::Refused);
        }
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            not_before_s: certificate.validity().not_before.timestamp(),
            not_after_s: certificate.validity().not_after.timestamp(),
            certificate_der: certificate_der.clone(),
            key,
        })
    }

    /// Issues a certificate for the request's key with the profile's contents, and nothing else.
    /// The answer is the new certificate followed by the authority's.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the profile is not one that may be issued now: no name, no use, an
    /// invalid name, over already, or outliving the authority.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        profile: &Profile,
        now_s: i64,
    ) -> Result<String, Error> {
        let in_force = (self.not_before_s..=self.not_after_s).contains(&now_s);
        if !in_force || profile.not_after_s <= now_s || profile.not_after_s > self.not_after_s {
            return Err(Error::Malformed);
        }
        let params = profile.params()?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate_der, &self.key.pair)
            .map_err(|_| Error::Malformed)?;
        let certificate = params
            .signed_by(&request.public_key, &issuer)
            .map_err(|_| Error::Unavailable)?;
        Ok(certificate.pem() + &self.certificate_pem)
    }
}

/// What a certificate will say. Names that the request asks for are ignored: only this counts.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The role's identity, `spiffe://coffer/<role>/<instance>`.
    pub spiffe: Option<String>,
    /// Host names, without wildcards.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// May prove itself to a server.
    pub client: bool,
    /// May prove itself to a client.
    pub server: bool,
    /// Start, in seconds since 1970.
    pub not_before_s: i64,
    /// End, in seconds since 1970.
    pub not_after_s: i64,
    /// Serial number, unique per authority; not all zero.
    pub serial: [u8; SERIAL_LEN],
}

impl Profile {
    fn params(&self) -> Result<CertificateParams, Error> {
        let mut params = base_params(self.not_before_s, self.not_after_s, self.serial)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = self.names()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.uses()?;
        Ok(params)
    }

    fn names(&self) -> Result<Vec<SanType>, Error> {
        let spiffe = self.spiffe.iter().map(|id| spiffe_name(id));
        let dns = self.dns.iter().map(|name| dns_name(name));
        let ips = self.ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)));
        let names: Vec<SanType> = spiffe.chain(dns).chain(ips).collect::<Result<_, _>>()?;
        if names.is_empty() || names.len() > SAN_MAX {
            return Err(Error::Malformed);
        }
        Ok(names)
    }

    /// At least one use, since a certificate that names none may be used for all (RFC 5280, 4.2.1.12).
    fn uses(&self) -> Result<Vec<ExtendedKeyUsagePurpose>, Error> {
        let mut uses = Vec::new();
        if self.client {
            uses.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if self.server {
            uses.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if uses.is_empty() {
            return Err(Error::Malformed);
        }
        Ok(uses)
    }
}

fn base_params(
    not_before_s: i64,
    not_after_s: i64,
    serial: [u8; SERIAL_LEN],
) -> Result<CertificateParams, Error> {
    if not_before_s >= not_after_s || serial == [0; SERIAL_LEN] {
        return Err(Error::Malformed);
    }
    let mut params = CertificateParams::default();
    params.not_before = instant(not_before_s)?.to_datetime();
    params.not_after = instant(not_after_s)?.to_datetime();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

fn instant(seconds: i64) -> Result<ASN1Time, Error> {
    if !(0..=LATEST_S).contains(&seconds) {
        return Err(Error::Malformed);
    }
    ASN1Time::from_timestamp(seconds).map_err(|_| Error::Malformed)
}

/// Only the characters that the SPIFFE-ID standard (section 2) allows.
fn spiffe_name(id: &str) -> Result<SanType, Error> {
    let path = id.strip_prefix("spiffe://").ok_or(Error::Malformed)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    if path.is_empty() || id.len() > SPIFFE_MAX_BYTES || !path.chars().all(allowed) {
        return Err(Error::Malformed);
    }
    ia5(id).map(SanType::URI)
}

fn dns_name(name: &str) -> Result<SanType, Error> {
    DnsName::try_from(name).map_err(|_| Error::Malformed)?;
    ia5(name).map(SanType::DnsName)
}

fn ia5(text: &str) -> Result<Ia5String, Error> {
    Ia5String::try_from(text).map_err(|_| Error::Malformed)
}
