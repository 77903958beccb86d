//! Scripts and styles of the face, each under an address that holds its hash.

use axum::{
    extract::{Path, State},
    response::Response,
};
use coffer_net::page::{Asset, accepts_gzip};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL},
};

use super::{headers::RESOURCE_POLICY, page::Note};
use crate::Api;

/// The address without a hash names whatever is current.
const FOR_A_WHILE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// All files.
pub(crate) struct Assets {
    /// The page's style.
    pub(crate) css: Asset,
    /// The page's script.
    pub(crate) js: Asset,
    /// The script for merchants' pages.
    pub(crate) coffer_js: Asset,
}

impl Assets {
    /// Hashes them, once.
    pub(crate) fn new() -> Self {
        Self {
            css: Asset::style(
                "checkout",
                include_str!("../../assets/checkout.css"),
                "What the payment page looks like.",
            ),
            js: Asset::script(
                "checkout",
                include_str!("../../assets/checkout.js"),
                "Joins the card fields and the payment: hands the token on, shows how the payment stands.",
            ),
            coffer_js: Asset::script(
                "coffer",
                include_str!("../../assets/coffer.js"),
                "Puts the vault's card fields on a merchant's own page; not loaded by the payment page.",
            ),
        }
    }
}

/// A file by its name with the hash; any other hash is unknown.
pub(super) async fn asset(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let packed = accepts_gzip(&headers);
    let Assets { css, js, coffer_js } = api.assets();
    let path = format!("/assets/{name}");
    match [css, js].into_iter().find(|asset| asset.path() == path) {
        Some(asset) => asset.answer(packed),
        None if coffer_js.path() == path => for_merchants(coffer_js.answer(packed)),
        None => Note::UNKNOWN.answer(&api),
    }
}

/// The current script for merchants' pages.
pub(super) async fn coffer_js(State(api): State<Api>, headers: HeaderMap) -> Response {
    let asset = &api.assets().coffer_js;
    let mut response = for_merchants(asset.answer(accepts_gzip(&headers)));
    response.headers_mut().insert(CACHE_CONTROL, FOR_A_WHILE);
    response
}

/// Any page may load it, and have its integrity checked, which needs leave to read it.
fn for_merchants(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}
