//! The provider's protocol: JSON for the vault and for tests, behind one credential.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use coffer_core::{
    Currency, Malformed, Money, brand::Brand, card::Last4, decline::DeclineReason,
    money::AMOUNT_MAX,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Error, Simulator, Switch,
    card::Card,
    ledger::{AuthorizeOrder, FollowUpOrder, LEDGER_PAGE_MAX, RequestKey},
    misbehave::Plan,
    operation::{Operation, Status},
    store::Entry,
    url::WebUrl,
};

/// The largest request body.
const BODY_MAX: usize = 8 * 1024;

/// Every route of the protocol, each behind the credential.
pub(crate) fn routes(simulator: &Simulator) -> Router {
    Router::new()
        .route("/v1/authorizations", post(authorize))
        .route("/v1/authorizations/{id}/{operation}", post(follow_up))
        .route("/v1/operations/{idempotency_key}", get(look_up))
        .route("/v1/ledger", get(ledger))
        .route("/v1/switches", post(switch))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(
            simulator.clone(),
            authenticated,
        ))
        .with_state(simulator.clone())
}

async fn authenticated(
    State(simulator): State<Simulator>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let header = request.headers().get(header::AUTHORIZATION);
    let token = header.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    simulator.authenticate(token.ok_or(Error::Unauthenticated)?)?;
    Ok(next.run(request).await)
}

#[derive(Deserialize)]
struct AuthorizeMessage {
    amount: i64,
    currency: Currency,
    card: Card,
    #[serde(default)]
    return_url: Option<WebUrl>,
    #[serde(default)]
    notify: Option<WebUrl>,
}

async fn authorize(
    State(simulator): State<Simulator>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    let request = request_key(&simulator, &uri, &headers, &body)?;
    let message: AuthorizeMessage = parse(&body)?;
    let order = AuthorizeOrder {
        money: Money::new(message.amount, message.currency)?,
        card: message.card,
        return_url: message.return_url,
        notify_url: message.notify,
    };
    let plan = Plan::next(&simulator, Operation::Authorize)?;
    let done = simulator.authorize(&request, order, plan.notices()).await?;
    let answer = Answer::first(&simulator, &done.entry);
    Ok(plan.answer(&simulator, &done, Json(answer)).await)
}

#[derive(Default, Deserialize)]
struct FollowUpMessage {
    #[serde(default)]
    amount: Option<i64>,
}

