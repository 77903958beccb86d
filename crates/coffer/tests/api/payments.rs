//! Payments and refunds: what a merchant's server can do with money.

use coffer_core::decline::DeclineReason;
use coffer_testkit::{Answer, Card, Client, Coffer};
use serde_json::{Value, json};

use crate::{BINARY, all_pages, pay, standing};

#[tokio::test]
async fn an_authorized_payment_is_captured_once_in_whole_or_in_part() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let manual = json!({"capture": "manual"});

    let whole = pay(&shop, manual.clone()).await;
    assert_eq!(standing(&whole), ("authorized", 0, 0));
    assert_eq!(
        whole.header("location"),
        format!("/v1/payments/{}", whole.id())
    );
    let capture = format!("/v1/payments/{}/capture", whole.id());
    let taken = shop.call("POST", &capture, &[], None).await.expect(200);
    assert_eq!(standing(&taken), ("captured", 1000, 0));
    let again = shop.post(&capture, &json!({})).await.expect(409);
    assert_eq!(again.json["code"], "state_conflict");

    let part = pay(&shop, manual).await;
    let capture = format!("/v1/payments/{}/capture", part.id());
    let more = shop
        .post(&capture, &json!({"amount": 1001}))
        .await
        .expect(422);
    assert_eq!(
        (&more.json["code"], &more.json["amount_left"]),
        (&json!("amount_too_large"), &json!(1000))
    );
    let body = json!({"amount": 400});
    let taken = shop.post_once(&capture, "once", &body).await.expect(200);
    assert_eq!(standing(&taken), ("captured", 400, 0));
    let repeated = shop.post_once(&capture, "once", &body).await.expect(200);
    assert_eq!(repeated.json, taken.json);
    assert_eq!(repeated.header("idempotent-replayed"), "true");
    let shown = shop
        .get(&format!("/v1/payments/{}", part.id()))
        .await
        .expect(200);
    assert_eq!(shown.json, taken.json);
}

#[tokio::test]
async fn canceling_voids_what_is_reserved_and_refuses_what_is_taken() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let cancel = async |payment: &Answer| {
        let path = format!("/v1/payments/{}/cancel", payment.id());
        shop.call("POST", &path, &[], None).await
    };
    let reserved = pay(&shop, json!({"capture": "manual"})).await;
    let voided = cancel(&reserved).await.expect(200);
    assert_eq!(standing(&voided), ("canceled", 0, 0));
    assert_eq!(voided.json["last_attempt"]["operation"], "void");
    assert_eq!(
        cancel(&reserved).await.expect(409).json["code"],
        "state_conflict"
    );

    let waiting = pay(&shop, json!({"token": null})).await;
    let given_up = cancel(&waiting).await.expect(200);
    assert_eq!(standing(&given_up), ("canceled", 0, 0));
    assert_eq!(given_up.json["checkout_url"], Value::Null);

    let taken = pay(&shop, json!({})).await;
    assert_eq!(
        cancel(&taken).await.expect(409).json["code"],
        "state_conflict"
    );
    let ledger = coffer.ledger().await;
    let operations: Vec<_> = ledger.iter().map(|line| &line["operation"]).collect();
    assert_eq!(operations, ["authorize", "void", "authorize", "capture"]);
}

#[tokio::test]
async fn a_decline_is_an_answer_that_says_why() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    // The payer's failing a challenge has no token: it takes a payer.
    for reason in DeclineReason::ALL
        .iter()
        .filter(|reason| **reason != DeclineReason::AuthenticationFailed)
    {
        let token = format!("tok_test_declined_{reason}");
        let declined = pay(&shop, json!({"token": token})).await;
        assert_eq!(standing(&declined), ("declined", 0, 0));
        assert_eq!(
            declined.json["last_attempt"]["decline_reason"],
            reason.as_str()
        );
    }
    let challenged = pay(
        &shop,
        json!({"token": "tok_test_challenge", "return_url": "https://shop.test/done"}),
    )
    .await;
    assert_eq!(standing(&challenged), ("requires_action", 0, 0));
    assert_eq!(challenged.json["next_action"]["type"], "redirect");
}

