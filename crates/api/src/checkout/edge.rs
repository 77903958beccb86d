//! What happens to every request and answer of the face: an id of our own making, a page instead of a panic, a bound on
//! the body, the count of the route, the headers.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use coffer_net::{face::Fault, request_id};
use futures_util::FutureExt as _;
use http::HeaderValue;
use http_body_util::Limited;
use tracing::Instrument as _;

use super::{ROUTES, headers, page::Note};
use crate::{Api, layers::REQUEST_ID};

/// The largest body of the face: a report.
pub(super) const BODY_MAX: usize = 16 * 1024;

/// The routes with what stands around all of them, and around what is no route.
pub(super) fn around(routes: Router, api: &Api) -> Router {
    routes.layer(from_fn_with_state(api.clone(), pass))
}

async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let (began, settings) = (Instant::now(), api.settings());
    let id = settings.clock.id();
    request.extensions_mut().insert(id);
    let route = route_of(&request);
    let span = tracing::info_span!("request", request.id = %id);
    let fault = request.extensions().get::<Fault>().copied();
    let request = request.map(|body| Body::new(Limited::new(body, BODY_MAX)));
    let work = async {
        match fault {
            None => next.run(request).await,
            Some(fault) => Note::of_fault(fault).answer(&api),
        }
    };
    let work = request_id::scope(id, work).instrument(span.clone());
    let mut response = AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            // Not its message: it may repeat a value.
            span.in_scope(|| tracing::error!("a request's handler panicked"));
            Note::DEFECT.answer(&api)
        });
    headers::complete(response.headers_mut());
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(route) = route {
        let status = response.status().as_u16();
        settings.metrics.observe(route, status, began.elapsed());
    }
    response
}

/// The word that counts the request, from our own table: never the path, which holds a secret.
fn route_of(request: &Request) -> Option<&'static str> {
    let matched = request.extensions().get::<MatchedPath>()?;
    let row = ROUTES.iter().find(|(_, path, _)| *path == matched.as_str());
    row.map(|(route, ..)| *route)
}
