//! What the fields page loads: its script and its style sheet, under addresses that change with their content, so that a
//! browser may keep them for ever. The page names their hashes, and the inventory says why each is there (PCI DSS 6.4.3).

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use coffer_crypto::digest_384;
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};

use super::problem::{Code, Problem};
use crate::Vault;

/// The address stands for exactly this content, so nobody has to ask again (RFC 8246).
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Bytes of the hash that an address carries: enough to tell versions apart; the page's integrity attribute has it all.
const HASH_IN_PATH: usize = 8;

/// One file of the page.
pub(crate) struct Asset {
    /// Its address on this origin.
    pub(crate) path: String,
    /// Its hash, as a page names it (Subresource Integrity, 3.1).
    pub(crate) integrity: String,
    content: &'static str,
    kind: &'static str,
    reason: &'static str,
}

impl Asset {
    fn new(
        extension: &str,
        kind: &'static str,
        content: &'static str,
        reason: &'static str,
    ) -> Self {
        let hash = digest_384(content.as_bytes());
        let short = HEXLOWER.encode(hash.get(..HASH_IN_PATH).unwrap_or_default());
        Self {
            path: format!("/assets/fields.{short}.{extension}"),
            integrity: format!("sha384-{}", BASE64.encode(&hash)),
            content,
            kind,
            reason,
        }
    }

    fn listed(&self) -> Value {
        json!({"path": self.path, "integrity": self.integrity, "reason": self.reason})
    }
}

/// Everything that the page loads.
pub(crate) struct Assets {
    pub(crate) script: Asset,
    pub(crate) style: Asset,
}

impl Assets {
    pub(crate) fn new() -> Self {
        Self {
            script: Asset::new(
                "js",
                "text/javascript; charset=utf-8",
                include_str!("../../assets/fields.js"),
                "Checks and formats what the payer types, and sends the card to this origin only.",
            ),
            style: Asset::new(
                "css",
                "text/css; charset=utf-8",
                include_str!("../../assets/fields.css"),
                "How the card fields look.",
            ),
        }
    }

    fn at(&self, path: &str) -> Option<&Asset> {
        [&self.script, &self.style]
            .into_iter()
            .find(|asset| asset.path == path)
    }
}

/// One file, if this is its present address.
pub(super) async fn asset(State(vault): State<Vault>, uri: Uri) -> Result<Response, Problem> {
    let assets = &vault.parts.fields.assets;
    let asset = assets
        .at(uri.path())
        .ok_or_else(|| Problem::new(Code::NotFound))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, IMMUTABLE),
    ];
    Ok((headers, asset.content).into_response())
}

/// What the page loads, with hash and reason.
pub(super) async fn inventory(State(vault): State<Vault>) -> Json<Value> {
    let Assets { script, style } = &vault.parts.fields.assets;
    Json(json!({
        "page": "/v1/fields", "scripts": [script.listed()], "styles": [style.listed()],
    }))
}
