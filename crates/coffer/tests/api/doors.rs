//! Who may enter which route: a row for each, and every kind of caller at each door. A route without a row fails.

use std::{collections::BTreeMap, time::Duration};

use coffer_core::{
    Mode,
    access_token::Claims,
    api_key::{KeyKind, KeyText, compose},
    id::ApiKeyId,
};
use coffer_net::outbound::Method;
use coffer_testkit::{Answer, Coffer, Merchant, eventually};
use serde_json::{Value, json};

use crate::{
    BINARY,
    description::{Description, Operation},
    keys::key,
    oauth::OAuthClient,
    problems::problem,
};

/// Who may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Anyone, without a key.
    Anyone,
    /// Anyone with a checkout's secret, or a publishable key.
    Intake,
    /// Any key that works.
    AnyKey,
    /// A secret key with this permission.
    Secret(&'static str),
}
use Door::{AnyKey, Anyone, Intake, Secret};

/// Every route below /v1.
const DOORS: &[(&str, Door)] = &[
    ("DELETE /v1/blocks/{id}", Secret("api_keys:write")),
    ("DELETE /v1/cards/{id}", Secret("cards:write")),
    ("DELETE /v1/customers/{id}", Secret("customers:write")),
    (
        "DELETE /v1/webhook_endpoints/{id}",
        Secret("webhooks:write"),
    ),
    ("GET /v1/account", Secret("api_keys:read")),
    ("GET /v1/alerts", Secret("events:read")),
    ("GET /v1/alerts/{id}", Secret("events:read")),
    ("GET /v1/api_keys", Secret("api_keys:read")),
    ("GET /v1/api_keys/{id}", Secret("api_keys:read")),
    ("GET /v1/api_keys/{id}/suggestion", Secret("api_keys:read")),
    ("GET /v1/api_keys/{id}/uses", Secret("api_keys:read")),
    ("GET /v1/audit_records", Secret("audit:read")),
    ("GET /v1/audit_records/export", Secret("audit:read")),
    ("GET /v1/blocks", Secret("api_keys:read")),
    ("GET /v1/blocks/{id}", Secret("api_keys:read")),
    ("GET /v1/customers", Secret("customers:read")),
    ("GET /v1/customers/{id}", Secret("customers:read")),
    ("GET /v1/customers/{id}/cards", Secret("cards:read")),
    ("GET /v1/events", Secret("events:read")),
    ("GET /v1/events/{id}", Secret("events:read")),
    ("GET /v1/payments", Secret("payments:read")),
    ("GET /v1/payments/{id}", Secret("payments:read")),
    ("GET /v1/ping", AnyKey),
    ("GET /v1/refunds", Secret("refunds:read")),
    ("GET /v1/refunds/{id}", Secret("refunds:read")),
    ("GET /v1/signing_keys", Secret("api_keys:read")),
    ("GET /v1/signing_keys/{id}", Secret("api_keys:read")),
    ("GET /v1/usage", Secret("usage:read")),
    ("GET /v1/webhook_endpoints", Secret("webhooks:read")),
    ("GET /v1/webhook_endpoints/{id}", Secret("webhooks:read")),
    ("OPTIONS /v1/intakes", Anyone),
    ("PATCH /v1/account", Secret("api_keys:write")),
    ("PATCH /v1/api_keys/{id}", Secret("api_keys:write")),
    ("PATCH /v1/customers/{id}", Secret("customers:write")),
    ("PATCH /v1/webhook_endpoints/{id}", Secret("webhooks:write")),
    ("POST /v1/api_keys", Secret("api_keys:write")),
    (
        "POST /v1/api_keys/{id}/end_rotation",
        Secret("api_keys:write"),
    ),
    ("POST /v1/api_keys/{id}/freeze", Secret("api_keys:write")),
    ("POST /v1/api_keys/{id}/revoke", Secret("api_keys:write")),
    ("POST /v1/api_keys/{id}/rotate", Secret("api_keys:write")),
    ("POST /v1/api_keys/{id}/tighten", Secret("api_keys:write")),
    ("POST /v1/api_keys/{id}/unfreeze", Secret("api_keys:write")),
    ("POST /v1/customers", Secret("customers:write")),
    ("POST /v1/customers/{id}/cards", Secret("cards:write")),
    ("POST /v1/exposed_keys", Anyone),
    ("POST /v1/intakes", Intake),
    ("POST /v1/payments", Secret("payments:write")),
    ("POST /v1/payments/{id}/cancel", Secret("payments:write")),
    ("POST /v1/payments/{id}/capture", Secret("payments:write")),
    ("POST /v1/refunds", Secret("refunds:write")),
    ("POST /v1/signing_keys", Secret("api_keys:write")),
    (
        "POST /v1/signing_keys/{id}/revoke",
        Secret("api_keys:write"),
    ),
    (
        "POST /v1/signing_keys/{id}/rotate",
        Secret("api_keys:write"),
    ),
    ("POST /v1/webhook_endpoints", Secret("webhooks:write")),
    (
        "POST /v1/webhook_endpoints/{id}/end_rotation",
        Secret("webhooks:write"),
    ),
    (
        "POST /v1/webhook_endpoints/{id}/rotate_secret",
        Secret("webhooks:write"),
    ),
];

