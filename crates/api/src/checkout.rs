//! The checkout face: the pages on which payers pay, and the script that puts card fields on a merchant's own page.
//!
//! No cookies, nothing from third parties, and no card: what is typed goes from a frame of the vault's straight to the
//! vault. Whoever has the whole address of a page may pay there, and can do nothing else.

mod assets;
pub(crate) mod card;
mod edge;
mod headers;
mod inventory;
mod page;
mod reports;
mod watch;
mod words;

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::Response,
    routing::{MethodRouter, get, post},
};
use bytes::Bytes;
use coffer_core::id::{PaymentId, RequestId};
use coffer_engine::{CallOrigin, CheckoutView, Error, Payer};
use coffer_net::face::ConnectionInfo;
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use tokio::time::timeout;

pub(crate) use assets::Assets;
use page::Note;

use crate::{
    Api,
    problems::{Code, Problem, Stop},
};

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A route of the face, by the word that counts its requests.
type Route = (&'static str, &'static str, fn() -> MethodRouter<Api>);

const PAGE: &str = "GET /c/{payment}/{secret}";
const STATUS: &str = "GET /c/{payment}/{secret}/status";
const CARD: &str = "POST /c/{payment}/{secret}/card";

/// Every route.
const ROUTES: &[Route] = &[
    (PAGE, "/c/{payment}/{secret}", || get(show)),
    (STATUS, "/c/{payment}/{secret}/status", || get(status)),
    (CARD, "/c/{payment}/{secret}/card", || post(card::pay)),
    ("GET /c/specimen", inventory::SPECIMEN, || {
        get(inventory::specimen)
    }),
    ("GET /assets/{name}", "/assets/{name}", || {
        get(assets::asset)
    }),
    ("GET /coffer.js", "/coffer.js", || get(assets::coffer_js)),
    (
        "GET /.well-known/payment-page.json",
        inventory::PATH,
        || get(inventory::inventory),
    ),
    (reports::ROUTE, "/reports", || post(reports::report_create)),
    ("GET /robots.txt", "/robots.txt", || get(robots)),
];

/// The face, complete with what stands around every request of it.
pub(crate) fn router(api: &Api) -> Router {
    let routes = ROUTES
        .iter()
        .fold(Router::new(), |router, (_, path, make)| {
            router.route(path, make())
        });
    let routes = routes
        .fallback(async |State(api): State<Api>| Note::UNKNOWN.answer(&api))
        .method_not_allowed_fallback(async |State(api): State<Api>| Note::METHOD.answer(&api))
        .with_state(api.clone());
    edge::around(routes, api)
}

/// What stands in the path of a payment's page.
type Named = Path<(String, String)>;

/// The id of a request that has not passed the edge; there is none.
const NO_ID: RequestId = RequestId::from_bytes([0; 16]);

/// Where a request comes from. Taken from it before anything else, because a request cannot be shared between threads.
fn origin(request: &Request, route: &'static str) -> CallOrigin {
    let connection = request.extensions().get::<ConnectionInfo>();
    let nowhere = std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
    CallOrigin {
        request_id: request.extensions().get().copied().unwrap_or(NO_ID),
        address: connection.map_or(nowhere, |connection| connection.peer.ip()),
        route,
        tls_version: connection.map_or("", |connection| connection.tls_version),
    }
}

/// The payer who asks. A wrong secret is a missing payment, and who asks for many of them is somebody who guesses.
fn payer(api: &Api, payment: &str, secret: &str, origin: CallOrigin) -> Result<Payer, Error> {
    let named = payment.parse::<PaymentId>();
    let payer = named
        .map_err(|_| Error::NotFound { object: "payment" })
        .and_then(|named| api.engine().payer(named, secret, origin));
    if let Err(Error::NotFound { .. }) = payer {
        let address = origin.address;
        api.engine().note_miss(address, (payment, secret), false);
    }
    payer
}

/// The page of a payment, in whatever state it is.
async fn show(
    State(api): State<Api>,
    Path((payment, secret)): Named,
    request: Request,
) -> Response {
    let origin = origin(&request, PAGE);
    let found = async {
        let payer = payer(&api, &payment, &secret, origin)?;
        page::of(&api, &payer, &secret).await
    };
    found
        .await
        .unwrap_or_else(|error| Note::of(&error).answer(&api))
}

/// How a payment stands, for the page that waits for it.
async fn status(
    State(api): State<Api>,
    Path((payment, secret)): Named,
    request: Request,
) -> Response {
    let origin = origin(&request, STATUS);
    let id = origin.request_id;
    let found = async {
        let payer = payer(&api, &payment, &secret, origin)?;
        api.engine().checkout_view(&payer).await
    };
    match found.await {
        Ok(view) => standing(&view),
        Err(error) => refusal(&api, error, id),
    }
}

/// What the page's script learns: the status, and where the payer has to go now.
#[derive(Serialize)]
struct Standing<'a> {
    status: &'static str,
    next: Option<&'a str>,
}

fn standing(view: &CheckoutView) -> Response {
    json(&Standing {
        status: view.status.as_str(),
        next: view.challenge_url.as_deref(),
    })
}

fn json(view: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(serde_json::to_vec(view).unwrap_or_default()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The whole body, if it is not too large and arrives in time.
async fn read(body: Body, max: usize, advice: &'static str) -> Result<Bytes, Problem> {
    let collected = timeout(BODY_WITHIN, Limited::new(body, max).collect()).await;
    let collected = collected.map_err(|_| Problem::new(Code::RequestTimeout))?;
    let body = collected.map_err(|_| Problem::with_detail(Code::BodyTooLarge, advice))?;
    Ok(body.to_bytes())
}

/// A problem document, for what a script asked. There is no idempotency key here whose first answer could be repeated.
fn refusal(api: &Api, stop: impl Into<Stop>, id: RequestId) -> Response {
    let problem = match stop.into() {
        Stop::Problem(problem) => problem,
        Stop::Answered(_) => Problem::new(Code::Internal),
    };
    problem.answer(&api.settings().api_origin, id)
}

/// Nothing here is for a search engine.
async fn robots() -> Response {
    let mut response = Response::new(Body::from("User-agent: *\nDisallow: /\n"));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// As a page that a payer reads.
fn html(status: u16, page: String) -> Response {
    let mut response = Response::new(Body::from(page));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    if status == StatusCode::SERVICE_UNAVAILABLE.as_u16() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}
