//! Customers and the cards kept with them.

use coffer_db::{Statement, params};
use coffer_testkit::{Answer, Card, Coffer, Merchant};
use serde_json::{Value, json};

use crate::{BINARY, all_pages, standing};

#[tokio::test]
async fn a_customer_is_made_changed_listed_and_deleted() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let new = json!({"reference": "c-1", "description": "Ada", "metadata": {"tier": "gold"}});
    let made = shop.post("/v1/customers", &new).await.expect(201);
    let path = format!("/v1/customers/{}", made.id());
    assert_eq!(made.header("location"), path);
    assert_eq!(shop.get(&path).await.expect(200).json, made.json);

    let change = json!({"description": null, "metadata": {"tier": "blue"}});
    let changed = shop
        .call("PATCH", &path, &[], Some(&change))
        .await
        .expect(200);
    assert_eq!(
        (&changed.json["reference"], &changed.json["description"]),
        (&json!("c-1"), &Value::Null)
    );
    assert_eq!(changed.json["metadata"], json!({"tier": "blue"}));
    assert_eq!(changed.json["version"], 2);

    let other = shop.post("/v1/customers", &json!({})).await.expect(201);
    let third = shop.post("/v1/customers", &json!({})).await.expect(201);
    assert_eq!(
        all_pages(&shop, "/v1/customers").await,
        [third.id(), other.id(), made.id()]
    );
    shop.call("DELETE", &path, &[], None).await.expect(204);
    shop.get(&path).await.expect(404);
    shop.call("DELETE", &path, &[], None).await.expect(404);
    assert_eq!(
        all_pages(&shop, "/v1/customers").await,
        [third.id(), other.id()]
    );
}

/// How many records the vault holds of a kept card.
async fn records(coffer: &Coffer, card: &str) -> usize {
    static RECORDS: Statement =
        Statement::new("records", "SELECT record FROM records WHERE card = $1");
    let installation = coffer.installation();
    let db = installation
        .store("vault", coffer_vault::MIGRATIONS, &[&[&RECORDS]])
        .await;
    let found = db.read(&RECORDS, params![card]).await.unwrap();
    db.close().await;
    found.len()
}

#[tokio::test]
async fn a_kept_card_pays_until_it_is_deleted_and_is_then_gone_from_the_vault() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let customer = shop.post("/v1/customers", &json!({})).await.expect(201);
    let cards = format!("/v1/customers/{}/cards", customer.id());
    let keep = async || {
        let token = shop.deposit(Card::APPROVED).await;
        shop.post(&cards, &json!({"token": token}))
            .await
            .expect(201)
    };
    let token = shop.deposit(Card::APPROVED).await;
    let first = shop
        .post_once(&cards, "keep", &json!({"token": token}))
        .await
        .expect(201);
    let repeated = shop
        .post_once(&cards, "keep", &json!({"token": token}))
        .await;
    assert_eq!(repeated.expect(201).json, first.json);
    let used = pay_with(&shop, json!({"token": token})).await.expect(409);
    assert_eq!(used.json["code"], "token_used");
    let (second, third) = (keep().await, keep().await);
    assert_eq!(
        all_pages(&shop, &cards).await,
        [third.id(), second.id(), first.id()]
    );

    for _ in 0..2 {
        let paid = pay_with(
            &shop,
            json!({"card": first.id(), "customer": customer.id()}),
        )
        .await;
        assert_eq!(standing(&paid.expect(201)), ("captured", 1000, 0));
    }
    assert_eq!(records(&coffer, &first.id()).await, 1);
    let path = format!("/v1/cards/{}", first.id());
    shop.call("DELETE", &path, &[], None).await.expect(204);
    shop.call("DELETE", &path, &[], None).await.expect(404);
    pay_with(&shop, json!({"card": first.id()}))
        .await
        .expect(404);
    assert_eq!(records(&coffer, &first.id()).await, 0);
    assert_eq!(all_pages(&shop, &cards).await, [third.id(), second.id()]);

    let path = format!("/v1/customers/{}", customer.id());
    shop.call("DELETE", &path, &[], None).await.expect(204);
    for card in [second, third] {
        pay_with(&shop, json!({"card": card.id()}))
            .await
            .expect(404);
        assert_eq!(records(&coffer, &card.id()).await, 0);
    }
    shop.get(&cards).await.expect(404);
}

async fn pay_with(shop: &Merchant, card: Value) -> Answer {
    let mut order = json!({"amount": 1000, "currency": "EUR"});
    for (name, value) in card.as_object().unwrap() {
        order[name] = value.clone();
    }
    shop.post("/v1/payments", &order).await
}
