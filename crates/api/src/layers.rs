//! What happens to every request and answer of the face, in the order in which it stands here.
//!
//! 1. The request gets an id of our own making.
//! 2. A panic becomes a problem.
//! 3. What the listener found at fault is said; it gives the application nothing else of such a request.
//! 4. Addresses with a key or a card number, bodies too large or of another type are refused.
//! 5. The route's gate, or a problem when there is no such route.
//! 6. The answer gets the id and the security headers.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use coffer_core::{id::RequestId, limits::BODY_MAX};
use coffer_net::{face::Fault, request_id};
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        REFERRER_POLICY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Limited;

use crate::{
    Settings,
    problems::{Code, Problem},
    query,
};

/// The header with the request's id, on every answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("coffer-request-id");

/// Headers of every answer that does not set its own.
const SECURITY: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Who is told of a request whose address holds an API key.
pub(crate) type KeyInAddress = Box<dyn Fn(RequestId, &Request) + Send + Sync>;

/// What stands around the routes needs this.
struct Around {
    settings: Settings,
    key_in_address: KeyInAddress,
}

/// A face's routes with what stands around all of them, and around what is no route.
pub(crate) fn around(routes: Router, settings: &Settings, key_in_address: KeyInAddress) -> Router {
    // Every request takes its own handle of what stands around the routes, so it must cost little.
    let around = Arc::new(Around {
        settings: settings.clone(),
        key_in_address,
    });
    let (unknown, other_method) = (Arc::clone(&around), Arc::clone(&around));
    routes
        .fallback(async move |request: Request| {
            refuse(Code::RouteUnknown, &unknown.settings, &request)
        })
        .method_not_allowed_fallback(async move |request: Request| {
            refuse(Code::MethodNotAllowed, &other_method.settings, &request)
        })
        .layer(from_fn_with_state(around, pass))
}

fn refuse(code: Code, settings: &Settings, request: &Request) -> Response {
    Problem::new(code).answer(&settings.api_origin, id_of(request))
}

/// The id that the layers gave to the request.
pub(crate) fn id_of(request: &Request) -> RequestId {
    request
        .extensions()
        .get()
        .copied()
        .unwrap_or_else(|| RequestId::from_bytes([0; 16]))
}

async fn pass(State(around): State<Arc<Around>>, mut request: Request, next: Next) -> Response {
    let settings = &around.settings;
    let id: RequestId = settings.clock.id();
    request.extensions_mut().insert(id);
    // Every line of the log that is written for the request has its id from here.
    request_id::scope(id, async {
        let work = AssertUnwindSafe(enter(&around, id, request, next));
        let mut response = work.catch_unwind().await.unwrap_or_else(|_| {
            // Not its message: it may repeat a value.
            tracing::error!("a request's handler panicked");
            Problem::new(Code::Internal).answer(&settings.api_origin, id)
        });
        finish(response.headers_mut(), id);
        response
    })
    .await
}

async fn enter(around: &Around, id: RequestId, request: Request, next: Next) -> Response {
    let problem = match admit(&request) {
        Ok(()) => return next.run(request.map(limited)).await,
        Err(problem) => problem,
    };
    if problem.code() == Code::KeyInUrl {
        (around.key_in_address)(id, &request);
    }
    problem.answer(&around.settings.api_origin, id)
}

/// The body, cut off where it grows too long. There is nothing to cut off where there is none.
fn limited(body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Limited::new(body, BODY_MAX))
}

/// What can be told without knowing the route or the caller.
fn admit(request: &Request) -> Result<(), Problem> {
    if let Some(fault) = request.extensions().get::<Fault>() {
        return Err(Problem::new(code_of(*fault)));
    }
    query::check_address(request.uri())?;
    let headers = request.headers();
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_MAX) {
        return Err(Problem::new(Code::BodyTooLarge));
    }
    // HTTP/2 says neither, so there the gate looks again once it has seen the body.
    let has_body =
        length.is_some_and(|length| length > 0) || headers.contains_key(TRANSFER_ENCODING);
    if has_body {
        check_content_type(headers)
    } else {
        Ok(())
    }
}

const fn code_of(fault: Fault) -> Code {
    match fault {
        Fault::Malformed => Code::HeadMalformed,
        Fault::HostWrong => Code::HostWrong,
        Fault::Misdirected => Code::Misdirected,
        Fault::AddressTooLong => Code::AddressTooLong,
        Fault::HeadTooLarge => Code::HeadTooLarge,
        Fault::MethodOverride => Code::MethodOverrideNotAllowed,
        Fault::MethodUnknown => Code::MethodNotAllowed,
        Fault::TooSlow => Code::RequestTimeout,
    }
}

/// A body has to be JSON and to say so.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts
        .all(|parameter| parameter.is_empty() || parameter.eq_ignore_ascii_case("charset=utf-8"));
    if is_json && is_utf8 && !headers.contains_key(CONTENT_ENCODING) {
        Ok(())
    } else {
        Err(Problem::new(Code::ContentTypeWrong))
    }
}