async fn follow_up(
    State(simulator): State<Simulator>,
    Path((authorization_id, operation)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    let operation = follow_up_operation(&operation)?;
    let request = request_key(&simulator, &uri, &headers, &body)?;
    let order = FollowUpOrder {
        authorization_id,
        operation,
        amount: follow_up_amount(operation, &body)?,
    };
    let plan = Plan::next(&simulator, operation)?;
    let done = simulator
        .follow_up(&request, &order, plan.notices())
        .await?;
    let answer = Answer::first(&simulator, &done.entry);
    Ok(plan.answer(&simulator, &done, Json(answer)).await)
}

fn follow_up_operation(word: &str) -> Result<Operation, Error> {
    match word.parse().map_err(|_| Error::NotFound)? {
        Operation::Authorize => Err(Error::NotFound),
        operation @ (Operation::Capture | Operation::Void | Operation::Refund) => Ok(operation),
    }
}

/// A void needs no amount, nor a body.
fn follow_up_amount(operation: Operation, body: &[u8]) -> Result<Option<i64>, Error> {
    let message = if body.is_empty() {
        FollowUpMessage::default()
    } else {
        parse(body)?
    };
    let fits = match message.amount {
        Some(amount) => (1..=AMOUNT_MAX).contains(&amount),
        None => operation == Operation::Void,
    };
    fits.then_some(message.amount)
        .ok_or(Error::Malformed(Malformed {
            expected: "an amount in minor units between 1 and 999999999999",
        }))
}

/// How an operation stands now, and what was answered at first.
#[derive(Serialize)]
struct LookUpAnswer {
    #[serde(flatten)]
    current: Answer,
    idempotency_key: String,
    operation: Operation,
    amount: i64,
    currency: Currency,
    answered: Answer,
}

async fn look_up(
    State(simulator): State<Simulator>,
    Path(idempotency_key): Path<String>,
) -> Result<Json<LookUpAnswer>, Error> {
    let entry = simulator
        .operation_of(&idempotency_key)
        .await?
        .ok_or(Error::NotFound)?;
    Ok(Json(LookUpAnswer {
        current: Answer::current(&simulator, &entry),
        answered: Answer::first(&simulator, &entry),
        operation: entry.operation,
        amount: entry.amount,
        currency: entry.currency,
        idempotency_key: entry.idempotency_key,
    }))
}

#[derive(Deserialize)]
struct LedgerQuery {
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct LedgerAnswer {
    operations: Vec<LedgerLine>,
    has_more: bool,
}

#[derive(Serialize)]
struct LedgerLine {
    id: String,
    authorization_id: String,
    idempotency_key: String,
    operation: Operation,
    amount: i64,
    currency: Currency,
    status: Status,
    decline_code: Option<DeclineReason>,
    brand: Brand,
    last4: Last4,
    created: String,
    updated: String,
}

async fn ledger(
    State(simulator): State<Simulator>,
    Query(query): Query<LedgerQuery>,
) -> Result<Json<LedgerAnswer>, Error> {
    let limit = query
        .limit
        .unwrap_or(LEDGER_PAGE_MAX)
        .clamp(1, LEDGER_PAGE_MAX);
    let mut entries = simulator
        .ledger(&query.after, limit.saturating_add(1))
        .await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = entries.len() > wanted;
    entries.truncate(wanted);
    let operations = entries.into_iter().map(LedgerLine::from).collect();
    Ok(Json(LedgerAnswer {
        operations,
        has_more,
    }))
}

impl From<Entry> for LedgerLine {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            authorization_id: entry.authorization_id,
            idempotency_key: entry.idempotency_key,
            operation: entry.operation,
            amount: entry.amount,
            currency: entry.currency,
            status: entry.status,
            decline_code: entry.decline_code,
            brand: entry.brand,
            last4: entry.last4,
            created: entry.created.to_string(),
            updated: entry.updated.to_string(),
        }
    }
}

async fn switch(State(simulator): State<Simulator>, body: Bytes) -> Result<StatusCode, Error> {
    let switch: Switch = parse(&body)?;
    simulator.settings().switches.set(switch)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a charge is answered with.
#[derive(Serialize)]
struct Answer {
    id: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<DeclineReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge_url: Option<String>,
}

impl Answer {
    /// As it was answered at first, whatever happened since.
    fn first(simulator: &Simulator, entry: &Entry) -> Self {
        Self::with_status(simulator, entry, entry.answered_status)
    }

    /// As it stands now.
    fn current(simulator: &Simulator, entry: &Entry) -> Self {
        Self::with_status(simulator, entry, entry.status)
    }

    fn with_status(simulator: &Simulator, entry: &Entry, status: Status) -> Self {
        let challenged = status == Status::Challenge;
        let public_url = &simulator.settings().public_url;
        Self {
            id: entry.id.clone(),
            status,
            decline_code: entry.decline_code.filter(|_| !challenged),
            challenge_url: challenged.then(|| format!("{public_url}/challenge/{}", entry.id)),
        }
    }
}

fn request_key(
    simulator: &Simulator,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<RequestKey, Error> {
    let key = headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok());
    // Exposed to key a MAC.
    let credential = simulator.settings().credential.expose();
    RequestKey::new(credential, key.unwrap_or_default(), uri.path(), body)
}

/// Reads a message. What is wrong with it is not said, because the parser's words may repeat a card number.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| {
        Error::Malformed(Malformed {
            expected: "the JSON of this request with valid values, as docs/testing.md describes it",
        })
    })
}
