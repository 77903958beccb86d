//! One order opens one record, once; what is refused is not recorded as opened.

use coffer_audit::Recorded;
use coffer_core::{
    Mode,
    id::{AccountId, CustomerId},
};
use coffer_crypto::Key;
use coffer_net::contract::{
    Error, Place, Refusal, Role,
    keys::{GetOrderKey, Opened, Subject, WrappedKey},
    order::SignedOrder,
};
use futures_util::future::join_all;

use crate::fixture::{Fixture, Service as _, customer, enrol, place, record, refused};

#[tokio::test]
async fn an_order_opens_its_record_once() {
    let fixture = Fixture::new().await;
    let (key, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let order = fixture.signed(fixture.order(record(1)));
    let opened = fixture.open(order.clone(), &wrapped).await.unwrap();
    assert_eq!(opened.key.into_key().expose(), key.expose());
    assert_eq!(
        refused(fixture.open(order, &wrapped).await),
        Some(Refusal::OrderUsed)
    );
    assert_eq!(fixture.openings().await, 1);
    assert_eq!(fixture.recorded("record.open").await, 1);
}

#[tokio::test]
async fn twins_of_an_order_open_once() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let order = fixture.signed(fixture.order(record(1)));
    let (one, two) = tokio::join!(
        fixture.open(order.clone(), &wrapped),
        fixture.open(order, &wrapped)
    );
    assert_eq!(
        [one.is_ok(), two.is_ok()]
            .iter()
            .filter(|opened| **opened)
            .count(),
        1
    );
}

#[tokio::test]
async fn a_forged_order_opens_nothing() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let forged = fixture
        .order(record(1))
        .sign(fixture.api.serial.clone(), &Key::from_array([0; 32]));
    assert_eq!(
        refused(fixture.open(forged, &wrapped).await),
        Some(Refusal::OrderInvalid)
    );
    let order_key = fixture
        .keys
        .service()
        .order_key(&fixture.api, GetOrderKey {})
        .await
        .unwrap()
        .key
        .into_key();
    let other_id = fixture
        .order(record(1))
        .sign(fixture.vault.serial.clone(), &order_key);
    assert_eq!(
        refused(fixture.open(other_id, &wrapped).await),
        Some(Refusal::OrderInvalid)
    );
    assert_eq!(fixture.openings().await, 0);
}

#[tokio::test]
async fn only_an_api_gets_an_order_key() {
    let fixture = Fixture::new().await;
    let outcome = fixture
        .keys
        .service()
        .order_key(&fixture.vault, GetOrderKey {})
        .await;
    assert_eq!(refused(outcome), Some(Refusal::CertificateRefused));
}

#[tokio::test]
async fn an_order_whose_time_is_over_or_too_long_opens_nothing() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let mut order = fixture.order(record(1));
    order.expires = fixture.clock.now().plus_millis(301_000);
    assert_eq!(
        refused(fixture.open(fixture.signed(order), &wrapped).await),
        Some(Refusal::OrderInvalid)
    );
    let order = fixture.signed(fixture.order(record(1)));
    fixture.clock.advance(20_000);
    assert_eq!(
        refused(fixture.open(order, &wrapped).await),
        Some(Refusal::OrderExpired)
    );
    assert_eq!(fixture.openings().await, 0);
}

#[tokio::test]
async fn an_order_of_a_revoked_api_opens_nothing() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let order = fixture.signed(fixture.order(record(1)));
    fixture
        .keys
        .revoke_certificate(&fixture.api.serial)
        .await
        .unwrap();
    assert_eq!(
        refused(fixture.open(order, &wrapped).await),
        Some(Refusal::OrderInvalid)
    );
    let again = fixture
        .keys
        .service()
        .order_key(&fixture.api, GetOrderKey {})
        .await;
    assert_eq!(refused(again), Some(Refusal::CertificateRefused));
    assert_eq!(fixture.openings().await, 0);
    assert!(fixture.keys.revoked().load().contains(&fixture.api.serial));
}

#[tokio::test]
async fn an_order_for_another_record_does_not_open_this_one() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let order = fixture.signed(fixture.order(record(2)));
    assert_eq!(
        refused(fixture.open(order, &wrapped).await),
        Some(Refusal::WrappedKeyInvalid)
    );
    assert_eq!(
        fixture.recorded("refused").await,
        1,
        "the attempt to is on record"
    );
}

#[tokio::test]
async fn an_order_of_another_account_or_mode_does_not_open_this_record() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let elsewhere = [
        Place {
            account: AccountId::from_bytes([9; 16]),
            ..place()
        },
        Place {
            mode: Mode::Live,
            ..place()
        },
    ];
    for elsewhere in elsewhere {
        let mut order = fixture.order(record(1));
        order.place = elsewhere;
        let outcome = fixture.open(fixture.signed(order), &wrapped).await;
        assert_eq!(refused(outcome), Some(Refusal::WrappedKeyInvalid));
    }
    assert_eq!(fixture.openings().await, 0);
}

