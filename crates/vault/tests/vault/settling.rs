//! Settling what was left open: by asking the provider, never by guessing.

use coffer_core::{
    decline::DeclineReason,
    limits::{ATTEMPT_DEADLINE_MS, ATTEMPT_MARGIN_MS},
};
use coffer_db::{Transaction, params};
use coffer_net::contract::vault::{AttemptOutcome, Settlement};

use crate::{
    provider::Behaviour,
    shop::{CARD, MARK_SENDING, Shop},
};

#[tokio::test]
async fn an_attempt_that_nobody_recorded_was_never_sent() {
    let shop = Shop::open().await;
    assert_eq!(shop.settle(shop.clock.id()).await, Settlement::NotRecorded);
}

#[tokio::test]
async fn an_error_after_charging_is_unknown_until_a_look_up_finds_the_charge() {
    let shop = Shop::open().await;
    shop.provider.behave(Behaviour::ErrorAfterCharging);
    let charge = shop.charge(shop.token(CARD).await).await;
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Unknown));
    assert_eq!(
        shop.settle(charge.attempt).await,
        Settlement::Known(AttemptOutcome::Succeeded)
    );
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Succeeded));
    assert_eq!(shop.provider.arrived().len(), 1);
}

#[tokio::test]
async fn not_found_counts_only_after_deadline_and_margin() {
    let mut shop = Shop::open().await;
    shop.provider.behave(Behaviour::ErrorBeforeCharging);
    let charge = shop.charge(shop.token(CARD).await).await;
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Unknown));
    shop.restart().await;
    shop.clock
        .advance(ATTEMPT_DEADLINE_MS + ATTEMPT_MARGIN_MS - 1);
    assert_eq!(
        shop.settle(charge.attempt).await,
        Settlement::Known(AttemptOutcome::Unknown)
    );
    shop.clock.advance(1);
    let failed = AttemptOutcome::Failed {
        reason: DeclineReason::ProcessingError,
    };
    assert_eq!(
        shop.settle(charge.attempt).await,
        Settlement::Known(failed.clone())
    );
    assert_eq!(shop.perform(&charge).await, Ok(failed));
    assert_eq!(shop.provider.arrived().len(), 1);
}

#[tokio::test]
async fn a_challenge_is_settled_when_the_payer_has_decided() {
    let shop = Shop::open().await;
    shop.provider.behave(Behaviour::Challenge);
    let charge = shop.charge(shop.token(CARD).await).await;
    let challenged = shop.perform(&charge).await.unwrap();
    assert_eq!(
        shop.settle(charge.attempt).await,
        Settlement::Known(challenged)
    );
    shop.provider
        .decide(&charge.attempt.to_string(), "approved");
    assert_eq!(
        shop.settle(charge.attempt).await,
        Settlement::Known(AttemptOutcome::Succeeded)
    );
}

#[tokio::test]
async fn an_attempt_that_was_being_sent_when_the_process_died_is_looked_up_after_its_deadline() {
    let mut shop = Shop::open().await;
    shop.provider.behave(Behaviour::ErrorAfterCharging);
    let charge = shop.charge(shop.token(CARD).await).await;
    shop.perform(&charge).await.unwrap();
    let died = Transaction::new().one(&MARK_SENDING, params![charge.attempt.to_string()]);
    shop.db.transact(died).await.unwrap();
    shop.restart().await;
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Unknown));
    assert_eq!(
        shop.settle(charge.attempt).await,
        Settlement::Known(AttemptOutcome::Unknown)
    );
    shop.clock.advance(ATTEMPT_DEADLINE_MS);
    assert_eq!(
        shop.settle(charge.attempt).await,
        Settlement::Known(AttemptOutcome::Succeeded)
    );
    assert_eq!(shop.provider.arrived().len(), 1);
}
