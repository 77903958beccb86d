//! What is another account's is answered as what never was: whoever guesses ids learns nothing.

use std::collections::{BTreeMap, BTreeSet};

use coffer_core::id::{AlertId, BlockId};
use coffer_db::{Statement, Transaction, params};
use coffer_engine::{MIGRATIONS, STATEMENTS};
use coffer_testkit::{Answer, Card, Coffer, Merchant};
use serde_json::{Value, json};

use crate::{
    BINARY,
    description::{Description, Operation},
    pay,
    problems::problem,
};

/// One object of each resource whose paths name one.
struct Belongings(BTreeMap<&'static str, String>);

impl Belongings {
    async fn of(coffer: &Coffer, shop: &Merchant) -> Self {
        let post = async |path: &str, body: Value| shop.post(path, &body).await.expect(201).id();
        let customer = post("/v1/customers", json!({})).await;
        let token = shop.deposit(Card::APPROVED).await;
        let cards = format!("/v1/customers/{customer}/cards");
        let captured = pay(shop, json!({})).await;
        let event = shop.get("/v1/events?limit=1").await.ids().remove(0);
        let hook = json!({"url": "https://shop.test/hook"});
        Self(BTreeMap::from([
            ("alerts", alert(coffer, shop).await),
            (
                "api_keys",
                post("/v1/api_keys", json!({"name": "mine", "permissions": {}})).await,
            ),
            ("blocks", block(coffer, shop).await),
            ("cards", post(&cards, json!({"token": token})).await),
            ("customers", customer),
            ("events", event),
            (
                "payments",
                pay(shop, json!({"capture": "manual"})).await.id(),
            ),
            (
                "refunds",
                post(
                    "/v1/refunds",
                    json!({"payment": captured.id(), "amount": 1}),
                )
                .await,
            ),
            (
                "signing_keys",
                post(
                    "/v1/signing_keys",
                    json!({"name": "mine", "generate": "ed25519"}),
                )
                .await,
            ),
            (
                "webhook_endpoints",
                post("/v1/webhook_endpoints", hook).await,
            ),
        ]))
    }

    fn id(&self, resource: &str) -> &str {
        let known = self.0.get(resource);
        known.unwrap_or_else(|| panic!("{resource} has paths with an id and no object here"))
    }

    /// As their owner sees them all.
    async fn seen_by(&self, shop: &Merchant) -> Vec<String> {
        let mut seen = Vec::new();
        for (resource, id) in self.0.iter().filter(|(resource, _)| **resource != "cards") {
            seen.push(
                shop.get(&format!("/v1/{resource}/{id}"))
                    .await
                    .expect(200)
                    .text,
            );
        }
        let cards = format!("/v1/customers/{}/cards", self.id("customers"));
        seen.push(shop.get(&cards).await.expect(200).text);
        seen
    }
}

/// An alert of this account, as the api would write it.
async fn alert(coffer: &Coffer, shop: &Merchant) -> String {
    static INSERT: Statement = Statement::new(
        "test_alert_insert",
        "INSERT INTO alerts (account, mode, alert, kind, subject, times, version, created, updated)
         VALUES ($1, 'test', $2, 'page_differs', 'a test', 1, 1, 1, 1)",
    );
    let installation = coffer.installation();
    let store = installation
        .store("api", MIGRATIONS, &[STATEMENTS, &[&[&INSERT]]].concat())
        .await;
    let id = AlertId::from_bytes([7; 16]).to_string();
    let row = params![shop.account.as_str(), id.as_str()];
    let insert = Transaction::new().one(&INSERT, row);
    store.transact(insert).await.unwrap();
    id
}

/// Somebody whom this account blocks, as the api would write it.
async fn block(coffer: &Coffer, shop: &Merchant) -> String {
    static INSERT: Statement = Statement::new(
        "test_block_insert",
        "INSERT INTO blocks (account, mode, block, subject, signal, policy, score, reason, created, until)
         VALUES ($1, 'test', $2, 'payer 192.0.2.7', 'card_testing', 'block', 100, 'a test', 1, $3)",
    );
    let installation = coffer.installation();
    let store = installation
        .store("api", MIGRATIONS, &[STATEMENTS, &[&[&INSERT]]].concat())
        .await;
    let id = BlockId::from_bytes([7; 16]).to_string();
    let row = params![shop.account.as_str(), id.as_str(), i64::MAX];
    let insert = Transaction::new().one(&INSERT, row);
    store.transact(insert).await.unwrap();
    id
}

/// An id of the same kind that nothing has.
fn missing(id: &str) -> String {
    let (prefix, _) = id.split_once('_').unwrap();
    format!("{prefix}_{:0>26}", "8")
}

/// Everything of an answer that could tell the two cases apart.
fn told(answer: &Answer) -> (u16, Value, BTreeSet<String>, String) {
    let mut body = answer.json.clone();
    if let Some(object) = body.as_object_mut() {
        object.remove("request_id");
    }
    let names = answer.headers.keys().map(ToString::to_string).collect();
    (
        answer.status,
        body,
        names,
        answer.header("content-length").to_owned(),
    )
}

/// A body that the route would take.
async fn body(operation: &Operation, stranger: &Merchant) -> Option<Value> {
    match operation.takes.as_deref() {
        Some("NewCardRequest") => Some(json!({"token": stranger.deposit(Card::APPROVED).await})),
        Some("ApiKeyChangeRequest") => Some(json!({"name": "mine"})),
        Some("RotateRequest" | "WebhookSecretRotateRequest") => Some(json!({"overlap_hours": 0})),
        Some("SigningKeyRotateRequest") => Some(json!({"generate": "ed25519"})),
        Some("CaptureRequest") => Some(json!({"amount": 1})),
        Some("CustomerChangeRequest") => Some(json!({"description": "mine"})),
        Some("WebhookEndpointChangeRequest") => Some(json!({"state": "disabled"})),
        Some(other) => panic!("{other} has no body here"),
        None => None,
    }
}

#[tokio::test]
async fn another_account_s_object_and_a_missing_one_are_answered_alike() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, stranger) = (coffer.merchant().await, coffer.merchant().await);
    let belongings = Belongings::of(&coffer, &shop).await;
    let before = belongings.seen_by(&shop).await;
    let description = Description::of(&coffer, &shop).await;
    let mut tried = 0;
    for operation in description
        .operations()
        .iter()
        .filter(|one| one.is_of_object())
    {
        let id = belongings.id(operation.resource());
        let body = body(operation, &stranger).await;
        let call = async |id: &str| {
            let path = operation.at(id);
            stranger
                .call(&operation.method, &path, &[], body.as_ref())
                .await
        };
        let (foreign, none) = (call(id).await, call(&missing(id)).await);
        problem(&foreign, 404, "not_found");
        assert_eq!(told(&foreign), told(&none), "{operation:?}");
        // What is no id at all names nothing either.
        let nonsense = call("1").await;
        assert_eq!(told(&nonsense), told(&none), "{operation:?}");
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} routes");
    assert_eq!(belongings.seen_by(&shop).await, before);
}

