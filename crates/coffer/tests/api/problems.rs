//! Requests that are not as they should be: each is refused with a document that says what to do, and without effect.

use std::collections::BTreeSet;

use coffer_api::problems::Code;
use coffer_testkit::{Answer, Coffer, Merchant};
use serde_json::{Value, json};

use crate::{
    BINARY,
    description::{Description, Operation},
    pay,
};

/// Words that would tell how the server is built.
const INSIDE: &[&str] = &[
    "sqlite", "postgres", "select ", "insert ", ".rs", "panick", "/work", "/tmp", "axum", "hyper",
    "rustls", "tokio", "0.1.0",
];

/// Checks that an answer is a problem document with this status and code (RFC 9457), and says nothing of the inside.
#[track_caller]
pub(crate) fn problem(answer: &Answer, status: u16, code: &str) {
    let json = &answer.json;
    assert_eq!(
        (answer.status, &json["code"], &json["status"]),
        (status, &json!(code), &json!(status)),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let page = json["type"].as_str().unwrap();
    assert!(
        page.starts_with("https://") && page.ends_with(&format!("/docs/errors/{code}")),
        "{page}"
    );
    for text in ["title", "detail"] {
        assert!(
            json[text].as_str().is_some_and(|text| !text.is_empty()),
            "{}",
            answer.text
        );
    }
    let request = answer.header("coffer-request-id");
    assert!(
        request.starts_with("req_") && json["request_id"] == request,
        "{}",
        answer.text
    );
    assert!(
        answer
            .header("strict-transport-security")
            .starts_with("max-age=63072000")
    );
    assert_eq!(
        (answer.header("server"), answer.header("x-powered-by")),
        ("", "")
    );
    let lower = answer.text.to_lowercase();
    assert!(
        INSIDE.iter().all(|word| !lower.contains(word)),
        "{}",
        answer.text
    );
}

/// A body that a route takes, with nothing that it does not need.
fn least(schema: Option<&str>) -> Value {
    match schema {
        Some("NewPaymentRequest") => {
            json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"})
        }
        Some("NewRefundRequest") => json!({"payment": "pay_00000000000000000000000000"}),
        Some("NewCardRequest") => json!({"token": "tok_00000000000000000000000000"}),
        Some("NewWebhookEndpointRequest") => json!({"url": "https://shop.test/hook"}),
        Some("NewApiKeyRequest") => json!({"name": "another", "permissions": {}}),
        Some("NewSigningKeyRequest") => json!({"name": "another", "generate": "ed25519"}),
        Some("ExposedKeyRequest") => json!({"key": "sk_test_cut"}),
        Some(_) | None => json!({}),
    }
}

#[tokio::test]
async fn unknown_and_read_only_fields_are_refused_in_every_write() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let description = Description::of(&coffer, &shop).await;
    let writes = |one: &Operation| matches!(one.method.as_str(), "POST" | "PATCH");
    let mut tried = 0;
    for operation in description.operations().into_iter().filter(writes) {
        let schema = |name: &Option<String>| name.as_deref().map(|name| description.fields(name));
        let taken = schema(&operation.takes).unwrap_or_default();
        let shown = schema(&operation.yields).unwrap_or_default();
        let prefix = match operation.resource() {
            "api_keys" => "key",
            "customers" => "cus",
            "payments" => "pay",
            "signing_keys" => "sigkey",
            _ => "we",
        };
        let path = operation.at(&format!("{prefix}_00000000000000000000000000"));
        let surprises = ["amonut", "__proto__", "is_admin", "account_id"].map(str::to_owned);
        for field in shown.difference(&taken).chain(&surprises) {
            let mut body = least(operation.takes.as_deref());
            body[field] = json!("captured");
            let bearer = format!("Bearer {}", shop.publishable_key);
            let headers = [
                ("authorization", bearer.as_str()),
                ("origin", "https://shop.test"),
            ];
            let answer = if operation.needs_key {
                shop.call(&operation.method, &path, &[], Some(&body)).await
            } else {
                coffer
                    .client()
                    .send(&operation.method, &shop.url(&path), &headers, Some(&body))
                    .await
            };
            problem(&answer, 400, "field_unknown");
            assert_eq!(answer.json["field"], json!(field), "{operation:?}");
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried} fields");
    for list in [
        "/v1/payments",
        "/v1/customers",
        "/v1/webhook_endpoints",
        "/v1/refunds",
    ] {
        assert!(shop.get(list).await.expect(200).ids().is_empty(), "{list}");
    }
    assert_eq!(
        shop.get("/v1/account").await.json["origins"],
        json!(["https://shop.test"])
    );
}

#[tokio::test]
async fn a_body_is_one_small_json_object() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, client) = (coffer.merchant().await, coffer.client());
    let bearer = format!("Bearer {}", shop.secret_key);
    let send = async |content_type: &[(&str, &str)], body: &[u8]| {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(content_type);
        let url = shop.url("/v1/customers");
        client
            .send_bytes("POST", &url, &headers, body.to_vec())
            .await
            .unwrap()
    };
    let json_type = [("content-type", "application/json")];
    for body in [
        &b"[]"[..],
        b"{",
        b"{}{}",
        b"nul",
        b"\"a\"",
        b"{\"reference\":\"\xff\"}",
        b"\x00",
    ] {
        problem(&send(&json_type, body).await, 400, "json_invalid");
    }
    let deep = format!(
        "{{\"metadata\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    problem(
        &send(&json_type, deep.as_bytes()).await,
        400,
        "json_invalid",
    );
    for wrong in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json; charset=utf-16")],
        &[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ],
    ] {
        problem(&send(wrong, b"{}").await, 415, "content_type_wrong");
    }
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(64 * 1024));
    problem(
        &send(&json_type, large.as_bytes()).await,
        413,
        "body_too_large",
    );
    assert!(shop.get("/v1/customers").await.ids().is_empty());
}

