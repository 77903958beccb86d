//! The files of a page travel compressed (RFC 1952), so that the first page is there at once on a slow telephone.
//!
//! Compression gives a secret away where it stands beside what somebody else chooses (CVE-2013-3587, BREACH). So a page, which
//! holds its nonce and what a merchant wrote, is never compressed, nor is an answer for programs; a file is the same for all.

use std::io::{Read as _, Write as _};

use axum::body::Body;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};

const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const BY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Whether the one who asks can read gzip (RFC 9110, 12.5.3).
#[must_use]
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let named = |part: &str| {
        let (coding, weight) = part.split_once(';').unwrap_or((part, "q=1"));
        let weight = weight.trim().trim_start_matches("q=");
        let refused = weight.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        coding.trim().eq_ignore_ascii_case("gzip") && !refused
    };
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(named))
}

/// The answer with the packed body if there is one, and in any case with the word that caches need to know.
pub(super) fn answer(plain: Body, packed: Option<Body>) -> Response<Body> {
    let is_packed = packed.is_some();
    let mut response = Response::new(packed.unwrap_or(plain));
    response.headers_mut().insert(VARY, BY_ENCODING);
    if is_packed {
        response.headers_mut().insert(CONTENT_ENCODING, GZIP);
    }
    response
}

/// None if it cannot be compressed, which memory alone could prevent.
pub(super) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// What was compressed, up to so many bytes.
pub(super) fn decompress(bytes: &[u8], max: u64) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = GzDecoder::new(bytes).take(max).read_to_end(&mut plain);
    read.ok().map(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_names_it_gets_gzip() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=1.0", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzipped", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_reads_back_up_to_a_limit() {
        let text = "a page ".repeat(1000);
        let packed = compress(text.as_bytes()).unwrap();
        assert!(packed.len() < 100);
        assert_eq!(decompress(&packed, 1 << 20).unwrap(), text.as_bytes());
        assert_eq!(decompress(&packed, 10).unwrap().len(), 10);
        assert!(decompress(b"no gzip", 10).is_none());
    }
}
