//! The answers to an authority's challenges, while an order is open: given by the client, served by the faces.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use coffer_crypto::pki;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::tls;

/// The open challenges of one process. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    by_token: HashMap<String, String>,
    by_host: HashMap<String, Arc<CertifiedKey>>,
}

impl Challenges {
    /// What the file of this name holds (RFC 8555, 8.3).
    pub(super) fn authorization(&self, token: &str) -> Option<String> {
        self.open().by_token.get(token).cloned()
    }

    /// What proves this host in a handshake (RFC 8737, 3).
    pub(crate) fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let host = host.to_ascii_lowercase();
        self.open().by_host.get(&host).map(Arc::clone)
    }

    pub(super) fn put_http(&self, token: &str, authorization: &str) {
        let (token, authorization) = (token.to_owned(), authorization.to_owned());
        self.open().by_token.insert(token, authorization);
    }

    pub(super) fn put_tls(&self, host: &str, digest: &[u8], now_s: i64) -> Option<()> {
        let (chain, key) = pki::challenge_certificate(host, digest, now_s).ok()?;
        // Not `tls::certified_key`, which refuses the extension that is the whole point of this certificate.
        let key = PrivateKeyDer::from_pem_slice(key.expose()).ok()?;
        let key = tls::provider().key_provider.load_private_key(key).ok()?;
        let certified = CertifiedKey::new(tls::certificates(&chain).ok()?, key);
        let host = host.to_ascii_lowercase();
        self.open().by_host.insert(host, Arc::new(certified));
        Some(())
    }

    pub(super) fn clear(&self) {
        *self.open() = Open::default();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        crate::lock(&self.0)
    }
}
