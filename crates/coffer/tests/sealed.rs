//! What goes on while the key server is sealed or does not answer, what waits, and that it comes back; and that a stored
//! card opens in its own row only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use coffer_db::{Database, Row, Statement, Transaction, Value, params};
use coffer_testkit::{
    Answer, Card, Chance, Coffer, Frozen, Hunt, Installation, Merchant, Receiver, Reply, eventually,
};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// A refusal is meant to come within a second; a slow machine may take a little longer.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);
const BACK_WITHIN: Duration = Duration::from_secs(20);
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

fn eur(amount: i64, more: Json) -> Json {
    let mut order = json!({"amount": amount, "currency": "EUR"});
    let fields = order.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    order
}

/// A merchant in the middle of its day.
struct Day {
    shop: Merchant,
    hook: Receiver,
    customer: String,
    /// Kept with the customer.
    card: String,
    /// Deposited, not used yet.
    token: String,
    authorized: String,
    captured: String,
}

impl Day {
    async fn begin(coffer: &Coffer) -> Self {
        let shop = coffer.merchant().await;
        let hook = Receiver::listen(|_| Reply::Status(204)).await;
        let url = format!("{}/hook", hook.url);
        shop.post("/v1/webhook_endpoints", &json!({"url": url}))
            .await
            .expect(201);
        let customer = shop
            .post("/v1/customers", &json!({}))
            .await
            .expect(201)
            .id();
        let card = kept(&shop, &customer, Card::APPROVED).await;
        let pay = async |capture: &str| {
            let token = shop.deposit(Card::APPROVED).await;
            let order = eur(1000, json!({"token": token, "capture": capture}));
            shop.post("/v1/payments", &order).await.expect(201).id()
        };
        Self {
            authorized: pay("manual").await,
            captured: pay("automatic").await,
            token: shop.deposit(Card::APPROVED).await,
            shop,
            hook,
            customer,
            card,
        }
    }

    /// What needs a card's number is refused at once, and may be tried again.
    async fn cards_wait(&self, canary: Card) {
        let ticket = self.shop.ticket().await;
        let typed = soon(self.shop.deposit_with(&ticket, canary)).await;
        assert_waits(&typed, "unavailable");

        let order = eur(100, json!({"token": self.token}));
        let paid = soon(self.shop.post_once("/v1/payments", "by-token", &order)).await;
        assert_waits(&paid, "keys_sealed");
        let order = eur(100, json!({"card": self.card, "customer": self.customer}));
        let paid = soon(self.shop.post_once("/v1/payments", "by-card", &order)).await;
        assert_waits(&paid, "keys_sealed");
    }

    /// Everything that needs no card goes on.
    async fn all_else_goes_on(&mut self) {
        let shop = &self.shop;
        for path in [
            format!("/v1/payments/{}", self.captured),
            format!("/v1/customers/{}/cards", self.customer),
            "/v1/payments".to_owned(),
            "/v1/customers".to_owned(),
            "/v1/events".to_owned(),
            "/v1/account".to_owned(),
            "/v1/ping".to_owned(),
        ] {
            shop.get(&path).await.expect(200);
        }
        shop.post("/v1/customers", &json!({"reference": "new"}))
            .await
            .expect(201);
        let url = format!("{}/other", self.hook.url);
        shop.post("/v1/webhook_endpoints", &json!({"url": url}))
            .await
            .expect(201);

        let path = format!("/v1/payments/{}/capture", self.authorized);
        let captured = shop.post(&path, &json!({})).await.expect(200);
        assert_eq!(captured.json["status"], "captured", "{}", captured.text);
        let refund = json!({"payment": self.captured, "amount": 300});
        let refund = shop.post("/v1/refunds", &refund).await.expect(201);
        assert_eq!(refund.json["status"], "succeeded", "{}", refund.text);
        for (kind, object) in [
            ("payment.captured", &self.authorized),
            ("refund.succeeded", &refund.id()),
        ] {
            self.hook.event("/hook", kind, object).await;
        }
    }

    /// The same requests, repeated, are done; once each.
    async fn cards_are_back(&self, coffer: &Coffer) {
        let charges = charges(coffer).await;
        let by_token = eur(100, json!({"token": self.token}));
        let by_card = eur(100, json!({"card": self.card, "customer": self.customer}));
        for (key, order) in [("by-token", by_token), ("by-card", by_card)] {
            let paid = eventually(BACK_WITHIN, key, async || {
                let paid = self.shop.post_once("/v1/payments", key, &order).await;
                (paid.status != 503).then_some(paid)
            })
            .await;
            assert_eq!(
                (paid.status, &paid.json["status"]),
                (201, &json!("captured")),
                "{key}: {}",
                paid.text
            );
            let again = self.shop.post_once("/v1/payments", key, &order).await;
            assert_eq!(again.json["id"], paid.json["id"]);
        }
        assert_eq!(self.charges_since(coffer, charges).await, 2);
        self.shop.deposit(Card::APPROVED).await;
    }

