//! TLS of the public faces, and what all TLS here has in common: one provider, one way to read certificates and keys.

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use coffer_crypto::SecretBytes;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::acme::Challenges;

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";
/// An authority's question who answers at a name (RFC 8737).
pub(crate) const ALPN_ACME: &[u8] = b"acme-tls/1";

/// Why a certificate cannot be used. The one in use, if any, stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// The certificate, the key or an authority's certificate cannot be read.
    Malformed,
    /// The key is not this certificate's.
    KeyMismatch,
    /// The certificate does not name a role of Coffer's as its holder.
    NoRole,
}

impl std::fmt::Display for CertificateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the certificate or its key cannot be read",
            Self::KeyMismatch => "the key does not belong to the certificate",
            Self::NoRole => "the certificate does not name a role",
        })
    }
}

impl std::error::Error for CertificateError {}

/// Makes the one TLS provider known to libraries that look for it. Once, at start; more often does no harm.
pub fn install_provider() {
    let already_there = aws_lc_rs::default_provider().install_default().is_err();
    if already_there {
        tracing::debug!("the TLS provider was installed before");
    }
}

/// The provider; it prefers the hybrid key exchange X25519MLKEM768, and the suites that hash with SHA-256.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = aws_lc_rs::default_provider();
        // AES-128 before AES-256, as browsers have it. A handshake hashes more than it encrypts, and processors have SHA-256 in
        // hardware, not SHA-384: that is a seventh of a handshake.
        provider.cipher_suites.sort_by_key(|suite| {
            suite
                .suite()
                .as_str()
                .is_some_and(|name| name.ends_with("SHA384"))
        });
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

/// A chain and its private key, proven to belong together.
pub(crate) fn certified_key(
    chain_pem: &str,
    key_pem: &SecretBytes,
) -> Result<CertifiedKey, CertificateError> {
    let chain = certificates(chain_pem)?;
    let key =
        PrivateKeyDer::from_pem_slice(key_pem.expose()).map_err(|_| CertificateError::Malformed)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            CertificateError::KeyMismatch
        } else {
            CertificateError::Malformed
        }
    })
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CertificateError::Malformed)?;
    if chain.is_empty() {
        return Err(CertificateError::Malformed);
    }
    Ok(chain)
}

/// For a client that has no certificate, of a server whose certificate is for its name and from one of these authorities.
///
/// # Errors
/// [`CertificateError::Malformed`] for a text that holds no certificates of authorities.
pub fn client_config(authorities_pem: &str) -> Result<Arc<ClientConfig>, CertificateError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities_pem)? {
        roots
            .add(authority)
            .map_err(|_| CertificateError::Malformed)?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| CertificateError::Malformed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificate of a role's public faces, replaceable while they serve.
pub struct CertificateStore {
    shelf: Arc<Shelf>,
    config: Arc<ServerConfig>,
}

impl CertificateStore {
    /// An empty store: until a certificate is loaded, no handshake succeeds.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::build(None)
    }

    /// As [`Self::new`]; an authority's TLS-ALPN-01 challenges are answered, too, with or without a certificate.
    #[must_use]
    pub fn answering(challenges: Challenges) -> Arc<Self> {
        Self::build(Some(challenges))
    }

    #[expect(
        clippy::expect_used,
        reason = "our one provider has suites for TLS 1.2 and 1.3; every start proves it"
    )]
    fn build(challenges: Option<Challenges>) -> Arc<Self> {
        let mut alpn = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        alpn.extend(challenges.iter().map(|_| ALPN_ACME.to_vec()));
        let shelf = Arc::new(Shelf {
            certified: ArcSwapOption::empty(),
            challenges,
        });
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shelf>::clone(&shelf));
        config.alpn_protocols = alpn;
        // Without it, TLS 1.2 sessions can be tied together by a man in the middle (RFC 7627).
        config.require_ems = true;
        config.ignore_client_order = true;
        // Whoever comes back gets another one: a second ticket costs every connection and is hardly ever used.
        config.send_tls13_tickets = 1;
        Arc::new(Self {
            shelf,
            config: Arc::new(config),
        })
    }

    /// Serves this certificate from now on, whatever name a client asks for. Connections that exist keep theirs.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] or [`CertificateError::KeyMismatch`]; then nothing changes.
    pub fn load_pem(&self, chain: &str, key: &SecretBytes) -> Result<(), CertificateError> {
        let certified = certified_key(chain, key)?;
        self.shelf.certified.store(Some(Arc::new(certified)));
        Ok(())
    }

    /// Whether there is a certificate to serve.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.shelf.certified.load().is_some()
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

#[derive(Debug)]
struct Shelf {
    certified: ArcSwapOption<CertifiedKey>,
    challenges: Option<Challenges>,
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(challenges) = self.challenges.as_ref().filter(|_| is_challenge(&hello)) else {
            return self.certified.load_full();
        };
        // Nothing else is ever shown to it: not to have been asked is a failed handshake (RFC 8737, 3).
        challenges.certificate(hello.server_name()?)
    }
}

/// An authority that wants proof offers this protocol and no other (RFC 8737, 3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else {
        return false;
    };
    offered.next() == Some(ALPN_ACME) && offered.next().is_none()
}

#[cfg(test)]
pub(crate) mod tests {
    use coffer_crypto::pki::{Authority, KeyPair, Profile};

    use super::*;
    use crate::Clock;

    /// A certificate for this name, and its authority's after it.
    pub(crate) fn chain(key: &KeyPair, name: &str) -> String {
        let now_s = Clock::system().now().as_seconds();
        let profile = Profile {
            spiffe: None,
            dns: vec![name.to_owned()],
            ips: vec![],
            client: false,
            server: true,
            not_before_s: now_s - 60,
            not_after_s: now_s + 3600,
            serial: coffer_crypto::random().unwrap(),
        };
        let authority = Authority::create("test", now_s).unwrap();
        authority
            .issue(&key.request().unwrap(), &profile, now_s)
            .unwrap()
    }

    fn leaf(store: &CertificateStore) -> Option<Vec<u8>> {
        let certified = store.shelf.certified.load_full()?;
        Some(certified.cert[0].to_vec())
    }

    #[test]
    fn a_key_of_another_certificate_changes_nothing() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let store = CertificateStore::new();
        let refused = store.load_pem(&chain(&key, "a.test"), &other.pem());
        assert_eq!(refused, Err(CertificateError::KeyMismatch));
        assert!(leaf(&store).is_none());
    }

    #[test]
    fn a_server_is_not_verified_against_nothing() {
        let key = KeyPair::generate().unwrap();
        assert!(client_config(&chain(&key, "db.test")).is_ok());
        for wrong in [String::new(), "-----BEGIN CERTIFICATE-----\n".to_owned()] {
            let refused = client_config(&wrong);
            assert_eq!(refused.err(), Some(CertificateError::Malformed));
        }
    }

    #[test]
    fn a_new_certificate_takes_the_place_of_the_old_one_whatever_it_names() {
        let key = KeyPair::generate().unwrap();
        let store = CertificateStore::new();
        let mut seen = Vec::new();
        for name in ["a.test", "b.test"] {
            store.load_pem(&chain(&key, name), &key.pem()).unwrap();
            seen.push(leaf(&store).unwrap());
        }
        assert_ne!(seen[0], seen[1]);
        assert!(store.load_pem("", &key.pem()).is_err());
        assert_eq!(leaf(&store).as_ref(), Some(&seen[1]));
    }
}
