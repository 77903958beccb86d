//! The same request twice, at the same time or after a crash: one charge and one answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use coffer_net::task;
use coffer_testkit::{Answer, Card, Coffer, Merchant, eventually};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const TWINS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);

fn order(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR", "token": "tok_test_approved"})
}

/// The same request from many connections at once. Those that were told to come again later do so.
async fn all_at_once(shop: &Merchant, path: &str, key: &str, body: &Value) -> Vec<Answer> {
    let twins: Vec<_> = (0..TWINS)
        .map(|_| {
            let (shop, path) = (shop.clone(), path.to_owned());
            let (key, body) = (key.to_owned(), body.clone());
            task::spawn("twin", async move {
                until_answered(&shop, &path, &key, &body).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for twin in twins {
        answers.push(twin.await.unwrap());
    }
    answers
}

async fn until_answered(shop: &Merchant, path: &str, key: &str, body: &Value) -> Answer {
    let answered = async || {
        let answer = shop.post_once(path, key, body).await;
        if is_running(&answer) {
            return None;
        }
        Some(answer)
    };
    eventually(PATIENCE, "the first twin is answered", answered).await
}

/// Whether the first request with the key still runs; then the answer says when to come again.
fn is_running(answer: &Answer) -> bool {
    let running = answer.json["code"] == "idempotency_running";
    if running {
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(
            answer.headers.contains_key("retry-after"),
            "{}",
            answer.text
        );
    }
    running
}

fn assert_same(answers: &[Answer], status: u16) {
    for answer in answers {
        assert_eq!(
            (answer.status, &answer.json),
            (status, &answers[0].json),
            "{}",
            answer.text
        );
    }
    let replayed = |answer: &&Answer| answer.headers.contains_key("idempotent-replayed");
    assert_eq!(answers.iter().filter(replayed).count(), answers.len() - 1);
}

/// What the provider was asked to do.
async fn ledger(coffer: &Coffer) -> Vec<(String, i64)> {
    let line = |line: &Value| {
        (
            line["operation"].as_str().unwrap().to_owned(),
            line["amount"].as_i64().unwrap(),
        )
    };
    coffer.ledger().await.iter().map(line).collect()
}

fn line(operation: &str, amount: i64) -> (String, i64) {
    (operation.to_owned(), amount)
}

#[tokio::test]
async fn parallel_twins_are_one_payment_with_one_answer() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let answers = all_at_once(&shop, "/v1/payments", "order-1", &order(1999)).await;
    assert_same(&answers, 201);
    assert_eq!(answers[0].json["status"], "captured");
    let moved = [line("authorize", 1999), line("capture", 1999)];
    assert_eq!(ledger(&coffer).await, moved);
}

#[tokio::test]
async fn parallel_twins_use_a_deposited_token_once() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut body = order(1999);
    body["token"] = json!(shop.deposit(Card::APPROVED).await);
    let answers = all_at_once(&shop, "/v1/payments", "order-1", &body).await;
    assert_same(&answers, 201);
    assert_eq!(answers[0].json["status"], "captured");
    let moved = [line("authorize", 1999), line("capture", 1999)];
    assert_eq!(ledger(&coffer).await, moved);
}

#[tokio::test]
async fn parallel_twins_capture_and_refund_once() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut body = order(1999);
    body["capture"] = json!("manual");
    let reserved = shop.post("/v1/payments", &body).await;
    let payment = reserved.json["id"].as_str().unwrap();

    let capture = format!("/v1/payments/{payment}/capture");
    let captured = all_at_once(&shop, &capture, "capture-1", &json!({"amount": 1500})).await;
    assert_same(&captured, 200);
    assert_eq!(captured[0].json["amount_captured"], 1500);

    let body = json!({"payment": payment, "amount": 700});
    let refunded = all_at_once(&shop, "/v1/refunds", "refund-1", &body).await;
    assert_same(&refunded, 201);
    assert_eq!(refunded[0].json["status"], "succeeded");
    let moved = [
        line("authorize", 1999),
        line("capture", 1500),
        line("refund", 700),
    ];
    assert_eq!(ledger(&coffer).await, moved);
}

#[tokio::test]
async fn parallel_refunds_under_keys_of_their_own_do_not_exceed_the_capture() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let paid = shop.post("/v1/payments", &order(1000)).await;
    let refunds: Vec<_> = (0..TWINS)
        .map(|number| {
            let (shop, payment) = (shop.clone(), paid.json["id"].clone());
            task::spawn("twin", async move {
                let body = json!({"payment": payment, "amount": 300});
                until_answered(&shop, "/v1/refunds", &format!("refund-{number}"), &body).await
            })
        })
        .collect();
    let mut made = 0;
    for refund in refunds {
        let answer = refund.await.unwrap();
        match answer.status {
            201 => made += 1,
            503 => {}
            _ => assert_eq!(
                (
                    answer.status,
                    &answer.json["code"],
                    &answer.json["amount_left"]
                ),
                (422, &json!("amount_too_large"), &json!(100)),
                "{}",
                answer.text
            ),
        }
    }
    let refunded = ledger(&coffer).await;
    let refunded = refunded.iter().filter(|line| line.0 == "refund").count();
    assert_eq!((made, refunded), (3, 3));
}

