//! The way into every route: key, signature, permission, parameters, body, idempotency, and only then the handler.
//!
//! What changes something runs in a task of its own: the client may hang up, the work may not.

pub(crate) mod client;
mod idempotency;

use std::time::{Duration, Instant};

use axum::{body::HttpBody as _, extract::Request, response::Response};
use bytes::Bytes;
use coffer_core::id::RequestId;
use coffer_engine::{Allowance, CallOrigin, Called, Caller, Passage, Recipient, Taken};
use coffer_net::task;
use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, ORIGIN},
};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::{
    Api,
    answer::{Answer, Outcome},
    auth,
    call::{Call, Incoming},
    card_numbers,
    fields::Fields,
    jose, layers, oauth,
    problems::{Code, Problem, Stop},
    query::Query,
    rates,
    room::Worth,
    routes::{AuditRule, Door, RouteRow, Work},
    signatures::{self, Head, Signed},
};

pub(crate) use idempotency::{IDEMPOTENCY_KEY, idempotency_key};

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long who exceeds a limit waits for the refusal, at least. Whoever does not heed it gets so few of them in a second that
/// nobody else notices, however many connections ask on.
const REFUSED_AFTER: Duration = Duration::from_millis(50);
/// Up to so many milliseconds longer: connections that ask together are not refused together, before everybody else.
const REFUSED_APART_MS: u8 = 32;

/// A request at the gate of its route.
pub(crate) struct Arrival<'r> {
    /// Where it comes from.
    pub(crate) from: CallOrigin,
    /// Its route.
    pub(crate) row: &'static RouteRow,
    /// The value of the `{…}` in the path, empty when the path has none.
    pub(crate) name: String,
    /// The rest. It stays where it is: each step that took it by value would keep a copy of it until the answer.
    pub(crate) request: &'r mut Request,
}

/// What is known of a request, whatever becomes of it.
#[derive(Default)]
struct Seen {
    caller: Option<Caller>,
    object: Option<String>,
    /// How long the body was.
    bytes_in: usize,
    standing: Option<Allowance>,
    /// It was too much.
    exceeds: bool,
    /// Whom the answer is to be encrypted to.
    recipient: Option<Recipient>,
    /// The answer was given before, to the first request with the same idempotency key.
    replayed: bool,
}

/// The answer, counted and recorded.
pub(crate) async fn pass(api: &Api, arrival: Arrival<'_>) -> Response {
    let Arrival {
        from,
        row,
        name,
        request,
    } = arrival;
    let (id, began) = (from.request_id, Instant::now());
    let arrival = Arrival {
        from,
        row,
        name,
        request: &mut *request,
    };
    let mut seen = Seen::default();
    let mut response = match enter(api, arrival, &mut seen).await {
        Ok(answer) => answer.into_response(row.location()),
        Err(Stop::Answered(stored)) => {
            seen.replayed = true;
            Answer::replay(stored, row.shows_secret()).into_response(row.location())
        }
        Err(Stop::Problem(problem)) => refusal(api, row, problem, id),
    };
    if let 401 | 403 | 404 = response.status().as_u16() {
        let asked = (request.uri().path(), request.headers().get(AUTHORIZATION));
        api.engine()
            .note_miss(from.address, asked, seen.caller.is_some());
    }
    let (standing, exceeds, recipient) = (seen.standing, seen.exceeds, seen.recipient.take());
    let bytes_out = response.body().size_hint().exact().unwrap_or_default();
    let ended = (response.status(), bytes_out, began);
    if let Err(error) = record(api, row, seen, ended).await {
        // What cannot be put on record is not told.
        response = refusal(api, row, error, id);
    }
    if let Some(recipient) = recipient {
        response = match jose::encrypt(&recipient, response).await {
            Ok(response) => response,
            Err(problem) => problem.answer(&api.settings().api_origin, id),
        };
    }
    if let Some(standing) = &standing {
        rates::tell(response.headers_mut(), standing);
    }
    let (status, took) = (response.status().as_u16(), began.elapsed());
    api.settings().metrics.observe(row.route(), status, took);
    if exceeds {
        Box::pin(tokio::time::sleep(refused_after(id))).await;
    }
    response
}

/// By chance, which is in the id.
fn refused_after(id: RequestId) -> Duration {
    let [.., chance] = id.as_bytes();
    REFUSED_AFTER + Duration::from_millis(u64::from(chance % REFUSED_APART_MS))
}

fn refusal(api: &Api, row: &RouteRow, problem: Problem, id: RequestId) -> Response {
    let origin = &api.settings().api_origin;
    if row.of_oauth() {
        oauth::refusal(problem, origin)
    } else {
        problem.answer(origin, id)
    }
}

