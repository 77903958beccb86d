//! Keeping a card with a customer, and deleting it.

use std::sync::atomic::Ordering;

use coffer_core::id::{CardId, CustomerId, TokenId};
use coffer_net::contract::{
    Error, Refusal,
    vault::{Act, AttemptOutcome, CardSource, DeleteRecord, KeepCard, KeptCard, VaultService as _},
};

use crate::shop::{CARD, Shop, money, peer, place};

async fn keep(shop: &Shop, token: TokenId, card: CardId) -> Result<KeptCard, Error> {
    let customer = CustomerId::from_bytes([4; 16]);
    shop.vault
        .keep_card(
            &peer(),
            KeepCard {
                place: place(),
                token,
                customer,
                card,
            },
        )
        .await
}

#[tokio::test]
async fn a_token_is_kept_once_and_the_same_card_again_gives_the_same_answer() {
    let shop = Shop::open().await;
    let token = shop.token(CARD).await;
    let card: CardId = shop.clock.id();
    let kept = keep(&shop, token, card).await.unwrap();
    let calls = shop.keys.calls.load(Ordering::SeqCst);
    assert_eq!(keep(&shop, token, card).await.unwrap().record, kept.record);
    assert_eq!(shop.keys.calls.load(Ordering::SeqCst), calls);
    assert_eq!(
        keep(&shop, token, shop.clock.id()).await.unwrap_err(),
        Error::Refused(Refusal::TokenUsed)
    );
    assert_eq!(
        shop.resolve(token).await.unwrap_err(),
        Error::Refused(Refusal::TokenUsed)
    );
}

#[tokio::test]
async fn while_keys_are_sealed_the_token_stays_free() {
    let shop = Shop::open().await;
    let token = shop.token(CARD).await;
    shop.keys.sealed.store(true, Ordering::SeqCst);
    assert_eq!(
        keep(&shop, token, shop.clock.id()).await.unwrap_err(),
        Error::Sealed
    );
    assert!(shop.resolve(token).await.is_ok());
}

#[tokio::test]
async fn a_kept_card_pays_often_without_a_security_code_until_it_is_deleted() {
    let mut shop = Shop::open().await;
    let token = shop.token(CARD).await;
    let record = keep(&shop, token, shop.clock.id()).await.unwrap().record;
    shop.restart().await;
    shop.clock.advance(48 * 60 * 60 * 1000);
    shop.vault.prune().await.unwrap();
    for _ in 0..2 {
        let mut charge = shop.perform_of(Act::Void {
            authorize: shop.clock.id(),
        });
        let source = CardSource::Kept {
            order: shop.order(&charge, record),
        };
        charge.act = Act::Authorize {
            money: money(),
            source,
            return_url: None,
        };
        assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Succeeded));
    }
    assert!(
        shop.provider
            .arrived()
            .iter()
            .all(|one| one.body["card"]["cvc"].is_null())
    );
    for _ in 0..2 {
        shop.vault
            .delete_record(
                &peer(),
                DeleteRecord {
                    place: place(),
                    record,
                },
            )
            .await
            .unwrap();
    }
    let mut charge = shop.perform_of(Act::Void {
        authorize: shop.clock.id(),
    });
    let source = CardSource::Kept {
        order: shop.order(&charge, record),
    };
    charge.act = Act::Authorize {
        money: money(),
        source,
        return_url: None,
    };
    assert_eq!(
        shop.perform(&charge).await,
        Err(Error::Refused(Refusal::RecordUnknown))
    );
}
