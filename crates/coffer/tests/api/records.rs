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
    let key = listed.json["data"][0]["api_key"].as_str().unwrap();
    let of_key = shop.get(&format!("/v1/usage?api_key={key}")).await;
    assert!(
        !of_key.expect(200).json["data"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(of("GET /v1/ping", "calls"), 3);
    assert_eq!(of("GET /v1/ping", "refused"), 0);
    assert_eq!(of("GET /v1/payments/{id}", "refused"), 1);
    assert!(of("GET /v1/ping", "bytes_out") > 100);
}

/// The record as a file, all of its parts together.
async fn exported(shop: &Merchant, format: &str) -> String {
    let (mut text, mut query) = (String::new(), format!("format={format}&outcome=succeeded"));
    loop {
        let part = shop
            .get(&format!("{RECORDS}/export?{query}"))
            .await
            .expect(200);
        assert!(part.header("content-disposition").starts_with("attachment"));
        text.push_str(&part.text);
        let link = part.header("link");
        let Some((address, _)) = link.split_once(">; rel=\"next\"") else {
            return text;
        };
        query = address.split_once('?').unwrap().1.to_owned();
    }
}

#[tokio::test]
async fn the_record_is_exported_whole_as_lines_and_as_a_table() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    pay(&shop, json!({})).await;
    shop.get("/v1/customers").await.expect(200);
    told(&shop, "customer_list", 1).await;
    let listed = records(&shop, "&outcome=succeeded").await;
    let lines = exported(&shop, "jsonl").await;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[1..], listed, "and the list of before");
    let table = exported(&shop, "csv").await;
    let rows: Vec<_> = table.split("\r\n").collect();
    assert!(rows[0].starts_with("\"time\",\"id\""), "{table}");
    let ids = rows[3..].iter().filter(|row| !row.is_empty());
    for (row, record) in ids.zip(&listed) {
        assert!(row.contains(record["id"].as_str().unwrap()), "{row}");
    }
    assert!(rows[1].contains("audit_record_export"), "{table}");
    let wrong = shop.get(&format!("{RECORDS}/export?format=xlsx")).await;
    problem(&wrong, 400, "field_invalid");
}

/// Lines of their own in a log, and formulas in a table, if anyone let them.
const FORGERIES: [&str; 3] = [
    "forged\r\n2026-11-22T10:00:00Z ERROR forged=1\n{\"level\":\"ERROR\",\"message\":\"forged\"}",
    "forged\u{2028}\u{85}\u{1b}[2K\u{1b}[1Aforged",
    "=HYPERLINK(\"https://forged.test\"),\"forged",
];

#[tokio::test]
async fn no_text_of_a_caller_makes_a_line_in_a_log_or_a_record() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let bearer = format!("Bearer {}", shop.secret_key);
    for text in FORGERIES {
        let customer =
            json!({"reference": text, "description": text, "metadata": {"note": text, text: "x"}});
        let payment = json!({
            "amount": 1000, "currency": "EUR", "token": "tok_test_approved",
            "reference": text, "description": text, "metadata": {text: text}, "return_url": text,
        });
        let key = json!({"name": text, "permissions": {text: "read"}, "origins": [text], "addresses": [text]});
        let endpoint = json!({"url": format!("https://shop.test/{text}"), "description": text});
        let wrong = json!({text: text});
        for (path, body) in [
            ("/v1/customers", &customer),
            ("/v1/payments", &payment),
            ("/v1/api_keys", &key),
            ("/v1/webhook_endpoints", &endpoint),
            ("/v1/refunds", &wrong),
            ("/v1/exposed_keys", &json!({"key": text})),
        ] {
            shop.post(path, body).await;
            for (field, value) in body.as_object().unwrap() {
                shop.post(path, &json!({field: value})).await;
            }
        }
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for path in [
            format!("/v1/payments/{encoded}"),
            format!("/v1/{encoded}"),
            format!("/docs/errors/{encoded}"),
            format!("/v1/payments?reference={encoded}&{encoded}={encoded}"),
            format!("{RECORDS}?action={encoded}&actor={encoded}&object={encoded}"),
            format!("{RECORDS}/export?format=csv&action={encoded}"),
        ] {
            shop.get(&path).await;
        }
        // What a header can carry of it.
        let visible: String = text.chars().filter(|symbol| !symbol.is_control()).collect();
        let headers = [
            ("authorization", bearer.as_str()),
            ("user-agent", &visible),
            ("idempotency-key", &visible),
            ("traceparent", &visible),
        ];
        let (client, url) = (coffer.client(), shop.url("/v1/customers"));
        client.send("POST", &url, &headers, Some(&json!({}))).await;
    }
    told(&shop, "payment_list", 1).await;
    let log = coffer.log();
    assert!(!log.contains("forged"), "{log}");
    let lines = exported(&shop, "jsonl").await;
    assert!(
        !lines.contains("forged") && lines.lines().count() > 5,
        "{lines}"
    );
    let is_record =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["type"] == "audit_record";
    assert!(lines.lines().all(is_record), "{lines}");
    let table = exported(&shop, "csv").await;
    let mut rows = table.lines().skip(1);
    assert!(rows.all(|row| row.starts_with("\"20")), "{table}");
}
