//! Data keys, their moves between subjects, their destruction, and fingerprints.

use coffer_core::{Mode, id::AccountId, limits::DATA_KEY_BATCH_MAX};
use coffer_keys::Keys;
use coffer_net::contract::{
    Place, Refusal,
    keys::{Class, Fingerprint, Issue, Rewrap, Subject, WrappedKey},
};

use crate::fixture::{Fixture, Service as _, customer, passphrase, place, record, refused};

fn rewrap(wrapped: WrappedKey) -> Rewrap {
    let (from, to) = (Subject::Account, customer());
    Rewrap {
        place: place(),
        class: Class::Card,
        record: record(1),
        from,
        to,
        wrapped,
    }
}

#[tokio::test]
async fn a_batch_over_its_limit_or_empty_is_malformed() {
    let fixture = Fixture::new().await;
    for count in [0, DATA_KEY_BATCH_MAX + 1] {
        let records = vec![record(1); count];
        let request = Issue {
            place: place(),
            subject: Subject::Account,
            class: Class::Card,
            records,
        };
        assert_eq!(
            refused(fixture.keys.service().issue(&fixture.vault, request).await),
            Some(Refusal::Malformed)
        );
    }
    assert_eq!(fixture.recorded("data_key.issue").await, 0);
}

#[tokio::test]
async fn a_full_batch_fits_the_link_and_is_one_entry_of_the_log() {
    let fixture = Fixture::new().await;
    let records = vec![record(1); DATA_KEY_BATCH_MAX];
    let request = Issue {
        place: place(),
        subject: customer(),
        class: Class::Card,
        records,
    };
    let issued = fixture
        .keys
        .service()
        .issue(&fixture.vault, request)
        .await
        .unwrap();
    assert_eq!(
        coffer_net::link::encode(&issued).map(|_| issued.keys.len()),
        Ok(DATA_KEY_BATCH_MAX)
    );
    assert_eq!(fixture.recorded("data_key.issue").await, 1);
}

#[tokio::test]
async fn a_rewrapped_key_opens_for_its_new_subject_only() {
    let fixture = Fixture::new().await;
    let (key, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let moved = fixture
        .keys
        .service()
        .rewrap(&fixture.vault, rewrap(wrapped))
        .await
        .unwrap();
    let order = fixture.signed(fixture.order(record(1)));
    assert_eq!(
        refused(fixture.open(order, &moved).await),
        Some(Refusal::WrappedKeyInvalid)
    );
    let order = fixture.signed(fixture.order(record(1)));
    let opened = fixture.open_as(customer(), order, &moved).await.unwrap();
    assert_eq!(opened.key.into_key().expose(), key.expose());
    assert_eq!(fixture.recorded("data_key.rewrap").await, 1);
}

#[tokio::test]
async fn a_key_is_not_rewrapped_as_another_records() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let request = Rewrap {
        record: record(2),
        ..rewrap(wrapped)
    };
    let outcome = fixture.keys.service().rewrap(&fixture.vault, request).await;
    assert_eq!(refused(outcome), Some(Refusal::WrappedKeyInvalid));
}

#[tokio::test]
async fn a_destroyed_subject_stays_destroyed() {
    let fixture = Fixture::new().await;
    let (_, accounts) = fixture.issue(Subject::Account, record(1)).await;
    let (_, wrapped) = fixture.issue(customer(), record(2)).await;
    // Another node still has the opened key in memory.
    let other = Keys::open(fixture.db.clone(), fixture.settings.clone())
        .await
        .unwrap();
    other.unseal(&passphrase("correct")).await.unwrap();
    other.destroy_subject(place(), customer()).await.unwrap();
    for _ in ["from memory", "from the store"] {
        let order = fixture.signed(fixture.order(record(2)));
        let outcome = fixture.open_as(customer(), order, &wrapped).await;
        assert_eq!(refused(outcome), Some(Refusal::KeyDestroyed));
        let request = Issue {
            place: place(),
            subject: customer(),
            class: Class::Card,
            records: vec![record(3)],
        };
        let outcome = fixture.keys.service().issue(&fixture.vault, request).await;
        assert_eq!(refused(outcome), Some(Refusal::KeyDestroyed));
        let outcome = fixture
            .keys
            .service()
            .rewrap(&fixture.vault, rewrap(accounts.clone()))
            .await;
        assert_eq!(refused(outcome), Some(Refusal::KeyDestroyed));
        fixture
            .keys
            .destroy_subject(place(), customer())
            .await
            .unwrap();
    }
    assert_eq!(fixture.openings().await, 0);
}

#[tokio::test]
async fn two_nodes_agree_on_an_accounts_first_key() {
    let fixture = Fixture::new().await;
    let other = Keys::open(fixture.db.clone(), fixture.settings.clone())
        .await
        .unwrap();
    other.unseal(&passphrase("correct")).await.unwrap();
    let request = |number| Issue {
        place: place(),
        subject: Subject::Account,
        class: Class::Card,
        records: vec![record(number)],
    };
    let (one, two) = (fixture.keys.service(), other.service());
    let issued = tokio::join!(
        one.issue(&fixture.vault, request(1)),
        two.issue(&fixture.vault, request(2))
    );
    for (issued, number) in [(issued.0, 1), (issued.1, 2)] {
        let wrapped = &issued.unwrap().keys[0].wrapped;
        assert!(
            fixture
                .open(fixture.signed(fixture.order(record(number))), wrapped)
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_fingerprint_differs_by_account_and_mode_and_survives_a_restart() {
    let fixture = Fixture::new().await;
    let print = async |fixture: &Fixture, place| {
        let request = Fingerprint {
            place,
            inner: [7; 32],
        };
        let answer = fixture
            .keys
            .service()
            .fingerprint(&fixture.vault, request)
            .await
            .unwrap();
        assert_eq!(answer.versions.len(), 1);
        answer.versions[0]
    };
    let first = print(&fixture, place()).await;
    let account = Place {
        account: AccountId::from_bytes([9; 16]),
        ..place()
    };
    assert_ne!(print(&fixture, account).await, first);
    assert_ne!(
        print(
            &fixture,
            Place {
                mode: Mode::Live,
                ..place()
            }
        )
        .await,
        first
    );
    let fixture = fixture.restart().await;
    assert_eq!(print(&fixture, place()).await, first);
}