    async fn charges_since(&self, coffer: &Coffer, before: usize) -> usize {
        charges(coffer).await - before
    }
}

async fn kept(shop: &Merchant, customer: &str, card: Card) -> String {
    let token = shop.deposit(card).await;
    let path = format!("/v1/customers/{customer}/cards");
    shop.post(&path, &json!({"token": token}))
        .await
        .expect(201)
        .id()
}

async fn charges(coffer: &Coffer) -> usize {
    let ledger = coffer.ledger().await;
    let authorizations = ledger
        .iter()
        .filter(|line| line["operation"] == "authorize");
    authorizations.count()
}

async fn soon(answer: impl Future<Output = Answer>) -> Answer {
    timeout(REFUSED_WITHIN, answer)
        .await
        .expect("an answer within seconds")
}

#[track_caller]
fn assert_waits(answer: &Answer, code: &str) {
    assert_eq!(
        (answer.status, &answer.json["code"]),
        (503, &json!(code)),
        "{}",
        answer.text
    );
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
}

async fn stored_cards(coffer: &Coffer) -> usize {
    let (migrations, installation) = (coffer_vault::MIGRATIONS, coffer.installation());
    let db = installation
        .store("vault", migrations, &[&[&RECORDS]])
        .await;
    let rows = db.read(&RECORDS, params![]).await.unwrap().len();
    db.close().await;
    rows
}

