//! Webhooks as a receiver sees them: signed by the standard, at least once under one id, thin, and never sent where a
//! merchant has no business.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use coffer_crypto::VerifyingKey;
use coffer_testkit::{Answer, Coffer, Merchant, Received, Receiver, Reply, eventually};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// The most that one event may weigh.
const BODY_MAX: usize = 1024;
const HAPPENS_WITHIN: Duration = Duration::from_secs(30);

/// Verifies one message as a merchant's server does, with the library of the Standard Webhooks project.
const VERIFY: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
said = json.load(sys.stdin)
try:
    print(json.dumps(Webhook(said["secret"]).verify(said["body"], said["headers"])))
except WebhookVerificationError as error:
    sys.exit(f"refused: {error}")
"#;

async fn endpoint(shop: &Merchant, url: &str) -> Answer {
    shop.post("/v1/webhook_endpoints", &json!({"url": url}))
        .await
        .expect(201)
}

async fn pay(shop: &Merchant) -> String {
    let order = json!({"amount": 1999, "currency": "EUR", "token": "tok_test_approved"});
    shop.post("/v1/payments", &order).await.expect(201).id()
}

/// What the public library makes of a message, or why it refuses it.
fn verified(secret: &str, message: &Received) -> Result<Value, String> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    assert!(python.exists(), "install the tools with ./test --install");
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names
        .iter()
        .map(|name| ((*name).to_owned(), json!(message.header(name))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let said = json!({"secret": secret, "body": message.body, "headers": headers});
    let mut child = Command::new(python)
        .args(["-c", VERIFY])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(said.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Whether one of the message's `v1a` signatures is by this public key.
fn is_signed_by(public_key: &str, message: &Received) -> bool {
    let bytes = BASE64.decode(public_key.strip_prefix("whpk_").unwrap().as_bytes());
    let key = VerifyingKey::from_slice(&bytes.unwrap()).unwrap();
    let (id, timestamp) = (
        message.header("webhook-id"),
        message.header("webhook-timestamp"),
    );
    let signed = format!("{id}.{timestamp}.{}", message.body);
    message
        .header("webhook-signature")
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1a,"))
        .map(|signature| BASE64.decode(signature.as_bytes()).unwrap())
        .any(|signature| key.verify(signed.as_bytes(), &signature).is_ok())
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json[field].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_verifies_with_the_public_library_and_with_the_public_key() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut hook = Receiver::listen(|_| Reply::Status(204)).await;
    let made = endpoint(&shop, &format!("{}/hook", hook.url)).await;
    let (secret, public_key) = (text(&made, "secret"), text(&made, "public_key"));

    let payment = pay(&shop).await;
    let message = hook.event("/hook", "payment.captured", &payment).await;
    let event = verified(&secret, &message).unwrap();
    assert_eq!(message.header("webhook-id"), event["id"]);
    let path = format!("/v1/events/{}", event["id"].as_str().unwrap());
    assert_eq!(shop.get(&path).await.json, event);
    assert!(is_signed_by(&public_key, &message));

    let forged = [
        Received {
            body: message.body.replace("captured", "declined"),
            ..message.clone()
        },
        with_header(&message, "webhook-id", "evt_another"),
        with_header(&message, "webhook-timestamp", "1"),
    ];
    for forged in forged {
        assert!(verified(&secret, &forged).is_err());
        assert!(!is_signed_by(&public_key, &forged));
    }

    let stranger = endpoint(&shop, &format!("{}/other", hook.url)).await;
    assert!(verified(&text(&stranger, "secret"), &message).is_err());
    assert!(!is_signed_by(&text(&stranger, "public_key"), &message));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_secret_verifies_until_its_rotation_ends_and_after_an_emergency_not_at_all() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut hook = Receiver::listen(|_| Reply::Status(204)).await;
    let made = endpoint(&shop, &format!("{}/hook", hook.url)).await;
    let path = format!("/v1/webhook_endpoints/{}", made.id());
    let (rotate, end) = (
        format!("{path}/rotate_secret"),
        format!("{path}/end_rotation"),
    );
    let mut signers = async |shop: &Merchant, of: &[&Answer]| -> Vec<bool> {
        let payment = pay(shop).await;
        let message = hook.event("/hook", "payment.captured", &payment).await;
        let signs = |made: &&Answer| {
            let signs = is_signed_by(&text(made, "public_key"), &message);
            assert_eq!(verified(&text(made, "secret"), &message).is_ok(), signs);
            signs
        };
        of.iter().map(signs).collect()
    };
    for wrong in [json!(169), json!(-1), json!("now")] {
        let refused = shop.post(&rotate, &json!({"overlap_hours": wrong})).await;
        assert_eq!(
            (refused.status, &refused.json["field"]),
            (400, &json!("overlap_hours"))
        );
    }
    let second = shop.post(&rotate, &json!({})).await.expect(200);
    let old = &second.json["old_secret"];
    assert_eq!(old["public_key"], made.json["public_key"]);
    assert_eq!(shop.get(&path).await.json["old_secret"], *old);
    assert_eq!(signers(&shop, &[&made, &second]).await, [true, true]);
    let again = shop.post(&rotate, &json!({"overlap_hours": 168})).await;
    assert_eq!(
        (again.status, &again.json["code"]),
        (409, &json!("state_conflict"))
    );
    let ended = shop.post(&end, &json!({})).await.expect(200);
    assert_eq!(
        (&ended.json["old_secret"], &ended.json["secret"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(signers(&shop, &[&made, &second]).await, [false, true]);
    let now = json!({"overlap_hours": 0});
    let third = shop.post(&rotate, &now).await.expect(200);
    assert_eq!(third.json["old_secret"], Value::Null);
    assert_eq!(signers(&shop, &[&second, &third]).await, [false, true]);
}

fn with_header(message: &Received, name: &'static str, value: &str) -> Received {
    let mut changed = message.clone();
    changed.headers.insert(name, value.parse().unwrap());
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_says_what_changed_and_nothing_else() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut hook = Receiver::listen(|_| Reply::Status(204)).await;
    endpoint(&shop, &format!("{}/hook", hook.url)).await;
    let note = "n".repeat(400);
    let order = json!({
        "amount": 777_123, "currency": "EUR", "token": "tok_test_approved", "reference": "order-7788",
        "description": note, "metadata": {"note": note}
    });
    let payment = shop.post("/v1/payments", &order).await.expect(201).id();
    let refund = json!({"payment": payment, "amount": 555_321});
    let refund = shop.post("/v1/refunds", &refund).await.expect(201).id();
    let customer = json!({"reference": "order-7788", "metadata": {"note": note}});
    let customer = shop.post("/v1/customers", &customer).await.expect(201).id();
    for (kind, object) in [
        ("payment.captured", &payment),
        ("refund.succeeded", &refund),
        ("customer.created", &customer),
    ] {
        hook.event("/hook", kind, object).await;
    }
    for message in hook.everything() {
        assert!(message.body.len() <= BODY_MAX, "{}", message.body);
        let event = message.json();
        let names = |value: &Value| {
            let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(names(&event), ["created", "id", "mode", "object", "type"]);
        assert_eq!(names(&event["object"]), ["id", "type", "version"]);
        for word in ["777123", "555321", "order-7788", "4242", "EUR", &note] {
            assert!(!message.body.contains(word), "{word}: {}", message.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_comes_again_under_the_same_id_and_a_redirect_fails() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut hook = Receiver::listen(|message: &Received| match message.path.as_str() {
        "/fails" if message.before == 0 => Reply::Status(500),
        "/redirects" if message.before == 0 => Reply::Redirect("/elsewhere".to_owned()),
        _ => Reply::Status(200),
    })
    .await;
    let mut secrets = Vec::new();
    for path in ["/fails", "/redirects"] {
        let only = json!({"url": format!("{}{path}", hook.url), "events": ["payment.captured"]});
        let made = shop.post("/v1/webhook_endpoints", &only).await.expect(201);
        secrets.push((path, text(&made, "secret")));
    }
    let payment = pay(&shop).await;
    for (path, secret) in &secrets {
        let first = hook.event(path, "payment.captured", &payment).await;
        let second = hook.event(path, "payment.captured", &payment).await;
        assert_eq!((first.before, second.before), (0, 1));
        assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
        assert_eq!(first.body, second.body);
        let seconds =
            |message: &Received| -> i64 { message.header("webhook-timestamp").parse().unwrap() };
        assert!((4..60).contains(&(seconds(&second) - seconds(&first))));
        verified(secret, &second).unwrap();
    }
    let paths: Vec<String> = hook
        .everything()
        .into_iter()
        .map(|message| message.path)
        .collect();
    assert!(!paths.iter().any(|path| path == "/elsewhere"), "{paths:?}");
    assert_eq!(paths.len(), 4, "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_says_gone_is_told_nothing_more() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut hook = Receiver::listen(|message: &Received| match message.path.as_str() {
        "/gone" => Reply::Status(410),
        _ => Reply::Status(200),
    })
    .await;
    endpoint(&shop, &format!("{}/fine", hook.url)).await;
    let only = json!({"url": format!("{}/gone", hook.url), "events": ["payment.captured"]});
    let gone = shop
        .post("/v1/webhook_endpoints", &only)
        .await
        .expect(201)
        .id();
    pay(&shop).await;
    hook.event("/fine", "webhook_endpoint.disabled", &gone)
        .await;
    let seen = shop
        .get(&format!("/v1/webhook_endpoints/{gone}"))
        .await
        .expect(200);
    assert_eq!(seen.json["state"], "disabled", "{}", seen.text);
    assert_ne!(seen.json["updated"], seen.json["created"], "{}", seen.text);

    let payment = pay(&shop).await;
    hook.event("/fine", "payment.captured", &payment).await;
    let told = hook
        .everything()
        .into_iter()
        .filter(|message| message.path == "/gone")
        .count();
    assert_eq!(told, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_delays_no_other() {
    let coffer = Coffer::start(BINARY).await;
    let (slow, shop) = (coffer.merchant().await, coffer.merchant().await);
    let mut hook = Receiver::listen(|message: &Received| match message.path.as_str() {
        "/hangs" => Reply::Hang,
        _ => Reply::Status(200),
    })
    .await;
    for merchant in [&slow, &shop] {
        endpoint(merchant, &format!("{}/hangs", hook.url)).await;
    }
    endpoint(&shop, &format!("{}/fine", hook.url)).await;
    // More than are sent to one endpoint at a time.
    for _ in 0..6 {
        pay(&slow).await;
    }
    hook.next("a message that hangs", |message| message.path == "/hangs")
        .await;
    for _ in 0..5 {
        let payment = pay(&shop).await;
        hook.event("/fine", "payment.captured", &payment).await;
    }
    // None of those that hang has been given up yet: nothing waited for them.
    let hung = hook
        .everything()
        .into_iter()
        .filter(|message| message.path == "/hangs")
        .count();
    assert!(hung > 0);
    assert_eq!(hook.hanging(), hung);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_survives_a_killed_api() {
    let mut coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let up = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&up);
    let mut hook = Receiver::listen(move |_: &Received| {
        Reply::Status(if answers.load(Ordering::SeqCst) {
            200
        } else {
            503
        })
    })
    .await;
    let only = json!({"url": format!("{}/hook", hook.url), "events": ["payment.captured"]});
    shop.post("/v1/webhook_endpoints", &only).await.expect(201);
    let payment = pay(&shop).await;
    let before = hook.event("/hook", "payment.captured", &payment).await;
    // Nothing of the first try may be left in memory only.
    put_back(&coffer).await;
    coffer.kill("api").await;
    up.store(true, Ordering::SeqCst);
    let after = hook.event("/hook", "payment.captured", &payment).await;
    assert_eq!(before.header("webhook-id"), after.header("webhook-id"));
    assert_eq!(before.body, after.body);
}

/// Waits until a delivery waits for its second try, in the database.
async fn put_back(coffer: &Coffer) {
    use coffer_db::{Statement, params};
    static WAITING: Statement = Statement::new(
        "waiting",
        "SELECT job FROM jobs WHERE queue >= 'webhook:' AND queue < 'webhook;' AND tries = 1 AND lease_until IS NULL",
    );
    let (migrations, installation) = (coffer_engine::MIGRATIONS, coffer.installation());
    let db = installation.store("api", migrations, &[&[&WAITING]]).await;
    eventually(HAPPENS_WITHIN, "the next try on disk", async || {
        let found = db.read(&WAITING, params![]).await.unwrap();
        (!found.is_empty()).then_some(())
    })
    .await;
    db.close().await;
}

/// An address of this machine that others on its network could reach, if it has one. Nothing is sent to find it out.
fn private_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(10, 255, 255, 255), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if address.is_private() || address.is_documentation() => Some(address),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Spellings of one address that a filter of texts would have to know.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    vec![
        address.to_string(),
        format!("{}", u32::from(address)),
        format!("0x{:08x}", u32::from(address)),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("[::ffff:{address}]"),
        format!("[::ffff:{a:02x}{b:02x}:{c:02x}{d:02x}]"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_inside_the_network_is_never_connected_to() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let mut hook = Receiver::listen(|_| Reply::Status(200)).await;
    // Where there is something to connect to, nobody must come.
    let here = private_address();
    let trap = TcpListener::bind((here.unwrap_or(Ipv4Addr::LOCALHOST), 0))
        .await
        .unwrap();
    let port = trap.local_addr().unwrap().port();
    let mut hosts: Vec<String> = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(10, 0, 0, 1),
    ]
    .into_iter()
    .chain(here)
    .flat_map(spellings)
    .collect();
    hosts.extend(
        [
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[64:ff9b::a00:1]",
            "0.0.0.0",
            "0",
        ]
        .map(str::to_owned),
    );
    for (number, host) in hosts.iter().enumerate() {
        // A merchant may have 20 endpoints.
        let other = coffer.merchant().await;
        let scheme = if number % 2 == 0 { "http" } else { "https" };
        endpoint(
            &other,
            &format!("{scheme}://{host}:{port}/latest/meta-data"),
        )
        .await;
        pay(&other).await;
    }
    endpoint(&shop, &format!("{}/control", hook.url)).await;
    let payment = pay(&shop).await;
    hook.event("/control", "payment.captured", &payment).await;

    for host in &hosts {
        let wanted = format!("outbound.host=\"{host}\"");
        let refused = eventually(
            HAPPENS_WITHIN,
            &format!("a refusal of {host}"),
            async || {
                let log = coffer.log();
                log.lines()
                    .find(|line| line.contains(&wanted))
                    .map(str::to_owned)
            },
        )
        .await;
        assert!(refused.contains("no address of it is allowed"), "{refused}");
    }
    let came = tokio::time::timeout(Duration::ZERO, trap.accept()).await;
    assert!(came.is_err(), "{came:?}");
    // The control: the trap would have noticed.
    let _visitor = tokio::net::TcpStream::connect(trap.local_addr().unwrap())
        .await
        .unwrap();
    trap.accept().await.unwrap();
}
