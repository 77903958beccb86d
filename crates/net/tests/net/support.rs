//! Certificates of a throw-away authority, and TLS clients that trust anyone, for these tests.

use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use coffer_crypto::{
    SecretBytes,
    pki::{Authority, KeyPair, Profile},
};
use coffer_net::Clock;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

pub(crate) struct Certified {
    pub(crate) chain: String,
    pub(crate) key: SecretBytes,
}

pub(crate) struct Ca {
    authority: Authority,
    serials: Mutex<HashSet<String>>,
}

impl Ca {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::create("Coffer test", now_s()).unwrap(),
            serials: Mutex::default(),
        }
    }

    pub(crate) fn pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// Every serial issued so far.
    pub(crate) fn serials(&self) -> HashSet<String> {
        self.serials.lock().unwrap().clone()
    }

    pub(crate) fn role(&self, spiffe: &str) -> Certified {
        self.issue(Some(spiffe), true, true)
    }

    pub(crate) fn expired(&self, spiffe: &str) -> Certified {
        let now_s = now_s();
        let mut profile = profile(Some(spiffe), true, true);
        (profile.not_before_s, profile.not_after_s) = (now_s - 1800, now_s - 900);
        self.sign(&profile, now_s - 1200)
    }

    pub(crate) fn issue(&self, spiffe: Option<&str>, client: bool, server: bool) -> Certified {
        self.sign(&profile(spiffe, client, server), now_s())
    }

    pub(crate) fn issue_for(&self, host: &str) -> Certified {
        let mut profile = profile(None, false, true);
        (profile.dns, profile.ips) = (vec![host.to_owned()], vec![]);
        self.sign(&profile, now_s())
    }

    fn sign(&self, profile: &Profile, now_s: i64) -> Certified {
        let key = KeyPair::generate().unwrap();
        let request = key.request().unwrap();
        let chain = self.authority.issue(&request, profile, now_s).unwrap();
        let serial = profile.serial.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        self.serials.lock().unwrap().insert(serial);
        Certified {
            chain,
            key: key.pem(),
        }
    }
}

/// A certificate that nobody vouches for.
pub(crate) fn self_signed(spiffe: &str) -> Certified {
    let ca = Ca::new();
    let mut certified = ca.role(spiffe);
    certified
        .chain
        .truncate(certified.chain.find("-----END").unwrap() + 26);
    certified
}

fn profile(spiffe: Option<&str>, client: bool, server: bool) -> Profile {
    let now_s = now_s();
    Profile {
        spiffe: spiffe.map(str::to_owned),
        dns: vec!["localhost".to_owned()],
        ips: vec!["127.0.0.1".parse().unwrap()],
        client,
        server,
        not_before_s: now_s - 60,
        not_after_s: now_s + 3600,
        serial: coffer_crypto::random().unwrap(),
    }
}

fn now_s() -> i64 {
    Clock::system().now().as_seconds()
}

/// A client that trusts every server and shows this certificate.
pub(crate) fn client_config(
    certified: Option<Certified>,
    version: &'static SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnyone));
    let mut config = match certified {
        None => builder.with_no_client_auth(),
        Some(certified) => {
            let chain = CertificateDer::pem_slice_iter(certified.chain.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(certified.key.expose()).unwrap();
            let chain = chain.map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

#[derive(Debug)]
struct TrustAnyone;

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