/// A caller who is stopped before the door, with how it is told.
struct Stranger {
    who: &'static str,
    headers: Vec<(&'static str, String)>,
    told: (u16, &'static str),
}

impl Stranger {
    fn with(who: &'static str, key: &str, told: (u16, &'static str)) -> Self {
        Self {
            who,
            headers: vec![("authorization", format!("Bearer {key}"))],
            told,
        }
    }
}

/// Everybody who gets nowhere with a key that would do otherwise.
async fn strangers(coffer: &Coffer, shop: &Merchant) -> Vec<Stranger> {
    let admin = coffer.admin("api");
    let after = async |act: &str| {
        let (id, text) = key(coffer, shop, json!({})).await;
        let task = json!({"id": id, "act": act});
        let done = admin
            .call("/api-keys/task", Method::POST, Some(&task))
            .await;
        done.unwrap();
        text
    };
    let of_shop = KeyText::parse(&shop.secret_key).unwrap();
    let wrong_secret = compose(KeyKind::Secret, Mode::Test, of_shop.id, &[7; 32]);
    let nobody_s = compose(
        KeyKind::Secret,
        Mode::Test,
        ApiKeyId::from_bytes([7; 16]),
        &[7; 32],
    );
    let other_mode = compose(KeyKind::Secret, Mode::Live, of_shop.id, &[7; 32]);
    let (_, elsewhere) = key(coffer, shop, json!({"addresses": "203.0.113.0/24"})).await;
    let (_, canary) = key(coffer, shop, json!({"canary": true})).await;
    let (_, signs) = key(coffer, shop, json!({"signed_requests": "all"})).await;
    let (_, in_page) = key(coffer, shop, json!({})).await;
    let (_, brief) = key(coffer, shop, json!({"lasts_ms": 300})).await;
    let expired = Stranger::with("expired", &brief, (401, "key_expired"));
    let is_over = async || {
        let answer = call(coffer, shop, &expired.headers, &("GET", "/v1/ping")).await;
        (answer.status == 401).then_some(())
    };
    eventually(Duration::from_secs(5), "the key expires", is_over).await;
    let client = OAuthClient {
        coffer,
        shop,
        key: &shop.secret_key,
    };
    let ended = client.token("payments:write").await;
    let form = format!("token={ended}");
    client.post("/oauth/revoke", &form).await.expect(200);
    let (claims, _) = Claims::parse(&ended).unwrap();
    let mut browser = Stranger::with("a browser", &in_page, (403, "key_in_browser"));
    browser
        .headers
        .push(("sec-fetch-site", "same-origin".to_owned()));
    vec![
        Stranger {
            who: "nobody",
            headers: Vec::new(),
            told: (401, "key_missing"),
        },
        Stranger::with("mistyped", &shop.secret_key[1..], (401, "key_malformed")),
        Stranger::with("wrong secret", &wrong_secret, (401, "key_unknown")),
        Stranger::with("unknown", &nobody_s, (401, "key_unknown")),
        Stranger::with("other mode", &other_mode, (401, "key_unknown")),
        Stranger::with("canary", &canary, (401, "key_unknown")),
        Stranger::with("revoked", &after("revoke").await, (401, "key_revoked")),
        Stranger::with("frozen", &after("freeze").await, (401, "key_frozen")),
        Stranger::with("revoked token", &ended, (401, "access_token_revoked")),
        Stranger::with(
            "forged token",
            &claims.compose(&[7; 32]),
            (401, "access_token_unknown"),
        ),
        Stranger::with("elsewhere", &elsewhere, (403, "address_not_allowed")),
        Stranger::with("unsigned", &signs, (401, "signature_required")),
        expired,
        browser,
    ]
}

async fn call(
    coffer: &Coffer,
    shop: &Merchant,
    headers: &[(&'static str, String)],
    (method, path): &(&str, &str),
) -> Answer {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let body = (!matches!(*method, "GET" | "DELETE" | "OPTIONS")).then(|| json!({}));
    let (client, url) = (coffer.client(), shop.url(path));
    client.send(method, &url, &headers, body.as_ref()).await
}

fn door(operation: &Operation) -> Door {
    let route = format!("{} {}", operation.method, operation.path);
    let found = DOORS.iter().find(|(known, _)| *known == route);
    found.unwrap_or_else(|| panic!("{route} has no row")).1
}

/// Everything that the shop has, to see that nothing of it changed.
async fn belongings(shop: &Merchant) -> Vec<Value> {
    let mut seen = Vec::new();
    for list in [
        "payments",
        "refunds",
        "customers",
        "webhook_endpoints",
        "alerts",
    ] {
        seen.push(
            shop.get(&format!("/v1/{list}?limit=100"))
                .await
                .expect(200)
                .json,
        );
    }
    seen
}

#[tokio::test]
async fn every_route_has_its_row_and_no_row_is_of_a_route_that_is_gone() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let operations = Description::of(&coffer, &shop).await.operations();
    let mut routes: Vec<_> = operations
        .iter()
        .map(|one| format!("{} {}", one.method, one.path))
        .collect();
    routes.sort_unstable();
    let rows: Vec<_> = DOORS.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(rows, routes);
}

#[tokio::test]
async fn whoever_has_no_key_that_works_here_enters_nowhere() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let strangers = strangers(&coffer, &shop).await;
    let before = belongings(&shop).await;
    for operation in Description::of(&coffer, &shop).await.operations() {
        let door = door(&operation);
        if matches!(door, Anyone) {
            continue;
        }
        let path = operation.at("pay_00000000000000000000000000");
        for stranger in &strangers {
            let target = (operation.method.as_str(), path.as_str());
            let answer = call(&coffer, &shop, &stranger.headers, &target).await;
            let (status, code) = stranger.told;
            eprintln!("{} at {operation:?}", stranger.who);
            problem(&answer, status, code);
        }
    }
    // What the shop was told of: the key in the browser, once, and the canary.
    let mut after = belongings(&shop).await;
    let alerts = after.pop().unwrap();
    let kinds: BTreeMap<_, _> = alerts["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| (alert["kind"].as_str().unwrap(), ()))
        .collect();
    assert_eq!(
        kinds.into_keys().collect::<Vec<_>>(),
        ["api_key_exposed", "canary_used"]
    );
    assert_eq!(after, before[..before.len() - 1]);
}

#[tokio::test]
async fn each_door_opens_with_its_own_permission_and_with_no_other() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for operation in Description::of(&coffer, &shop).await.operations() {
        let path = operation.at("pay_00000000000000000000000000");
        let target = (operation.method.as_str(), path.as_str());
        let with = async |text: &str| {
            let bearer = [("authorization", format!("Bearer {text}"))];
            call(&coffer, &shop, &bearer, &target).await
        };
        match door(&operation) {
            Anyone | AnyKey => {}
            Intake => problem(&with(&shop.secret_key).await, 403, "key_kind_wrong"),
            Secret(needed) => {
                problem(&with(&shop.publishable_key).await, 403, "key_kind_wrong");
                let (_, lacking) =
                    key(&coffer, &shop, json!({"permissions": all_but(needed)})).await;
                let refused = with(&lacking).await;
                problem(&refused, 403, "permission_missing");
                assert_eq!(refused.json["required_permission"], needed, "{operation:?}");
                let (_, just) = key(&coffer, &shop, json!({"permissions": needed})).await;
                let entered = with(&just).await;
                assert!(
                    ![401, 403].contains(&entered.status),
                    "{operation:?}: {}",
                    entered.text
                );
                // The same with tokens of a key that may do all: what counts is the scope.
                let tokens = OAuthClient {
                    coffer: &coffer,
                    shop: &shop,
                    key: &shop.secret_key,
                };
                let refused = with(&tokens.token(&all_but(needed)).await).await;
                problem(&refused, 403, "permission_missing");
                assert_eq!(refused.json["required_permission"], needed, "{operation:?}");
                let entered = with(&tokens.token(needed).await).await;
                assert!(
                    ![401, 403].contains(&entered.status)
                        || entered.json["code"] == "beyond_own_key",
                    "{operation:?}: {}",
                    entered.text
                );
            }
        }
    }
}

/// Doors at which a key may be over a cap, and what it would move there.
const MOVING: &[(&str, &str)] = &[
    ("POST /v1/payments", "captured_per_call"),
    ("POST /v1/payments/{id}/capture", "captured_per_call"),
    ("POST /v1/refunds", "refunded_per_call"),
];

#[tokio::test]
async fn a_key_over_a_cap_is_stopped_where_money_moves_and_nowhere_else() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let order = json!({"amount": 1999, "currency": "EUR", "token": "tok_test_approved"});
    let mut held = order.clone();
    held["capture"] = json!("manual");
    let held = shop.post("/v1/payments", &held).await.expect(201).id();
    let paid = shop.post("/v1/payments", &order).await.expect(201).id();
    let refund = json!({"payment": paid});
    let caps = "captured_per_call:EUR:1998 refunded_per_call:EUR:1998";
    let (_, text) = key(&coffer, &shop, json!({"caps": caps})).await;
    let mut capped = shop.clone();
    capped.secret_key = text;
    let before = belongings(&shop).await;
    for operation in Description::of(&coffer, &shop).await.operations() {
        if !matches!(door(&operation), Secret(_)) {
            continue;
        }
        let route = format!("{} {}", operation.method, operation.path);
        let moves = MOVING.iter().find(|(known, _)| *known == route);
        let path = operation.at(if moves.is_some() {
            &held
        } else {
            "pay_00000000000000000000000000"
        });
        let body = match route.as_str() {
            "POST /v1/payments" => order.clone(),
            "POST /v1/refunds" => refund.clone(),
            _ => json!({}),
        };
        let sent = (!matches!(operation.method.as_str(), "GET" | "DELETE")).then_some(&body);
        let answer = capped.call(&operation.method, &path, &[], sent).await;
        match moves {
            Some((_, kind)) => {
                problem(&answer, 403, "cap_exceeded");
                let cap = &answer.json["cap"];
                assert_eq!(
                    (&cap["kind"], &cap["left"]),
                    (&json!(kind), &json!(1998)),
                    "{}",
                    answer.text
                );
            }
            None => assert_ne!(answer.status, 403, "{route}: {}", answer.text),
        }
    }
    let money = |all: Vec<Value>| all[..2].to_vec();
    assert_eq!(money(belongings(&shop).await), money(before));
}

/// Every right but this one, and what less of it there is.
fn all_but(needed: &str) -> String {
    let (resource, access) = needed.split_once(':').unwrap();
    let others = [
        "payments",
        "refunds",
        "customers",
        "cards",
        "webhooks",
        "events",
        "api_keys",
        "audit",
        "usage",
        "privacy",
    ];
    let mut rights: Vec<_> = others
        .iter()
        .filter(|other| **other != resource)
        .map(|other| format!("{other}:write"))
        .collect();
    if access == "write" {
        rights.push(format!("{resource}:read"));
    }
    rights.join(" ")
}