#[tokio::test]
async fn a_twin_of_a_request_that_runs_for_long_is_told_to_come_again() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    // Longer than a twin waits, and within the deadline of a provider call.
    coffer
        .misbehave(
            json!({"behaviour": "late", "operation": "authorize", "count": 1, "delay_ms": 14_000}),
        )
        .await;
    let first = {
        let shop = shop.clone();
        task::spawn("twin", async move {
            shop.post_once("/v1/payments", "order-1", &order(1999))
                .await
        })
    };
    charged(&coffer).await;
    let twin = shop
        .post_once("/v1/payments", "order-1", &order(1999))
        .await;
    assert!(is_running(&twin), "{} {}", twin.status, twin.text);
    let first = first.await.unwrap();
    assert_eq!(first.status, 201, "{}", first.text);
    let again = until_answered(&shop, "/v1/payments", "order-1", &order(1999)).await;
    assert_eq!((again.status, &again.json), (201, &first.json));
    assert_eq!(ledger(&coffer).await.len(), 2);
}

#[tokio::test]
async fn a_twin_after_a_crash_gets_the_settled_outcome() {
    tokio::join!(twin_after_a_crash_of("api"), twin_after_a_crash_of("vault"));
}

async fn twin_after_a_crash_of(role: &str) {
    let mut coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    coffer
        .misbehave(
            json!({"behaviour": "late", "operation": "authorize", "count": 1, "delay_ms": 10_000}),
        )
        .await;
    let first = {
        let shop = shop.clone();
        task::spawn("twin", async move {
            shop.try_post_once("/v1/payments", "order-1", &order(1999))
                .await
        })
    };
    charged(&coffer).await;
    coffer.kill(role).await;
    // The api can answer for a vault that crashed: the outcome is not known yet. That answer stays.
    let expected = first.await.unwrap().map_or((201, "captured"), |answer| {
        assert_eq!((role, answer.status), ("vault", 202), "{}", answer.text);
        (202, "processing")
    });

    let twin = until_answered(&shop, "/v1/payments", "order-1", &order(1999)).await;
    let found = (twin.status, twin.json["status"].as_str().unwrap());
    assert_eq!(found, expected, "{role}: {}", twin.text);
    let path = format!("/v1/payments/{}", twin.json["id"].as_str().unwrap());
    let captured = async || (shop.get(&path).await.json["status"] == "captured").then_some(());
    eventually(PATIENCE, "the payment is captured", captured).await;
    let moved = [line("authorize", 1999), line("capture", 1999)];
    assert_eq!(ledger(&coffer).await, moved, "{role}");
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_body_one_account_and_one_address() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let first = shop
        .post_once("/v1/payments", "order-1", &order(1999))
        .await;
    assert_eq!(first.status, 201, "{}", first.text);

    let changed = shop
        .post_once("/v1/payments", "order-1", &order(2000))
        .await;
    assert_eq!(
        (changed.status, &changed.json["code"]),
        (422, &json!("idempotency_mismatch")),
        "{}",
        changed.text
    );
    let refund = json!({"payment": first.json["id"], "amount": 5});
    let elsewhere = shop.post_once("/v1/refunds", "order-1", &refund).await;
    assert_eq!(elsewhere.status, 201, "{}", elsewhere.text);

    let others = other
        .post_once("/v1/payments", "order-1", &order(3000))
        .await;
    assert_eq!(others.status, 201, "{}", others.text);
    assert_ne!(others.json["id"], first.json["id"]);
    let again = shop
        .post_once("/v1/payments", "order-1", &order(1999))
        .await;
    assert_eq!((again.status, &again.json), (201, &first.json));
    let moved = [
        line("authorize", 1999),
        line("capture", 1999),
        line("refund", 5),
        line("authorize", 3000),
        line("capture", 3000),
    ];
    assert_eq!(ledger(&coffer).await, moved);
}

#[tokio::test]
async fn an_idempotency_key_has_255_characters_at_most() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for refused in ["k".repeat(256), String::new(), "two words".to_owned()] {
        let answer = shop.post_once("/v1/payments", &refused, &order(1999)).await;
        assert_eq!(
            (answer.status, &answer.json["code"]),
            (400, &json!("idempotency_key_invalid")),
            "{}",
            answer.text
        );
    }
    assert!(coffer.ledger().await.is_empty());

    let (longest, sibling) = ("k".repeat(255), format!("{}j", "k".repeat(254)));
    let first = shop.post_once("/v1/payments", &longest, &order(1999)).await;
    let again = shop.post_once("/v1/payments", &longest, &order(1999)).await;
    assert_eq!((first.status, &first.json), (201, &again.json));
    let differs = shop.post_once("/v1/payments", &sibling, &order(1999)).await;
    assert_eq!(differs.status, 201, "{}", differs.text);
    assert_ne!(differs.json["id"], first.json["id"]);
}

/// Waits until the provider has charged the one request that runs.
async fn charged(coffer: &Coffer) {
    let in_ledger = async || (!coffer.ledger().await.is_empty()).then_some(());
    eventually(PATIENCE, "the provider has charged", in_ledger).await;
}
