//! Every endpoint of the API, at a whole Coffer: what it does for a merchant, and what it refuses whom.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod account;
mod client_assertions;
mod customers;
mod description;
mod detection;
mod doors;
mod encrypted;
mod keys;
mod managing;
mod oauth;
mod payments;
mod problems;
mod rates;
mod records;
mod sealing;
mod signatures;
mod signing_keys;
mod strangers;

use coffer_testkit::{Answer, Merchant};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");

/// Makes a payment of 10.00 EUR by a test token, with these fields besides.
async fn pay(shop: &Merchant, fields: Value) -> Answer {
    let mut order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    for (name, value) in fields.as_object().unwrap() {
        order[name] = value.clone();
    }
    shop.post("/v1/payments", &order).await.expect(201)
}

fn standing(payment: &Answer) -> (&str, i64, i64) {
    let number = |name: &str| payment.json[name].as_i64().unwrap();
    let status = payment.json["status"].as_str().unwrap();
    (status, number("amount_captured"), number("amount_refunded"))
}

/// All pages of a list, two objects at a time.
async fn all_pages(shop: &Merchant, path: &str) -> Vec<String> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = shop
            .get(&format!("{path}{separator}limit=2{after}"))
            .await
            .expect(200);
        assert!(page.ids().len() <= 2);
        found.extend(page.ids());
        if page.json["has_more"] == json!(false) {
            return found;
        }
        after = format!("&after={}", found.last().unwrap());
    }
}
