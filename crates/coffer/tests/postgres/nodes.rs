//! Two nodes of the role `api` on one store: what one of them knows, the other one knows.

use std::time::Duration;

use coffer_core::api_key::KeyText;
use coffer_net::{outbound::Method, task};
use coffer_testkit::{Answer, Card, Coffer, Installation, Merchant, Node, Server, eventually};
use serde_json::{Value, json};

use crate::BINARY;

const SECOND: &str = "api-2";
const TWINS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon a node acts on what happened at another.
const PROMPTLY: Duration = Duration::from_secs(1);

/// A Coffer with a second api, and a merchant who calls one or the other.
pub(crate) struct Nodes {
    pub(crate) coffer: Coffer,
    pub(crate) second: Node,
    pub(crate) shops: [Merchant; 2],
}

impl Nodes {
    /// None where there is no server that both could use.
    async fn start() -> Option<Self> {
        let installation = Installation::make(BINARY, Some(&Server::shared()?));
        Some(Self::up(installation, Vec::new()).await)
    }

    /// Of this installation, with these settings in the environment.
    pub(crate) async fn up(
        installation: Installation,
        settings: Vec<(&'static str, String)>,
    ) -> Self {
        let coffer = Coffer::up_in(BINARY, installation, settings).await;
        let second = coffer.another_api(SECOND);
        let shop = coffer.merchant().await;
        Self {
            shops: [shop.clone(), shop.at(&second)],
            second,
            coffer,
        }
    }

    /// The same request from many connections at once, in turns at one node and the other.
    async fn all_at_once(&self, path: &str, key: &str, body: &Value) -> Vec<Answer> {
        let twin = |shop: &Merchant| {
            let (shop, path) = (shop.clone(), path.to_owned());
            let (key, body) = (key.to_owned(), body.clone());
            task::spawn("twin", async move {
                until_answered(&shop, &path, &key, &body).await
            })
        };
        let twins: Vec<_> = self.shops.iter().cycle().take(TWINS).map(twin).collect();
        let mut answers = Vec::new();
        for twin in twins {
            answers.push(twin.await.unwrap());
        }
        answers
    }

    /// What the provider was asked to do, and for how much.
    async fn ledger(&self) -> Vec<(String, i64)> {
        let line = |line: &Value| {
            let operation = line["operation"].as_str().unwrap().to_owned();
            (operation, line["amount"].as_i64().unwrap())
        };
        self.coffer.ledger().await.iter().map(line).collect()
    }
}

/// Repeats a request as long as it is told that the first one still runs.
async fn until_answered(shop: &Merchant, path: &str, key: &str, body: &Value) -> Answer {
    let answered = async || {
        let answer = shop.post_once(path, key, body).await;
        if answer.json["code"] != "idempotency_running" {
            return Some(answer);
        }
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(answer.headers.contains_key("retry-after"));
        None
    };
    eventually(PATIENCE, "the first twin is answered", answered).await
}

#[track_caller]
fn assert_same(answers: &[Answer], status: u16) {
    for answer in answers {
        let found = (answer.status, &answer.json);
        assert_eq!(found, (status, &answers[0].json), "{}", answer.text);
    }
}

fn order(amount: i64, token: &str) -> Value {
    json!({"amount": amount, "currency": "EUR", "token": token})
}

fn line(operation: &str, amount: i64) -> (String, i64) {
    (operation.to_owned(), amount)
}

#[tokio::test]
async fn parallel_twins_on_two_nodes_are_one_charge_and_one_refund_with_one_answer() {
    let Some(nodes) = Nodes::start().await else {
        return;
    };
    let token = nodes.shops[0].deposit(Card::APPROVED).await;
    let paid = nodes
        .all_at_once("/v1/payments", "order-1", &order(1999, &token))
        .await;
    assert_same(&paid, 201);
    assert_eq!(paid[0].json["status"], "captured");

    let refund = json!({"payment": paid[0].json["id"], "amount": 700});
    let refunded = nodes.all_at_once("/v1/refunds", "refund-1", &refund).await;
    assert_same(&refunded, 201);
    assert_eq!(refunded[0].json["status"], "succeeded");
    let moved = [
        line("authorize", 1999),
        line("capture", 1999),
        line("refund", 700),
    ];
    assert_eq!(nodes.ledger().await, moved);
}

#[tokio::test]
async fn a_twin_at_the_other_node_gets_what_became_of_the_request_of_a_killed_one() {
    let Some(mut nodes) = Nodes::start().await else {
        return;
    };
    nodes
        .coffer
        .misbehave(
            json!({"behaviour": "late", "operation": "authorize", "count": 1, "delay_ms": 5_000}),
        )
        .await;
    let body = order(1999, "tok_test_approved");
    let first = {
        let (shop, body) = (nodes.shops[0].clone(), body.clone());
        task::spawn("twin", async move {
            shop.try_post_once("/v1/payments", "order-1", &body).await
        })
    };
    let charged = async || (!nodes.ledger().await.is_empty()).then_some(());
    eventually(PATIENCE, "the provider has charged", charged).await;
    nodes.coffer.kill("api").await;
    assert!(first.await.unwrap().is_err());

    let twin = until_answered(&nodes.shops[1], "/v1/payments", "order-1", &body).await;
    let found = (twin.status, twin.json["status"].as_str());
    assert_eq!(found, (201, Some("captured")), "{}", twin.text);
    let again = until_answered(&nodes.shops[0], "/v1/payments", "order-1", &body).await;
    assert_same(&[twin, again], 201);
    let moved = [line("authorize", 1999), line("capture", 1999)];
    assert_eq!(nodes.ledger().await, moved);
}

#[tokio::test]
async fn a_key_that_is_revoked_at_one_node_is_dead_at_the_other_within_a_second() {
    let Some(nodes) = Nodes::start().await else {
        return;
    };
    let admin = nodes.coffer.admin("api");
    let [here, there] = &nodes.shops;
    for shop in [here, there] {
        shop.get("/v1/ping").await.expect(200);
    }
    let id = KeyText::parse(&here.secret_key).unwrap().id;
    let revocation = json!({"id": id.to_string(), "act": "revoke"});
    admin
        .call("/api-keys/task", Method::POST, Some(&revocation))
        .await
        .unwrap();
    let dead = async || {
        let answer = there.get("/v1/ping").await;
        (answer.json["code"] == "key_revoked").then_some(())
    };
    eventually(PROMPTLY, "the key is dead at the other node", dead).await;
}
