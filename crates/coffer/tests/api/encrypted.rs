//! Encrypted answers, read by a foreign implementation (PyPI jwcrypto).

use coffer_crypto::public_key::KeyType;
use coffer_testkit::{Answer, Coffer, Merchant};
use serde_json::{Value, json};

use crate::{
    BINARY,
    problems::problem,
    signatures::{Signer, python, sign},
};

const DECRYPT: &str = r#"
import json, sys
from jwcrypto import jwe, jwk

told = json.load(sys.stdin)
key = jwk.JWK.from_pem(told["private"].encode())
message = jwe.JWE(algs=["RSA-OAEP-256", "A256GCM"])
message.deserialize(told["message"], key=key)
json.dump({"header": json.loads(message.objects["protected"]), "content": message.payload.decode()}, sys.stdout)
"#;

/// What the key's owner reads of an answer: the type of its content and the content.
fn decrypt(signer: &Signer, answer: &Answer) -> (Value, Value) {
    assert_eq!(answer.header("content-type"), "application/jose");
    let (content_type, content) = open(signer, &answer.text);
    (json!(content_type), serde_json::from_str(&content).unwrap())
}

/// What the key's owner reads of a message.
pub(crate) fn open(signer: &Signer, message: &str) -> (String, String) {
    let told = json!({"private": signer.private, "message": message});
    let read = python(DECRYPT, &told);
    let header = &read["header"];
    assert_eq!(
        (&header["alg"], &header["enc"]),
        (&json!("RSA-OAEP-256"), &json!("A256GCM"))
    );
    assert_eq!(header["kid"], signer.id);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&header["cty"]), text(&read["content"]))
}

async fn call(
    shop: &Merchant,
    (method, path): (&str, &str),
    accept: &str,
    body: Option<Value>,
) -> Answer {
    shop.call(method, path, &[("accept", accept)], body.as_ref())
        .await
}

#[tokio::test]
async fn an_answer_is_for_the_owner_of_the_key_alone_and_so_is_a_problem() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let signer = Signer::of(&coffer, &shop, KeyType::Rsa).await;
    let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    let paid = call(
        &shop,
        ("POST", "/v1/payments"),
        "application/jose",
        Some(order),
    )
    .await;
    assert_eq!(paid.status, 201);
    let (content_type, payment) = decrypt(&signer, &paid);
    let id = payment["id"].as_str().unwrap();
    assert_eq!(
        (content_type, &payment["amount"]),
        (json!("json"), &json!(1000))
    );
    assert_eq!(paid.header("location"), format!("/v1/payments/{id}"));
    let missing = ("GET", "/v1/payments/pay_00000000000000000000000000");
    let missing = call(&shop, missing, "application/jose", None).await;
    assert_eq!(missing.status, 404);
    let (content_type, told) = decrypt(&signer, &missing);
    assert_eq!(
        (content_type, &told["code"]),
        (json!("problem+json"), &json!("not_found"))
    );
    // A secret that is shown once is shown to its owner only.
    let hook = json!({"url": "https://shop.test/hook"});
    let made = call(
        &shop,
        ("POST", "/v1/webhook_endpoints"),
        "application/jose",
        Some(hook),
    )
    .await;
    assert!(!made.text.contains("whsec_"));
    let (_, made) = decrypt(&signer, &made);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    // What is wrong with a signature is told to the owner as well.
    let mut request = signer.request(&shop.url("/v1/payments"), &shop.secret_key, "old");
    request["created"] = json!(-1000);
    request["headers"]["accept"] = json!("application/jose");
    let headers = sign(std::slice::from_ref(&request));
    let refused = crate::signatures::send(&coffer, &request, &headers[0]).await;
    assert_eq!(
        (refused.status, &decrypt(&signer, &refused).1["code"]),
        (401, &json!("signature_invalid"))
    );
}

#[tokio::test]
async fn the_newest_key_is_taken_or_the_one_that_is_named() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let ask = async |accept: &str| call(&shop, ("GET", "/v1/account"), accept, None).await;
    let named = |signer: &Signer| format!("application/jose;kid={}", signer.id);
    problem(
        &ask("application/jose").await,
        406,
        "encryption_key_missing",
    );
    let old = Signer::of(&coffer, &shop, KeyType::Rsa).await;
    let new = Signer::of(&coffer, &shop, KeyType::Rsa).await;
    let signs_only = Signer::of(&coffer, &shop, KeyType::Ed25519).await;
    let strange = Signer::of(&coffer, &other, KeyType::Rsa).await;
    decrypt(&new, &ask("application/jose").await);
    decrypt(&old, &ask(&named(&old)).await);
    for accept in [
        named(&signs_only),
        named(&strange),
        "application/jose;kid=1".to_owned(),
    ] {
        problem(&ask(&accept).await, 406, "encryption_key_missing");
    }
    let revoke = format!("/v1/signing_keys/{}/revoke", new.id);
    shop.post(&revoke, &json!({})).await.expect(200);
    decrypt(&old, &ask("application/jose").await);
    problem(&ask(&named(&new)).await, 406, "encryption_key_missing");
    assert_eq!(
        ask("application/json").await.header("content-type"),
        "application/json"
    );
}

#[tokio::test]
async fn nothing_is_done_for_whom_the_answer_cannot_be_encrypted() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    let refused = call(
        &shop,
        ("POST", "/v1/payments"),
        "application/jose",
        Some(order),
    )
    .await;
    problem(&refused, 406, "encryption_key_missing");
    assert!(shop.get("/v1/payments").await.ids().is_empty());
}
