//! Signed requests, signed by a foreign implementation (PyPI http-message-signatures): what is accepted, and what is wrong.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use coffer_crypto::public_key::{KeyType, generate_pair};
use coffer_net::outbound::Method;
use coffer_testkit::{Answer, Coffer, Merchant};
use serde_json::{Value, json};

use crate::{BINARY, keys::key, problems::problem};

/// Signs each of the requests on stdin, and writes the headers of each.
const SIGN: &str = r#"
import datetime, json, sys
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

class Key(HTTPSignatureKeyResolver):
    def __init__(self, key): self.key = key
    def resolve_private_key(self, key_id): return self.key

class Message: pass

signed = []
now = datetime.datetime.now(datetime.timezone.utc)
at = lambda seconds: None if seconds is None else now + datetime.timedelta(seconds=seconds)
for one in json.load(sys.stdin):
    message = Message()
    message.method, message.url, message.headers = one["method"], one["url"], dict(one["headers"])
    algorithm = getattr(algorithms, one["algorithm"])
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Key(one["private"].encode()))
    signer.sign(message, key_id=one["keyid"], created=at(one["created"]), expires=at(one["expires"]), nonce=one["nonce"],
        include_alg=one["include_alg"], covered_component_ids=one["covered"], body=one["body"].encode() if one["digest"] else None)
    signed.append(message.headers)
json.dump(signed, sys.stdout)
"#;

/// A signing key and its private half.
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) private: String,
    algorithm: &'static str,
}

impl Signer {
    /// A new key of the merchant's account, registered by the operator.
    pub(crate) async fn of(coffer: &Coffer, shop: &Merchant, key_type: KeyType) -> Self {
        Self::of_client(coffer, shop, key_type, None).await
    }

    /// One that may stand for this API key.
    pub(crate) async fn of_client(
        coffer: &Coffer,
        shop: &Merchant,
        key_type: KeyType,
        client: Option<&str>,
    ) -> Self {
        let (private, public) = generate_pair(key_type).unwrap();
        let wanted = json!({"account": shop.account, "mode": "test", "name": "server", "public_key": public.pem(), "client": client});
        let admin = coffer.admin("api");
        let made = admin
            .call("/signing-keys", Method::POST, Some(&wanted))
            .await;
        Self {
            id: made.unwrap()["id"].as_str().unwrap().to_owned(),
            private: String::from_utf8(private.expose().to_vec()).unwrap(),
            algorithm: match key_type {
                KeyType::Rsa => "RSA_PSS_SHA512",
                KeyType::Ed25519 => "ED25519",
            },
        }
    }

    /// A request as it should be signed.
    pub(crate) fn request(&self, url: &str, key: &str, nonce: &str) -> Value {
        json!({
            "method": "POST", "url": url, "body": BODY, "digest": true, "private": self.private, "keyid": self.id,
            "algorithm": self.algorithm, "include_alg": true, "created": 0, "expires": null,
            "nonce": format!("nonce-of-the-request-{nonce}"), "covered": ["@method", "@target-uri", "authorization"],
            "headers": {"authorization": format!("Bearer {key}"), "content-type": "application/json"},
        })
    }
}

const BODY: &str = r#"{"amount":1000,"currency":"EUR","token":"tok_test_approved"}"#;

