//! Who may call: a key is told what is wrong with it, and is accepted in one place only.

use std::time::Duration;

use coffer_core::{
    Mode,
    api_key::{KeyKind, KeyText, compose},
    id::ApiKeyId,
};
use coffer_net::outbound::Method;
use coffer_testkit::{Answer, Coffer, Merchant, eventually};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{BINARY, problems::problem};

/// A new key of the merchant's account, as an operator makes it: its id and its text.
pub(crate) async fn key(coffer: &Coffer, shop: &Merchant, settings: Value) -> (String, String) {
    let mut wanted = json!({"account": shop.account, "mode": "test", "kind": "sk", "name": "another", "permissions": null, "lasts_ms": null});
    for (name, value) in settings.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    let made = coffer
        .admin("api")
        .call("/api-keys", Method::POST, Some(&wanted))
        .await
        .unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

async fn call_with(
    coffer: &Coffer,
    shop: &Merchant,
    authorization: &str,
    route: (&str, &str),
) -> Answer {
    let (method, path) = route;
    let headers = [("authorization", authorization)];
    let body = (method != "GET").then(|| json!({}));
    let client = coffer.client();
    client
        .send(method, &shop.url(path), &headers, body.as_ref())
        .await
}

#[tokio::test]
async fn a_key_is_told_what_is_wrong_with_it() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let ping = async |key: &str| {
        call_with(
            &coffer,
            &shop,
            &format!("Bearer {key}"),
            ("GET", "/v1/ping"),
        )
        .await
    };

    let client = coffer.client();
    let nobody = client.send("GET", &shop.url("/v1/ping"), &[], None).await;
    problem(&nobody, 401, "key_missing");
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    let secret = &shop.secret_key;
    let swapped = if secret.ends_with('0') { "1" } else { "0" };
    let mistyped = format!("{}{swapped}", &secret[..secret.len() - 1]);
    for malformed in [mistyped.as_str(), &secret[1..], "sk_test_", "password"] {
        problem(&ping(malformed).await, 401, "key_malformed");
    }
    let id = KeyText::parse(secret).unwrap().id;
    for unknown in [
        compose(
            KeyKind::Secret,
            Mode::Test,
            ApiKeyId::from_bytes([7; 16]),
            &[7; 32],
        ),
        compose(KeyKind::Secret, Mode::Test, id, &[7; 32]),
        compose(KeyKind::Secret, Mode::Live, id, &[7; 32]),
    ] {
        problem(&ping(&unknown).await, 401, "key_unknown");
    }
    let (_, brief) = key(&coffer, &shop, json!({"lasts_ms": 300})).await;
    eventually(Duration::from_secs(5), "the key expires", async || {
        let answer = ping(&brief).await;
        (answer.status == 401).then(|| problem(&answer, 401, "key_expired"))
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_a_second() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (id, text) = key(&coffer, &shop, json!({})).await;
    let bearer = format!("Bearer {text}");
    let ping = async || call_with(&coffer, &shop, &bearer, ("GET", "/v1/ping")).await;
    ping().await.expect(200);
    let revocation = json!({"id": id, "act": "revoke"});
    coffer
        .admin("api")
        .call("/api-keys/task", Method::POST, Some(&revocation))
        .await
        .unwrap();
    eventually(
        Duration::from_secs(1),
        "the key stops working",
        async || {
            let answer = ping().await;
            (answer.status != 200).then(|| problem(&answer, 401, "key_revoked"))
        },
    )
    .await;
    shop.get("/v1/ping").await.expect(200);
}

#[tokio::test]
async fn a_key_in_the_address_is_refused_even_beside_a_good_one() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let secret = &shop.secret_key;
    for path in [
        format!("/v1/ping?api_key={secret}"),
        format!("/v1/ping?x={secret}"),
        format!("/v1/payments/{secret}"),
        "/v1/payments?access_token=1".to_owned(),
        format!("/v1/payments?reference={}", secret.replace('_', "%5F")),
    ] {
        let with_header = shop.get(&path).await;
        problem(&with_header, 400, "key_in_url");
        let without = coffer
            .client()
            .send("GET", &shop.url(&path), &[], None)
            .await;
        problem(&without, 400, "key_in_url");
        assert!(!without.text.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn a_key_over_plain_http_opens_nothing() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let body = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"}).to_string();
    let (key, length) = (&shop.secret_key, body.len());
    let authority = coffer.address("api");
    for head in [
        format!("GET /v1/ping HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n"),
        format!(
            "POST /v1/payments HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(authority).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            headers.contains("content-type: application/problem+json"),
            "{headers}"
        );
        assert!(
            !headers.contains("location") && !answer.contains(key.as_str()),
            "{answer}"
        );
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "https_required");
        assert_eq!(body["type"], shop.url("/docs/errors/https_required"));
        let id = body["request_id"].as_str().unwrap();
        assert!(
            headers.contains(&format!("coffer-request-id: {id}")),
            "{headers}"
        );
    }
    assert!(shop.get("/v1/payments").await.ids().is_empty());
    assert!(coffer.ledger().await.is_empty());
}

#[tokio::test]
async fn no_live_key_is_made_in_development() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let wanted = json!({"account": shop.account, "mode": "live", "kind": "sk", "name": "live", "permissions": null, "lasts_ms": null});
    let admin = coffer.admin("api");
    let made = admin.call("/api-keys", Method::POST, Some(&wanted)).await;
    let refusal = made.unwrap_err().to_string();
    assert!(refusal.contains("development profile"), "{refusal}");
}
