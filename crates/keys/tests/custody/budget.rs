//! The hourly budget: never exceeded, and never counted too low.

use coffer_keys::Keys;
use coffer_net::contract::{
    Refusal,
    keys::{Fingerprint, Subject, WrappedKey},
};

use crate::fixture::{Fixture, HOUR_MS, Service as _, place, record, refused};

async fn opens(fixture: &Fixture, wrapped: &WrappedKey, times: usize) -> usize {
    let mut opened = 0;
    for _ in 0..times {
        let outcome = fixture
            .open(fixture.signed(fixture.order(record(1))), wrapped)
            .await;
        match outcome {
            Ok(_) => opened += 1,
            outcome @ Err(_) => assert_eq!(refused(outcome), Some(Refusal::BudgetExhausted)),
        }
    }
    opened
}

#[tokio::test]
async fn nothing_opens_beyond_the_budget_until_the_next_hour() {
    let fixture = Fixture::with(|settings| settings.open_per_hour = 3).await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    assert_eq!(opens(&fixture, &wrapped, 6).await, 3);
    assert_eq!(fixture.openings().await, 3);
    assert_eq!(fixture.recorded("budget.exhaust").await, 1, "once per hour");
    fixture.clock.advance(HOUR_MS);
    assert_eq!(opens(&fixture, &wrapped, 4).await, 3);
}

#[tokio::test]
async fn a_restart_never_gives_more_than_the_budget() {
    let fixture = Fixture::with(|settings| settings.open_per_hour = 260).await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    assert_eq!(opens(&fixture, &wrapped, 2).await, 2);
    let fixture = fixture.restart().await;
    assert_eq!(
        opens(&fixture, &wrapped, 10).await,
        4,
        "the block of the process that ended counts as used"
    );
    let fixture = fixture.restart().await;
    assert_eq!(opens(&fixture, &wrapped, 1).await, 0);
}

#[tokio::test]
async fn a_repeated_order_costs_nothing() {
    let fixture = Fixture::with(|settings| settings.open_per_hour = 2).await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let order = fixture.signed(fixture.order(record(1)));
    assert!(fixture.open(order.clone(), &wrapped).await.is_ok());
    for _ in 0..3 {
        assert_eq!(
            refused(fixture.open(order.clone(), &wrapped).await),
            Some(Refusal::OrderUsed)
        );
    }
    assert_eq!(opens(&fixture, &wrapped, 2).await, 1);
}

#[tokio::test]
async fn a_ceiling_of_nothing_allows_nothing() {
    let fixture = Fixture::with(|settings| settings.fingerprint_per_hour = 0).await;
    let request = Fingerprint {
        place: place(),
        inner: [7; 32],
    };
    let outcome = fixture
        .keys
        .service()
        .fingerprint(&fixture.vault, request)
        .await;
    assert_eq!(refused(outcome), Some(Refusal::BudgetExhausted));
}

#[tokio::test]
async fn opening_and_fingerprints_are_counted_apart() {
    let fixture = Fixture::with(|settings| settings.fingerprint_per_hour = 1).await;
    let (_, wrapped) = fixture.issue(Subject::Account, record(1)).await;
    let request = Fingerprint {
        place: place(),
        inner: [7; 32],
    };
    assert!(
        fixture
            .keys
            .service()
            .fingerprint(&fixture.vault, request.clone())
            .await
            .is_ok()
    );
    let outcome = fixture
        .keys
        .service()
        .fingerprint(&fixture.vault, request)
        .await;
    assert_eq!(refused(outcome), Some(Refusal::BudgetExhausted));
    assert_eq!(opens(&fixture, &wrapped, 2).await, 2);
}

#[tokio::test]
async fn two_nodes_together_stay_within_the_budget() {
    let fixture = Fixture::with(|settings| settings.fingerprint_per_hour = 300).await;
    let other = fixture.another_node().await;
    let asks = async |keys: &Keys| {
        let mut answered = 0;
        for _ in 0..310 {
            let request = Fingerprint {
                place: place(),
                inner: [7; 32],
            };
            let outcome = keys.service().fingerprint(&fixture.vault, request).await;
            match outcome {
                Ok(_) => answered += 1,
                outcome @ Err(_) => assert_eq!(refused(outcome), Some(Refusal::BudgetExhausted)),
            }
        }
        answered
    };
    let (one, two) = tokio::join!(asks(&fixture.keys), asks(&other));
    assert_eq!(one + two, 300);
}