/// What a Python program makes of this.
pub(crate) fn python(program: &str, told: &Value) -> Value {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    assert!(python.exists(), "install the tools with ./test --install");
    let mut child = Command::new(python)
        .args(["-c", program])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(told.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The headers of each request, signed by the foreign implementation.
pub(crate) fn sign(requests: &[Value]) -> Vec<Value> {
    let signed = python(SIGN, &json!(requests));
    signed.as_array().unwrap().clone()
}

pub(crate) async fn send(coffer: &Coffer, request: &Value, headers: &Value) -> Answer {
    let text = |name: &str| request[name].as_str().unwrap();
    let headers: Vec<_> = headers
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let client = coffer.client();
    let body = text("body").as_bytes().to_vec();
    let sent = client.send_bytes(text("method"), text("url"), &headers, body);
    sent.await.unwrap()
}

/// Changes a request before it is signed, and the request and its headers on their way.
type Change = fn(&mut Value);
type Meddle = fn(&mut Value, &mut Value);

fn nothing(_: &mut Value) {}
fn no_one(_: &mut Value, _: &mut Value) {}

/// YARDSTICK Y34: what is accepted (no word), and what is refused with a word that stands in the detail.
const CASES: &[(&str, Change, Meddle, &str)] = &[
    ("as it should be", nothing, no_one, ""),
    (
        "without alg",
        |one| one["include_alg"] = json!(false),
        no_one,
        "",
    ),
    (
        "target in parts",
        |one| {
            one["covered"] = json!([
                "@method",
                "@authority",
                "@path",
                "@query",
                "authorization",
                "content-type"
            ])
        },
        no_one,
        "",
    ),
    ("with an end", |one| one["expires"] = json!(60), no_one, ""),
    (
        "body changed",
        nothing,
        |one, _| one["body"] = json!(BODY.replace("1000", "9000")),
        "digest of the body",
    ),
    (
        "digest changed with the body",
        nothing,
        |one, headers| {
            one["body"] = json!("{}");
            headers["Content-Digest"] =
                json!("sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:");
        },
        "not the signature",
    ),
    (
        "digest dropped",
        nothing,
        |_, headers| drop(headers.as_object_mut().unwrap().remove("Content-Digest")),
        "not sent",
    ),
    (
        "never a digest",
        |one| one["digest"] = json!(false),
        no_one,
        "content-digest",
    ),
    (
        "digest not covered",
        |one| one["digest"] = json!(false),
        |_, headers| headers["content-digest"] = json!("sha-256=:AAAA:"),
        "content-digest",
    ),
    (
        "old",
        |one| one["created"] = json!(-302),
        no_one,
        "older than 300",
    ),
    (
        "from the future",
        |one| one["created"] = json!(90),
        no_one,
        "in time to come",
    ),
    (
        "expired",
        |one| {
            one["created"] = json!(-60);
            one["expires"] = json!(-10);
        },
        no_one,
        "expired",
    ),
    (
        "no nonce",
        |one| one["nonce"] = Value::Null,
        no_one,
        "nonce",
    ),
    (
        "a short nonce",
        |one| one["nonce"] = json!("1"),
        no_one,
        "nonce",
    ),
    (
        "algorithm swapped",
        nothing,
        |_, headers| {
            let input = headers["Signature-Input"].as_str().unwrap();
            let (rsa, ed25519) = ("\"rsa-pss-sha512\"", "\"ed25519\"");
            let swapped = if input.contains(rsa) {
                input.replace(rsa, ed25519)
            } else {
                input.replace(ed25519, rsa)
            };
            headers["Signature-Input"] = json!(swapped);
        },
        "signs by",
    ),
    (
        "another algorithm",
        |one| one["include_alg"] = json!(false),
        |_, headers| {
            let input = headers["Signature-Input"].as_str().unwrap();
            headers["Signature-Input"] = json!(format!("{input};alg=\"hmac-sha256\""));
        },
        "alg has to be",
    ),
    (
        "method changed",
        nothing,
        |one, _| one["method"] = json!("PATCH"),
        "",
    ),
    (
        "target not covered",
        |one| one["covered"] = json!(["@method", "authorization"]),
        no_one,
        "@target-uri",
    ),
    (
        "query not covered",
        |one| one["covered"] = json!(["@method", "@authority", "@path", "authorization"]),
        no_one,
        "@query",
    ),
    (
        "method not covered",
        |one| one["covered"] = json!(["@target-uri", "authorization"]),
        no_one,
        "@method",
    ),
    (
        "key not covered",
        |one| one["covered"] = json!(["@method", "@target-uri"]),
        no_one,
        "authorization",
    ),
    (
        "target changed",
        nothing,
        |one, _| one["url"] = json!(format!("{}?x=1", one["url"].as_str().unwrap())),
        "not the signature",
    ),
    (
        "idempotency key added",
        nothing,
        |_, headers| headers["idempotency-key"] = json!("another"),
        "idempotency-key",
    ),
    (
        "signature without its input",
        nothing,
        |_, headers| drop(headers.as_object_mut().unwrap().remove("Signature-Input")),
        "signature-input",
    ),
    (
        "two signatures",
        nothing,
        |_, headers| {
            let input = headers["Signature-Input"].as_str().unwrap();
            headers["Signature-Input"] =
                json!(format!("{input}, {}", input.replace("pyhms", "other")));
        },
        "exactly one",
    ),
];

#[tokio::test]
async fn a_signature_counts_for_the_request_that_it_was_made_for() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for key_type in [KeyType::Ed25519, KeyType::Rsa] {
        let signer = Signer::of(&coffer, &shop, key_type).await;
        let url = shop.url("/v1/payments");
        let mut requests: Vec<Value> = Vec::new();
        for (name, change, _, _) in CASES {
            let mut request = signer.request(&url, &shop.secret_key, &name.replace(' ', "-"));
            change(&mut request);
            requests.push(request);
        }
        let headers = sign(&requests);
        for ((mut request, mut headers), (name, _, meddle, word)) in
            requests.into_iter().zip(headers).zip(CASES)
        {
            meddle(&mut request, &mut headers);
            let answer = send(&coffer, &request, &headers).await;
            eprintln!("{name}: {}", answer.text);
            if *name == "method changed" {
                problem(&answer, 405, "method_not_allowed");
            } else if word.is_empty() {
                answer.expect(201);
            } else {
                problem(&answer, 401, "signature_invalid");
                assert!(answer.json["detail"].as_str().unwrap().contains(word));
                assert!(
                    answer
                        .header("accept-signature")
                        .starts_with("sig=(\"@method\"")
                );
            }
        }
    }
    let made = CASES.iter().filter(|case| case.3.is_empty()).count() - 1;
    assert_eq!(shop.get("/v1/payments").await.ids().len(), 2 * made);
}

#[tokio::test]
async fn a_signature_counts_once_and_only_by_a_key_of_the_account_that_works() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let signer = Signer::of(&coffer, &shop, KeyType::Ed25519).await;
    let strange = Signer::of(&coffer, &other, KeyType::Ed25519).await;
    let url = shop.url("/v1/payments");
    let (_, another_key) = key(&coffer, &shop, json!({"permissions": "full"})).await;
    let request = |signer: &Signer, nonce: &str| signer.request(&url, &shop.secret_key, nonce);
    let mut by_other = request(&signer, "other");
    by_other["private"] = json!(strange.private);
    let requests = [
        request(&signer, "once"),
        request(&signer, "swapped"),
        request(&strange, "strange"),
        by_other,
        request(&signer, "late"),
    ];
    let mut headers = sign(&requests);
    let refused = async |at: usize, headers: &Value, word: &str| {
        let answer = send(&coffer, &requests[at], headers).await;
        problem(&answer, 401, "signature_invalid");
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{detail}");
    };
    send(&coffer, &requests[0], &headers[0]).await.expect(201);
    refused(0, &headers[0], "nonce").await;
    // The signature is bound to the API key, so whoever has another one of the account cannot use it.
    headers[1]["authorization"] = json!(format!("Bearer {another_key}"));
    refused(1, &headers[1], "not the signature").await;
    refused(2, &headers[2], "no signing key").await;
    refused(3, &headers[3], "not the signature").await;
    let task = json!({"id": signer.id, "act": "revoke"});
    let admin = coffer.admin("api");
    let revoked = admin.call("/signing-keys/task", Method::POST, Some(&task));
    revoked.await.unwrap();
    refused(4, &headers[4], "revoked").await;
}

