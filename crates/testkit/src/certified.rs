//! A certificate of an authority that nobody else knows.

use std::{fs, ops::Range};

use coffer_crypto::pki::{Authority, KeyPair, Profile};
use coffer_net::Clock;
use tempfile::TempDir;

const DAY_S: i64 = 24 * 60 * 60;

/// A folder with the authority's certificate `ca.pem`, and `cert.pem` and `key.pem` for a server of this name; valid in this
/// time, in seconds from now. The authority is a hundred days old.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn certified(host: &str, valid_s: Range<i64>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let now_s = Clock::system().now().as_seconds();
    let long_ago_s = now_s - 100 * DAY_S;
    let authority = Authority::create("a shop's authority", long_ago_s).unwrap();
    let key = KeyPair::generate().unwrap();
    let profile = Profile {
        spiffe: None,
        dns: vec![host.to_owned()],
        ips: Vec::new(),
        client: false,
        server: true,
        not_before_s: now_s + valid_s.start,
        not_after_s: now_s + valid_s.end,
        serial: coffer_crypto::random().unwrap(),
    };
    let issued_s = long_ago_s.max(now_s + valid_s.start.min(0));
    let chain = authority.issue(&key.request().unwrap(), &profile, issued_s);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("ca.pem", authority.certificate_pem().as_bytes());
    write("cert.pem", chain.unwrap().as_bytes());
    write("key.pem", key.pem().expose());
    folder
}
