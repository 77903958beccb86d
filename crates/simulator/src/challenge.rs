//! The page where a payer approves or rejects a challenged authorization, as a bank's own page would ask. It runs no
//! script and knows nothing but the amount, the brand and the last four digits. Whoever knows the id may decide.

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    http::{HeaderName, HeaderValue, header},
    middleware,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use coffer_core::Money;
use serde::Deserialize;

use crate::{Error, Simulator, ledger::Decision, operation::Status, store::Entry};

const STYLE: &str = include_str!("../assets/challenge.css");

/// Browsers hold every redirect that follows a form to `form-action`, and the way back to the shop is such a chain, over
/// hosts that this page does not know; in development a shop may be plain HTTP on this machine.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; \
    form-action 'self' https: http://localhost:* http://127.0.0.1:*; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: &[(HeaderName, &str)] = &[
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

pub(crate) fn routes(simulator: &Simulator) -> Router {
    Router::new()
        .route("/challenge/{id}", get(show).post(decide))
        .route("/challenge.css", get(style))
        .with_state(simulator.clone())
}

/// Sets the security headers on every answer of the router.
pub(crate) fn with_page_headers(router: Router) -> Router {
    router.layer(middleware::map_response(
        |mut response: Response| async move {
            for (name, value) in HEADERS {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            response
        },
    ))
}

#[derive(Template)]
#[template(path = "challenge.html")]
struct ChallengePage<'a> {
    id: &'a str,
    amount: String,
    card: String,
}

#[derive(Template)]
#[template(path = "decided.html")]
struct DecidedPage {
    approved: bool,
}

#[derive(Deserialize)]
struct DecisionForm {
    decision: String,
}

async fn show(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
) -> Result<Html<String>, Error> {
    let entry = simulator.challenged(&id).await?;
    let page = match entry.status {
        Status::Challenge => challenge_page(&entry)?.render(),
        Status::Approved => DecidedPage { approved: true }.render(),
        Status::Declined | Status::Succeeded | Status::Failed => {
            DecidedPage { approved: false }.render()
        }
    };
    page.map(Html)
        .map_err(|error| Error::Defect(error.to_string()))
}

fn challenge_page(entry: &Entry) -> Result<ChallengePage<'_>, Error> {
    let brand = entry.brand.as_str().replace('_', " ");
    Ok(ChallengePage {
        id: &entry.id,
        amount: Money::new(entry.amount, entry.currency)?.to_string(),
        card: format!("{brand} card ending in {}", entry.last4),
    })
}

async fn decide(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
    Form(form): Form<DecisionForm>,
) -> Result<Redirect, Error> {
    let decision = match form.decision.as_str() {
        "approve" => Decision::Approve,
        "reject" => Decision::Reject,
        _ => return Err(Error::NotFound),
    };
    let entry = simulator.decide(&id, decision).await?;
    let next = entry
        .return_url
        .unwrap_or_else(|| format!("/challenge/{}", entry.id));
    Ok(Redirect::to(&next))
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}
