//! What the payment page is made of, published: every script and style with its hash and the reason for it, and the
//! headers that the page must have (PCI DSS 6.4.3). A specimen of the page shows it to whoever wants to compare.

use axum::{extract::State, response::Response};
use coffer_engine::CheckoutView;
use coffer_net::{
    face::HSTS,
    page::{Header, Listed, NONCE},
};
use http::header::STRICT_TRANSPORT_SECURITY;
use serde::Serialize;

use super::{
    headers, json,
    page::{self, Note},
};
use crate::Api;

/// Where the inventory is.
pub(super) const PATH: &str = "/.well-known/payment-page.json";
/// Where the specimen is.
pub(super) const SPECIMEN: &str = "/c/specimen";

/// One frame of the page.
#[derive(Serialize)]
struct Framed {
    origin: String,
    reason: &'static str,
    /// Where its own scripts are listed.
    inventory: String,
}

/// All that the page is made of.
#[derive(Serialize)]
struct Inventory {
    page: &'static str,
    specimen: &'static str,
    scripts: Vec<Listed>,
    styles: Vec<Listed>,
    frames: Vec<Framed>,
    /// Scripts for other pages; the payment page loads none of them.
    merchant_scripts: Vec<Listed>,
    headers: Vec<Header>,
}

impl Inventory {
    fn of(api: &Api) -> Self {
        let (assets, fields) = (api.assets(), &api.settings().fields_origin);
        Self {
            page: "/c/{payment}/{secret}",
            specimen: SPECIMEN,
            scripts: vec![assets.js.listed()],
            styles: vec![assets.css.listed()],
            frames: vec![Framed {
                origin: fields.clone(),
                reason: "The card inputs, served by the vault: neither this page nor the shop sees the number.",
                inventory: format!("{fields}/.well-known/payment-fields.json"),
            }],
            merchant_scripts: vec![assets.coffer_js.listed()],
            headers: page_headers(api),
        }
    }
}

/// The headers that the payment page must have.
pub(super) fn page_headers(api: &Api) -> Vec<Header> {
    let policy = headers::page_policy(NONCE, &api.settings().fields_origin);
    let always = headers::ALWAYS.iter().map(|(name, value)| {
        let is_policy = *name == headers::POLICY;
        Header::new(name, if is_policy { &policy } else { value })
    });
    let hsts = Header::new(STRICT_TRANSPORT_SECURITY.as_str(), HSTS);
    always.chain([hsts]).collect()
}

/// The inventory, for anyone.
pub(super) async fn inventory(State(api): State<Api>) -> Response {
    json(&Inventory::of(&api))
}

/// The payment page of a payment that does not exist: it looks like any other, and its card fields have no ticket.
pub(super) async fn specimen(State(api): State<Api>) -> Response {
    let fields = format!("{}/v1/fields", api.settings().fields_origin);
    let shown =
        CheckoutView::specimen().and_then(|view| page::shown(&api, &view, SPECIMEN, Some(&fields)));
    shown.unwrap_or_else(|error| Note::of(&error).answer(&api))
}
