//! The record of use: what was done, read and refused, by whom and from where.

use std::time::Duration;

use coffer_testkit::{Coffer, Merchant, eventually};
use serde_json::{Value, json};

use crate::{BINARY, keys::key, pay, problems::problem};

const RECORDS: &str = "/v1/audit_records";

async fn records(shop: &Merchant, query: &str) -> Vec<Value> {
    let listed = shop
        .get(&format!("{RECORDS}?limit=100{query}"))
        .await
        .expect(200);
    listed.json["data"].as_array().unwrap().clone()
}

/// The records of this action, once there are so many.
async fn told(shop: &Merchant, action: &str, count: usize) -> Vec<Value> {
    let query = format!("&action={action}");
    let there = async || {
        let found = records(shop, &query).await;
        (found.len() >= count).then_some(found)
    };
    eventually(Duration::from_secs(5), "it is on record", there).await
}

#[tokio::test]
async fn every_read_is_on_record_and_so_is_every_change_and_every_refusal() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let paid = pay(&shop, json!({})).await;
    let path = format!("/v1/payments/{}", paid.id());
    let shown = shop.get(&path).await.expect(200);
    let (id, reader) = key(&coffer, &shop, json!({"permissions": "payments:read"})).await;
    let bearer = format!("Bearer {reader}");
    let headers = [("authorization", bearer.as_str())];
    let (client, url) = (coffer.client(), shop.url("/v1/refunds"));
    let order = json!({"payment": paid.id()});
    let refused = client.send("POST", &url, &headers, Some(&order)).await;
    problem(&refused, 403, "permission_missing");

    let read = told(&shop, "payment", 1).await.remove(0);
    assert_eq!(read["endpoint"], "GET /v1/payments/{id}");
    assert_eq!(read["objects"], json!([paid.id()]));
    assert_eq!(read["outcome"], "succeeded");
    assert_eq!(read["request_id"], shown.header("coffer-request-id"));
    assert_eq!(read["address"], "127.0.0.1");
    assert_eq!(read["tls_version"], "1.3");
    assert_eq!(read["actor"]["type"], "api_key");

    let denied = told(&shop, "refund_create", 1).await.remove(0);
    assert_eq!(denied["outcome"], "refused");
    assert_eq!(denied["actor"]["id"], id);

    let made = records(&shop, &format!("&object={}", paid.id())).await;
    for action in ["payment.create", "payment"] {
        assert!(
            made.iter().any(|record| record["action"] == action),
            "{made:?}"
        );
    }
    let text = serde_json::to_string(&made).unwrap();
    assert!(!text.contains("4242"), "{text}");
}

#[tokio::test]
async fn who_reads_the_record_is_on_record_before_the_answer() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    records(&shop, "").await;
    let reads = records(&shop, "&action=audit_record_list").await;
    assert_eq!(reads.len(), 1, "the one before, not yet this one");
}

#[tokio::test]
async fn what_was_read_last_is_on_record_after_a_stop() {
    let mut coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    shop.get("/v1/customers").await.expect(200);
    coffer.stop("api").await;
    let shop = shop.moved_to(&coffer);
    assert_eq!(records(&shop, "&action=customer_list").await.len(), 1);
}

#[tokio::test]
async fn a_strict_installation_answers_nothing_that_is_not_on_record() {
    let coffer = Coffer::start_with(BINARY, &[("COFFER_AUDIT_READS", "strict")]).await;
    let shop = coffer.merchant().await;
    for _ in 0..3 {
        shop.get("/v1/customers").await.expect(200);
    }
    assert_eq!(records(&shop, "&action=customer_list").await.len(), 3);
}

#[tokio::test]
async fn usage_says_how_much_which_key_asked_of_which_endpoint() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for _ in 0..3 {
        shop.get("/v1/ping").await.expect(200);
    }
    let missing = "/v1/payments/pay_00000000000000000000000000";
    problem(&shop.get(missing).await, 404, "not_found");
    let listed = shop.get("/v1/usage?limit=100").await.expect(200);
    let of = |endpoint: &str, field: &str| -> i64 {
        let rows = listed.json["data"].as_array().unwrap().iter();
        let rows = rows.filter(|row| row["endpoint"] == endpoint);
        rows.map(|row| row[field].as_i64().unwrap()).sum()
    };
    assert_eq!(of("GET /v1/ping", "calls"), 3);
    assert_eq!(of("GET /v1/ping", "refused"), 0);
    assert_eq!(of("GET /v1/payments/{id}", "refused"), 1);
    assert!(of("GET /v1/ping", "bytes_out") > 100);
}