#[tokio::test]
async fn a_text_is_short_enough_and_holds_no_card_number() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for (body, field) in [
        (json!({"reference": "x".repeat(129)}), "reference"),
        (json!({"reference": 7}), "reference"),
        (json!({"metadata": {"a": 1}}), "metadata"),
        (json!({"metadata": []}), "metadata"),
    ] {
        let refused = shop.post("/v1/customers", &body).await;
        problem(&refused, 400, "field_invalid");
        assert_eq!(refused.json["field"], field);
    }
    for key in ["", "two words", &"k".repeat(256)] {
        let refused = shop.post_once("/v1/customers", key, &json!({})).await;
        problem(&refused, 400, "idempotency_key_invalid");
    }
    let secret = json!({"description": "4242 4242 4242 4242"});
    let refused = shop.post("/v1/customers", &secret).await;
    problem(&refused, 400, "card_number_not_allowed");
    assert!(!refused.text.contains("4242"));
    assert!(shop.get("/v1/customers").await.ids().is_empty());
}

/// Orders that are wrong in one field, and what is to be said of it.
fn wrong_orders() -> Vec<(&'static str, Value, &'static str)> {
    let none = |prefix: &str| json!(format!("{prefix}_00000000000000000000000000"));
    vec![
        ("amount", json!(19.99), "field_invalid"),
        ("amount", json!(-1), "field_invalid"),
        ("amount", json!(1_000_000_000_000_i64), "field_invalid"),
        ("amount", json!("1000"), "field_invalid"),
        ("currency", json!("EURO"), "field_invalid"),
        ("currency", json!("eur"), "field_invalid"),
        ("capture", json!("later"), "field_invalid"),
        ("return_url", json!("javascript:alert(1)"), "field_invalid"),
        ("token", json!("tok_test_perhaps"), "field_invalid"),
        ("token", none("tok"), "token_unknown"),
        ("card", none("card"), "field_invalid"),
    ]
}