#[tokio::test]
async fn a_key_may_ask_for_signatures_of_what_moves_money_or_of_all() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let signer = Signer::of(&coffer, &shop, KeyType::Ed25519).await;
    let (_, money) = key(&coffer, &shop, json!({"signed_requests": "money"})).await;
    let (_, all) = key(&coffer, &shop, json!({"signed_requests": "all"})).await;
    let unsigned = async |key: &str, method: &str, path: &str, body: Option<Value>| {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let client = coffer.client();
        client
            .send(method, &shop.url(path), &headers, body.as_ref())
            .await
    };
    unsigned(&money, "GET", "/v1/payments", None)
        .await
        .expect(200);
    for path in [
        "/v1/payments",
        "/v1/payments/pay_1/capture",
        "/v1/payments/pay_1/cancel",
        "/v1/refunds",
    ] {
        let refused = unsigned(&money, "POST", path, Some(json!({}))).await;
        problem(&refused, 401, "signature_required");
        let wanted =
            "sig=(\"@method\" \"@target-uri\" \"authorization\" \"content-digest\");created";
        assert_eq!(refused.header("accept-signature"), wanted);
    }
    problem(
        &unsigned(&all, "GET", "/v1/ping", None).await,
        401,
        "signature_required",
    );
    let url = shop.url("/v1/payments");
    let mut reading = signer.request(&shop.url("/v1/ping?"), &all, "reading");
    for (name, value) in [
        ("method", json!("GET")),
        ("body", json!("")),
        ("digest", json!(false)),
    ] {
        reading[name] = value;
    }
    let requests = [signer.request(&url, &money, "money"), reading];
    let headers = sign(&requests);
    let paid = send(&coffer, &requests[0], &headers[0]).await.expect(201);
    send(&coffer, &requests[1], &headers[1]).await.expect(200);
    // The record says who signed.
    let by_signer = format!("/v1/audit_records?object={}", signer.id);
    let listed = shop.get(&by_signer).await.expect(200);
    let recorded = listed.json["data"].as_array().unwrap().clone();
    let made = recorded
        .iter()
        .find(|one| one["endpoint"] == "POST /v1/payments");
    assert!(
        made.unwrap()["objects"]
            .as_array()
            .unwrap()
            .contains(&json!(paid.id()))
    );
}

#[tokio::test]
async fn a_stolen_api_key_registers_no_signing_key_beside_one_that_is_there() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let new = json!({"name": "thief", "generate": "ed25519"});
    let path = "/v1/signing_keys";
    let first = shop.post(path, &new).await.expect(201);
    problem(&shop.post(path, &new).await, 401, "signature_required");
    let own = format!("{path}/{}", first.id());
    let rotate = shop
        .post(&format!("{own}/rotate"), &json!({"generate": "ed25519"}))
        .await;
    problem(&rotate, 401, "signature_required");
    // Not even when none works any more: that is the operator's to help with.
    shop.post(&format!("{own}/revoke"), &json!({}))
        .await
        .expect(200);
    problem(&shop.post(path, &new).await, 401, "signature_required");
    Signer::of(&coffer, &shop, KeyType::Ed25519).await;
}
