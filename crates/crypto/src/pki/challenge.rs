//! The certificate that answers an authority's TLS-ALPN-01 challenge (RFC 8737, 3): it proves who answers at a name, and
//! is good for nothing else.

use rcgen::{CustomExtension, SanType};

use super::{DAY_S, KeyPair, base_params, dns_name};
use crate::{Error, SecretBytes, random};

/// The digest of the key authorization is SHA-256's.
const DIGEST_LEN: usize = 32;
const BACKDATED_S: i64 = 60 * 60;

/// A self-signed certificate for this name that holds the digest, and its key; both PEM.
///
/// # Errors
/// [`Error::Malformed`] for what is no host name or no SHA-256 digest; [`Error::Unavailable`] when the machine has no
/// randomness to give.
pub fn challenge_certificate(
    host: &str,
    digest: &[u8],
    now_s: i64,
) -> Result<(String, SecretBytes), Error> {
    if digest.len() != DIGEST_LEN {
        return Err(Error::Malformed);
    }
    let key = KeyPair::generate()?;
    let not_before_s = now_s.saturating_sub(BACKDATED_S).max(0);
    let mut params = base_params(not_before_s, now_s.saturating_add(DAY_S), random()?)?;
    let name: SanType = dns_name(host)?;
    params.subject_alt_names = vec![name];
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params
        .self_signed(&key.pair)
        .map_err(|_| Error::Unavailable)?;
    Ok((certificate.pem(), key.pem()))
}