/// Has the call counted, and recorded, unless a transaction of its own did or nobody knows whose it is.
async fn record(
    api: &Api,
    row: &'static RouteRow,
    seen: Seen,
    (status, bytes_out, began): (StatusCode, u64, Instant),
) -> Result<(), Problem> {
    let Some(caller) = seen.caller else {
        return Ok(());
    };
    let outcome = if status.is_success() {
        coffer_engine::Outcome::Succeeded
    } else if status.is_server_error() {
        coffer_engine::Outcome::Failed
    } else {
        coffer_engine::Outcome::Refused
    };
    let taken = Taken {
        outcome,
        latency: began.elapsed(),
        bytes_in: seen.bytes_in,
        bytes_out,
    };
    api.engine().count(&caller, row.operation(), &taken);
    let recorded_already = match row.audit() {
        AuditRule::UsageOnly => true,
        AuditRule::InTransaction => status.is_success() && !seen.replayed,
        AuditRule::Grouped | AuditRule::Strict => false,
    };
    if recorded_already {
        return Ok(());
    }
    let latency_ms = i64::try_from(taken.latency.as_millis()).unwrap_or(i64::MAX);
    let called = Called {
        caller,
        operation: row.operation(),
        object: seen.object,
        outcome,
        came: api.settings().clock.now().plus_millis(-latency_ms),
        latency_ms,
    };
    let strict = row.audit() == AuditRule::Strict;
    let recorded = api.engine().record_call(called, strict).await;
    recorded.map_err(|_| Problem::new(Code::Unavailable))
}

async fn enter(api: &Api, arrival: Arrival<'_>, seen: &mut Seen) -> Outcome {
    let Arrival {
        from,
        row,
        name,
        request,
    } = arrival;
    let seat = api.room().seat(Worth::of(row))?;
    if let Door::Client(handler) = row.door {
        return Box::pin(client::enter(
            api,
            (from, row, seat),
            request,
            handler,
            seen,
        ))
        .await;
    }
    let (caller, signed) = admit(api, row, (from, head(request)), seen).await?;
    let passage = match &caller {
        Some(caller) => Some(limit(api, row, caller, seen).await?),
        None => None,
    };
    let query = Query::read(request.uri(), row.query())?;
    seen.object = Called::object(&name);
    let body = if takes_body(request.method()) {
        // Apart, as below what only POST needs: it would be the largest part of what is kept of every request.
        Box::pin(read_body(std::mem::take(request.body_mut()))).await?
    } else {
        Bytes::new()
    };
    seen.bytes_in = body.len();
    let caller = match (caller, signed) {
        (Some(caller), Some(signed)) => {
            Some(count(api, (caller, signed), (head(request), &body), seen).await?)
        }
        (caller, _) => caller,
    };
    let (headers, uri) = (request.headers(), request.uri());
    let fields = read_fields(row, headers, &body)?;
    let page = headers
        .get(ORIGIN)
        .and_then(|origin| origin.to_str().ok())
        .map(str::to_owned);
    let incoming = Incoming {
        query,
        name,
        from,
        origin: page,
        fields,
    };
    if let Some(caller) = &caller {
        auth::reach(caller, row, &incoming)?;
    }
    let work = match (&row.door, caller) {
        (Door::Public(handler), _) => handler(api.clone(), incoming),
        (Door::Intake(handler), caller) => handler(api.clone(), caller, incoming),
        (Door::Key(_, handler), Some(caller)) => handler(api.clone(), Call { caller, incoming }),
        (Door::Post(_, handler), Some(caller)) => {
            let fresh = idempotency::fresh(api, &caller, (headers, uri), &body)?;
            idempotency::once(api, fresh, Call { caller, incoming }, *handler)
        }
        (Door::Key(..) | Door::Post(..) | Door::Client(_), _) => {
            return Err(Problem::new(Code::KeyMissing).into());
        }
    };
    run(request.method(), work, (seat, passage)).await
}

/// The caller, whose signature counts from here on. Apart: few requests need the room for it.
async fn count(
    api: &Api,
    (caller, signed): (Caller, Signed),
    (head, body): (Head<'_>, &Bytes),
    seen: &mut Seen,
) -> Result<Caller, Problem> {
    let counted = signatures::count(api, caller, signed, (head, body));
    let caller = Box::pin(counted).await?;
    seen.caller = Some(caller.clone());
    Ok(caller)
}

/// The caller's leave to be worked for.
async fn limit(
    api: &Api,
    row: &RouteRow,
    caller: &Caller,
    seen: &mut Seen,
) -> Result<Passage, Problem> {
    match api.engine().enter(caller, row.cost()).await {
        Ok(passage) => {
            seen.standing = Some(passage.allowance);
            Ok(passage)
        }
        Err(excess) => {
            (seen.standing, seen.exceeds) = (Some(excess.standing), true);
            Err(rates::problem(&excess))
        }
    }
}

/// What only reads ends with the client; what changes something does not. Its place is held until it is done.
async fn run(method: &Method, work: Work, held: impl Send + 'static) -> Outcome {
    let work = async move {
        let outcome = work.await;
        drop(held);
        outcome
    };
    if method.is_safe() {
        return work.await;
    }
    match task::spawn("request", work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Problem::new(Code::Internal).into()),
    }
}

