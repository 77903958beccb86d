//! The page with the card fields, which a checkout page or a merchant's page holds in a frame.
//!
//! Its ticket decides who may hold it. Of the address only the ticket is read here; the `style` parameter is for the page's
//! script alone, which takes known values from it and nothing else.

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use coffer_core::Mode;
use data_encoding::BASE64;

use super::{
    Finished, TicketQuery,
    assets::Assets,
    problem::{Code, Problem},
    verify,
};
use crate::{
    Vault,
    intake::{Ticket, TicketFault},
};

#[derive(Template)]
#[template(path = "fields.html")]
struct FieldsPage<'a> {
    origin: &'a str,
    mode: Mode,
    ticket: &'a str,
    nonce: &'a str,
    js: &'a str,
    js_integrity: &'a str,
    css: &'a str,
    css_integrity: &'a str,
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    message: &'a str,
    nonce: &'a str,
    css: &'a str,
    css_integrity: &'a str,
}

/// The card fields for a ticket, or a text that says why there are none.
pub(super) async fn fields_page(
    State(vault): State<Vault>,
    query: Result<Query<TicketQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let text = query.ok().and_then(|Query(query)| query.ticket);
    let text = text.unwrap_or_default();
    let assets = &vault.parts.fields.assets;
    match verify(&vault, &text) {
        Ok(ticket) => form(&ticket, &text, assets),
        Err(fault) => refused(fault, assets),
    }
}

fn form(ticket: &Ticket, text: &str, assets: &Assets) -> Result<Response, Problem> {
    let nonce = nonce()?;
    let page = made(ticket, text, assets, &nonce).map_err(|error| failed(&error))?;
    answer(StatusCode::OK, page.html, &page.policy)
}

/// The page with the card fields, before it is an answer.
pub(super) struct Made {
    pub(super) html: String,
    pub(super) policy: String,
}

pub(super) fn made(
    ticket: &Ticket,
    text: &str,
    assets: &Assets,
    nonce: &str,
) -> askama::Result<Made> {
    let page = FieldsPage {
        origin: &ticket.origin,
        mode: ticket.place.mode,
        ticket: text,
        nonce,
        js: assets.script.path(),
        js_integrity: assets.script.integrity(),
        css: assets.style.path(),
        css_integrity: assets.style.integrity(),
    };
    // A ticket's origin was checked to have no character that means something here.
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src 'none'; \
         form-action 'none'; base-uri 'none'; frame-ancestors {}; require-trusted-types-for 'script'; \
         trusted-types 'none'; report-uri /v1/reports; report-to csp",
        ticket.origin
    );
    Ok(Made {
        html: page.render()?,
        policy,
    })
}

/// A frame that cannot be shown says so where it would be. Whose ticket it is cannot be known, so every page may hold this
/// text, which has nothing to click and tells nothing.
fn refused(fault: TicketFault, assets: &Assets) -> Result<Response, Problem> {
    let nonce = nonce()?;
    let page = RefusedPage {
        message: match fault {
            TicketFault::Invalid => "These card fields cannot be shown. Load the page again.",
            TicketFault::Expired => "This form was open for too long. Load the page again.",
        },
        nonce: &nonce,
        css: assets.style.path(),
        css_integrity: assets.style.integrity(),
    };
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'none'; base-uri 'none'; frame-ancestors *"
    );
    let html = page.render().map_err(|error| failed(&error))?;
    answer(StatusCode::FORBIDDEN, html, &policy)
}

/// What an answer of this page has beside its policy and what every answer has.
///
/// A page that is cross-origin isolated holds only frames that say both of the latter: whoever may hold this one is
/// `frame-ancestors`' matter, and what it loads itself is all from here (HTML, 7.1.4).
pub(super) static HEADERS: [(HeaderName, &str); 3] = [
    // Which endpoint `report-to` means (Reporting API); older browsers use `report-uri`.
    (
        HeaderName::from_static("reporting-endpoints"),
        "csp=\"/v1/reports\"",
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        "require-corp",
    ),
    (super::RESOURCE_POLICY, "cross-origin"),
];

fn answer(status: StatusCode, html: String, policy: &str) -> Result<Response, Problem> {
    let policy = HeaderValue::from_str(policy).map_err(|error| failed(&error))?;
    let own = HEADERS
        .each_ref()
        .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    let mut response = (status, policy, own, Html(html)).into_response();
    response.extensions_mut().insert(Finished);
    Ok(response)
}

fn nonce() -> Result<String, Problem> {
    let bytes = coffer_crypto::random::<16>().map_err(|error| failed(&error))?;
    Ok(BASE64.encode(&bytes))
}

fn failed(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "the fields page could not be made");
    Problem::new(Code::InternalError)
}
