//! A provider that misbehaves: whatever it does, money moves once, an outcome that is not known is 202 and never a guess,
//! and it is known within a minute.
//!
//! Most of each story is waiting for a provider's deadline, so they are told at the same time, each by a Coffer of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use coffer_testkit::{Answer, Coffer, Merchant, eventually};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Later than the deadline of a provider call, which is 20 s.
const TOO_LATE_MS: i64 = 40_000;

/// What the provider does wrong, whether the client can be told the outcome at once, and whether the provider did it.
const MISBEHAVIOUR: [(&str, Known, Charged); 7] = [
    ("late", Known::AtOnce, Charged::Yes),
    ("error_after_charging", Known::Later, Charged::Yes),
    ("drop_after_charging", Known::Later, Charged::Yes),
    ("twice", Known::AtOnce, Charged::Yes),
    ("garbage", Known::Later, Charged::Yes),
    ("notify_first", Known::AtOnce, Charged::Yes),
    ("error_before_charging", Known::Later, Charged::No),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    AtOnce,
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charged {
    Yes,
    No,
}

/// A request that met a misbehaving provider, and the address of what it made or changed.
struct Met {
    behaviour: &'static str,
    charged: Charged,
    path: String,
    answer: Answer,
}

/// Makes the provider misbehave in its next such operation. A late answer comes within the deadline.
async fn misbehave(coffer: &Coffer, behaviour: &str, operation: &str) {
    let mut switch = json!({"behaviour": behaviour, "operation": operation, "count": 1});
    if behaviour == "late" {
        switch["delay_ms"] = json!(500);
    }
    coffer.misbehave(switch).await;
}

fn order(amount: i64, capture: &str) -> Value {
    json!({"amount": amount, "currency": "EUR", "token": "tok_test_approved", "capture": capture})
}

fn path(kind: &str, object: &Value) -> String {
    format!("/v1/{kind}/{}", object["id"].as_str().expect("an id"))
}

/// 202 and `processing` exactly when the outcome is not known.
fn assert_known(answer: &Answer, known: Known, behaviour: &str) {
    let processing = answer.json["status"] == "processing";
    assert_eq!(
        (answer.status == 202, processing),
        (known == Known::Later, known == Known::Later),
        "{behaviour}: {}",
        answer.text
    );
    assert!(answer.status < 300, "{behaviour}: {}", answer.text);
}

/// The object once its outcome is known.
async fn settled(shop: &Merchant, path: &str) -> Value {
    let look = async || {
        let seen = shop.get(path).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
        (seen.json["status"] != "processing").then_some(seen.json)
    };
    eventually(SETTLED_WITHIN, "the outcome is known", look).await
}

/// The amounts of one kind of operation that the provider did, in order.
async fn done(coffer: &Coffer, operation: &str) -> Vec<i64> {
    let ledger = coffer.ledger().await;
    let mut amounts: Vec<i64> = ledger
        .iter()
        .filter(|line| line["operation"] == operation)
        .inspect(|line| assert!(line["status"] != "failed", "{line}"))
        .map(|line| line["amount"].as_i64().unwrap())
        .collect();
    amounts.sort_unstable();
    amounts
}

#[tokio::test]
async fn whatever_a_provider_does_money_moves_once_and_the_outcome_is_known() {
    tokio::join!(
        a_misbehaving_authorization_reserves_once_and_is_captured_once(),
        a_misbehaving_capture_takes_the_money_once(),
        a_misbehaving_refund_gives_the_money_back_once(),
        an_answer_after_the_deadline_leaves_the_outcome_open_and_is_found_out(),
        a_manual_capture_that_was_not_done_can_be_asked_for_again(),
    );
}

async fn a_misbehaving_authorization_reserves_once_and_is_captured_once() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (mut all, mut amounts) = (Vec::new(), Vec::new());
    for (amount, (behaviour, known, charged)) in (1001..).zip(MISBEHAVIOUR) {
        misbehave(&coffer, behaviour, "authorize").await;
        let answer = shop
            .post_once("/v1/payments", behaviour, &order(amount, "automatic"))
            .await;
        assert_known(&answer, known, behaviour);
        if charged == Charged::Yes {
            amounts.push(amount);
        }
        let path = path("payments", &answer.json);
        all.push(Met {
            behaviour,
            charged,
            path,
            answer,
        });
    }
    for met in all {
        let payment = settled(&shop, &met.path).await;
        let expected = match met.charged {
            Charged::Yes => "captured",
            Charged::No => "declined",
        };
        assert_eq!(payment["status"], expected, "{}: {payment}", met.behaviour);
    }
    assert_eq!(done(&coffer, "authorize").await, amounts);
    assert_eq!(done(&coffer, "capture").await, amounts);
}

