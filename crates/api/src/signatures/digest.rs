//! `Content-Digest` (RFC 9530): whether a body is the one that was sent.

use coffer_crypto::{digest, digest_512};
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Item, ListEntry};

use super::{Wrong, claim::dictionary};

/// The header.
pub(super) const DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// The longest one: two digests, and one that nobody knows.
const DIGEST_MAX: usize = 512;

/// Every digest that is known has to be the body's, and there has to be one.
pub(super) fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), Wrong> {
    let mut known = 0_usize;
    for (name, value) in dictionary(headers, &DIGEST, DIGEST_MAX)? {
        let ListEntry::Item(Item {
            bare_item: BareItem::ByteSequence(sent),
            ..
        }) = value
        else {
            return Err("Content-Digest has to hold byte sequences: base64 between colons.".into());
        };
        let is_body = match name.as_str() {
            "sha-256" => sent == digest(&[body]),
            "sha-512" => sent == digest_512(body),
            // Old or unknown ones prove nothing.
            _ => continue,
        };
        if !is_body {
            return Err("Content-Digest is not the digest of the body that arrived.".into());
        }
        known = known.saturating_add(1);
    }
    if known == 0 {
        return Err("Content-Digest has to hold sha-256 or sha-512.".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &str, body: &str) -> bool {
        let value = HeaderValue::from_str(value).unwrap();
        check(&HeaderMap::from_iter([(DIGEST, value)]), body.as_bytes()).is_ok()
    }

    /// RFC 9530, B.1 and D, and RFC 9421, B.2.
    #[test]
    fn a_digest_is_the_one_of_the_body() {
        let (body, sha_512) = (
            "{\"hello\": \"world\"}",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        );
        let sha_256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
        let wrong = "sha-256=:AAAAqOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
        assert!(of(sha_512, body) && of(sha_256, body));
        assert!(of(&format!("{sha_256}, {sha_512}, md5=:AAAA:"), body));
        assert!(!of(sha_512, "{\"hello\": \"World\"}") && !of(sha_256, ""));
        for wrong in [
            wrong,
            &format!("{sha_512}, {wrong}"),
            "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBP:",
            "sha-256=\"X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=\"",
            "md5=:AAAA:",
            "sha-256",
            "",
            &format!("{sha_256}, x=:{}:", "A".repeat(DIGEST_MAX)),
        ] {
            assert!(!of(wrong, body), "{wrong}");
        }
    }
}
