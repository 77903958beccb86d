//! The challenge page.

use axum::{
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::bench::{APPROVED, Bench, CHALLENGE, Receiver, authorization, tasks};

/// Without the credential, as a browser asks.
async fn visit(bench: &Bench, method: &str, path: &str, form: &'static str) -> Response {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    bench.send(request.body(Body::from(form)).unwrap()).await
}

fn path(answer: &Value) -> String {
    let url = answer["challenge_url"].as_str().unwrap();
    url.strip_prefix("https://localhost:8449")
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn an_approved_challenge_can_be_captured_and_not_before() {
    let bench = Bench::start().await;
    let answer = bench.authorize("a1", CHALLENGE).await;
    assert_eq!(
        bench.follow_up("c1", &answer["id"], "capture", 1).await["status"],
        "failed"
    );
    let decided = visit(&bench, "POST", &path(&answer), "decision=approve").await;
    assert_eq!(decided.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        bench.follow_up("c2", &answer["id"], "capture", 1999).await["status"],
        "succeeded"
    );
    let (_, looked_up) = bench.get("/v1/operations/a1").await;
    assert_eq!(looked_up["status"], "approved");
    assert_eq!(looked_up["answered"], answer);
    assert_eq!(bench.authorize("a1", CHALLENGE).await, answer);
}

#[tokio::test]
async fn only_the_first_decision_counts() {
    let bench = Bench::start().await;
    let answer = bench.authorize("a1", CHALLENGE).await;
    visit(&bench, "POST", &path(&answer), "decision=reject").await;
    visit(&bench, "POST", &path(&answer), "decision=approve").await;
    let (_, looked_up) = bench.get("/v1/operations/a1").await;
    assert_eq!(looked_up["status"], "declined");
    assert_eq!(looked_up["decline_code"], "authentication_failed");
    assert!(looked_up.get("challenge_url").is_none());
}

#[tokio::test]
async fn the_payer_returns_to_the_shop_and_the_shop_is_notified() {
    let bench = Bench::start().await;
    let mut receiver = Receiver::start().await;
    let _tasks = tasks(&bench.simulator);
    let mut order = authorization(CHALLENGE);
    order["return_url"] = json!("https://shop.example/back?order=1");
    order["notify"] = json!(receiver.url);
    let (_, answer) = bench.post("a1", "/v1/authorizations", &order).await;
    let decided = visit(&bench, "POST", &path(&answer), "decision=approve").await;
    assert_eq!(
        decided.headers()["location"],
        "https://shop.example/back?order=1"
    );
    let notification = receiver.next().await;
    assert_eq!(notification["idempotency_key"], "a1");
    assert_eq!(notification["status"], "approved");
}

#[tokio::test]
async fn the_page_runs_no_script_and_shows_only_what_the_payer_knows() {
    let bench = Bench::start().await;
    let answer = bench.authorize("a1", CHALLENGE).await;
    let page = visit(&bench, "GET", &path(&answer), "").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';"),
        "{policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let body = page.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains("19.99 EUR") && body.contains("visa card ending in 3220"));
    assert!(!body.contains("<script") && !body.contains("style=") && !body.contains(CHALLENGE));
}

#[tokio::test]
async fn there_is_no_page_without_a_challenge_and_no_third_decision() {
    let bench = Bench::start().await;
    let approved = bench.authorize("a1", APPROVED).await;
    let no_challenge = format!("/challenge/{}", approved["id"].as_str().unwrap());
    let challenge = path(&bench.authorize("a2", CHALLENGE).await);
    for (method, path, form) in [
        ("GET", no_challenge.as_str(), ""),
        ("POST", no_challenge.as_str(), "decision=reject"),
        ("GET", "/challenge/sim_unknown", ""),
        ("POST", challenge.as_str(), "decision=maybe"),
    ] {
        let response = visit(&bench, method, path, form).await;
        assert_eq!(
            response.status(),
            StatusCode::NOT_FOUND,
            "{method} {path} {form}"
        );
        assert!(response.headers().contains_key("content-security-policy"));
    }
}
