//! What is sealed to a signing key: webhook secrets and exports, opened and verified by foreign implementations (PyPI jwcrypto,
//! standardwebhooks).

use std::process::{Command, Output};

use coffer_crypto::public_key::KeyType;
use coffer_testkit::{Answer, Coffer, Merchant, Received, Receiver, Reply};
use serde_json::{Value, json};

use crate::{
    BINARY,
    encrypted::open,
    pay,
    problems::problem,
    signatures::{Signer, python},
};

const HOOKS: &str = "/v1/webhook_endpoints";
const EXPORT: &str = "/v1/audit_records/export";

/// Whether the message verifies by this secret.
const VERIFY: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

told = json.load(sys.stdin)
try:
    Webhook(told["secret"]).verify(told["body"], told["headers"])
    json.dump(True, sys.stdout)
except WebhookVerificationError:
    json.dump(False, sys.stdout)
"#;

fn verifies(secret: &str, message: &Received) -> bool {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers = names.map(|name| (name.to_owned(), json!(message.header(name))));
    let headers: serde_json::Map<_, _> = headers.into_iter().collect();
    let told = json!({"secret": secret, "body": message.body, "headers": headers});
    python(VERIFY, &told) == json!(true)
}

/// The secret that an answer shows to the key's owner, and to nobody else.
fn sealed_secret(signer: &Signer, answer: &Answer) -> String {
    assert!(!answer.text.contains("whsec_"), "{}", answer.text);
    assert_eq!(answer.json["secret"], Value::Null);
    let (content_type, secret) = open(signer, answer.json["sealed_secret"].as_str().unwrap());
    assert_eq!(content_type, "text/plain");
    secret
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_secret_is_for_the_owner_of_the_key_alone() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let signer = Signer::of(&coffer, &shop, KeyType::Rsa).await;
    let mut hook = Receiver::listen(|_| Reply::Status(204)).await;
    let new = json!({"url": format!("{}/hook", hook.url), "seal_to": signer.id});
    let made = shop.post_once(HOOKS, "make", &new).await.expect(201);
    let path = format!("{HOOKS}/{}", made.id());
    let rotate = format!("{path}/rotate_secret");
    let now = json!({"overlap_hours": 0, "seal_to": signer.id});
    let first = sealed_secret(&signer, &made);
    let mut message = async |shop: &Merchant| {
        let payment = pay(shop, json!({})).await.id();
        hook.event("/hook", "payment.captured", &payment).await
    };
    assert!(verifies(&first, &message(&shop).await));
    let rotated = shop.post_once(&rotate, "rotate", &now).await.expect(200);
    let second = sealed_secret(&signer, &rotated);
    let after = message(&shop).await;
    assert!(verifies(&second, &after) && !verifies(&first, &after));
    // Nobody is shown it again, sealed or not.
    for again in [
        shop.post_once(HOOKS, "make", &new).await.expect(201),
        shop.post_once(&rotate, "rotate", &now).await.expect(200),
        shop.get(&path).await.expect(200),
    ] {
        let shown = (&again.json["secret"], &again.json["sealed_secret"]);
        assert_eq!(shown, (&Value::Null, &Value::Null), "{}", again.text);
    }
    // Nor is it shown in the clear to who leaves the key out of the repetition.
    let open = json!({"url": new["url"]});
    let refused = shop.post_once(HOOKS, "make", &open).await;
    problem(&refused, 422, "idempotency_mismatch");
}

#[tokio::test]
async fn what_cannot_be_sealed_to_a_key_is_not_made_and_the_answer_says_why() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let signer = async |shop, key_type| Signer::of(&coffer, shop, key_type).await.id;
    let signs_only = signer(&shop, KeyType::Ed25519).await;
    let strange = signer(&other, KeyType::Rsa).await;
    let revoked = signer(&shop, KeyType::Rsa).await;
    let revoke = format!("/v1/signing_keys/{revoked}/revoke");
    shop.post(&revoke, &json!({})).await.expect(200);
    let made = shop
        .post(HOOKS, &json!({"url": "https://shop.test/hook"}))
        .await
        .expect(201);
    let rotate = format!("{HOOKS}/{}/rotate_secret", made.id());
    for (key, status, code, word) in [
        (
            &*signs_only,
            409,
            "state_conflict",
            "Ed25519 key only signs",
        ),
        (&revoked, 409, "state_conflict", "is revoked"),
        (&strange, 404, "not_found", "signing key's id"),
        ("sigkey_1", 400, "field_invalid", "seal_to"),
    ] {
        for path in [HOOKS, &rotate] {
            let mut body = json!({"seal_to": key});
            if path == HOOKS {
                body["url"] = json!("https://shop.test/another");
            }
            let refused = shop.post(path, &body).await;
            problem(&refused, status, code);
            let detail = refused.json["detail"].as_str().unwrap();
            assert!(detail.contains(word), "{detail}");
        }
    }
    let left = shop.get(HOOKS).await.expect(200);
    assert_eq!(left.ids(), [made.id()]);
    assert_eq!(left.json["data"][0]["version"], 1);
}

