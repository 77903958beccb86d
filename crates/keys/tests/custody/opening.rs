//! One order opens one record, once; what is refused is not recorded as opened.

use coffer_core::{
    Mode,
    id::{AccountId, CustomerId},
};
use coffer_crypto::Key;
use coffer_net::contract::{
    Place, Refusal,
    keys::{GetOrderKey, Subject, WrappedKey},
};

use crate::fixture::{Fixture, Service as _, customer, place, record, refused};

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
