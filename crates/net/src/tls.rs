//! TLS of the public faces, and what all TLS here has in common: one provider, one way to read certificates and keys.

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use coffer_crypto::{SecretBytes, pki};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";

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

/// The provider; it prefers the hybrid key exchange X25519MLKEM768.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
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

/// The certificates of one public face, replaceable while it serves.
pub struct CertificateStore {
    shelf: Arc<Shelf>,
    config: Arc<ServerConfig>,
}

impl CertificateStore {
    /// An empty store: until the first certificate is loaded, no handshake succeeds.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "our one provider has suites for TLS 1.2 and 1.3; every start proves it"
    )]
    pub fn new() -> Arc<Self> {
        let shelf = Arc::new(Shelf::default());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shelf>::clone(&shelf));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        // Without it, TLS 1.2 sessions can be tied together by a man in the middle (RFC 7627).
        config.require_ems = true;
        Arc::new(Self {
            shelf,
            config: Arc::new(config),
        })
    }

    /// Adds a certificate, in place of those whose names it covers. The first one loaded also answers clients that ask for
    /// no name, or for an unknown one. Connections that exist keep theirs.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] or [`CertificateError::KeyMismatch`]; then nothing changes.
    pub fn load_pem(&self, chain: &str, key: &SecretBytes) -> Result<(), CertificateError> {
        let certified = certified_key(chain, key)?;
        let leaf = certified.cert.first().ok_or(CertificateError::Malformed)?;
        let names = pki::inspect(leaf)
            .map_err(|_| CertificateError::Malformed)?
            .dns;
        let entry = Entry {
            names,
            certified: Arc::new(certified),
        };
        self.shelf.0.rcu(|entries| replaced(entries, &entry));
        Ok(())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// The entries with the new one at the place of the first that it covers, or at the end.
fn replaced(entries: &[Entry], new: &Entry) -> Vec<Entry> {
    let covered = |old: &Entry| old.names.iter().all(|name| new.names.contains(name));
    let place = entries.iter().position(covered).unwrap_or(entries.len());
    let before = entries.iter().take(place);
    let after = entries.iter().skip(place).filter(|old| !covered(old));
    before
        .chain(std::iter::once(new))
        .chain(after)
        .cloned()
        .collect()
}

#[derive(Debug, Clone)]
struct Entry {
    names: Vec<String>,
    certified: Arc<CertifiedKey>,
}

impl Entry {
    /// By exact name, or by a wildcard for the leftmost label alone (RFC 6125, 6.4.3).
    fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| {
            name.eq_ignore_ascii_case(host)
                || match (name.strip_prefix("*."), host.split_once('.')) {
                    (Some(parent), Some((_, rest))) => parent.eq_ignore_ascii_case(rest),
                    (None, _) | (_, None) => false,
                }
        })
    }
}

#[derive(Debug, Default)]
struct Shelf(ArcSwap<Vec<Entry>>);

impl Shelf {
    fn find(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let entries = self.0.load();
        let named = host.and_then(|host| entries.iter().find(|entry| entry.is_for(host)));
        named
            .or_else(|| entries.first())
            .map(|entry| Arc::clone(&entry.certified))
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

#[cfg(test)]
mod tests {
    use coffer_crypto::pki::{Authority, KeyPair, Profile};

    use super::*;
    use crate::Clock;

    fn chain(key: &KeyPair, name: &str) -> String {
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

    fn leaf(store: &CertificateStore, host: Option<&str>) -> Vec<u8> {
        store.shelf.find(host).unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_key_of_another_certificate_changes_nothing() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let store = CertificateStore::new();
        let refused = store.load_pem(&chain(&key, "a.test"), &other.pem());
        assert_eq!(refused, Err(CertificateError::KeyMismatch));
        assert!(store.shelf.find(Some("a.test")).is_none());
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
    fn a_certificate_answers_for_its_names_and_a_newer_one_takes_its_place() {
        let key = KeyPair::generate().unwrap();
        let store = CertificateStore::new();
        for name in ["a.test", "b.test"] {
            store.load_pem(&chain(&key, name), &key.pem()).unwrap();
        }
        let (a, b) = (leaf(&store, Some("A.test")), leaf(&store, Some("b.test")));
        assert_ne!(a, b);
        assert_eq!(leaf(&store, None), a);
        assert_eq!(leaf(&store, Some("unknown.test")), a);

        store.load_pem(&chain(&key, "a.test"), &key.pem()).unwrap();
        assert_ne!(leaf(&store, Some("a.test")), a);
        assert_eq!(leaf(&store, None), leaf(&store, Some("a.test")));
        assert_eq!(store.shelf.0.load().len(), 2);
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let certified = |name: &str| {
            let key = KeyPair::generate().unwrap();
            Arc::new(certified_key(&chain(&key, name), &key.pem()).unwrap())
        };
        let entry = Entry {
            names: vec!["*.pay.test".to_owned()],
            certified: certified("pay.test"),
        };
        assert!(entry.is_for("a.pay.test"));
        assert!(!entry.is_for("pay.test") && !entry.is_for("b.a.pay.test"));
    }
}