#[tokio::test]
async fn an_export_is_sealed_whole_and_has_no_name_of_what_is_in_it() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let signer = Signer::of(&coffer, &shop, KeyType::Rsa).await;
    let paid = pay(&shop, json!({})).await.id();
    let sealed = async |path: &str| {
        let accept = format!("application/jose;kid={}", signer.id);
        let answer = shop.call("GET", path, &[("accept", &accept)], None).await;
        let answer = answer.expect(200);
        assert_eq!(answer.header("content-type"), "application/jose");
        let opened = open(&signer, &answer.text);
        (answer, opened)
    };
    for (format, content_type) in [("jsonl", "jsonl"), ("csv", "text/csv")] {
        let query = format!("format={format}&action=payment.create");
        let plain = shop.get(&format!("{EXPORT}?{query}")).await.expect(200);
        assert!(plain.text.contains(&paid), "{}", plain.text);
        let (answer, opened) = sealed(&format!("{EXPORT}?{query}")).await;
        assert_eq!(opened, (content_type.to_owned(), plain.text));
        let file = format!("attachment; filename=\"audit_records.{format}.jwe\"");
        assert_eq!(answer.header("content-disposition"), file);
    }
    let (_, usage) = sealed("/v1/usage").await;
    assert!(usage.1.contains("POST /v1/payments"), "{}", usage.1);
}

/// Runs the program as the operator.
fn run(coffer: &Coffer, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    let directory = coffer.installation().directory();
    command.args(arguments).arg("--dir").arg(directory);
    command.env_clear().output().unwrap()
}

/// What the lines of an output are, opened one after the other.
fn opened(signer: &Signer, output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| open(signer, line).1).collect()
}

#[tokio::test]
async fn what_the_operator_exports_is_sealed_before_it_leaves_the_api() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let signer = Signer::of(&coffer, &shop, KeyType::Rsa).await;
    let strange = Signer::of(&coffer, &other, KeyType::Rsa).await;
    let signs_only = Signer::of(&coffer, &shop, KeyType::Ed25519).await;
    let paid = pay(&shop, json!({})).await.id();
    let record = ["audit", "export", "--account", "merchant 1"];
    let usage = ["usage", "--account", "merchant 1"];
    for command in [&record, &usage[..]] {
        for (key, word) in [
            (strange.id.as_str(), "not of this account and mode"),
            (&signs_only.id, "Ed25519"),
            ("sigkey_1", "sigkey_"),
        ] {
            let refused = run(&coffer, &[command, &["--seal-to", key]].concat());
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(said.contains(word), "{said}");
            assert!(!refused.status.success() && refused.stdout.is_empty());
        }
    }
    let to = ["--seal-to", &signer.id];
    let whole = opened(&signer, &run(&coffer, &[&record[..], &to].concat()));
    assert!(whole.contains(&paid), "{whole}");
    let table = [&record[..], &to, &["--format", "csv"]].concat();
    assert!(opened(&signer, &run(&coffer, &table)).starts_with("\"time\",\"id\""));
    // The installation's own record belongs to no account, and may be sealed to a key of any.
    let own = opened(&signer, &run(&coffer, &[&record[..2], &to].concat()));
    assert!(!own.is_empty() && !own.contains(&paid), "{own}");
    let rows = opened(&signer, &run(&coffer, &[&usage[..], &to].concat()));
    let rows = rows.lines().map(serde_json::from_str::<Value>);
    let mut endpoints = rows.map(|row| row.unwrap()["endpoint"].clone());
    assert!(endpoints.any(|endpoint| endpoint == "POST /v1/payments"));
}