/// The whole story of an outage, whichever way it comes about.
async fn outage<G>(begin: impl AsyncFnOnce(&Coffer) -> G, end: impl AsyncFnOnce(&Coffer, G)) {
    let coffer = Coffer::start(BINARY).await;
    let mut day = Day::begin(&coffer).await;
    let canary = Card::canary(&mut Chance::new(Chance::seed()));
    let mut hunt = Hunt::default();
    hunt.card_number("the card that was refused", canary.number);
    let (stored, charged) = (stored_cards(&coffer).await, charges(&coffer).await);

    let outage = begin(&coffer).await;
    day.cards_wait(canary).await;
    day.all_else_goes_on().await;
    assert_eq!(day.charges_since(&coffer, charged).await, 0);
    assert_eq!(stored_cards(&coffer).await, stored, "a card is parked");
    assert_eq!(hunt.found_under(coffer.directory(), &[]), [""; 0]);
    assert_eq!(hunt.found_in(coffer.log().as_bytes()), [""; 0]);

    let ended = Instant::now();
    end(&coffer, outage).await;
    day.cards_are_back(&coffer).await;
    assert!(ended.elapsed() < BACK_WITHIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_key_server_is_sealed_cards_wait_and_all_else_goes_on() {
    outage(Coffer::seal, async |coffer, ()| coffer.unseal().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_key_server_is_silent_cards_wait_and_all_else_goes_on() {
    outage(
        async |coffer: &Coffer| coffer.freeze("keys"),
        async |_, frozen: Frozen| drop(frozen),
    )
    .await;
}

static RECORDS: Statement = Statement::new(
    "records",
    "SELECT account, mode, record, card, number, wrapped_key, parent_version, subject FROM records ORDER BY record",
);
static PUT: Statement = Statement::new(
    "put",
    "UPDATE records SET number = $4, wrapped_key = $5, parent_version = $6
     WHERE account = $1 AND mode = $2 AND record = $3",
);

/// A row of `records`, as much of it as is changed here.
#[derive(Clone)]
struct Record {
    key: [String; 3],
    card: String,
    number: Vec<u8>,
    wrapped_key: Vec<u8>,
    parent_version: i64,
}

impl Record {
    fn read(row: &Row) -> Self {
        let text = |column| row.text(column).unwrap().to_owned();
        Self {
            key: [text("account"), text("mode"), text("record")],
            card: text("card"),
            number: row.bytes("number").unwrap().to_vec(),
            wrapped_key: row.bytes("wrapped_key").unwrap().to_vec(),
            parent_version: row.integer("parent_version").unwrap(),
        }
    }

    fn put(&self) -> Transaction {
        let mut values: Vec<Value> = self.key.iter().map(|part| part.as_str().into()).collect();
        values.extend(params![
            self.number.clone(),
            self.wrapped_key.clone(),
            self.parent_version
        ]);
        Transaction::new().one(&PUT, values)
    }
}

/// The vault's stored cards, for somebody who has its file and not its keys.
struct Stolen(Database);

impl Stolen {
    async fn open(installation: &Installation) -> Self {
        let migrations = coffer_vault::MIGRATIONS;
        Self(
            installation
                .store("vault", migrations, &[&[&RECORDS, &PUT]])
                .await,
        )
    }

    async fn of(&self, card: &str) -> Record {
        let rows = self.0.read(&RECORDS, params![]).await.unwrap();
        let records = rows
            .iter()
            .filter(|row| row.optional_text("card").unwrap().is_some());
        let mut found = records
            .map(Record::read)
            .filter(|record| record.card == card);
        found.next().unwrap()
    }

    async fn put(&self, records: &[Record]) {
        for record in records {
            self.0.transact(record.put()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_card_that_was_moved_or_changed_is_never_charged() {
    let mut coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let customer = shop
        .post("/v1/customers", &json!({}))
        .await
        .expect(201)
        .id();
    let stranger = other
        .post("/v1/customers", &json!({}))
        .await
        .expect(201)
        .id();
    let mut cards = Vec::new();
    for _ in 0..6 {
        cards.push(kept(&shop, &customer, Card::APPROVED).await);
    }
    let foreign = kept(&other, &stranger, Card::APPROVED).await;

    let mut before = Vec::new();
    coffer
        .at_rest(async |installation| {
            let stolen = Stolen::open(installation).await;
            for card in cards.iter().chain([&foreign]) {
                before.push(stolen.of(card).await);
            }
            stolen.put(&tampered(&before)).await;
            stolen.0.close().await;
        })
        .await;
    let charged = charges(&coffer).await;
    let order = |card: &str| eur(100, json!({"card": card, "customer": customer}));
    let mut refused = Vec::new();
    for card in &cards[..5] {
        let answer = shop.post("/v1/payments", &order(card)).await;
        assert_ne!(answer.json["status"], "captured", "{}", answer.text);
        assert_ne!(answer.json["status"], "authorized", "{}", answer.text);
        refused.push(answer);
    }
    let order_of_other = eur(100, json!({"card": foreign, "customer": stranger}));
    refused.push(other.post("/v1/payments", &order_of_other).await);
    // The control: one that nobody touched.
    let paid = shop.post("/v1/payments", &order(&cards[5])).await;
    assert_eq!(paid.json["status"], "captured", "{}", paid.text);
    assert_eq!(charges(&coffer).await, charged + 1);
    for (answer, shop) in refused
        .iter()
        .zip([&shop, &shop, &shop, &shop, &shop, &other])
    {
        settles_unpaid(shop, answer).await;
    }

    coffer
        .at_rest(async |installation| {
            let stolen = Stolen::open(installation).await;
            stolen.put(&before).await;
            stolen.0.close().await;
        })
        .await;
    for card in &cards {
        let paid = shop.post("/v1/payments", &order(card)).await;
        assert_eq!(paid.json["status"], "captured", "{}", paid.text);
    }
    assert_eq!(charges(&coffer).await, charged + 7);
}

/// Numbers swapped between two rows; whole sealed cards, with their keys, swapped between two rows; one flipped bit; and
/// a sealed card of the first account put into the row of another account's.
fn tampered(before: &[Record]) -> Vec<Record> {
    let mut after = before.to_vec();
    after[0].number.clone_from(&before[1].number);
    after[1].number.clone_from(&before[0].number);
    for (to, from) in [(2, 3), (3, 2), (6, 0)] {
        after[to].number.clone_from(&before[from].number);
        after[to].wrapped_key.clone_from(&before[from].wrapped_key);
        after[to].parent_version = before[from].parent_version;
    }
    after[4].number[20] ^= 1;
    after
}

/// A charge that was refused, or whose payment ends without money.
async fn settles_unpaid(shop: &Merchant, answer: &Answer) {
    if answer.status >= 400 {
        return;
    }
    let path = format!("/v1/payments/{}", answer.id());
    let settled = eventually(SETTLED_WITHIN, "a settled payment", async || {
        let seen = shop.get(&path).await.expect(200);
        (seen.json["status"] != "processing").then_some(seen)
    })
    .await;
    assert_eq!(settled.json["status"], "declined", "{}", settled.text);
    assert_eq!(settled.json["amount_captured"], 0);
}