#[tokio::test]
async fn a_key_of_another_subject_or_version_or_a_changed_one_does_not_open() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let _ = fixture.issue(customer(), record(2)).await;
    let never_issued = Subject::Customer(CustomerId::from_bytes([8; 16]));
    for subject in [customer(), never_issued] {
        let order = fixture.signed(fixture.order(record(1)));
        let outcome = fixture.open_as(subject, order, &wrapped).await;
        assert_eq!(refused(outcome), Some(Refusal::WrappedKeyInvalid));
    }
    let mut changed = wrapped.bytes.clone();
    changed[20] ^= 1;
    let others = [
        WrappedKey {
            parent_version: 2,
            ..wrapped.clone()
        },
        WrappedKey {
            bytes: changed,
            ..wrapped.clone()
        },
        WrappedKey {
            bytes: Vec::new(),
            ..wrapped
        },
    ];
    for other in others {
        let outcome = fixture
            .open(fixture.signed(fixture.order(record(1))), &other)
            .await;
        assert_eq!(refused(outcome), Some(Refusal::WrappedKeyInvalid));
    }
}

/// Opens them all side by side.
async fn open_together(
    fixture: &Fixture,
    orders: &[SignedOrder],
    wrapped: &WrappedKey,
) -> Vec<Result<Opened, Error>> {
    let opens = orders
        .iter()
        .map(|order| fixture.open(order.clone(), wrapped));
    join_all(opens).await
}

/// A key server that remembers all that an opening needs, so that orders for this record meet in the next pack.
async fn warm() -> (Fixture, WrappedKey) {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let order = fixture.signed(fixture.order(record(1)));
    fixture.open(order, &wrapped).await.ok().unwrap();
    (fixture, wrapped)
}

#[tokio::test]
async fn openings_that_come_together_are_one_record_that_names_each() {
    let (fixture, wrapped) = warm().await;
    let orders: Vec<_> = (0..40).map(|_| fixture.order(record(1))).collect();
    let signed: Vec<_> = orders
        .iter()
        .map(|order| fixture.signed(order.clone()))
        .collect();
    let opened = open_together(&fixture, &signed, &wrapped).await;
    assert!(opened.iter().all(Result::is_ok));
    assert_eq!(fixture.openings().await, 41);

    let leaves = fixture.leaves().await;
    let opened = |leaf: &&Vec<Recorded>| leaf.iter().any(|entry| entry.action == "record.open");
    let packs: Vec<_> = leaves.iter().filter(opened).collect();
    assert_eq!(packs.len(), 2, "the first, and all that came together");
    let pack = packs.into_iter().find(|leaf| leaf.len() == 40).unwrap();
    for (order, entry) in orders.iter().zip(pack) {
        let objects = [
            order.record.to_string(),
            order.payment.to_string(),
            order.attempt.to_string(),
            order.destination.as_str().to_owned(),
        ];
        assert_eq!(entry.objects, objects);
        assert_eq!(entry.actor.id, "vault/vault-1");
        assert_eq!(
            (&*entry.action, entry.mode),
            ("record.open", Some(Mode::Test))
        );
    }
}

#[tokio::test]
async fn one_refused_opening_is_no_others_misfortune() {
    let (fixture, wrapped) = warm().await;
    let used = fixture.signed(fixture.order(record(1)));
    fixture.open(used.clone(), &wrapped).await.ok().unwrap();
    let mut orders: Vec<_> = (0..8)
        .map(|_| fixture.signed(fixture.order(record(1))))
        .collect();
    orders.insert(3, used);
    let twin = orders[6].clone();
    orders.push(twin);
    let opened = open_together(&fixture, &orders, &wrapped).await;
    let mut refusals: Vec<_> = opened.into_iter().map(refused).collect();
    assert_eq!(refusals.remove(3), Some(Refusal::OrderUsed));
    let (twin, first) = (refusals.pop().unwrap(), refusals.remove(5));
    assert_ne!(twin, first, "one of the two opens");
    assert_eq!(
        [twin, first].into_iter().flatten().next(),
        Some(Refusal::OrderUsed)
    );
    assert_eq!(refusals, [None; 7]);
    assert_eq!(fixture.openings().await, 10);
    assert_eq!(fixture.recorded("record.open").await, 10);
}

#[tokio::test]
async fn what_is_remembered_of_a_certificate_does_not_outlive_it() {
    let (fixture, wrapped) = warm().await;
    let second = enrol(&fixture.keys, Role::Api, "api-2").await;
    let granted = fixture
        .keys
        .service()
        .order_key(&second, GetOrderKey {})
        .await;
    let (key_id, key) = granted
        .map(|granted| (granted.key_id, granted.key.into_key()))
        .ok()
        .unwrap();
    let by_second = || fixture.order(record(1)).sign(key_id.clone(), &key);
    fixture.open(by_second(), &wrapped).await.ok().unwrap();
    let elsewhere = fixture.another_node().await;
    elsewhere.revoke_certificate(&second.serial).await.unwrap();

    let orders = [fixture.signed(fixture.order(record(1))), by_second()];
    let opened = open_together(&fixture, &orders, &wrapped).await;
    let refusals: Vec<_> = opened.into_iter().map(refused).collect();
    assert_eq!(refusals, [None, Some(Refusal::OrderInvalid)]);
    assert_eq!(fixture.openings().await, 3);
}

#[tokio::test]
async fn what_is_refused_in_a_pack_is_not_counted() {
    let fixture = Fixture::with(|settings| settings.open_per_hour = 4).await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let order = fixture.signed(fixture.order(record(1)));
    let twins = [order.clone(), order.clone(), order];
    let opened = open_together(&fixture, &twins, &wrapped).await;
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
    let orders: Vec<_> = (0..4)
        .map(|_| fixture.signed(fixture.order(record(1))))
        .collect();
    let opened = open_together(&fixture, &orders, &wrapped).await;
    let refusals: Vec<_> = opened.into_iter().map(refused).collect();
    assert_eq!(refusals, [None, None, None, Some(Refusal::BudgetExhausted)]);
}
