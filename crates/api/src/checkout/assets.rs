//! Scripts and styles of the face, each under an address that holds its hash, so that it can be kept for ever and a page
//! names exactly the bytes that it was made with.

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use coffer_crypto::digest_384;
use data_encoding::{BASE64, HEXLOWER};
use http::{
    HeaderValue,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE},
};

use super::{headers::RESOURCE_POLICY, page::Note};
use crate::Api;

/// How many bytes of a file's hash stand in its address.
const NAMED_BYTES: usize = 12;

const CHECKOUT_CSS: &str = include_str!("../../assets/checkout.css");
const CHECKOUT_JS: &str = include_str!("../../assets/checkout.js");
const COFFER_JS: &str = include_str!("../../assets/coffer.js");

/// One file.
pub(crate) struct Asset {
    /// Its address on this face.
    pub(crate) path: String,
    /// Its hash, as browsers compare it.
    pub(crate) integrity: String,
    /// Why it is there.
    pub(crate) reason: &'static str,
    bytes: Bytes,
    content_type: &'static str,
}

/// All of them.
pub(crate) struct Assets {
    /// The page's style.
    pub(crate) css: Asset,
    /// The page's script.
    pub(crate) js: Asset,
    /// The script for merchants' pages.
    pub(crate) coffer_js: Asset,
}

impl Asset {
    fn new(
        name: [&str; 2],
        reason: &'static str,
        content_type: &'static str,
        text: &'static str,
    ) -> Self {
        let [stem, extension] = name;
        let hash = digest_384(text.as_bytes());
        let short = hash.get(..NAMED_BYTES).unwrap_or_default();
        Self {
            path: format!("/assets/{stem}.{}.{extension}", HEXLOWER.encode(short)),
            integrity: integrity(text.as_bytes()),
            reason,
            bytes: Bytes::from_static(text.as_bytes()),
            content_type,
        }
    }

    fn answer(&self, cache: &'static str) -> Response {
        let mut response = Response::new(Body::from(self.bytes.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        response
    }
}

/// What a browser is to find when it hashes these bytes (Subresource Integrity, 3.1).
pub(super) fn integrity(bytes: &[u8]) -> String {
    format!("sha384-{}", BASE64.encode(&digest_384(bytes)))
}

impl Assets {
    /// Hashes them, once.
    pub(crate) fn new() -> Self {
        let javascript = "text/javascript; charset=utf-8";
        let (style, script) = (
            "What the payment page looks like.",
            "Joins the card fields and the payment: hands the token on, shows how the payment stands.",
        );
        let merchants = "Puts the vault's card fields on a merchant's own page; not loaded by the payment page.";
        Self {
            css: Asset::new(
                ["checkout", "css"],
                style,
                "text/css; charset=utf-8",
                CHECKOUT_CSS,
            ),
            js: Asset::new(["checkout", "js"], script, javascript, CHECKOUT_JS),
            coffer_js: Asset::new(["coffer", "js"], merchants, javascript, COFFER_JS),
        }
    }
}

/// A year, the longest that caches promise.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// The address without a hash names whatever is current.
const FOR_A_WHILE: &str = "public, max-age=300";

/// A file by its name with the hash; any other hash is unknown.
pub(super) async fn asset(State(api): State<Api>, Path(name): Path<String>) -> Response {
    let Assets { css, js, coffer_js } = api.assets();
    let path = format!("/assets/{name}");
    match [css, js].into_iter().find(|asset| asset.path == path) {
        Some(asset) => asset.answer(FOR_EVER),
        None if coffer_js.path == path => for_merchants(coffer_js.answer(FOR_EVER)),
        None => Note::UNKNOWN.answer(&api),
    }
}

/// The current script for merchants' pages.
pub(super) async fn coffer_js(State(api): State<Api>) -> Response {
    for_merchants(api.assets().coffer_js.answer(FOR_A_WHILE))
}

/// Any page may load it, and have its integrity checked, which needs leave to read it.
fn for_merchants(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}
