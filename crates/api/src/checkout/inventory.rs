//! What the payment page is made of, published: every script and style with its hash and the reason for it, and the
//! headers that the page must have (PCI DSS 6.4.3). A specimen of the page shows it to whoever wants to compare.

use axum::{extract::State, response::Response};
use coffer_core::{Mode, Money, id::PaymentId, payment::PaymentStatus};
use coffer_engine::{CheckoutView, Error};
use serde::{Deserialize, Serialize};

use super::{
    assets::Asset,
    headers, json,
    page::{self, Note},
};
use crate::Api;

/// Where the inventory is.
pub(super) const PATH: &str = "/.well-known/payment-page.json";
/// Where the specimen is.
pub(super) const SPECIMEN: &str = "/c/specimen";
/// Stands for what is new in every page.
pub(super) const ANY_NONCE: &str = "{nonce}";

/// One file of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Its address on this face.
    pub(super) path: String,
    /// Its hash.
    pub(super) integrity: String,
    /// Why it is there.
    reason: String,
}

/// One frame of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Framed {
    origin: String,
    reason: &'static str,
    /// Where its own scripts are listed.
    inventory: String,
}

/// One header of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Header {
    /// Its name.
    pub(super) name: String,
    /// Its whole value.
    pub(super) value: String,
}

/// All that the page is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Inventory {
    page: &'static str,
    specimen: &'static str,
    /// The page's scripts.
    pub(super) scripts: Vec<Listed>,
    /// The page's styles.
    pub(super) styles: Vec<Listed>,
    /// The frames in it.
    pub(super) frames: Vec<Framed>,
    /// Scripts for other pages; the payment page loads none of them.
    pub(super) merchant_scripts: Vec<Listed>,
    /// The headers that the page must have.
    pub(super) headers: Vec<Header>,
}

impl Inventory {
    /// That of this program.
    pub(super) fn of(api: &Api) -> Self {
        let (assets, fields) = (api.assets(), &api.settings().fields_origin);
        let policy = headers::page_policy(ANY_NONCE, fields);
        let always = headers::ALWAYS.iter().map(|(name, value)| Header {
            name: (*name).to_owned(),
            value: if *name == headers::POLICY {
                policy.clone()
            } else {
                (*value).to_owned()
            },
        });
        Self {
            page: "/c/{payment}/{secret}",
            specimen: SPECIMEN,
            scripts: vec![listed(&assets.js)],
            styles: vec![listed(&assets.css)],
            frames: vec![Framed {
                origin: fields.clone(),
                reason: "The card inputs, served by the vault: neither this page nor the shop sees the number.",
                inventory: format!("{fields}/.well-known/payment-fields.json"),
            }],
            merchant_scripts: vec![listed(&assets.coffer_js)],
            headers: always.collect(),
        }
    }
}

fn listed(asset: &Asset) -> Listed {
    Listed {
        path: asset.path.clone(),
        integrity: asset.integrity.clone(),
        reason: asset.reason.to_owned(),
    }
}

/// The inventory, for anyone.
pub(super) async fn inventory(State(api): State<Api>) -> Response {
    json(&Inventory::of(&api))
}

/// The payment page of a payment that does not exist: it looks like any other, and its card fields have no ticket.
pub(super) async fn specimen(State(api): State<Api>) -> Response {
    let made = || {
        let currency = "EUR".parse().map_err(|_| Error::Defect)?;
        let view = CheckoutView {
            payment: PaymentId::from_bytes([0; 16]),
            mode: Mode::Test,
            merchant: "Specimen".to_owned(),
            money: Money::new(1999, currency).map_err(|_| Error::Defect)?,
            description: None,
            status: PaymentStatus::RequiresCard,
            card: None,
            last_try: None,
            attempts_left: 1,
            return_url: None,
            challenge_url: None,
            expires: None,
        };
        let fields = format!("{}/v1/fields", api.settings().fields_origin);
        page::shown(&api, &view, SPECIMEN, Some(&fields))
    };
    made().unwrap_or_else(|error| Note::of(&error).answer(&api))
}