#[tokio::test]
async fn another_account_s_object_cannot_be_named_in_a_body_or_a_filter() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, stranger) = (coffer.merchant().await, coffer.merchant().await);
    let belongings = Belongings::of(&coffer, &shop).await;
    let before = belongings.seen_by(&shop).await;
    let order = |field: &str, id: &str| json!({"amount": 100, "currency": "EUR", field: id});
    let sealed_to = |id: &str| json!({"url": "https://shop.test/hook", "seal_to": id});
    let (payment, customer, card) = (
        belongings.id("payments"),
        belongings.id("customers"),
        belongings.id("cards"),
    );
    let token = shop.deposit(Card::APPROVED).await;
    for (foreign, none, path) in [
        (
            order("customer", customer),
            order("customer", &missing(customer)),
            "/v1/payments",
        ),
        (
            order("card", card),
            order("card", &missing(card)),
            "/v1/payments",
        ),
        (
            order("token", &token),
            order("token", &missing(&token)),
            "/v1/payments",
        ),
        (
            json!({"payment": payment}),
            json!({"payment": missing(payment)}),
            "/v1/refunds",
        ),
        (
            sealed_to(belongings.id("signing_keys")),
            sealed_to(&missing(belongings.id("signing_keys"))),
            "/v1/webhook_endpoints",
        ),
    ] {
        let (foreign, none) = (
            stranger.post(path, &foreign).await,
            stranger.post(path, &none).await,
        );
        assert!(matches!(foreign.status, 400 | 404), "{}", foreign.text);
        assert_eq!(told(&foreign), told(&none));
    }
    let event = belongings.id("events");
    for list in [
        format!("/v1/payments?customer={customer}"),
        format!("/v1/refunds?payment={payment}"),
        format!("/v1/payments?after={payment}"),
        format!("/v1/customers?after={customer}"),
        format!("/v1/events?after={event}"),
    ] {
        let (_, id) = list.rsplit_once('=').unwrap();
        let none = stranger.get(&list.replace(id, &missing(id))).await;
        assert_eq!(told(&stranger.get(&list).await), told(&none), "{list}");
    }
    // The token is still good for its owner, who is not disturbed by a stranger's trying.
    pay(&shop, json!({"token": token})).await;
    assert_eq!(belongings.seen_by(&shop).await, before);
}