/// Addresses that are wrong, and what is to be said of them.
const WRONG_ADDRESSES: &[(&str, &str, u16, &str)] = &[
    ("GET", "/v1/payments?limit=0", 400, "field_invalid"),
    ("GET", "/v1/payments?limit=101", 400, "field_invalid"),
    ("GET", "/v1/payments?limit=1&limit=2", 400, "field_invalid"),
    ("GET", "/v1/payments?statsu=captured", 400, "field_unknown"),
    ("GET", "/v1/payments?status=paid", 400, "field_invalid"),
    (
        "GET",
        "/v1/payments?created_after=now",
        400,
        "field_invalid",
    ),
    ("GET", "/v1/payments?after=1", 400, "field_invalid"),
    ("GET", "/v1/payments?customer=%ff", 400, "field_invalid"),
    ("GET", "/v1/events?type=payment.paid", 400, "field_invalid"),
    (
        "GET",
        "/v1/payments/4242424242424242",
        400,
        "card_number_not_allowed",
    ),
    ("GET", "/v1/payments/", 404, "route_unknown"),
    ("GET", "/v2/payments", 404, "route_unknown"),
    ("GET", "/docs/errors/nothing", 404, "not_found"),
    ("PUT", "/v1/payments", 405, "method_not_allowed"),
    ("DELETE", "/v1/account", 405, "method_not_allowed"),
    ("TRACE", "/v1/ping", 405, "method_not_allowed"),
];

/// What does not fit the state of things.
async fn wrong_moments(shop: &Merchant) -> Vec<(Answer, u16, &'static str)> {
    let captured = pay(shop, json!({})).await.id();
    let refund = json!({"payment": captured, "amount": 1001});
    let capture = format!("/v1/payments/{captured}/capture");
    let once = async |body: Value| shop.post_once("/v1/customers", "once", &body).await;
    let customer = once(json!({})).await.expect(201).id();
    let cards = format!("/v1/customers/{customer}/cards");
    let token = json!({"token": "tok_test_approved"});
    vec![
        (
            shop.post("/v1/refunds", &refund).await,
            422,
            "amount_too_large",
        ),
        (shop.post(&capture, &json!({})).await, 409, "state_conflict"),
        (shop.post(&cards, &token).await, 400, "field_invalid"),
        (
            once(json!({"reference": "other"})).await,
            422,
            "idempotency_mismatch",
        ),
    ]
}

/// Everything that can be wrong with a request that is JSON and has a key.
async fn provoked(shop: &Merchant) -> Vec<(Answer, u16, &'static str)> {
    let mut found = wrong_moments(shop).await;
    let pays = async |body: Value| shop.post("/v1/payments", &body).await;
    found.push((pays(json!({})).await, 400, "field_missing"));
    for (field, value, code) in wrong_orders() {
        let mut order = least(Some("NewPaymentRequest"));
        order[field] = value;
        found.push((pays(order).await, 400, code));
    }
    for &(method, path, status, code) in WRONG_ADDRESSES {
        found.push((shop.call(method, path, &[], None).await, status, code));
    }
    found
}

#[tokio::test]
async fn every_problem_says_what_to_do_and_has_a_page() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut pages = BTreeSet::new();
    for (answer, status, code) in provoked(&shop).await {
        problem(&answer, status, code);
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{}", answer.text);
        }
        pages.insert(answer.json["type"].as_str().unwrap().to_owned());
    }
    let every = Code::ALL
        .iter()
        .map(|code| format!("/docs/errors/{}", code.row().name));
    pages.extend(every.map(|path| shop.url(&path)));
    for page in pages {
        let answer = coffer
            .client()
            .send("GET", &page, &[], None)
            .await
            .expect(200);
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{page}"
        );
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'"),
            "{page}"
        );
    }
}
