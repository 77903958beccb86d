//! The payers' pages, through all processes: a payment without a card, its page, a card typed into the vault's frame, paid.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use coffer_testkit::{Card, Coffer, Payer, eventually};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");

fn order(more: Value) -> Value {
    let mut order =
        json!({"amount": 1999, "currency": "EUR", "description": "A <chair> & a table"});
    order
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    order
}

/// The operations of this kind in the provider's books.
async fn charged(coffer: &Coffer, operation: &str) -> usize {
    let ledger = coffer.ledger().await;
    ledger
        .iter()
        .filter(|line| line["operation"] == operation)
        .count()
}

#[tokio::test]
async fn a_payer_pays_at_the_page_and_goes_back_with_the_payments_id_and_nothing_else() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let back = "https://shop.test/done?order=1";
    let payer = Payer::of(&coffer, &shop, order(json!({"return_url": back}))).await;

    let form = payer.look().await.expect(200);
    assert!(form.text.contains("19.99\u{a0}EUR"), "{}", form.text);
    assert!(
        form.text.contains("A &#60;chair&#62; &#38; a table"),
        "{}",
        form.text
    );
    assert_eq!(
        payer.status().await,
        json!({"status": "requires_card", "next": null})
    );

    let token = payer.types(Card::APPROVED).await;
    let paid = payer.pays(&token).await.expect(200);
    assert_eq!(paid.json, json!({"status": "captured", "next": null}));
    let seen = payer.payment().await;
    assert_eq!(
        (&seen["status"], &seen["card"]["last4"]),
        (&json!("captured"), &json!("4242"))
    );

    let page = payer.look().await.expect(200);
    assert!(page.text.contains("Payment received") && page.text.contains("4242"));
    let way_back = format!("{back}&#38;payment={}\"", payer.payment);
    assert!(page.text.contains(&way_back), "{}", page.text);
    assert!(!page.text.contains("ticket="), "{}", page.text);

    // Whatever is repeated charges nothing.
    let again = payer.pays(&token).await.expect(200);
    assert_eq!(again.json["status"], "captured");
    assert_eq!(
        (
            charged(&coffer, "authorize").await,
            charged(&coffer, "capture").await
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn only_the_page_itself_may_pay_and_only_its_own_payment() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let payer = Payer::of(&coffer, &shop, order(json!({}))).await;
    let other = Payer::of(&coffer, &shop, order(json!({}))).await;
    let token = payer.types(Card::APPROVED).await;
    for headers in [
        &[][..],
        &[("origin", "https://shop.test")],
        &[("origin", "null")],
        &[
            ("origin", payer.origin.as_str()),
            ("sec-fetch-site", "cross-site"),
        ],
    ] {
        let refused = payer.sends(headers, &token).await.expect(403);
        assert_eq!(refused.json["code"], "refused");
    }
    let refused = other.pays(&token).await.expect(400);
    assert_eq!(refused.json["code"], "token_unknown");
    // Nor does an API key help: the token is its page's.
    let by_api = json!({"amount": 1999, "currency": "EUR", "token": token});
    let refused = shop.post("/v1/payments", &by_api).await.expect(400);
    assert_eq!(refused.json["code"], "token_unknown");
    assert_eq!(charged(&coffer, "authorize").await, 0);
    payer.pays(&token).await.expect(200);
    assert_eq!(charged(&coffer, "authorize").await, 1);
}

#[tokio::test]
async fn two_cards_at_the_same_time_charge_one() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let payer = Payer::of(&coffer, &shop, order(json!({}))).await;
    let late = json!({"behaviour": "late", "operation": "authorize", "count": 1, "delay_ms": 300});
    coffer.misbehave(late).await;
    let (one, other) = (
        payer.types(Card::APPROVED).await,
        payer.types(Card::APPROVED).await,
    );
    let (one, other) = tokio::join!(payer.pays(&one), payer.pays(&other));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.text, other.text);
    assert_eq!(charged(&coffer, "authorize").await, 1);
    assert_eq!(payer.payment().await["status"], "captured");
}

#[tokio::test]
async fn a_card_whose_security_code_was_lost_is_asked_for_again_and_costs_no_try() {
    let mut coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let payer = Payer::of(&coffer, &shop, order(json!({}))).await;
    let token = payer.types(Card::APPROVED).await;
    // The code is in the memory of the process that took it, and nowhere else.
    coffer.kill("vault").await;
    let lost = payer.pays(&token).await.expect(409);
    assert_eq!(lost.json["code"], "cvc_lost");
    assert_eq!(payer.payment().await["status"], "requires_card");
    let page = payer.look().await.expect(200);
    assert!(
        page.text.contains("Please enter it once more"),
        "{}",
        page.text
    );
    for _ in 0..4 {
        let token = payer.types(Card::INSUFFICIENT_FUNDS).await;
        let declined = payer.pays(&token).await.expect(200);
        assert_eq!(declined.json["status"], "requires_card");
    }
    let token = payer.types(Card::APPROVED).await;
    let paid = payer.pays(&token).await.expect(200);
    assert_eq!(paid.json["status"], "captured");
}