async fn a_misbehaving_capture_takes_the_money_once() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (mut all, mut amounts) = (Vec::new(), Vec::new());
    for (amount, (behaviour, known, charged)) in (1001..).zip(MISBEHAVIOUR) {
        misbehave(&coffer, behaviour, "capture").await;
        let answer = shop
            .post_once("/v1/payments", behaviour, &order(amount, "automatic"))
            .await;
        assert_known(&answer, known, behaviour);
        amounts.push(amount);
        let path = path("payments", &answer.json);
        all.push(Met {
            behaviour,
            charged,
            path,
            answer,
        });
    }
    for met in all {
        // Money that is to be taken at once does not stay reserved because the provider failed once.
        let payment = settled(&shop, &met.path).await;
        assert_eq!(
            payment["status"], "captured",
            "{}: {payment}",
            met.behaviour
        );
        assert_eq!(payment["amount_captured"], payment["amount"]);
        // The first answer stays what it was.
        let body = order(payment["amount"].as_i64().unwrap(), "automatic");
        let again = shop.post_once("/v1/payments", met.behaviour, &body).await;
        assert_eq!(
            (again.status, &again.json),
            (met.answer.status, &met.answer.json),
            "{}",
            met.behaviour
        );
    }
    assert_eq!(done(&coffer, "authorize").await, amounts);
    assert_eq!(done(&coffer, "capture").await, amounts);
}

async fn a_misbehaving_refund_gives_the_money_back_once() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let paid = shop.post("/v1/payments", &order(10_000, "automatic")).await;
    assert_eq!(paid.json["status"], "captured", "{}", paid.text);
    let (mut all, mut amounts) = (Vec::new(), Vec::new());
    for (amount, (behaviour, known, charged)) in (101..).zip(MISBEHAVIOUR) {
        misbehave(&coffer, behaviour, "refund").await;
        let body = json!({"payment": paid.json["id"], "amount": amount});
        let answer = shop.post_once("/v1/refunds", behaviour, &body).await;
        assert_known(&answer, known, behaviour);
        if charged == Charged::Yes {
            amounts.push(amount);
        }
        let path = path("refunds", &answer.json);
        all.push(Met {
            behaviour,
            charged,
            path,
            answer,
        });
    }
    for met in all {
        let refund = settled(&shop, &met.path).await;
        let expected = match met.charged {
            Charged::Yes => "succeeded",
            Charged::No => "failed",
        };
        assert_eq!(refund["status"], expected, "{}: {refund}", met.behaviour);
    }
    assert_eq!(done(&coffer, "refund").await, amounts);
    let payment = shop.get(&path("payments", &paid.json)).await;
    assert_eq!(payment.json["amount_refunded"], amounts.iter().sum::<i64>());
}

async fn an_answer_after_the_deadline_leaves_the_outcome_open_and_is_found_out() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    coffer
        .misbehave(json!({"behaviour": "late", "operation": "authorize", "count": 1, "delay_ms": TOO_LATE_MS}))
        .await;
    let answer = shop
        .post_once("/v1/payments", "late", &order(1999, "automatic"))
        .await;
    assert_known(&answer, Known::Later, "late");
    let payment = settled(&shop, &path("payments", &answer.json)).await;
    assert_eq!(payment["status"], "captured", "{payment}");
    assert_eq!(done(&coffer, "authorize").await, [1999]);
    assert_eq!(done(&coffer, "capture").await, [1999]);
}

async fn a_manual_capture_that_was_not_done_can_be_asked_for_again() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let reserved = shop.post("/v1/payments", &order(1999, "manual")).await;
    assert_eq!(reserved.json["status"], "authorized", "{}", reserved.text);
    let (payment, body) = (path("payments", &reserved.json), json!({"amount": 1500}));
    let capture = format!("{payment}/capture");

    misbehave(&coffer, "error_before_charging", "capture").await;
    let first = shop.post_once(&capture, "first", &body).await;
    assert_known(&first, Known::Later, "error_before_charging");
    let meanwhile = shop.post_once(&capture, "meanwhile", &body).await;
    assert_eq!(
        (meanwhile.status, &meanwhile.json["code"]),
        (409, &json!("state_conflict")),
        "a second capture while the first may have happened: {}",
        meanwhile.text
    );
    assert_eq!(settled(&shop, &payment).await["status"], "authorized");

    let second = shop.post_once(&capture, "second", &body).await;
    assert_eq!(
        (second.status, &second.json["amount_captured"]),
        (200, &json!(1500)),
        "{}",
        second.text
    );
    assert_eq!(done(&coffer, "capture").await, [1500]);
}
