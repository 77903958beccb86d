//! Money and idempotency.

use axum::http::StatusCode;
use coffer_simulator::{CardOutcome, TEST_CARDS};
use serde_json::json;

use crate::bench::{APPROVED, Bench, CHALLENGE, authorization, read, request};

#[tokio::test]
async fn a_repeated_request_charges_once_and_gets_the_same_answer() {
    let bench = Bench::start().await;
    let first = bench.authorize("a1", APPROVED).await;
    assert_eq!(bench.authorize("a1", APPROVED).await, first);
    let captured = bench.follow_up("c1", &first["id"], "capture", 1999).await;
    assert_eq!(captured["status"], "succeeded");
    assert_eq!(
        bench.follow_up("c1", &first["id"], "capture", 1999).await,
        captured
    );
    assert_eq!(bench.ledger().await.len(), 2);
}

#[tokio::test]
async fn concurrent_twins_charge_once() {
    let bench = Bench::start().await;
    let twin = || bench.authorize("a1", APPROVED);
    let (one, two, three, four) = tokio::join!(twin(), twin(), twin(), twin());
    assert!(one == two && two == three && three == four);
    assert_eq!(bench.ledger().await.len(), 1);
}

#[tokio::test]
async fn another_body_or_path_under_a_used_key_is_refused() {
    let bench = Bench::start().await;
    let first = bench.authorize("a1", APPROVED).await;
    let (status, problem) = bench
        .post("a1", "/v1/authorizations", &authorization(CHALLENGE))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["code"], "idempotency_key_reused");
    let path = format!(
        "/v1/authorizations/{}/capture",
        first["id"].as_str().unwrap()
    );
    let (status, _) = bench.post("a1", &path, &json!({"amount": 1999})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(bench.ledger().await.len(), 1);
}

#[tokio::test]
async fn what_exceeds_the_rules_fails_and_moves_nothing() {
    let bench = Bench::start().await;
    let id = bench.authorize("a1", APPROVED).await["id"].clone();
    let over = bench.follow_up("c1", &id, "capture", 2000).await;
    assert_eq!(
        (&over["status"], &over["decline_code"]),
        (&json!("failed"), &json!("limit_exceeded"))
    );
    assert_eq!(
        bench.follow_up("c2", &id, "capture", 1000).await["status"],
        "succeeded"
    );
    assert_eq!(
        bench.follow_up("c3", &id, "capture", 500).await["decline_code"],
        "not_supported"
    );
    assert_eq!(
        bench.follow_up("r1", &id, "refund", 1001).await["decline_code"],
        "limit_exceeded"
    );
    assert_eq!(
        bench.follow_up("r2", &id, "refund", 1000).await["status"],
        "succeeded"
    );
    assert_eq!(
        bench.follow_up("r3", &id, "refund", 1).await["decline_code"],
        "limit_exceeded"
    );
}

#[tokio::test]
async fn concurrent_refunds_cannot_exceed_the_capture() {
    let bench = Bench::start().await;
    let id = bench.authorize("a1", APPROVED).await["id"].clone();
    bench.follow_up("c1", &id, "capture", 1000).await;
    let keys: Vec<_> = (0..8).map(|number| format!("r{number}")).collect();
    let refunds = keys
        .iter()
        .map(|key| bench.follow_up(key, &id, "refund", 300));
    let answers = futures_util::future::join_all(refunds).await;
    let succeeded = answers
        .iter()
        .filter(|answer| answer["status"] == "succeeded")
        .count();
    assert_eq!(succeeded, 3);
}

#[tokio::test]
async fn a_void_without_an_amount_gives_up_all_that_is_open() {
    let bench = Bench::start().await;
    let id = bench.authorize("a1", APPROVED).await["id"].clone();
    bench.follow_up("c1", &id, "capture", 1500).await;
    let path = format!("/v1/authorizations/{}/void", id.as_str().unwrap());
    let without_body = request("POST", &path, "v1", String::new());
    let (_, voided) = read(bench.send(without_body).await).await;
    assert_eq!(voided["status"], "succeeded");
    let void = (
        "v1".to_owned(),
        "void".to_owned(),
        499,
        "succeeded".to_owned(),
    );
    assert!(bench.ledger().await.contains(&void));
    let (_, again) = bench.post("v2", &path, &json!({})).await;
    assert_eq!(again["decline_code"], "not_supported");
}

#[tokio::test]
async fn every_test_card_does_what_its_table_says() {
    let bench = Bench::start().await;
    for card in TEST_CARDS {
        let answer = bench.authorize(card.number, card.number).await;
        let (status, reason) = match card.outcome {
            CardOutcome::Approved => ("approved", None),
            CardOutcome::Challenge => ("challenge", None),
            CardOutcome::Declined(reason) => ("declined", Some(reason.as_str())),
        };
        assert_eq!(answer["status"], status, "{}", card.number);
        assert_eq!(answer["decline_code"].as_str(), reason, "{}", card.number);
    }
}

#[tokio::test]
async fn requests_outside_the_protocol_charge_nothing() {
    let bench = Bench::start().await;
    let good = authorization(APPROVED);
    let (status, _) = bench.post("", "/v1/authorizations", &good).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "no idempotency key");
    for (field, value) in [
        ("amount", json!(0)),
        ("amount", json!(19.99)),
        ("currency", json!("eur")),
        (
            "card",
            json!({"number": "4242424242424241", "exp_month": 12, "exp_year": 2030}),
        ),
        ("return_url", json!("javascript:alert(1)")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let (status, problem) = bench.post("a1", "/v1/authorizations", &bad).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(problem["code"], "malformed");
    }
    let id = bench.authorize("a2", APPROVED).await["id"].clone();
    let id = id.as_str().unwrap();
    let capture = format!("/v1/authorizations/{id}/capture");
    for body in [json!({}), json!({"amount": -1}), json!([])] {
        let (status, _) = bench.post("c1", &capture, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    for path in [
        format!("/v1/authorizations/{id}/authorize"),
        "/v1/authorizations/sim_x/capture".to_owned(),
    ] {
        let (status, _) = bench.post("c1", &path, &json!({"amount": 1})).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(bench.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_request_repeated_after_a_restart_charges_nothing() {
    let bench = Bench::start().await;
    let first = bench.authorize("a1", APPROVED).await;
    let bench = bench.restart().await;
    assert_eq!(bench.authorize("a1", APPROVED).await, first);
    assert_eq!(bench.ledger().await.len(), 1);
}

#[tokio::test]
async fn the_ledger_is_read_in_pages() {
    let bench = Bench::start().await;
    for key in ["a1", "a2", "a3"] {
        bench.authorize(key, APPROVED).await;
    }
    let (_, page) = bench.get("/v1/ledger?limit=2").await;
    assert_eq!(page["has_more"], true);
    let last = page["operations"][1]["id"].as_str().unwrap();
    let (_, rest) = bench.get(&format!("/v1/ledger?after={last}")).await;
    assert_eq!(rest["operations"].as_array().unwrap().len(), 1);
    assert_eq!(rest["has_more"], false);
}