#[tokio::test]
async fn what_payers_pay_counts_against_the_caps_of_the_key_that_made_the_payment() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let caps = json!([{"kind": "captured_per_day", "currency": "EUR", "limit": 3000}]);
    let new = json!({"name": "till", "permissions": "full", "caps": caps});
    let till = shop.post("/v1/api_keys", &new).await.expect(201);
    let mut capped = shop.clone();
    till.json["secret"]
        .as_str()
        .unwrap()
        .clone_into(&mut capped.secret_key);
    let (one, other) = (
        Payer::of(&coffer, &capped, order(json!({}))).await,
        Payer::of(&coffer, &capped, order(json!({}))).await,
    );
    let declined = one.types(Card::INSUFFICIENT_FUNDS).await;
    one.pays(&declined).await.expect(200);
    let token = one.types(Card::APPROVED).await;
    assert_eq!(
        one.pays(&token).await.expect(200).json["status"],
        "captured"
    );
    let token = other.types(Card::APPROVED).await;
    let refused = other.pays(&token).await.expect(503);
    assert!(!refused.text.contains("cap"), "{}", refused.text);
    assert_eq!(other.payment().await["status"], "requires_card");
    assert_eq!(charged(&coffer, "capture").await, 1);
    let alerts = shop.get("/v1/alerts").await.expect(200).json;
    assert_eq!(alerts["data"][0]["kind"], "cap_reached", "{alerts}");
}

#[tokio::test]
async fn whoever_guesses_an_address_learns_nothing_and_is_noticed() {
    let settings = [("COFFER_DETECTION_SCANNING_MISSES", "4")];
    let coffer = Coffer::start_with(BINARY, &settings).await;
    let shop = coffer.merchant().await;
    let payer = Payer::of(&coffer, &shop, order(json!({}))).await;
    let (base, secret) = payer.page.rsplit_once('/').unwrap();
    let (origin, _) = base.rsplit_once('/').unwrap();
    let never = format!("pay_{:0>26}", "8");
    let told = async |address: String| {
        let answer = payer.client.send("GET", &address, &[], None).await;
        let answer = answer.expect(404);
        let policy = answer.header("content-security-policy");
        let (_, nonce) = policy.split_once("'nonce-").unwrap();
        let nonce = nonce.split('\'').next().unwrap().to_owned();
        answer.text.replace(&nonce, "")
    };
    let guessed = told(format!("{base}/{}", secret.replace('A', "B"))).await;
    assert_eq!(told(format!("{origin}/{never}/{secret}")).await, guessed);
    assert_eq!(told(format!("{base}/x")).await, guessed);
    assert_eq!(told(format!("{origin}/x/y")).await, guessed);
    let noticed = async || {
        let alerts = coffer.alerts().await;
        let mut alerts = alerts.iter();
        alerts
            .any(|alert| alert["kind"] == "scanning")
            .then_some(())
    };
    eventually(Duration::from_secs(10), "an alert of the guesses", noticed).await;
}

#[tokio::test]
async fn the_page_is_made_of_what_its_inventory_lists_and_has_the_headers_that_it_lists() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let payer = Payer::of(&coffer, &shop, order(json!({}))).await;
    let page = payer.look().await.expect(200);
    let inventory = format!("{}/.well-known/payment-page.json", payer.origin);
    let listed = payer.client.send("GET", &inventory, &[], None).await;
    let listed = listed.expect(200).json;
    for (kind, tag) in [("scripts", "<script "), ("styles", "<link ")] {
        let files = listed[kind].as_array().unwrap();
        assert_eq!(page.text.matches(tag).count(), files.len());
        for file in files {
            for name in ["path", "integrity"] {
                let value = format!("\"{}\"", file[name].as_str().unwrap());
                assert!(page.text.contains(&value), "{value}");
            }
            assert!(file["reason"].as_str().unwrap().len() > 20);
        }
    }
    let policy = page.header("content-security-policy");
    let (_, nonce) = policy.split_once("'nonce-").unwrap();
    let nonce = nonce.split('\'').next().unwrap();
    for header in listed["headers"].as_array().unwrap() {
        let (name, value) = (
            header["name"].as_str().unwrap(),
            header["value"].as_str().unwrap(),
        );
        assert_eq!(page.header(name).replace(nonce, "{nonce}"), value, "{name}");
    }
    assert!(page.headers.get("set-cookie").is_none());
}
