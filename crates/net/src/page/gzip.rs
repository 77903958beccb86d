//! Pages travel compressed (RFC 1952), so that the first one is there at once on a slow telephone.
//!
//! Compression gives a secret away where the same answer repeats what an attacker chooses, request by request. The pages
//! repeat nothing of a request but the address that they are asked for by, and an answer for programs is never compressed.

use std::io::{Read as _, Write as _};

use axum::body::Body;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY},
};
use http_body_util::{BodyExt as _, Collected};

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

/// Whether a request is for a page that may come compressed.
#[must_use]
pub fn wants_packed<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET && accepts_gzip(request.headers())
}

/// A page compressed, for one who accepts it; any other answer as it is. Pages are whole texts: nothing is waited for.
pub async fn pack(response: Response<Body>) -> Response<Body> {
    let kind = response.headers().get(CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let plain = body.collect().await.map(Collected::to_bytes);
    let plain = plain.unwrap_or_default();
    let Some(packed) = compress(&plain) else {
        return Response::from_parts(head, Body::from(plain));
    };
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, GZIP);
    Response::from_parts(head, Body::from(packed))
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
