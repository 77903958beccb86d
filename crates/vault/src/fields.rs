//! The fields face: where a payer's browser deposits a card. Its own origin, one thing to do, no cookies, no CORS.
//!
//! A deposit needs a ticket and nothing else, and what was entered is never echoed, not even in an error.

mod body;
mod problem;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Extension, Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use coffer_core::id::RequestId;
use coffer_net::{face::ConnectionInfo, request_id, task};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Vault,
    deposit::{Deposit, DepositFault, Deposited},
    fields::problem::{Code, Problem},
    intake::{Ticket, TicketFault},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("coffer-request-id");
const TICKET: HeaderName = HeaderName::from_static("coffer-intake");
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing here loads anything; the error pages are plain text in HTML.
const CSP: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Vault {
    /// The fields face, to be served over HTTPS on an origin of its own.
    pub fn fields(&self) -> Router {
        Router::new()
            .route("/v1/tokens", post(token_create))
            .route("/docs/errors/{code}", get(error_page))
            .fallback(|| async { Problem::new(Code::NotFound) })
            .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
            .layer(middleware::from_fn_with_state(self.clone(), edge))
            .with_state(self.clone())
    }
}

#[derive(Deserialize)]
struct TicketQuery {
    ticket: Option<String>,
}

async fn token_create(
    State(vault): State<Vault>,
    Query(query): Query<TicketQuery>,
    connection: Option<Extension<ConnectionInfo>>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    check_origin(headers, &vault.parts.fields_origin)?;
    body::check_type(headers)?;
    let ticket = ticket(&vault, headers, query)?;
    let read = tokio::time::timeout(BODY_TIMEOUT, body::read(request.into_body())).await;
    let bytes = read.map_err(|_| Problem::new(Code::RequestTimeout))??;
    let mut deposit = body::parse(&bytes, vault.parts.clock.now())?;
    deposit.address = connection.map(|Extension(connection)| connection.peer.ip());
    drop(bytes);
    let deposited = deposit_in_task(vault, ticket, deposit).await?;
    Ok((StatusCode::CREATED, Json(view(&deposited))).into_response())
}

/// In a task of its own: the browser may hang up, a deposit that was begun is finished.
async fn deposit_in_task(
    vault: Vault,
    ticket: Ticket,
    deposit: Deposit,
) -> Result<Deposited, Problem> {
    let work = task::spawn("deposit", async move {
        Box::pin(vault.deposit(ticket, deposit)).await
    });
    match work.await {
        Ok(done) => done.map_err(Problem::from),
        Err(_) => Err(Problem::new(Code::InternalError)),
    }
}

/// A browser names the origin of the page; only our own page in the frame may deposit.
fn check_origin(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    if headers
        .get_all(header::ORIGIN)
        .iter()
        .all(|origin| origin.as_bytes() == own.as_bytes())
    {
        Ok(())
    } else {
        Err(Problem::new(Code::OriginNotAllowed))
    }
}

fn ticket(vault: &Vault, headers: &HeaderMap, query: TicketQuery) -> Result<Ticket, Problem> {
    let given = headers
        .get(TICKET)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let text = given.or(query.ticket).unwrap_or_default();
    Ticket::verify(
        &vault.parts.service_keys.intake,
        &text,
        vault.parts.clock.now(),
    )
    .map_err(|fault| match fault {
        TicketFault::Invalid => Problem::new(Code::TicketInvalid),
        TicketFault::Expired => Problem::new(Code::TicketExpired),
    })
}

/// What the page gets: nothing that the merchant may not know.
fn view(deposited: &Deposited) -> serde_json::Value {
    let Deposited {
        token,
        mode,
        card,
        expires,
    } = deposited;
    json!({
        "id": token, "type": "token", "mode": mode,
        "card": {
            "brand": card.brand, "last4": card.last4, "exp_month": card.expiry.month(), "exp_year": card.expiry.year(),
        },
        "expires": expires.to_string(),
    })
}

impl From<DepositFault> for Problem {
    fn from(fault: DepositFault) -> Self {
        match fault {
            DepositFault::TicketUsed => Self::new(Code::TicketUsed),
            DepositFault::Unavailable(error) => {
                tracing::warn!(%error, "a card could not be taken");
                Self::new(Code::Unavailable)
            }
            DepositFault::Failed(error) => {
                tracing::error!(%error, "taking a card failed");
                Self::new(Code::InternalError)
            }
        }
    }
}

async fn error_page(Path(code): Path<String>) -> Result<Response, Problem> {
    let code: Code = code.parse().map_err(|_| Problem::new(Code::NotFound))?;
    Ok(axum::response::Html(problem::page(code)).into_response())
}

/// What holds for every request and answer of this face: an id, the security headers, and errors in their public form.
async fn edge(State(vault): State<Vault>, request: Request, next: Next) -> Response {
    let id: RequestId = vault.parts.clock.id();
    let mut response = request_id::scope(id, next.run(request)).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(&vault.parts.fields_origin, id);
        allow.map(|allow| response.headers_mut().insert(header::ALLOW, allow));
    } else if response.status().is_client_error() || response.status().is_server_error() {
        // An answer of the framework's own, such as one about a query that cannot be read.
        response = Problem::new(Code::RequestMalformed).render(&vault.parts.fields_origin, id);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CSP),
    );
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    response
}
