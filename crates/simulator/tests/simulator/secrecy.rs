//! Who may ask, and what is kept and said of a card.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::json;

use crate::bench::{APPROVED, Bench, CHALLENGE, CREDENTIAL, authorization};

#[tokio::test]
async fn nothing_of_the_protocol_answers_without_the_credential() {
    let bench = Bench::start().await;
    for (method, path) in [
        ("POST", "/v1/authorizations"),
        ("POST", "/v1/authorizations/sim_x/capture"),
        ("GET", "/v1/operations/a1"),
        ("GET", "/v1/ledger"),
        ("POST", "/v1/switches"),
    ] {
        for header in [
            "",
            "Bearer ",
            "Bearer wrong",
            "Basic c2ltOng=",
            &format!("Bearer {CREDENTIAL}x"),
            CREDENTIAL,
        ] {
            let request = Request::builder().method(method).uri(path);
            let request = request
                .header("authorization", header)
                .header("idempotency-key", "a1");
            let body = Body::from(authorization(APPROVED).to_string());
            let response = bench.send(request.body(body).unwrap()).await;
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{method} {path} {header}"
            );
        }
    }
    assert!(bench.ledger().await.is_empty());
}

#[tokio::test]
async fn no_card_number_and_no_security_code_is_in_the_database_file() {
    let bench = Bench::start().await;
    let mut order = authorization(APPROVED);
    order["notify"] = json!("https://shop.example/notify");
    order["card"]["cvc"] = json!("7391");
    bench.post("a1", "/v1/authorizations", &order).await;
    bench.authorize("a2", CHALLENGE).await;
    bench.db.close().await;
    let folder = bench.db_path.parent().unwrap();
    let mut searched = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        searched += content.len();
        for secret in [APPROVED, CHALLENGE, "\"7391\"", CREDENTIAL] {
            let found = content
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret}");
        }
    }
    assert!(searched > 4096, "nothing was searched");
}

#[tokio::test]
async fn neither_ledger_nor_errors_repeat_a_card_number() {
    let bench = Bench::start().await;
    bench.authorize("a1", APPROVED).await;
    let (_, ledger) = bench.get("/v1/ledger").await;
    assert!(!ledger.to_string().contains(APPROVED));
    assert_eq!(ledger["operations"][0]["brand"], "visa");
    assert_eq!(ledger["operations"][0]["last4"], "4242");
    let mut swapped = authorization(APPROVED);
    swapped["amount"] = json!(APPROVED);
    let (_, problem) = bench.post("a2", "/v1/authorizations", &swapped).await;
    assert!(!problem.to_string().contains(APPROVED));
}
