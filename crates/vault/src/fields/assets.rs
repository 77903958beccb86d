//! What the fields page loads: its script and its style sheet.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use coffer_net::page::{Asset, accepts_gzip};
use serde_json::{Value, json};

use super::problem::{Code, Problem};
use crate::Vault;

/// Everything that the page loads.
pub(crate) struct Assets {
    pub(crate) script: Asset,
    pub(crate) style: Asset,
}

impl Assets {
    pub(crate) fn new() -> Self {
        Self {
            script: Asset::script(
                "fields",
                include_str!("../../assets/fields.js"),
                "Checks and formats what the payer types, and sends the card to this origin only.",
            ),
            style: Asset::style(
                "fields",
                include_str!("../../assets/fields.css"),
                "How the card fields look.",
            ),
        }
    }
}

/// One file, if this is its present address.
pub(super) async fn asset(
    State(vault): State<Vault>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Assets { script, style } = &vault.parts.fields.assets;
    let asset = [script, style]
        .into_iter()
        .find(|asset| asset.path() == uri.path())
        .ok_or_else(|| Problem::new(Code::NotFound))?;
    Ok(asset.answer(accepts_gzip(&headers)))
}

/// What the page loads, with hash and reason.
pub(super) async fn inventory(State(vault): State<Vault>) -> Json<Value> {
    let Assets { script, style } = &vault.parts.fields.assets;
    Json(json!({
        "page": "/v1/fields", "scripts": [script.listed()], "styles": [style.listed()],
    }))
}
