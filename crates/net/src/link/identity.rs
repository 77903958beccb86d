//! Who this process is on the links, whom it trusts, and how a certificate names a role.

use std::{fmt::Write as _, sync::Arc};

use arc_swap::ArcSwap;
use coffer_crypto::{SecretBytes, pki};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    contract::{Peer, Role},
    tls::{self, ALPN_HTTP2, CertificateError},
};

const SPIFFE_PREFIX: &str = "spiffe://coffer/";
const INSTANCE_MAX: usize = 64;

/// The certificate and key of this process and the internal authority that it trusts; replaceable while it runs.
pub struct Identity(ArcSwap<Credentials>);

impl Identity {
    /// Reads the role's chain (leaf first), its key, and the certificates of the internal authority, all PEM.
    ///
    /// # Errors
    /// When one cannot be read, the key is another certificate's, or the certificate names no role.
    pub fn load(
        cert_pem: &str,
        key_pem: &SecretBytes,
        ca_pem: &str,
    ) -> Result<Self, CertificateError> {
        let credentials = Credentials::read(cert_pem, key_pem, ca_pem)?;
        Ok(Self(ArcSwap::from_pointee(credentials)))
    }

    /// Takes the new credentials from now on: connections that come in use them, and a [`super::Link`] connects anew.
    ///
    /// # Errors
    /// As [`Identity::load`]; then nothing changes.
    pub fn replace(
        &self,
        cert_pem: &str,
        key_pem: &SecretBytes,
        ca_pem: &str,
    ) -> Result<(), CertificateError> {
        self.0
            .store(Arc::new(Credentials::read(cert_pem, key_pem, ca_pem)?));
        Ok(())
    }

    /// How others see this process.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.0.load().peer.clone()
    }

    pub(super) fn credentials(&self) -> Arc<Credentials> {
        self.0.load_full()
    }
}

/// One state of an [`Identity`].
pub(super) struct Credentials {
    certified: Arc<CertifiedKey>,
    roots: Arc<RootCertStore>,
    server: Arc<ServerConfig>,
    peer: Peer,
}

impl Credentials {
    fn read(cert_pem: &str, key_pem: &SecretBytes, ca_pem: &str) -> Result<Self, CertificateError> {
        let certified = Arc::new(tls::certified_key(cert_pem, key_pem)?);
        let leaf = certified.cert.first().ok_or(CertificateError::Malformed)?;
        let peer = peer_of(leaf).ok_or(CertificateError::NoRole)?;
        let mut roots = RootCertStore::empty();
        for root in tls::certificates(ca_pem)? {
            roots.add(root).map_err(|_| CertificateError::Malformed)?;
        }
        let roots = Arc::new(roots);
        let server = Arc::new(server_config(&certified, &roots)?);
        Ok(Self {
            certified,
            roots,
            server,
            peer,
        })
    }

    /// For the door: every client must have a certificate of the internal authority made for clients.
    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For a link to one role.
    pub(super) fn client_config(&self, expect: Role) -> Result<ClientConfig, rustls::Error> {
        let verifier = RoleVerifier {
            expect,
            roots: Arc::clone(&self.roots),
            algorithms: tls::provider().signature_verification_algorithms,
        };
        let mut config = ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(
                &self.certified,
            ))));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        config.enable_sni = false;
        // A resumed session would skip the certificates, which may have been replaced or revoked since.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn server_config(
    certified: &Arc<CertifiedKey>,
    roots: &Arc<RootCertStore>,
) -> Result<ServerConfig, CertificateError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), tls::provider())
        .build()
        .map_err(|_| CertificateError::Malformed)?;
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| CertificateError::Malformed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))));
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The holder of a certificate, if it has exactly one URI and that one names a role. Proves nothing without its chain.
pub(super) fn peer_of(der: &[u8]) -> Option<Peer> {
    let certificate = pki::inspect(der).ok()?;
    let [uri] = certificate.spiffe.as_slice() else {
        return None;
    };
    let (role, instance) = uri.strip_prefix(SPIFFE_PREFIX)?.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if instance.is_empty() || instance.len() > INSTANCE_MAX || !instance.bytes().all(plain) {
        return None;
    }
    Some(Peer {
        role: role.parse().ok()?,
        instance: instance.to_owned(),
        serial: hex(&certificate.serial),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Accepts a server whose chain leads to the internal authority and whose certificate names the expected role.
#[derive(Debug)]
struct RoleVerifier {
    expect: Role,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for RoleVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        match peer_of(end_entity) {
            Some(peer) if peer.role == self.expect => Ok(ServerCertVerified::assertion()),
            Some(_) | None => Err(rustls::CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
