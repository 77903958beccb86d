//! A script or style sheet, under an address that holds its hash: it can be kept for ever, and a page names exactly the
//! bytes that it was made with.

use axum::body::Body;
use bytes::Bytes;
use coffer_crypto::digest_384;
use data_encoding::{BASE64, HEXLOWER};
use http::{
    HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;

use super::gzip;

/// Bytes of the hash that an address carries: enough to tell versions apart; `integrity` has it all.
const HASH_IN_PATH: usize = 12;
/// The address stands for exactly this content, so nobody has to ask again (RFC 8246).
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// One file.
pub struct Asset {
    path: String,
    integrity: String,
    content: &'static str,
    packed: Option<Bytes>,
    content_type: &'static str,
    reason: &'static str,
}

/// A file as it is published: where it is, what is in it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its address on its face.
    pub path: String,
    /// Its hash.
    pub integrity: String,
    /// Why it is there.
    pub reason: &'static str,
}

impl Asset {
    /// A script of this name.
    #[must_use]
    pub fn script(stem: &str, content: &'static str, reason: &'static str) -> Self {
        Self::new(
            [stem, "js"],
            "text/javascript; charset=utf-8",
            content,
            reason,
        )
    }

    /// A style sheet of this name.
    #[must_use]
    pub fn style(stem: &str, content: &'static str, reason: &'static str) -> Self {
        Self::new([stem, "css"], "text/css; charset=utf-8", content, reason)
    }

    fn new(
        [stem, extension]: [&str; 2],
        content_type: &'static str,
        content: &'static str,
        reason: &'static str,
    ) -> Self {
        let hash = digest_384(content.as_bytes());
        let short = HEXLOWER.encode(hash.get(..HASH_IN_PATH).unwrap_or_default());
        Self {
            path: format!("/assets/{stem}.{short}.{extension}"),
            integrity: integrity(content.as_bytes()),
            content,
            packed: gzip::compress(content.as_bytes()).map(Bytes::from),
            content_type,
            reason,
        }
    }

    /// Its address on its face.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its hash, as a page names it.
    #[must_use]
    pub fn integrity(&self) -> &str {
        &self.integrity
    }

    /// As it is published.
    #[must_use]
    pub fn listed(&self) -> Listed {
        Listed {
            path: self.path.clone(),
            integrity: self.integrity.clone(),
            reason: self.reason,
        }
    }

    /// The file, to be kept for ever.
    #[must_use]
    pub fn answer(&self, accepts_gzip: bool) -> Response<Body> {
        let packed = self.packed.clone().filter(|_| accepts_gzip);
        let mut response = gzip::answer(Body::from(self.content), packed.map(Body::from));
        let content_type = HeaderValue::from_static(self.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.headers_mut().insert(CACHE_CONTROL, FOR_EVER);
        response
    }
}

/// What a browser is to find when it hashes these bytes (Subresource Integrity, 3.1).
pub(super) fn integrity(bytes: &[u8]) -> String {
    format!("sha384-{}", BASE64.encode(&digest_384(bytes)))
}
