//! The account itself: webhook endpoints, the log of events, the sites of its pages.

use coffer_testkit::Coffer;
use serde_json::{Value, json};

use crate::{BINARY, all_pages, pay};

#[tokio::test]
async fn a_webhook_endpoint_shows_each_secret_once() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let list = "/v1/webhook_endpoints";
    let new = json!({"url": "https://shop.test/hook", "events": ["payment.captured"]});
    let made = shop.post_once(list, "make", &new).await.expect(201);
    let secret = made.json["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let repeated = shop.post_once(list, "make", &new).await.expect(201);
    assert_eq!(
        (repeated.id(), &repeated.json["secret"]),
        (made.id(), &Value::Null)
    );
    assert_eq!(repeated.json["code"], "secret_already_shown");

    let path = format!("{list}/{}", made.id());
    let shown = shop.get(&path).await.expect(200);
    assert_eq!(shown.json["secret"], Value::Null);
    assert_eq!(shown.json["events"], json!(["payment.captured"]));
    let change = json!({"state": "disabled", "events": [], "description": "warehouse"});
    let changed = shop
        .call("PATCH", &path, &[], Some(&change))
        .await
        .expect(200);
    for (field, value) in change.as_object().unwrap() {
        assert_eq!(changed.json[field], *value);
    }

    let rotate = format!("{path}/rotate_secret");
    let rotated = shop
        .call("POST", &rotate, &[("idempotency-key", "rotate")], None)
        .await
        .expect(200);
    assert_ne!(rotated.json["secret"], made.json["secret"]);
    assert_ne!(rotated.json["public_key"], made.json["public_key"]);
    let repeated = shop
        .call("POST", &rotate, &[("idempotency-key", "rotate")], None)
        .await
        .expect(200);
    assert_eq!(repeated.json["secret"], Value::Null);
    assert_eq!(repeated.json["code"], "secret_already_shown");

    let other = shop.post(list, &new).await.expect(201);
    assert_eq!(all_pages(&shop, list).await, [other.id(), made.id()]);
    shop.call("DELETE", &path, &[], None).await.expect(204);
    shop.get(&path).await.expect(404);
    assert_eq!(all_pages(&shop, list).await, [other.id()]);
}

#[tokio::test]
async fn events_can_be_read_on_from_any_of_them_without_gaps() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let from = all_pages(&shop, "/v1/events").await;
    let customer = shop.post("/v1/customers", &json!({})).await.expect(201);
    let captured = pay(&shop, json!({})).await;
    pay(&shop, json!({"token": "tok_test_declined_lost_card"})).await;
    let refunded = json!({"payment": captured.id(), "amount": 1});
    let refund = shop.post("/v1/refunds", &refunded).await.expect(201);
    let path = format!("/v1/customers/{}", customer.id());
    shop.call("DELETE", &path, &[], None).await.expect(204);

    let all = all_pages(&shop, "/v1/events").await;
    let begin = from.last().map(|last| format!("?after={last}"));
    let news = shop
        .get(&format!("/v1/events{}", begin.unwrap_or_default()))
        .await
        .expect(200);
    let told: Vec<_> = news.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["type"].as_str().unwrap(),
                event["object"]["id"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told.iter().map(|(what, _)| *what).collect::<Vec<_>>(),
        [
            "customer.created",
            "payment.authorized",
            "payment.captured",
            "payment.declined",
            "refund.succeeded",
            "customer.deleted"
        ]
    );
    assert_eq!(told[2].1, captured.id());
    assert_eq!(told[4].1, refund.id());
    // From every place on, exactly the rest.
    for (place, event) in all.iter().enumerate() {
        let rest = shop
            .get(&format!("/v1/events?after={event}&limit=100"))
            .await
            .expect(200);
        assert_eq!(rest.ids(), all[place + 1..]);
    }
    assert_eq!(
        all_pages(&shop, "/v1/events?type=payment.captured").await,
        [news.ids()[2].clone()]
    );
    let shown = shop
        .get(&format!("/v1/events/{}", news.ids()[2]))
        .await
        .expect(200);
    assert_eq!(shown.json, news.json["data"][2]);
    let fields: Vec<_> = shown.json.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["created", "id", "mode", "object", "type"]);
}

#[tokio::test]
async fn an_account_names_the_sites_that_may_ask_for_cards() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, client) = (coffer.merchant().await, coffer.client());
    let account = shop.get("/v1/account").await.expect(200);
    assert_eq!(account.id(), shop.account);
    assert_eq!(account.json["origins"], json!(["https://shop.test"]));
    let origins = json!({"origins": ["https://new.test", "http://localhost:3000"]});
    let changed = shop
        .call("PATCH", "/v1/account", &[], Some(&origins))
        .await
        .expect(200);
    assert_eq!(changed.json["origins"], origins["origins"]);

    let bearer = format!("Bearer {}", shop.publishable_key);
    let intake = async |origin: &str| {
        let headers = [("authorization", bearer.as_str()), ("origin", origin)];
        client
            .send("POST", &shop.url("/v1/intakes"), &headers, Some(&json!({})))
            .await
    };
    let granted = intake("https://new.test").await.expect(201);
    assert_eq!(
        granted.header("access-control-allow-origin"),
        "https://new.test"
    );
    let refused = intake("https://shop.test").await.expect(403);
    assert_eq!(refused.json["code"], "refused");
    for wrong in [
        "shop.test",
        "https://shop.test/path",
        "ftp://shop.test",
        "https://*",
    ] {
        let body = json!({"origins": [wrong]});
        let refused = shop
            .call("PATCH", "/v1/account", &[], Some(&body))
            .await
            .expect(400);
        assert_eq!(refused.json["field"], "origins", "{wrong}");
    }

    for key in [&shop.publishable_key, &shop.secret_key] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let pong = client
            .send("GET", &shop.url("/v1/ping"), &headers, None)
            .await
            .expect(200);
        assert_eq!(pong.json["mode"], "test");
    }
}
