//! Role api: its public faces over the engine, the only public JSON and HTML.
//!
//! There is one table of routes (`routes/table.rs`). A request passes the layers (`layers.rs`), then its route's gate
//! (`gate.rs`: key, permission, parameters, body, idempotency), then a handler, which makes one engine call and a view.
//! No SQL and no card number here.

mod account;
mod alerts;
mod answer;
mod api_keys;
mod audit_records;
mod auth;
mod blocks;
mod call;
mod card_numbers;
mod cards;
mod checkout;
mod csv;
mod customers;
mod documents;
mod events;
mod face;
mod fields;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod intakes;
mod jose;
mod layers;
mod oauth;
mod openapi;
mod overheard;
mod payments;
mod permissions;
mod ping;
pub mod problems;
mod query;
mod rates;
mod refunds;
mod room;
pub mod routes;
mod shape;
mod signatures;
mod signing_keys;
mod usage;
mod views;
mod webhooks;

use std::sync::{Arc, OnceLock};

use axum::Router;
use bytes::Bytes;
use checkout::Assets;
use coffer_engine::Engine;
use coffer_net::{
    Clock,
    face::Application,
    metrics::{RequestMetrics, SharedRegistry},
    outbound::Outbound,
    page::{PageName, Reports},
};
use face::ApiFace;
use room::Room;

pub use audit_records::{ExportFormat, export};
pub use openapi::openapi;
pub use permissions::permissions;
pub use problems::page::error_pages;
pub use views::{RENDER, api_key_json, api_key_uses_json, signing_key_json, usage_json};

/// What the faces need to know.
#[derive(Clone)]
pub struct Settings {
    /// Where the API answers, as callers spell it: `https://localhost:8443`.
    pub api_origin: String,
    /// Where payers pay: `https://pay.…`.
    pub checkout_origin: String,
    /// Where card fields come from: `https://fields.…`, the vault's own face.
    pub fields_origin: String,
    /// The development profile; every page names it.
    pub development: bool,
    /// What time it is, for the ids of requests.
    pub clock: Clock,
    /// Where requests are counted.
    pub metrics: RequestMetrics,
    /// The way on which the payment page is looked at from outside, as payers do.
    pub outside: Outbound,
}

/// The public faces of role api. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

struct Parts {
    engine: Engine,
    settings: Settings,
    /// Made when somebody asks for it: that takes more memory than all else here, and few ever do.
    openapi: OnceLock<Bytes>,
    assets: Assets,
    reports: Reports,
    room: Room,
}

impl Api {
    /// The faces of this engine.
    #[must_use]
    pub fn new(engine: Engine, settings: Settings) -> Self {
        Self(Arc::new(Parts {
            engine,
            settings,
            openapi: OnceLock::new(),
            assets: Assets::new(),
            reports: Reports::new(PageName::Checkout),
            room: Room::default(),
        }))
    }

    /// The API face, complete with its layers.
    pub fn face(&self) -> impl Application + use<> {
        ApiFace::new(self.clone())
    }

    /// The checkout face, complete as well.
    pub fn checkout(&self) -> Router {
        checkout::router(self)
    }

    /// Shows what the faces count themselves at the process's `/metrics`.
    pub fn register_metrics(&self, registry: &SharedRegistry) {
        self.0.reports.register(registry);
    }

    fn room(&self) -> &Room {
        &self.0.room
    }

    fn reports(&self) -> &Reports {
        &self.0.reports
    }

    fn assets(&self) -> &Assets {
        &self.0.assets
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }
}
