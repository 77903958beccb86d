//! Stored data that someone changed, and a key server that refuses in the middle of an attempt.

use std::sync::atomic::Ordering;

use coffer_db::{Transaction, params};
use coffer_net::contract::{
    Error, Refusal,
    vault::{AttemptOutcome, Settlement},
};

use crate::shop::{CARD, OTHER_CARD, SWAP_KEYS, SWAP_NUMBERS, Shop, place};

#[tokio::test]
async fn ciphertexts_swapped_between_rows_are_refused_and_nothing_is_sent() {
    for (statement, expected) in [
        (&SWAP_NUMBERS, Error::Defect),
        (&SWAP_KEYS, Error::Refused(Refusal::WrappedKeyInvalid)),
    ] {
        let shop = Shop::open().await;
        let charge = shop.charge(shop.token(CARD).await).await;
        shop.token(OTHER_CARD).await;
        let swap = Transaction::new().any(statement, params![place().account.to_string()]);
        shop.db.transact(swap).await.unwrap();
        assert_eq!(shop.perform(&charge).await, Err(expected));
        assert_eq!(shop.provider.arrived().len(), 0);
    }
}

#[tokio::test]
async fn an_attempt_that_keys_did_not_open_was_not_sent_and_gives_the_token_back() {
    let shop = Shop::open().await;
    let token = shop.token(CARD).await;
    let (charge, next) = (shop.charge(token).await, shop.charge(token).await);
    shop.keys.sealed.store(true, Ordering::SeqCst);
    assert_eq!(shop.perform(&charge).await, Err(Error::Sealed));
    assert_eq!(shop.settle(charge.attempt).await, Settlement::NotRecorded);
    shop.keys.sealed.store(false, Ordering::SeqCst);
    // It stays refused for ever; another attempt may use the token and its security code.
    assert_eq!(shop.perform(&charge).await, Err(Error::Sealed));
    assert_eq!(shop.perform(&next).await, Ok(AttemptOutcome::Succeeded));
    let arrived = shop.provider.arrived();
    assert_eq!(
        (arrived.len(), arrived[0].body["card"]["cvc"].as_str()),
        (1, Some("123"))
    );
}

#[tokio::test]
async fn an_attempt_of_which_not_even_that_is_recorded_is_not_called_undone() {
    let shop = Shop::open().await;
    let charge = shop.charge(shop.token(CARD).await).await;
    shop.keys.sealed.store(true, Ordering::SeqCst);
    *shop.keys.takes_along.lock().unwrap() = Some(shop.db.clone());
    // Its token is still its own, so whoever tried again would be told that it was used.
    assert_eq!(shop.perform(&charge).await, Err(Error::Defect));
}

#[tokio::test]
async fn a_security_code_has_no_column() {
    let schema = coffer_vault::MIGRATIONS
        .iter()
        .map(|migration| migration.sql)
        .collect::<String>();
    assert_eq!(
        schema.matches("cvc").count(),
        schema.matches("cvc_given {bigint}").count()
    );
}