fn head(request: &Request) -> Head<'_> {
    Head {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
    }
}

/// The caller, for a route that needs one, and for an intake when a key was sent; and the request's signature, if it has one.
async fn admit(
    api: &Api,
    row: &'static RouteRow,
    (from, head): (CallOrigin, Head<'_>),
    seen: &mut Seen,
) -> Result<(Option<Caller>, Option<Signed>), Stop> {
    let headers = head.headers;
    let Some(rights) = row.rights() else {
        return Ok((None, None));
    };
    if row.open_to_all() && !headers.contains_key(AUTHORIZATION) {
        return Ok((None, None));
    }
    let caller = auth::identify(api.engine(), headers, from).await?;
    seen.caller = Some(caller.clone());
    seen.recipient = jose::recipient(api, &caller, headers).await?;
    let signed = signatures::verify(api, row, &caller, head).await?;
    auth::permit(api.engine(), &caller, rights)?;
    api.engine().can_record()?;
    Ok((Some(caller), signed))
}

pub(crate) const fn takes_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PATCH)
}

async fn read_body(body: axum::body::Body) -> Result<Bytes, Problem> {
    let collected = tokio::time::timeout(BODY_WITHIN, body.collect()).await;
    match collected.map_err(|_| Problem::new(Code::RequestTimeout))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if layers::is_too_long(&error) => Err(Problem::new(Code::BodyTooLarge)),
        Err(_) => Err(Problem::with_detail(
            Code::JsonInvalid,
            "The body broke off: send the request again.",
        )),
    }
}

/// The fields of the body: one JSON object without a card number; nothing at all is the empty object.
pub(crate) fn read_fields(
    row: &RouteRow,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Fields, Problem> {
    if body.is_empty() {
        return Ok(Fields::new());
    }
    layers::check_content_type(headers)?;
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return Err(Problem::new(Code::JsonInvalid));
    };
    if card_numbers::in_body(&fields) {
        return Err(Problem::new(Code::CardNumberNotAllowed));
    }
    if row.request().is_none() {
        crate::fields::none_left(&fields)?;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use coffer_core::limits::BODY_MAX;
    use http::{HeaderValue, header::CONTENT_TYPE};
    use http_body_util::Limited;

    use super::*;
    use crate::routes::routes;

    fn row(route: &str) -> &'static RouteRow {
        routes().iter().find(|row| row.route() == route).unwrap()
    }

    fn read(route: &str, body: &'static [u8]) -> Result<Fields, Code> {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        read_fields(row(route), &headers, &Bytes::from_static(body))
            .map_err(|problem| problem.code())
    }

    #[test]
    fn a_body_is_one_json_object_in_utf8() {
        for body in [
            &b"[]"[..],
            b"1",
            b"null",
            b"{",
            b"{} {}",
            b"{\"a\":1,}",
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
        ] {
            assert_eq!(read("POST /v1/payments", body), Err(Code::JsonInvalid));
        }
        assert_eq!(read("POST /v1/payments", b""), Ok(Fields::new()));
    }

    #[test]
    fn a_route_without_a_body_takes_none() {
        assert_eq!(
            read("POST /v1/payments/{id}/cancel", b"{}"),
            Ok(Fields::new())
        );
        assert_eq!(
            read("POST /v1/payments/{id}/cancel", b"{\"amount\":1}"),
            Err(Code::FieldUnknown)
        );
    }

    #[test]
    fn a_card_number_in_a_body_is_refused_before_anything_else_is_said_of_it() {
        let body = b"{\"nonsense\":\"4242424242424242\"}";
        assert_eq!(
            read("POST /v1/payments", body),
            Err(Code::CardNumberNotAllowed)
        );
        assert_eq!(
            read("POST /v1/payments/{id}/cancel", body),
            Err(Code::CardNumberNotAllowed)
        );
    }

    #[tokio::test]
    async fn a_body_that_grows_too_large_on_its_way_is_refused() {
        let body = Body::new(Limited::new(Body::from(vec![b' '; BODY_MAX + 1]), BODY_MAX));
        assert_eq!(
            read_body(body).await.map_err(|problem| problem.code()),
            Err(Code::BodyTooLarge)
        );
    }
}
