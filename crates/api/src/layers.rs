//! What happens to every request and answer of the API face, in the order in which it stands here.
//!
//! 1. The request gets an id of our own making.
//! 2. A panic becomes a problem.
//! 3. What the listener found at fault is said; it gives the application nothing else of such a request.
//! 4. Addresses with a key or a card number, bodies too large or of another type are refused.
//! 5. The route's gate, or a problem when there is no such route.
//! 6. The answer gets the id and the security headers.

use std::panic::AssertUnwindSafe;

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    response::Response,
};
use coffer_core::{id::RequestId, limits::BODY_MAX};
use coffer_net::{face::Fault, request_id};
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        REFERRER_POLICY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::{LengthLimitError, Limited};

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

/// The answer to a request, whose `work` is what stands behind the layers. `key_in_address` is told of a request whose address
/// holds an API key. Request and work stay where they are until then:
/// each `async fn` that took them by value would keep another copy.
pub(crate) fn pass(
    settings: &Settings,
    mut request: Request,
    key_in_address: impl FnOnce(RequestId, &Uri),
    work: impl AsyncFnOnce(RequestId, &mut Request) -> Response,
) -> impl Future<Output = Response> {
    let id = settings.clock.id();
    async move {
        let answer = AssertUnwindSafe(async {
            if let Err(problem) = admit(&request) {
                if problem.code() == Code::KeyInUrl {
                    key_in_address(id, request.uri());
                }
                return problem.answer(&settings.api_origin, id);
            }
            limit(&mut request);
            work(id, &mut request).await
        });
        let answer = answer.catch_unwind().map(|answer| {
            answer.unwrap_or_else(|_| {
                // Not its message: it may repeat a value.
                tracing::error!("a request's handler panicked");
                Problem::new(Code::Internal).answer(&settings.api_origin, id)
            })
        });
        // Every line of the log that is written for the request has its id from here.
        let mut response = request_id::scope(id, answer).await;
        finish(response.headers_mut(), id);
        response
    }
}

/// Cuts the body off where it grows too long. There is nothing to cut off where there is none.
fn limit(request: &mut Request) {
    let body = request.body_mut();
    if !body.is_end_stream() {
        *body = Body::new(Limited::new(std::mem::take(body), BODY_MAX));
    }
}

/// Whether a body was cut off.
pub(crate) fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
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
    // The endpoints of OAuth take forms, and say in their own words what is wrong with them.
    if has_body && !request.uri().path().starts_with("/oauth/") {
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
    if is_plain(headers, "application/json") {
        Ok(())
    } else {
        Err(Problem::new(Code::ContentTypeWrong))
    }
}

/// Whether a body says to be of this type, in UTF-8, and is not compressed.
pub(crate) fn is_plain(headers: &HeaderMap, essence: &str) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_it = parts
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case(essence));
    let is_utf8 = parts
        .all(|parameter| parameter.is_empty() || parameter.eq_ignore_ascii_case("charset=utf-8"));
    is_it && is_utf8 && !headers.contains_key(CONTENT_ENCODING)
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
    use axum::{
        Router,
        routing::{get, post},
    };
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
        let work = async |_: RequestId, request: &mut Request| {
            routes.oneshot(std::mem::take(request)).await.unwrap()
        };
        let mut response = pass(&settings, request, |_, _| {}, work).await;
        let body = std::mem::take(response.body_mut());
        let bytes = axum::body::to_bytes(body, BODY_MAX).await.unwrap();
        (response, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn get_of(uri: &str) -> http::request::Builder {
        http::Request::get(uri)
    }

    #[tokio::test]
    async fn every_answer_has_an_id_of_ours_and_the_security_headers() {
        for (uri, status) in [("/fine", 200), ("/panic", 500), ("/fine?api_key=x", 400)] {
            let (response, body) =
                send(get_of(uri).header("coffer-request-id", "req_mine"), "").await;
            let id = response.headers()[REQUEST_ID].to_str().unwrap();
            assert!(id.parse::<RequestId>().is_ok(), "{uri}");
            assert_eq!(response.status().as_u16(), status, "{uri}");
            assert!(status == 200 || body["request_id"] == id, "{uri}");
            for (name, value) in SECURITY {
                assert_eq!(response.headers()[name], value);
            }
        }
    }

    #[tokio::test]
    async fn what_panics_is_a_problem() {
        let (response, body) = send(get_of("/panic"), "").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body["code"], "internal");
        assert!(!body.to_string().contains("secret"));
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
