//! What a core file of a role would show: after a load of payments in every way, no card number is left in its memory.

use std::time::Duration;

use coffer_net::task;
use coffer_testkit::{Card, Chance, Coffer, Hunt, Merchant, Payer, dial, eventually};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{BINARY, NOTHING};

/// The processes that are Coffer's own; the simulator stands for another company.
const ROLES: [&str; 3] = ["api", "vault", "keys"];
/// As many as are left behind in a plain server's core by the dozen.
const CARDS: usize = 200;
/// How many payers pay at a time.
const TOGETHER: usize = 8;
/// What was answered is out of the process a moment later; sooner than connections end that nobody uses.
const AT_REST_WITHIN: Duration = Duration::from_secs(5);

/// What would be a leak: any number of these cards, and their security code as it travels.
fn hunt(common: &str, cvc: &str) -> Hunt {
    let mut hunt = Hunt::default();
    hunt.card_number("a card number", common);
    hunt.text("a security code", &format!("\"cvc\":\"{cvc}\""));
    hunt
}

/// One payment, in one of the ways in which there are payments; it ends final.
async fn pay(coffer: &Coffer, shop: &Merchant, place: usize, card: Card) -> String {
    let order = json!({"amount": 1000 + place, "currency": "EUR"});
    let with = |more: Value| {
        let mut order = order.clone();
        let fields = order.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        order
    };
    if place.is_multiple_of(4) {
        let payer = Payer::of(coffer, shop, order).await;
        let token = payer.types(card).await;
        payer.pays(&token).await.expect(200);
        assert_eq!(payer.payment().await["status"], "captured");
        return payer.payment;
    }
    let token = shop.deposit(card).await;
    let source = if place.is_multiple_of(5) {
        let customer = shop
            .post("/v1/customers", &json!({}))
            .await
            .expect(201)
            .id();
        let path = format!("/v1/customers/{customer}/cards");
        let kept = shop.post(&path, &json!({"token": token})).await.expect(201);
        json!({"card": kept.id(), "customer": customer})
    } else {
        json!({"token": token})
    };
    let paid = shop.post("/v1/payments", &with(source)).await.expect(201);
    assert_eq!(paid.json["status"], "captured");
    paid.id()
}

/// All cards pay, some at the same time; the last payment.
async fn pay_with_all(coffer: &Coffer, shop: &Merchant, cards: &[Card]) -> String {
    let mut last = String::new();
    for (round, cards) in cards.chunks(TOGETHER).enumerate() {
        let place = |within| round * TOGETHER + within;
        let cards = cards.iter().enumerate();
        let payments = cards.map(|(within, card)| pay(coffer, shop, place(within), *card));
        last = join_all(payments).await.pop().unwrap();
    }
    last
}

