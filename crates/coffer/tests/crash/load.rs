//! The clients: each places one order after the other and repeats a request until it is answered, as a merchant's server
//! should. What they were told is written down.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use coffer_testkit::{Answer, Card, Chance, Merchant, eventually};
use serde_json::{Value, json};

/// The longest that one request goes unanswered while processes are killed all the time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(150);
/// Each order has an amount of its own, by which the provider's ledger is compared.
const AMOUNT_FIRST: i64 = 1_000;

/// One order as its client knows it.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) shop: Merchant,
    pub(crate) key: String,
    pub(crate) body: Value,
    /// The payment, unless the order came to nothing.
    pub(crate) payment: Option<String>,
}

/// Something that the API said has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Authorized { payment: String },
    Declined { payment: String },
    Captured { payment: String, amount: i64 },
    Canceled { payment: String },
    Refunded { payment: String, amount: i64 },
}

/// Everything that the clients were told.
#[derive(Default)]
pub(crate) struct Journal {
    closed: AtomicBool,
    answers: AtomicU64,
    refusals: AtomicU64,
    last_order: AtomicI64,
    orders: Mutex<Vec<Order>>,
    facts: Mutex<Vec<Fact>>,
}

impl Journal {
    /// No further orders.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    /// Requests that were refused, to be repeated later.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::SeqCst)
    }

    pub(crate) fn orders(&self) -> usize {
        self.orders.lock().unwrap().len()
    }

    pub(crate) fn all_orders(&self) -> Vec<Order> {
        self.orders.lock().unwrap().clone()
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.facts.lock().unwrap().clone()
    }

    fn note(&self, fact: Fact) {
        self.facts.lock().unwrap().push(fact);
    }
}

/// Places orders until the journal is closed.
pub(crate) async fn client(shop: Merchant, journal: Arc<Journal>, mut chance: Chance) {
    while !journal.closed.load(Ordering::SeqCst) {
        let number = journal.last_order.fetch_add(1, Ordering::SeqCst) + 1;
        let desk = Desk {
            shop: &shop,
            journal: &journal,
            number,
        };
        match chance.below(6) {
            0 => desk.buy(json!("tok_test_approved")).await,
            1 => desk.buy_with_typed_card().await,
            2 => desk.reserve_then_capture(chance.below(2) == 0).await,
            3 => desk.reserve_then_cancel().await,
            4 => desk.buy_then_refund().await,
            _ => desk.be_declined().await,
        }
    }
}

/// Repeats every order that became a payment: it must be answered with the same payment.
pub(crate) async fn replay(journal: &Journal) {
    for order in journal.all_orders() {
        let Some(payment) = &order.payment else {
            continue;
        };
        let again = order
            .shop
            .post_once("/v1/payments", &order.key, &order.body)
            .await;
        assert!(matches!(again.status, 201 | 202), "{}", again.text);
        assert_eq!(again.json["id"], **payment, "{}", order.key);
    }
}

/// Where one order is placed.
struct Desk<'a> {
    shop: &'a Merchant,
    journal: &'a Journal,
    number: i64,
}

