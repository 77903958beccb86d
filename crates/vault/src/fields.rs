//! The fields face: where a payer's browser gets the card fields and deposits a card. Its own origin, one thing to do, no
//! cookies, no CORS.
//!
//! A deposit needs a ticket and nothing else, and what was entered is never echoed, not even in an error.

mod assets;
pub(crate) mod body;
mod page;
mod problem;
mod reports;
mod watch;

use std::sync::Mutex;

use axum::{
    Json, Router,
    body::HttpBody as _,
    extract::{Extension, Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use coffer_net::{
    face::{Confidential, ConnectionInfo, Fault},
    metrics::SharedRegistry,
    page::{Difference, PageName, Reports},
    request_id, task,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Vault,
    deposit::{Deposit, DepositFault, Deposited},
    fields::{
        assets::Assets,
        problem::{Code, Problem},
    },
    intake::{Ticket, TicketFault},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("coffer-request-id");
const TICKET: HeaderName = HeaderName::from_static("coffer-intake");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// The longest body of a deposit.
const DEPOSIT_MAX: usize = 8 * 1024;

/// What every answer carries unless it has its own. Nothing but the fields page loads anything or may be in a frame.
static HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (RESOURCE_POLICY, "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), autoplay=(), bluetooth=(), browsing-topics=(), camera=(), clipboard-read=(), \
         clipboard-write=(), display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), \
         gyroscope=(), hid=(), identity-credentials-get=(), idle-detection=(), local-fonts=(), magnetometer=(), \
         microphone=(), midi=(), otp-credentials=(), payment=(), picture-in-picture=(), \
         publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), \
         storage-access=(), usb=(), web-share=(), window-management=(), xr-spatial-tracking=()",
    ),
];

/// What this face keeps in memory.
pub(crate) struct Fields {
    assets: Assets,
    reports: Reports,
    /// In what the page that payers get differed when it was looked at last.
    differences: Mutex<Vec<Difference>>,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self {
            assets: Assets::new(),
            reports: Reports::new(PageName::Fields),
            differences: Mutex::default(),
        }
    }
}

impl Vault {
    /// The fields face, to be served over HTTPS on an origin of its own.
    pub fn fields(&self) -> Router {
        Router::new()
            .route("/v1/fields", get(page::fields_page))
            .route("/v1/tokens", post(token_create))
            .route("/v1/reports", post(reports::report_create))
            .route("/assets/{file}", get(assets::asset))
            .route("/.well-known/payment-fields.json", get(assets::inventory))
            .route("/docs/errors/{code}", get(error_page))
            .fallback(|| async { Problem::new(Code::NotFound) })
            .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
            .layer(middleware::from_fn_with_state(self.clone(), edge))
            .with_state(self.clone())
    }

    /// Shows what the vault counts at the process's `/metrics`.
    pub fn register_metrics(&self, registry: &SharedRegistry) {
        self.parts.fields.reports.register(registry);
    }
}

/// Marks an answer with an error's status that has its public form already.
#[derive(Clone, Copy)]
struct Finished;

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
    let bytes = body::read(request.into_body(), DEPOSIT_MAX).await?;
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
    verify(vault, &text).map_err(|fault| match fault {
        TicketFault::Invalid => Problem::new(Code::TicketInvalid),
        TicketFault::Expired => Problem::new(Code::TicketExpired),
    })
}

fn verify(vault: &Vault, text: &str) -> Result<Ticket, TicketFault> {
    let (key, now) = (&vault.parts.service_keys.intake, vault.parts.clock.now());
    Ticket::verify(key, text, now)
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
            DepositFault::TriesExceeded => Self::new(Code::TicketTriesExceeded),
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
    let id = vault.parts.clock.id();
    let has_body = !request.body().is_end_stream();
    let work = async {
        match request.extensions().get::<Fault>() {
            Some(fault) => Problem::new(Code::from(*fault)).into_response(),
            None => next.run(request).await,
        }
    };
    let mut response = request_id::scope(id, work).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(&vault.parts.fields_origin, id);
        allow.map(|allow| response.headers_mut().insert(header::ALLOW, allow));
    } else if is_frameworks_own(&response) {
        response = Problem::new(Code::RequestMalformed).render(&vault.parts.fields_origin, id);
    }
    if has_body {
        // It may hold a card, wherever it was sent and whatever is answered, and is not to stay in the connection's buffers.
        response.extensions_mut().insert(Confidential);
    }
    let headers = response.headers_mut();
    for (name, value) in &HEADERS {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// Whether the framework refused the request itself, such as for a query that cannot be read.
fn is_frameworks_own(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response.extensions().get::<Finished>().is_none()
}