#[tokio::test]
async fn a_payment_without_a_card_waits_at_its_checkout_page() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, client) = (coffer.merchant().await, coffer.client());
    let waiting = pay(&shop, json!({"token": null, "description": "A chair"})).await;
    assert_eq!(standing(&waiting), ("requires_card", 0, 0));
    let address = waiting.json["checkout_url"].as_str().unwrap();
    let (rest, secret) = address.rsplit_once('/').unwrap();
    let port = coffer.address("checkout").port();
    let page = format!("https://pay.coffer.localhost:{port}/c/{}", waiting.id());
    assert_eq!(rest, page);

    let intake = async |client: &Client, payment: &str, secret: &str| {
        let body = json!({"payment": payment, "checkout_secret": secret});
        client
            .send("POST", &shop.url("/v1/intakes"), &[], Some(&body))
            .await
    };
    let granted = intake(&client, &waiting.id(), secret).await.expect(201);
    let (ticket, fields) = (&granted.json["ticket"], &granted.json["fields_url"]);
    assert!(
        fields
            .as_str()
            .unwrap()
            .ends_with(&format!("/v1/fields?ticket={}", ticket.as_str().unwrap()))
    );
    let token = shop
        .deposit_with(ticket.as_str().unwrap(), Card::APPROVED)
        .await
        .expect(201);
    assert_eq!(token.json["card"]["last4"], "4242");

    let other = pay(&shop, json!({"token": null})).await;
    for (payment, secret) in [(other.id(), secret), (waiting.id(), "AAAA")] {
        let refused = intake(&client, &payment, secret).await.expect(404);
        assert_eq!(refused.json["code"], "not_found");
    }
    let cancel = format!("/v1/payments/{}/cancel", waiting.id());
    shop.post(&cancel, &json!({})).await.expect(200);
    let refused = intake(&client, &waiting.id(), secret).await.expect(409);
    assert_eq!(refused.json["code"], "state_conflict");
}

#[tokio::test]
async fn payments_are_listed_newest_first_by_filter_and_cursor() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let customer = shop.post("/v1/customers", &json!({})).await.expect(201);
    let mut made = Vec::new();
    for fields in [
        json!({"reference": "a", "customer": customer.id()}),
        json!({"reference": "b", "token": "tok_test_declined_lost_card"}),
        json!({"reference": "a", "capture": "manual"}),
        json!({"customer": customer.id(), "metadata": {"shelf": "7"}}),
        json!({"reference": "b"}),
    ] {
        made.insert(0, pay(&shop, fields).await);
    }
    let of = |places: &[usize]| {
        places
            .iter()
            .map(|place| made[*place].id())
            .collect::<Vec<_>>()
    };
    let list = async |query: &str| all_pages(&shop, &format!("/v1/payments{query}")).await;
    assert_eq!(list("").await, of(&[0, 1, 2, 3, 4]));
    assert_eq!(list("?status=captured").await, of(&[0, 1, 4]));
    assert_eq!(list("?status=declined").await, of(&[3]));
    assert_eq!(list("?reference=a").await, of(&[2, 4]));
    assert_eq!(list("?reference=a&status=authorized").await, of(&[2]));
    assert_eq!(
        list(&format!("?customer={}", customer.id())).await,
        of(&[1, 4])
    );
    assert_eq!(
        list(&format!(
            "?customer={}&reference=a&status=captured",
            customer.id()
        ))
        .await,
        of(&[4])
    );
    let time = made[2].json["created"].as_str().unwrap();
    assert_eq!(
        list(&format!("?created_after={time}")).await,
        of(&[0, 1, 2])
    );
    assert_eq!(list(&format!("?created_before={time}")).await, of(&[3, 4]));
    assert_eq!(list("?reference=c").await, of(&[]));
    assert_eq!(made[1].json["metadata"], json!({"shelf": "7"}));
}

#[tokio::test]
async fn refunds_add_up_to_the_capture_and_no_further() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (payment, other) = (pay(&shop, json!({})).await, pay(&shop, json!({})).await);
    let refund = async |fields: Value| shop.post("/v1/refunds", &fields).await;
    let first = refund(json!({"payment": payment.id(), "amount": 300, "reference": "return-1"}))
        .await
        .expect(201);
    assert_eq!(
        (&first.json["status"], &first.json["amount"]),
        (&json!("succeeded"), &json!(300))
    );
    let look = async || shop.get(&format!("/v1/payments/{}", payment.id())).await;
    assert_eq!(standing(&look().await), ("partially_refunded", 1000, 300));
    let more = refund(json!({"payment": payment.id(), "amount": 701}))
        .await
        .expect(422);
    assert_eq!(more.json["amount_left"], 700);
    let rest = refund(json!({"payment": payment.id()})).await.expect(201);
    assert_eq!(rest.json["amount"], 700);
    assert_eq!(standing(&look().await), ("refunded", 1000, 1000));
    let none = refund(json!({"payment": payment.id()})).await;
    assert!(matches!(none.status, 409 | 422), "{}", none.text);

    let of_other = refund(json!({"payment": other.id(), "amount": 1}))
        .await
        .expect(201);
    assert_eq!(
        all_pages(&shop, "/v1/refunds").await,
        [of_other.id(), rest.id(), first.id()]
    );
    assert_eq!(
        all_pages(&shop, &format!("/v1/refunds?payment={}", payment.id())).await,
        [rest.id(), first.id()]
    );
    let shown = shop
        .get(&format!("/v1/refunds/{}", first.id()))
        .await
        .expect(200);
    assert_eq!(shown.json, first.json);
    let reserved = pay(&shop, json!({"capture": "manual"})).await;
    let early = refund(json!({"payment": reserved.id()})).await.expect(409);
    assert_eq!(early.json["code"], "state_conflict");
}
