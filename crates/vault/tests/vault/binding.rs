//! A token of a checkout page pays that page's payment and nothing else.

use coffer_core::id::{CustomerId, PaymentId};
use coffer_net::contract::{
    Error, Refusal,
    vault::{AttemptOutcome, KeepCard, VaultService as _},
};

use crate::shop::{CARD, PAYMENT, Shop, peer, place};

const OTHER_PAYMENT: PaymentId = PaymentId::from_bytes([6; 16]);
const UNKNOWN: Error = Error::Refused(Refusal::TokenUnknown);

#[tokio::test]
async fn a_merchants_call_cannot_use_a_checkouts_token() {
    let shop = Shop::open().await;
    let token = shop.token_of(PAYMENT).await;
    assert_eq!(shop.resolve(token).await.unwrap_err(), UNKNOWN);
    let keep = KeepCard {
        place: place(),
        token,
        customer: CustomerId::from_bytes([4; 16]),
        card: shop.clock.id(),
    };
    let kept = shop.vault.keep_card(&peer(), keep).await;
    assert_eq!(kept.unwrap_err(), UNKNOWN);
    // Nothing of it was used up.
    let charge = shop.charge(token).await;
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Succeeded));
    // Nor does it become known by being used.
    assert_eq!(shop.resolve(token).await.unwrap_err(), UNKNOWN);
}

#[tokio::test]
async fn a_checkouts_token_cannot_pay_another_payment() {
    let shop = Shop::open().await;
    let token = shop.token_of(PAYMENT).await;
    let others = shop.resolve_for(token, Some(OTHER_PAYMENT)).await;
    assert_eq!(others.unwrap_err(), UNKNOWN);
    let record = shop.resolve_for(token, Some(PAYMENT)).await.unwrap().record;
    let charge = shop.charge_for(OTHER_PAYMENT, token, record);
    assert_eq!(shop.perform(&charge).await, Err(UNKNOWN));
    assert_eq!(shop.rows().await, [1, 1, 1, 0]);
    assert_eq!(shop.provider.arrived().len(), 0);
}

#[tokio::test]
async fn a_token_of_a_merchants_page_may_pay_any_payment_of_the_account() {
    let shop = Shop::open().await;
    for payment in [PAYMENT, OTHER_PAYMENT] {
        let token = shop.token(CARD).await;
        let record = shop.resolve(token).await.unwrap().record;
        assert!(shop.resolve_for(token, Some(payment)).await.is_ok());
        let charge = shop.charge_for(payment, token, record);
        assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Succeeded));
    }
}
