//! The API's parsers of foreign bytes, for the fuzz targets (`crates/fuzz`): one line for each, and nothing else.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header::CONTENT_TYPE};
use serde_json::{Map, Value};

use crate::{
    account::AccountChangeRequest,
    auth, card_numbers,
    cards::NewCardRequest,
    checkout,
    customers::{CustomerChangeRequest, NewCustomerRequest},
    fields::{Fields, Request},
    gate::{self, client},
    intakes::NewIntakeRequest,
    payments::{CaptureRequest, NewPaymentRequest},
    query::{self, Query},
    refunds::NewRefundRequest,
    routes, signatures,
    signing_keys::{NewSigningKeyRequest, SigningKeyRotateRequest},
    webhooks::{NewWebhookEndpointRequest, WebhookEndpointChangeRequest},
};

/// A body that a route accepts: what was in it, and the fields that the route knows.
pub type Accepted = (Map<String, Value>, Vec<String>);

/// A reader of one route's bodies.
type Reader = fn(Fields) -> Option<Accepted>;

const READERS: &[Reader] = &[
    accepted::<NewPaymentRequest>,
    accepted::<CaptureRequest>,
    accepted::<NewRefundRequest>,
    accepted::<NewCustomerRequest>,
    accepted::<CustomerChangeRequest>,
    accepted::<NewCardRequest>,
    accepted::<NewIntakeRequest>,
    accepted::<NewWebhookEndpointRequest>,
    accepted::<WebhookEndpointChangeRequest>,
    accepted::<AccountChangeRequest>,
    accepted::<NewSigningKeyRequest>,
    accepted::<SigningKeyRotateRequest>,
];

fn accepted<T: Request>(fields: Fields) -> Option<Accepted> {
    let known = T::object().properties.keys().cloned().collect();
    T::read(fields.clone()).ok().map(|_| (fields, known))
}

/// Reads a body as the gate does, then as each route that takes one.
#[must_use]
pub fn bodies(body: &[u8]) -> Vec<Accepted> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let row = routes::routes().iter().find(|row| row.request().is_some());
    let fields =
        row.and_then(|row| gate::read_fields(row, &headers, &Bytes::copy_from_slice(body)).ok());
    let readers = fields
        .iter()
        .flat_map(|fields| READERS.iter().filter_map(|read| read(fields.clone())));
    readers.collect()
}

/// The parameters of a form, as the endpoints of OAuth read it.
#[must_use]
pub fn form(body: &[u8]) -> Map<String, Value> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(client::FORM));
    client::read_form(&headers, &Bytes::copy_from_slice(body)).unwrap_or_default()
}

/// The token in the body that the checkout page sends.
#[must_use]
pub fn checkout_token(body: &[u8]) -> Option<String> {
    checkout::card::token(body)
        .ok()
        .map(|token| token.to_string())
}

/// The parameters of an address that may be asked for, as the list of payments reads them.
#[must_use]
pub fn address(uri: &Uri) -> Option<bool> {
    query::check_address(uri).ok()?;
    let query = Query::read(uri, query::PAYMENTS).ok()?;
    Some(query.page().is_ok() && query::time(&query, "created_after").is_ok())
}

/// The key that these headers present.
#[must_use]
pub fn presented_key(headers: &HeaderMap) -> Option<String> {
    auth::presented(headers).ok().map(|key| key.to_string())
}

/// Whether these headers have an idempotency key that may be used.
#[must_use]
pub fn idempotency_key(headers: &HeaderMap) -> bool {
    matches!(gate::idempotency_key(headers), Ok(Some(_)))
}

/// Whether a text that stands where only an id may stand is let through.
#[must_use]
pub fn id_or_no_card_number(text: &str) -> bool {
    !card_numbers::in_path(text)
}

/// What a request says of its signature, and covers: the components, the nonce, and both as the signature base spells them.
#[must_use]
pub fn signature(headers: &HeaderMap) -> Option<(Vec<String>, String, String)> {
    let claim = signatures::Claim::read(headers).ok()?;
    Some((claim.components, claim.nonce, claim.params))
}

/// Whether the header is a digest of this body.
#[must_use]
pub fn content_digest(headers: &HeaderMap, body: &[u8]) -> bool {
    signatures::is_digest(headers, body)
}
