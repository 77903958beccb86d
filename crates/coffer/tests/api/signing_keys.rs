//! Signing keys: registered or made, shown once, rotated and revoked.

use coffer_crypto::public_key::KeyType;
use coffer_testkit::Coffer;
use serde_json::{Value, json};

use crate::{
    BINARY, all_pages,
    keys::key,
    problems::problem,
    signatures::{Signer, send, sign},
};

const KEYS: &str = "/v1/signing_keys";
/// RFC 8037, A.2.
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

#[tokio::test]
async fn a_private_key_is_shown_once_and_only_when_coffer_made_it() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let new = json!({"name": "server", "generate": "ed25519"});
    let made = shop.post_once(KEYS, "make", &new).await.expect(201);
    let private = made.json["private_key"].as_str().unwrap();
    assert!(private.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(made.header("location"), format!("{KEYS}/{}", made.id()));
    let repeated = shop.post_once(KEYS, "make", &new).await.expect(201);
    assert_eq!(
        (
            repeated.id(),
            &repeated.json["private_key"],
            &repeated.json["code"]
        ),
        (made.id(), &Value::Null, &json!("secret_already_shown"))
    );
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": PUBLIC});
    let new = json!({"name": "mine", "public_key": jwk});
    let shop = coffer.merchant().await;
    for _ in 0..2 {
        let mine = shop.post_once(KEYS, "register", &new).await.expect(201);
        let told = (&mine.json["private_key"], mine.json.get("code"));
        assert_eq!(told, (&Value::Null, None));
        assert_eq!(mine.json["generated"], false);
    }
    assert_eq!(all_pages(&shop, KEYS).await.len(), 1);
}

#[tokio::test]
async fn what_is_no_public_key_is_not_registered() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for (fields, code, field) in [
        (json!({}), "field_missing", "public_key"),
        (
            json!({"public_key": "ssh-ed25519 AAAA"}),
            "field_invalid",
            "public_key",
        ),
        (json!({"public_key": 7}), "field_invalid", "public_key"),
        (
            json!({"public_key": {"kty": "EC"}}),
            "field_invalid",
            "public_key",
        ),
        (
            json!({"public_key": {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC, "d": PUBLIC}}),
            "field_invalid",
            "public_key",
        ),
        (
            json!({"generate": "rsa-v1_5-sha256"}),
            "field_invalid",
            "generate",
        ),
    ] {
        let mut new = fields;
        new["name"] = json!("wrong");
        let refused = shop.post(KEYS, &new).await;
        problem(&refused, 400, code);
        assert_eq!(refused.json["field"], field);
        assert!(!refused.text.contains(PUBLIC));
    }
}

#[tokio::test]
async fn a_rotated_key_names_its_successor() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let old = Signer::of(&coffer, &shop, KeyType::Ed25519).await;
    let path = format!("{KEYS}/{}", old.id);
    let rotate = json!({"generate": "rsa-pss-sha512", "overlap_hours": 1});
    let url = shop.url(&format!("{path}/rotate"));
    let mut requests = ["first", "again"].map(|nonce| old.request(&url, &shop.secret_key, nonce));
    requests
        .iter_mut()
        .for_each(|request| request["body"] = json!(rotate.to_string()));
    let headers = sign(&requests);
    let next = send(&coffer, &requests[0], &headers[0]).await.expect(201);
    assert_eq!(next.json["name"], "server");
    let rotated = shop.get(&path).await.expect(200);
    assert_eq!(rotated.json["state"], "rotating");
    assert_eq!(rotated.json["rotation"]["successor"], next.id());
    let again = send(&coffer, &requests[1], &headers[1]).await;
    problem(&again, 409, "state_conflict");
    // Whoever narrows needs no signature.
    let revoked = shop.post(&format!("{path}/revoke"), &json!({})).await;
    assert_eq!(revoked.expect(200).json["state"], "revoked");
}

#[tokio::test]
async fn a_signing_key_stands_for_an_api_key_that_its_registrar_could_have_made() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, stranger) = (coffer.merchant().await, coffer.merchant().await);
    let (full, _) = key(&coffer, &shop, json!({"permissions": "full"})).await;
    let (own, narrow) = key(&coffer, &shop, json!({"permissions": "api_keys:write"})).await;
    let (theirs, _) = key(&coffer, &stranger, json!({})).await;
    let register = async |client: &str| {
        let bearer = format!("Bearer {narrow}");
        let headers = [("authorization", bearer.as_str())];
        let new = json!({"name": "server", "generate": "ed25519", "client": client});
        let (url, caller) = (shop.url(KEYS), coffer.client());
        caller.send("POST", &url, &headers, Some(&new)).await
    };
    problem(&register(&full).await, 403, "beyond_own_key");
    let missing = "key_00000000000000000000000000";
    for client in [theirs.as_str(), missing, "1"] {
        let refused = register(client).await;
        problem(&refused, 400, "field_invalid");
        assert_eq!(refused.json["field"], "client");
    }
    assert!(all_pages(&shop, KEYS).await.is_empty());
    let made = register(&own).await.expect(201);
    assert_eq!(made.json["client"], json!(own));
    // The next one is signed, whatever it stands for.
    problem(&register(&own).await, 401, "signature_required");
}
