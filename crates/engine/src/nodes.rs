//! Two nodes on one store, as tests: what each does alone must also hold when both do it at once. On SQLite one writer
//! keeps the order; on PostgreSQL row locks and unique keys must.

use coffer_core::{
    Timestamp,
    id::{AttemptId, CustomerId, TokenId},
    payment::{CaptureMode, PaymentStatus},
};
use coffer_db::{Statement, params};
use coffer_net::contract::vault::AttemptOutcome;

use crate::{
    Caller, Engine, Error, EventFilter, Fresh, IdempotencyKey, Metadata, NewCustomer, NewRefund,
    Page, TokenRef,
    fixture::{Script, Shop, authorizations, payment, refunds},
    ledger::SETTLE_AFTER_MS,
    rows::key_of,
    store::events::EVENT_LIST,
};

const ROUNDS: u8 = 12;

async fn customer(engine: &Engine, caller: &Caller) -> CustomerId {
    let new = NewCustomer {
        reference: None,
        description: None,
        metadata: Metadata::default(),
    };
    let made = engine
        .customer_create(caller, Fresh::unkeyed(), new)
        .await
        .unwrap();
    made.object.id
}

/// The answer, however it came about.
async fn pay_once(engine: &Engine, caller: &Caller, key: &str) -> String {
    let key = IdempotencyKey::parse(key).unwrap();
    let new = payment(CaptureMode::Automatic);
    let pay = |fresh| engine.payment_create(caller, fresh, new);
    let answer = match engine.once(engine.fresh(caller, key, b"same"), pay).await {
        Ok(done) => return done.object.id.to_string(),
        Err(Error::Answered(answer)) => answer.body,
        Err(error) => panic!("{error}"),
    };
    let text = String::from_utf8(answer).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn twins_on_two_nodes_are_one_charge() {
    let shop = Shop::open().await;
    let (other, caller) = (
        shop.another_node().await,
        shop.caller("POST /v1/payments").await,
    );
    for round in 0..ROUNDS {
        let key = format!("order-{round}");
        let (one, two) = tokio::join!(
            pay_once(&shop.engine, &caller, &key),
            pay_once(&other, &caller, &key)
        );
        assert_eq!(one, two);
    }
    assert_eq!(shop.vault.moved(authorizations).0, usize::from(ROUNDS));
}

#[tokio::test]
async fn refunds_on_two_nodes_together_never_exceed_what_was_captured() {
    let shop = Shop::open().await;
    let other = shop.another_node().await;
    let paid = shop.pay(CaptureMode::Automatic).await.unwrap().object;
    let caller = shop.caller("POST /v1/refunds").await;
    let refund = |engine: Engine| {
        let (caller, payment) = (&caller, paid.id);
        async move {
            let new = NewRefund {
                payment,
                amount: Some(600),
                reference: None,
                metadata: Metadata::default(),
            };
            engine.refund_create(caller, Fresh::unkeyed(), new).await
        }
    };
    let (one, two) = (|| refund(shop.engine.clone()), || refund(other.clone()));
    let ended = tokio::join!(one(), two(), one(), two(), one(), two());
    let ended = [ended.0, ended.1, ended.2, ended.3, ended.4, ended.5];
    assert_eq!(ended.iter().filter(|done| done.is_ok()).count(), 3);
    assert_eq!(shop.vault.moved(refunds), (3, 1800));
    let left = shop.engine.payment(&caller, paid.id).await.unwrap();
    assert_eq!(left.amount_refunded, 1800);
}

#[tokio::test]
async fn a_cursor_misses_no_event_of_two_nodes_and_numbers_have_no_gap() {
    let shop = Shop::open().await;
    let (other, caller) = (
        shop.another_node().await,
        shop.caller("GET /v1/events").await,
    );
    let make = async |engine: &Engine| {
        for _ in 0..ROUNDS {
            tokio::join!(customer(engine, &caller), customer(engine, &caller));
        }
    };
    // The first event is that of the API key; the others are those that are made here.
    let all = usize::from(ROUNDS).saturating_mul(4).saturating_add(1);
    let follow = async {
        let mut seen: Vec<String> = Vec::new();
        while seen.len() < all {
            let page = Page::new(Some(7), seen.last().cloned()).unwrap();
            let listed = other.event_list(&caller, EventFilter::default(), page);
            let listed = listed.await.unwrap().items.into_iter();
            seen.extend(listed.map(|event| event.id.to_string()));
            tokio::task::yield_now().await;
        }
        seen
    };
    let (seen, (), ()) = tokio::join!(follow, make(&shop.engine), make(&other));
    let [account, mode] = key_of(shop.place);
    let rows = shop
        .engine
        .db()
        .read(&EVENT_LIST, params![account, mode, 0_i64, 1000_i64]);
    let rows = rows.await.unwrap();
    assert_eq!(rows.len(), seen.len());
    for ((number, row), seen) in (1_i64..).zip(rows).zip(seen) {
        assert_eq!(row.integer("sequence").unwrap(), number);
        assert_eq!(row.text("event").unwrap(), seen);
    }
}

#[tokio::test]
async fn no_card_is_left_behind_by_a_customer_that_another_node_deletes() {
    let shop = Shop::open().await;
    let other = shop.another_node().await;
    let caller = shop.caller("POST /v1/customers/{id}/cards").await;
    for round in 0..ROUNDS {
        let whose = customer(&shop.engine, &caller).await;
        let token = TokenRef::Deposited(TokenId::from_bytes([round; 16]));
        let (kept, deleted) = tokio::join!(
            shop.engine
                .card_keep(&caller, Fresh::unkeyed(), whose, token),
            other.customer_delete(&caller, whose)
        );
        let there = shop.engine.customer(&caller, whose).await;
        assert_eq!(
            there.is_ok(),
            deleted.is_err(),
            "{deleted:?} but {:?}",
            there.err()
        );
        if let Ok(card) = kept {
            let card = shop.engine.kept_card(shop.place, card.object.id).await;
            assert_eq!(card.is_ok(), deleted.is_err(), "{deleted:?}");
        }
    }
}

#[tokio::test]
async fn an_attempt_is_left_to_the_node_that_performs_it_and_taken_up_when_that_is_heard_of_no_more()
 {
    let shop = Shop::open().await;
    let other = shop.another_node().await;
    shop.vault.next(Script::Silent(AttemptOutcome::Succeeded));
    tokio::select! {
        biased;
        _ = shop.pay(CaptureMode::Manual) => panic!("the vault is silent"),
        () = async {
            while shop.vault.ledger.lock().unwrap().is_empty() { tokio::task::yield_now().await; }
        } => {}
    }
    let attempt: AttemptId = *shop.vault.ledger.lock().unwrap().keys().next().unwrap();
    let caller = shop.caller("GET /v1/payments").await;
    let listed = async || {
        let page = Page::new(None, None).unwrap();
        let filter = crate::PaymentFilter::default();
        let listed = other.payment_list(&caller, filter, page).await.unwrap();
        listed.items.into_iter().next().unwrap()
    };
    let payment = listed().await.id;
    shop.clock.advance(SETTLE_AFTER_MS - 1);
    shop.engine
        .hold(shop.place, payment, attempt)
        .await
        .unwrap();
    shop.clock.advance(SETTLE_AFTER_MS - 1);
    assert!(other.sweep().await.unwrap().is_empty());
    assert_eq!(listed().await.status, PaymentStatus::Processing);
    shop.clock.advance(1);
    for begun in other.sweep().await.unwrap() {
        begun.await.unwrap();
    }
    assert_eq!(listed().await.status, PaymentStatus::Authorized);
}

#[tokio::test]
async fn of_two_invitations_made_at_once_one_remains() {
    const COUNT: Statement = Statement::new(
        "invitations_of_test",
        "SELECT COUNT(*) AS invitations FROM invitations WHERE created <= $1",
    );
    let shop = Shop::open().await;
    let other = shop.another_node().await;
    let statements: Vec<_> = crate::STATEMENTS
        .iter()
        .copied()
        .chain([&[&COUNT][..]])
        .collect();
    let store = shop.store.open_with(crate::MIGRATIONS, &statements).await;
    let store = store.unwrap();
    for _ in 0..ROUNDS {
        let (one, two) = tokio::join!(shop.engine.owner_invite(), other.owner_invite());
        assert_ne!(one.unwrap(), two.unwrap());
        let now = Timestamp::as_millis(shop.engine.now());
        let row = store.read_optional(&COUNT, params![now]).await.unwrap();
        assert_eq!(row.unwrap().integer("invitations").unwrap(), 1);
    }
}
