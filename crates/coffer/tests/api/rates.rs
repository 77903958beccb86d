//! How much a key, an account and an address may ask for, and how truthfully that is told.

use std::time::Duration;

use coffer_core::{
    Mode,
    api_key::{KeyKind, compose},
    id::ApiKeyId,
};
use coffer_testkit::{Answer, Coffer, Merchant, eventually};
use futures_util::future::join_all;
use serde_json::json;

use crate::{BINARY, keys::key, problems::problem};

async fn ping(coffer: &Coffer, shop: &Merchant, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let client = coffer.client();
    client
        .send("GET", &shop.url("/v1/ping"), &headers, None)
        .await
}

/// What an answer tells of a rate: its name, the units left, the seconds until all are there.
fn standing(answer: &Answer) -> (String, i64, i64) {
    let mut parts = answer.header("ratelimit").split(';');
    let name = parts.next().unwrap().trim_matches('"').to_owned();
    let mut number = |prefix: &str| {
        let part = parts.next().unwrap();
        part.strip_prefix(prefix).unwrap().parse().unwrap()
    };
    (name, number("r="), number("t="))
}

#[tokio::test]
async fn of_three_hundred_requests_the_rate_lets_in_a_hundred_and_tells_the_truth() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (_, limited) = key(&coffer, &shop, json!({"per_minute": 100})).await;
    let (_, other) = key(&coffer, &shop, json!({"per_minute": 100})).await;
    let (mut passed, mut left, mut refused) = (0, 100, None);
    // Together, because a refusal takes its time.
    for together in [1; 100].into_iter().chain([50; 4]) {
        let asked = (0..together).map(|_| ping(&coffer, &shop, &limited));
        for answer in join_all(asked).await {
            assert_eq!(
                answer.header("ratelimit-policy"),
                "\"key\";q=100;w=60;burst=100"
            );
            let (name, now_left, full_in) = standing(&answer);
            assert_eq!(name, "key");
            assert!((0..=61).contains(&full_in));
            if answer.status == 200 {
                // One less each time, and one more when some time has gone by.
                assert!(
                    now_left == left - 1 || now_left == left,
                    "{now_left} after {left}"
                );
                left = now_left;
                passed += 1;
            } else {
                problem(&answer, 429, "rate_exceeded");
                assert_eq!(answer.json["limit"], "key");
                assert_eq!(now_left, 0);
                refused = Some(answer);
            }
        }
    }
    // 300 requests take a moment, in which a unit or two are earned.
    assert!((100..=103).contains(&passed), "{passed}");
    ping(&coffer, &shop, &other).await.expect(200);
    let wait: u64 = refused.unwrap().header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
}

#[tokio::test]
async fn keys_that_do_not_work_are_soon_refused_unheard_and_those_that_do_go_on() {
    let coffer = Coffer::start_with(
        BINARY,
        &[
            ("COFFER_LIMITS_FAILURES_PER_MINUTE", "1"),
            ("COFFER_LIMITS_FAILURES_BURST", "5"),
        ],
    )
    .await;
    let shop = coffer.merchant().await;
    let guess = |byte| {
        compose(
            KeyKind::Secret,
            Mode::Test,
            ApiKeyId::from_bytes([byte; 16]),
            &[7; 32],
        )
    };
    for byte in 0..5 {
        problem(
            &ping(&coffer, &shop, &guess(byte)).await,
            401,
            "key_unknown",
        );
    }
    let refused = ping(&coffer, &shop, &guess(9)).await;
    problem(&refused, 429, "rate_exceeded");
    assert_eq!(refused.json["limit"], "address");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    shop.get("/v1/ping").await.expect(200);
    let report = json!({"key": guess(9)});
    let url = shop.url("/v1/exposed_keys");
    let reported = coffer.client().send("POST", &url, &[], Some(&report)).await;
    problem(&reported, 429, "rate_exceeded");
}

#[tokio::test]
async fn a_key_that_does_too_much_at_once_is_told_so() {
    let coffer = Coffer::start_with(BINARY, &[("COFFER_LIMITS_KEY_CONCURRENT", "1")]).await;
    let shop = coffer.merchant().await;
    // A payment at a provider that takes its time is worked on for a while.
    let late = json!({"behaviour": "late", "count": 1, "delay_ms": 2_000});
    coffer.misbehave(late).await;
    let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    let slow = shop.post("/v1/payments", &order);
    let busy = async || {
        let answer = shop.get("/v1/ping").await;
        (answer.status == 429).then_some(answer)
    };
    let refused = eventually(Duration::from_secs(5), "the key is busy", busy);
    let (refused, paid) = tokio::join!(refused, slow);
    assert_eq!(refused.json["limit"], "concurrency");
    paid.expect(201);
}