/// Whether this user may look at all; the kernel lets nobody but root.
fn may_look(coffer: &Coffer) -> bool {
    match coffer.memory("vault") {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(!rustix::process::geteuid().is_root(), "{error}");
            println!("skipped: only root may read the memory of a role, and that is well");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_of_any_role_holds_no_card_number_once_the_payments_are_made() {
    let coffer = Coffer::start(BINARY).await;
    if !may_look(&coffer) {
        return;
    }
    let shop = coffer.merchant().await;
    let (common, cards) = Card::family(&mut Chance::new(Chance::seed()), CARDS);
    let hunt = hunt(&common, cards[0].cvc);
    let last = pay_with_all(&coffer, &shop, &cards).await;

    let mut control = Hunt::default();
    control.text("the last payment", &last);
    assert!(!control.found_in(&coffer.memory("api").unwrap()).is_empty());
    for role in ROLES {
        let left = async || {
            let memory = coffer.memory(role).unwrap();
            let found = hunt.found_in(&memory);
            found.is_empty().then_some(())
        };
        eventually(AT_REST_WITHIN, "no card number is left", left).await;
    }
}

/// The control: a card that cannot be sealed yet is in the vault's memory, and found there; afterwards it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_on_its_way_is_found_in_the_vault_and_gone_when_it_is_sealed() {
    let coffer = Coffer::start(BINARY).await;
    if !may_look(&coffer) {
        return;
    }
    let shop = coffer.merchant().await;
    let (common, cards) = Card::family(&mut Chance::new(Chance::seed()), 2);
    let hunt = hunt(&common, cards[0].cvc);
    let found = |role: &str| hunt.found_in(&coffer.memory(role).unwrap());
    assert_eq!(found("vault"), NOTHING);

    let keys = coffer.freeze("keys");
    let (payer, card) = (shop.clone(), cards[0]);
    let typed = task::spawn("payer", async move { payer.deposit(card).await });
    let waits = async || (!found("vault").is_empty()).then_some(());
    eventually(AT_REST_WITHIN, "the vault has the number", waits).await;
    assert_eq!(found("api"), NOTHING);
    assert_eq!(found("keys"), NOTHING);
    drop(keys);

    let token = typed.await.unwrap();
    let order = json!({"amount": 100, "currency": "EUR", "token": token});
    shop.post("/v1/payments", &order).await.expect(201);
    let gone = async || found("vault").is_empty().then_some(());
    eventually(AT_REST_WITHIN, "the vault has forgotten the number", gone).await;
}

/// What is answered to a request, with JSON, over a connection that may stay open.
async fn exchange(tls: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut some = [0; 1024];
        let count = tls.read(&mut some).await.unwrap();
        assert!(count > 0, "it ended: {answer}");
        answer.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    answer
}

/// A deposit, byte for byte.
async fn deposit(shop: &Merchant, card: Card) -> String {
    let card = json!({"number": card.number, "cvc": card.cvc, "exp_month": 12, "exp_year": 2040});
    let (card, ticket) = (card.to_string(), shop.ticket().await);
    format!(
        "POST /v1/tokens HTTP/1.1\r\nhost: localhost\r\ncoffer-intake: {ticket}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{card}",
        card.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stays_open_holds_nothing_of_the_cards_that_came_over_it() {
    let coffer = Coffer::start(BINARY).await;
    if !may_look(&coffer) {
        return;
    }
    let shop = coffer.merchant().await;
    let (common, cards) = Card::family(&mut Chance::new(Chance::seed()), 4);
    let hunt = hunt(&common, cards[0].cvc);
    let mut tls = dial(coffer.address("fields"), "localhost", b"http/1.1")
        .await
        .unwrap();
    for (place, card) in cards.into_iter().enumerate() {
        let mut request = deposit(&shop, card).await;
        // One that is accepted, one with a mistake, and one that was sent to where nobody wants it.
        let status = [201, 400, 404][place % 3];
        match status {
            400 => request = request.replace("2040", "2020"),
            404 => request = request.replace("/v1/tokens", "/v1/nobody"),
            _ => {}
        }
        let answer = exchange(&mut tls, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let gone = async || {
            hunt.found_in(&coffer.memory("vault").unwrap())
                .is_empty()
                .then_some(())
        };
        eventually(AT_REST_WITHIN, "the vault has forgotten the number", gone).await;
    }
}

/// Then not every part of hyper's buffer would be overwritten.
#[tokio::test]
async fn a_connection_whose_buffers_have_grown_ends_with_a_deposit() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let card = Card::family(&mut Chance::new(Chance::seed()), 1).1[0];
    let mut tls = dial(coffer.address("fields"), "localhost", b"http/1.1")
        .await
        .unwrap();
    let long = "x".repeat(6 * 1024);
    let request = format!("GET /nothing HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n");
    exchange(&mut tls, &request).await;
    let answer = exchange(&mut tls, &deposit(&shop, card).await).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_crash_leaves_no_core() {
    let mut coffer = Coffer::start(BINARY).await;
    for role in ROLES {
        let ended = coffer.crash(role).await;
        assert!(ended.contains("SIGABRT"), "{role}: {ended}");
        assert!(!ended.contains("core dumped"), "{role}: {ended}");
    }
}