fn finish(headers: &mut HeaderMap, id: RequestId) {
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(value);
    }
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use http::StatusCode;
    use tower::ServiceExt as _;

    use coffer_net::outbound::{AddressPolicy, Outbound, Roots};

    use super::*;

    async fn send(
        request: http::request::Builder,
        body: &'static str,
    ) -> (Response, serde_json::Value) {
        let settings = Settings {
            api_origin: "https://localhost:8443".to_owned(),
            checkout_origin: "https://pay.coffer.localhost:8444".to_owned(),
            fields_origin: "https://fields.coffer.localhost:8446".to_owned(),
            development: true,
            clock: coffer_net::Clock::system(),
            metrics: coffer_net::metrics::RequestMetrics::register(&coffer_net::metrics::registry()),
            outside: Outbound::new(AddressPolicy::public_only(), Roots::public()),
        };
        let routes = Router::new()
            .route("/fine", get(async || "fine"))
            .route("/post", post(async || "posted"))
            .route(
                "/panic",
                get(async || -> &'static str { panic!("with a secret") }),
            );
        let request = request.body(Body::from(body)).unwrap();
        let mut response = around(routes, &settings, Box::new(|_, _| {}))
            .oneshot(request)
            .await
            .unwrap();
        let body = std::mem::take(response.body_mut());
        let bytes = axum::body::to_bytes(body, BODY_MAX).await.unwrap();
        (response, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn get_of(uri: &str) -> http::request::Builder {
        http::Request::get(uri)
    }

    #[tokio::test]
    async fn every_answer_has_an_id_of_ours_and_the_security_headers() {
        for uri in ["/fine", "/nothing", "/post", "/panic", "/fine?api_key=x"] {
            let (response, body) =
                send(get_of(uri).header("coffer-request-id", "req_mine"), "").await;
            let id = response.headers()[REQUEST_ID].to_str().unwrap();
            assert!(id.parse::<RequestId>().is_ok(), "{uri}");
            assert!(
                response.status() == StatusCode::OK || body["request_id"] == id,
                "{uri}"
            );
            for (name, value) in SECURITY {
                assert_eq!(response.headers()[name], value);
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_route_and_what_panics_is_a_problem() {
        for (uri, status, code) in [
            ("/nothing", 404, "route_unknown"),
            ("/post", 405, "method_not_allowed"),
            ("/panic", 500, "internal"),
        ] {
            let (response, body) = send(get_of(uri), "").await;
            assert_eq!(
                (response.status().as_u16(), body["code"].as_str()),
                (status, Some(code))
            );
            assert!(!body.to_string().contains("secret"));
        }
        let (response, _) = send(get_of("/post"), "").await;
        assert_eq!(response.headers()[http::header::ALLOW], "POST");
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_or_not_json_is_refused_before_any_route() {
        let post = || http::Request::post("/post");
        let (_, body) = send(post().header(CONTENT_LENGTH, "65537"), "").await;
        assert_eq!(body["code"], "body_too_large");
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "",
        ] {
            let (_, body) = send(
                post()
                    .header(CONTENT_TYPE, other)
                    .header(CONTENT_LENGTH, "2"),
                "{}",
            )
            .await;
            assert_eq!(body["code"], "content_type_wrong", "{other}");
        }
        let json = post()
            .header(CONTENT_TYPE, "application/json; charset=UTF-8")
            .header(CONTENT_LENGTH, "2");
        assert_eq!(send(json, "{}").await.0.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_the_listener_found_at_fault_is_a_problem_with_its_status() {
        for fault in Fault::ALL {
            let request = get_of("/fine").extension(*fault);
            let (response, body) = send(request, "").await;
            assert_eq!(response.status(), fault.status());
            assert_eq!(body["code"], code_of(*fault).row().name);
        }
    }

    #[tokio::test]
    async fn a_key_or_a_card_number_in_the_address_is_refused_and_not_repeated() {
        let key = "sk_test_0000000000000000000000";
        for uri in [
            format!("/fine?a={key}"),
            format!("/{key}"),
            "/fine?API_KEY=1".to_owned(),
            "/fine?a=sk%5Ftest%5F1".to_owned(),
        ] {
            let (_, body) = send(get_of(&uri), "").await;
            assert_eq!(body["code"], "key_in_url", "{uri}");
            assert!(!body.to_string().contains("sk_test"));
        }
        for uri in [
            "/fine?reference=4242424242424242",
            "/fine?r=4242+4242+4242+4242",
            "/4242-4242-4242-4242",
        ] {
            let (_, body) = send(get_of(uri), "").await;
            assert_eq!(body["code"], "card_number_not_allowed", "{uri}");
            assert!(!body.to_string().contains("4242"));
        }
    }
}
