//! Each switch does what it says, and charges once or not at all.

use std::time::Duration;

use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::bench::{APPROVED, Bench, CREDENTIAL, Receiver, authorization, request, serve, tasks};

async fn status_of_next(bench: &Bench, key: &str) -> StatusCode {
    let (status, _) = bench
        .post(key, "/v1/authorizations", &authorization(APPROVED))
        .await;
    status
}

#[tokio::test]
async fn error_before_charging_charges_nothing() {
    let bench = Bench::start().await;
    bench
        .switch(json!({"behaviour": "error_before_charging", "count": 1}))
        .await;
    assert_eq!(
        status_of_next(&bench, "a1").await,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert!(bench.ledger().await.is_empty());
    assert_eq!(
        bench.get("/v1/operations/a1").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(status_of_next(&bench, "a1").await, StatusCode::OK);
}

#[tokio::test]
async fn error_after_charging_has_charged_once() {
    let bench = Bench::start().await;
    bench
        .switch(json!({"behaviour": "error_after_charging", "count": 2}))
        .await;
    for _ in 0..2 {
        assert_eq!(
            status_of_next(&bench, "a1").await,
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }
    assert_eq!(status_of_next(&bench, "a1").await, StatusCode::OK);
    assert_eq!(bench.get("/v1/operations/a1").await.1["status"], "approved");
    assert_eq!(bench.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_switch_for_captures_leaves_authorizations_alone() {
    let bench = Bench::start().await;
    bench
        .switch(json!({"behaviour": "garbage", "operation": "capture", "count": 1}))
        .await;
    let id = bench.authorize("a1", APPROVED).await["id"].clone();
    let path = format!("/v1/authorizations/{}/capture", id.as_str().unwrap());
    let garbage = bench
        .send(request("POST", &path, "c1", r#"{"amount":1}"#.to_owned()))
        .await;
    assert_eq!(garbage.status(), StatusCode::OK);
    let body = garbage.into_body().collect().await.unwrap().to_bytes();
    assert!(serde_json::from_slice::<Value>(&body).is_err());
    assert_eq!(
        bench.get("/v1/operations/c1").await.1["status"],
        "succeeded"
    );
}

#[tokio::test]
async fn drop_after_charging_closes_the_connection_without_an_answer() {
    let bench = Bench::start().await;
    bench
        .switch(json!({"behaviour": "drop_after_charging", "count": 1}))
        .await;
    let mut stream = TcpStream::connect(serve(bench.simulator.router()).await)
        .await
        .unwrap();
    let body = authorization(APPROVED).to_string();
    let head = format!(
        "POST /v1/authorizations HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {CREDENTIAL}\r\n\
         idempotency-key: a1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    // Closed in order or by a reset: no answer either way.
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(String::from_utf8_lossy(&answer), "");
    assert_eq!(bench.ledger().await.len(), 1);
}

#[tokio::test]
async fn late_charges_first_and_answers_after_the_delay() {
    let bench = Bench::start().await;
    bench
        .switch(json!({"behaviour": "late", "count": 1, "delay_ms": 50}))
        .await;
    let begun = tokio::time::Instant::now();
    assert_eq!(status_of_next(&bench, "a1").await, StatusCode::OK);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn twice_charges_once_and_notifies_twice() {
    let bench = Bench::start().await;
    let mut receiver = Receiver::start().await;
    let _tasks = tasks(&bench.simulator);
    bench
        .switch(json!({"behaviour": "twice", "count": 1}))
        .await;
    let mut order = authorization(APPROVED);
    order["notify"] = json!(receiver.url);
    bench.post("a1", "/v1/authorizations", &order).await;
    assert_eq!(receiver.next().await, receiver.next().await);
    assert_eq!(bench.ledger().await.len(), 1);
}

#[tokio::test]
async fn notify_first_notifies_before_it_answers() {
    let bench = Bench::start().await;
    let mut receiver = Receiver::start().await;
    bench
        .switch(json!({"behaviour": "notify_first", "count": 1}))
        .await;
    let mut order = authorization(APPROVED);
    order["notify"] = json!(receiver.url);
    let (_, answer) = bench.post("a1", "/v1/authorizations", &order).await;
    let notification = receiver.taken_already().unwrap();
    assert_eq!(notification["id"], answer["id"]);
    assert_eq!(notification["status"], "approved");
}

#[tokio::test]
async fn a_switch_outside_its_limits_is_refused() {
    let bench = Bench::start().await;
    for switch in [
        json!({"behaviour": "late"}),
        json!({"behaviour": "late", "count": 0}),
        json!({"behaviour": "late", "count": 1, "delay_ms": 120_001}),
        json!({"behaviour": "explode", "count": 1}),
        json!({"behaviour": "late", "count": 1, "operations": "capture"}),
    ] {
        let (status, _) = bench.post("", "/v1/switches", &switch).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{switch}");
    }
}