impl Desk<'_> {
    fn amount(&self) -> i64 {
        AMOUNT_FIRST + self.number
    }

    async fn buy(&self, token: Value) {
        if let Some(payment) = self.pay(token, "automatic").await {
            self.note_outcome(&payment, "captured");
        }
    }

    async fn buy_with_typed_card(&self) {
        let deposited = async || {
            let answer = self.shop.try_deposit(Card::APPROVED).await.ok()?;
            (answer.status == 201).then(|| answer.json["id"].clone())
        };
        let token = eventually(ANSWERED_WITHIN, "a card is deposited", deposited).await;
        self.buy(token).await;
    }

    async fn be_declined(&self) {
        let token = json!("tok_test_declined_insufficient_funds");
        if let Some(payment) = self.pay(token, "automatic").await {
            self.note_outcome(&payment, "declined");
        }
    }

    async fn reserve_then_capture(&self, all: bool) {
        let Some(payment) = self.reserve().await else {
            return;
        };
        let amount = if all {
            self.amount()
        } else {
            self.amount() / 2
        };
        let path = format!("/v1/payments/{payment}/capture");
        let captured = self
            .change(&path, &payment, "captured", json!({"amount": amount}))
            .await;
        assert_eq!(captured["amount_captured"], amount, "{captured}");
        self.journal.note(Fact::Captured { payment, amount });
    }

    async fn reserve_then_cancel(&self) {
        let Some(payment) = self.reserve().await else {
            return;
        };
        let path = format!("/v1/payments/{payment}/cancel");
        self.change(&path, &payment, "canceled", json!({})).await;
        self.journal.note(Fact::Canceled { payment });
    }

    async fn buy_then_refund(&self) {
        let Some(payment) = self.pay(json!("tok_test_approved"), "automatic").await else {
            return;
        };
        if !self.note_outcome(&payment, "captured") {
            return;
        }
        let payment = id(&payment);
        for amount in [self.amount() / 3, self.amount() / 2] {
            self.refund(&payment, amount).await;
            self.journal.note(Fact::Refunded {
                payment: payment.clone(),
                amount,
            });
        }
    }

    /// A payment whose money is reserved; none when it came to nothing.
    async fn reserve(&self) -> Option<String> {
        let payment = self.pay(json!("tok_test_approved"), "manual").await?;
        if payment["status"] == "declined" {
            self.note_outcome(&payment, "authorized");
            return None;
        }
        assert_eq!(payment["status"], "authorized", "{payment}");
        let payment = id(&payment);
        let fact = Fact::Authorized {
            payment: payment.clone(),
        };
        self.journal.note(fact);
        Some(payment)
    }

    /// Places the order, and looks until its payment is final. None when the card's security code was lost in a crash.
    async fn pay(&self, token: Value, capture: &str) -> Option<Value> {
        let key = format!("order-{}", self.number);
        let body = json!({"amount": self.amount(), "currency": "EUR", "token": token, "capture": capture, "reference": key});
        let answer = self.insist("/v1/payments", &key, &body).await;
        let came_to_nothing = answer.status == 409 && answer.json["code"] == "cvc_lost";
        let order = Order {
            shop: self.shop.clone(),
            key,
            body,
            payment: (!came_to_nothing).then(|| id(&answer.json)),
        };
        self.journal.orders.lock().unwrap().push(order);
        if came_to_nothing {
            return None;
        }
        assert!(matches!(answer.status, 201 | 202), "{}", answer.text);
        assert_eq!(
            answer.status == 202,
            answer.json["status"] == "processing",
            "{}",
            answer.text
        );
        Some(
            self.look(&format!("/v1/payments/{}", id(&answer.json)))
                .await,
        )
    }

    /// Notes how a payment ended: as it should, or declined because it was never sent.
    fn note_outcome(&self, payment: &Value, expected: &str) -> bool {
        let (status, reason) = (
            payment["status"].as_str().unwrap(),
            &payment["last_attempt"]["decline_reason"],
        );
        if status != expected {
            let never_sent = (json!("declined"), json!("processing_error"));
            let found = (json!(status), reason.clone());
            assert_eq!(found, never_sent, "expected {expected}: {payment}");
        }
        let (id, amount) = (id(payment), self.amount());
        self.journal.note(match status {
            "captured" => Fact::Captured {
                payment: id,
                amount,
            },
            _ => Fact::Declined { payment: id },
        });
        status == expected
    }

    /// Captures or cancels; anew, under another key, when the provider was never asked.
    async fn change(&self, path: &str, payment: &str, wanted: &str, body: Value) -> Value {
        let tries = AtomicU64::new(0);
        let changed = async || {
            let attempt = tries.fetch_add(1, Ordering::SeqCst);
            let key = format!("order-{}-{wanted}-{attempt}", self.number);
            let answer = self.insist(path, &key, &body).await;
            assert!(matches!(answer.status, 200 | 202), "{}", answer.text);
            let settled = self.look(&format!("/v1/payments/{payment}")).await;
            if settled["status"] == wanted {
                return Some(settled);
            }
            assert_eq!(settled["status"], "authorized", "{settled}");
            assert_eq!(
                settled["last_attempt"]["decline_reason"], "processing_error",
                "{settled}"
            );
            None
        };
        eventually(ANSWERED_WITHIN, wanted, changed).await
    }

    /// Refunds; anew, under another key, when the provider was never asked.
    async fn refund(&self, payment: &str, amount: i64) {
        let body = json!({"payment": payment, "amount": amount});
        let tries = AtomicU64::new(0);
        let refunded = async || {
            let attempt = tries.fetch_add(1, Ordering::SeqCst);
            let key = format!("order-{}-refund-{amount}-{attempt}", self.number);
            let answer = self.insist("/v1/refunds", &key, &body).await;
            assert!(matches!(answer.status, 201 | 202), "{}", answer.text);
            let settled = self
                .look(&format!("/v1/refunds/{}", id(&answer.json)))
                .await;
            if settled["status"] == "succeeded" {
                assert_eq!(settled["amount"], amount, "{settled}");
                return Some(());
            }
            assert_eq!(settled["decline_reason"], "processing_error", "{settled}");
            None
        };
        eventually(ANSWERED_WITHIN, "the refund", refunded).await;
    }

    /// Repeats a request with the same key until it is answered.
    async fn insist(&self, path: &str, key: &str, body: &Value) -> Answer {
        let answered = async || {
            let answer = self.shop.try_post_once(path, key, body).await.ok()?;
            let later = answer.status == 503 || answer.json["code"] == "idempotency_running";
            if later {
                assert!(
                    answer.headers.contains_key("retry-after"),
                    "{}",
                    answer.text
                );
                let form = answer.headers.get("content-type").unwrap();
                assert_eq!(form, "application/problem+json", "{}", answer.text);
                self.journal.refusals.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            assert!(answer.status < 500, "{path}: {}", answer.text);
            Some(answer)
        };
        let answer = eventually(ANSWERED_WITHIN, path, answered).await;
        self.journal.answers.fetch_add(1, Ordering::SeqCst);
        answer
    }

    /// The object once its outcome is known.
    async fn look(&self, path: &str) -> Value {
        let settled = async || {
            let seen = self.shop.try_call("GET", path, &[], None).await.ok()?;
            if seen.status == 503 {
                return None;
            }
            assert_eq!(seen.status, 200, "{path}: {}", seen.text);
            (seen.json["status"] != "processing").then_some(seen.json)
        };
        eventually(ANSWERED_WITHIN, path, settled).await
    }
}

fn id(object: &Value) -> String {
    object["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {object}"))
        .to_owned()
}
