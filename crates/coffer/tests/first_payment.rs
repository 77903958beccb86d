//! The first payment, through all processes: a payer types a card, the merchant's server pays with the token.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use coffer_testkit::{Card, Coffer};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");

#[tokio::test]
async fn a_typed_card_pays_once_and_the_providers_ledger_agrees() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let token = shop.deposit(Card::APPROVED).await;
    let order =
        json!({"amount": 1999, "currency": "EUR", "token": token, "reference": "order-1042"});

    let paid = shop.post_once("/v1/payments", "order-1042", &order).await;
    assert_eq!(
        (paid.status, &paid.json["status"]),
        (201, &json!("captured")),
        "{}",
        paid.text
    );
    assert_eq!(paid.json["amount_captured"], 1999);
    assert_eq!(paid.json["card"]["last4"], "4242");

    let again = shop.post_once("/v1/payments", "order-1042", &order).await;
    assert_eq!((again.status, &again.json), (201, &paid.json));

    let seen = shop
        .get(&format!(
            "/v1/payments/{}",
            paid.json["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (seen.status, &seen.json["status"]),
        (200, &json!("captured"))
    );

    let ledger = coffer.ledger().await;
    let operations: Vec<(&str, i64)> = ledger
        .iter()
        .map(|line| {
            (
                line["operation"].as_str().unwrap(),
                line["amount"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        operations,
        [("authorize", 1999), ("capture", 1999)],
        "{ledger:?}"
    );
}

#[tokio::test]
async fn a_token_pays_only_once() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let token = shop.deposit(Card::APPROVED).await;
    let order = json!({"amount": 500, "currency": "EUR", "token": token});
    let first = shop.post("/v1/payments", &order).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let second = shop.post("/v1/payments", &order).await;
    assert_eq!(
        (second.status, &second.json["code"]),
        (409, &json!("token_used")),
        "{}",
        second.text
    );
    assert_eq!(coffer.ledger().await.len(), 2);
}

#[tokio::test]
async fn a_declined_card_answers_why_and_moves_no_money() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let token = shop.deposit(Card::INSUFFICIENT_FUNDS).await;
    let declined = shop
        .post(
            "/v1/payments",
            &json!({"amount": 500, "currency": "EUR", "token": token}),
        )
        .await;
    assert_eq!(
        (declined.status, &declined.json["status"]),
        (201, &json!("declined")),
        "{}",
        declined.text
    );
    assert_eq!(
        declined.json["last_attempt"]["decline_reason"],
        "insufficient_funds"
    );
    assert_eq!(declined.json["amount_captured"], 0);
}
