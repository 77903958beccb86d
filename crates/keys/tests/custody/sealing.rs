//! Sealed, it does nothing; the passphrase opens it; initialising happens once.

use coffer_keys::{Error as KeysError, Keys, initialise};
use coffer_net::contract::{
    Error, Peer, Refusal, Role,
    keys::{
        Class, Fingerprint, GetCheckpoint, GetCustody, GetOrderKey, GetRevoked, Issue,
        PassphraseOnLink, Renew, Seal, SignCheckpoint, Subject, Unseal,
    },
};
use coffer_testkit::TestStore;

use crate::fixture::{Fixture, STRETCH, Service as _, passphrase, place, record};

#[tokio::test]
async fn sealed_it_answers_sealed_and_records_nothing() {
    let fixture = Fixture::new().await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    fixture.keys.seal().await.unwrap();
    let (service, vault) = (fixture.keys.service(), &fixture.vault);
    let order = fixture.signed(fixture.order(record(1)));
    assert_eq!(
        fixture.open(order, &wrapped).await.err(),
        Some(Error::Sealed)
    );
    let issue = Issue {
        place: place(),
        subject: Subject::Account,
        class: Class::Card,
        records: vec![record(1)],
    };
    assert_eq!(service.issue(vault, issue).await.err(), Some(Error::Sealed));
    let fingerprint = Fingerprint {
        place: place(),
        inner: [0; 32],
    };
    assert_eq!(
        service.fingerprint(vault, fingerprint).await.err(),
        Some(Error::Sealed)
    );
    assert_eq!(
        service.order_key(&fixture.api, GetOrderKey {}).await.err(),
        Some(Error::Sealed)
    );
    assert_eq!(
        service
            .renew(
                vault,
                Renew {
                    request: Vec::new()
                }
            )
            .await
            .err(),
        Some(Error::Sealed)
    );
    let checkpoint = SignCheckpoint {
        size: 1,
        root: [0; 32],
        from_size: 0,
        consistency: Vec::new(),
    };
    assert_eq!(
        service.sign_checkpoint(vault, checkpoint).await.err(),
        Some(Error::Sealed)
    );
    assert_eq!(fixture.keys.ready(), Err(KeysError::Sealed));
    assert_eq!(fixture.openings().await, 0);
}

#[tokio::test]
async fn what_needs_no_key_is_answered_while_sealed() {
    let fixture = Fixture::new().await;
    fixture.keys.seal().await.unwrap();
    let (service, vault) = (fixture.keys.service(), &fixture.vault);
    assert!(service.custody(vault, GetCustody {}).await.unwrap().sealed);
    assert!(
        service
            .revoked(vault, GetRevoked {})
            .await
            .unwrap()
            .serials
            .is_empty()
    );
    assert_eq!(
        service
            .checkpoint(vault, GetCheckpoint {})
            .await
            .unwrap()
            .size,
        0
    );
}

#[tokio::test]
async fn a_wrong_passphrase_opens_nothing_and_is_on_record() {
    let fixture = Fixture::new().await;
    fixture.keys.seal().await.unwrap();
    let operator = Peer {
        role: Role::Operator,
        instance: "laptop".to_owned(),
        serial: String::new(),
    };
    let unseal = |text| Unseal {
        passphrase: PassphraseOnLink::new(&passphrase(text)),
    };
    let outcome = fixture
        .keys
        .service()
        .unseal(&operator, unseal("wrong"))
        .await;
    assert_eq!(
        outcome.err(),
        Some(Error::Refused(Refusal::PassphraseWrong))
    );
    assert!(fixture.keys.is_sealed());
    assert_eq!(fixture.recorded("custody.unseal").await, 2);
    assert!(
        !fixture
            .keys
            .service()
            .unseal(&operator, unseal("correct"))
            .await
            .unwrap()
            .sealed
    );
    assert_eq!(fixture.recorded("operator/laptop").await, 2);
    assert!(
        fixture
            .keys
            .service()
            .seal(&operator, Seal {})
            .await
            .unwrap()
            .sealed
    );
}

#[tokio::test]
async fn initialising_twice_harms_nothing() {
    let fixture = Fixture::new().await;
    let (key, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let again = initialise(
        &fixture.db,
        &passphrase("other"),
        fixture.clock.now(),
        STRETCH,
    )
    .await;
    assert_eq!(again.err(), Some(KeysError::AlreadyInitialised));
    let fixture = fixture.restart().await;
    let opened = fixture
        .open(fixture.signed(fixture.order(record(1))), &wrapped)
        .await
        .unwrap();
    assert_eq!(opened.key.into_key().expose(), key.expose());
}

#[tokio::test]
async fn without_a_root_key_there_is_nothing_to_open() {
    let empty = TestStore::open(coffer_keys::MIGRATIONS, coffer_keys::STATEMENTS).await;
    let fixture = Fixture::new().await;
    assert_eq!(
        Keys::open(empty.db.clone(), fixture.settings).await.err(),
        Some(KeysError::NotInitialised)
    );
}
