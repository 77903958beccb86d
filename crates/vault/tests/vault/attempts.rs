//! Attempts: recorded before anything leaves, sent once, for exactly what was ordered.

use std::sync::atomic::Ordering;

use coffer_core::{Mode, id::PaymentId, limits::TOKEN_TTL_MS, provider::Provider};
use coffer_net::contract::{
    Error, Refusal,
    vault::{Act, AttemptOutcome, CardSource, Perform, Settlement, TestToken},
};

use crate::{
    provider::Behaviour,
    shop::{CARD, OTHER_CARD, Shop, money},
};

fn refused(refusal: Refusal) -> Result<AttemptOutcome, Error> {
    Err(Error::Refused(refusal))
}

#[tokio::test]
async fn an_attempt_is_recorded_before_it_is_sent() {
    let shop = Shop::open().await;
    let charge = shop.charge(shop.token(CARD).await).await;
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Succeeded));
    let arrived = shop.provider.arrived();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].recorded.as_deref(), Some("sending"));
    assert_eq!(arrived[0].key, charge.attempt.to_string());
    assert_eq!(arrived[0].credential, "Bearer provider-credential");
    let card = serde_json::json!({"number": "4242424242424242", "exp_month": 12, "exp_year": 2030, "cvc": "123"});
    assert_eq!(
        arrived[0].body,
        serde_json::json!({"amount": 1999, "currency": "EUR", "card": card})
    );
}

#[tokio::test]
async fn the_same_attempt_is_sent_once_at_the_same_time_later_and_after_a_restart() {
    let mut shop = Shop::open().await;
    let mut charge = shop.charge(shop.token(CARD).await).await;
    let (one, two) = tokio::join!(shop.perform(&charge), shop.perform(&charge));
    assert_eq!(
        (one, two),
        (Ok(AttemptOutcome::Succeeded), Ok(AttemptOutcome::Succeeded))
    );
    shop.clock.advance(60_000);
    shop.restart().await;
    charge.deadline = shop.in_ms(20_000);
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Succeeded));
    assert_eq!(shop.provider.arrived().len(), 1);
}

#[tokio::test]
async fn an_attempt_with_other_content_is_a_conflict() {
    let shop = Shop::open().await;
    let charge = shop.charge(shop.token(CARD).await).await;
    shop.perform(&charge).await.unwrap();
    let mut other = charge.clone();
    other.act = Act::Void {
        authorize: charge.attempt,
    };
    assert_eq!(
        shop.perform(&other).await,
        refused(Refusal::AttemptConflict)
    );
    assert_eq!(shop.provider.arrived().len(), 1);
}

#[tokio::test]
async fn a_token_pays_once() {
    let shop = Shop::open().await;
    let token = shop.token(CARD).await;
    let (first, second) = (shop.charge(token).await, shop.charge(token).await);
    let (one, two) = tokio::join!(shop.perform(&first), shop.perform(&second));
    let outcomes = [one, two];
    assert!(outcomes.contains(&Ok(AttemptOutcome::Succeeded)));
    assert!(outcomes.contains(&refused(Refusal::TokenUsed)));
    assert_eq!(shop.provider.arrived().len(), 1);
    assert_eq!(shop.rows().await[3], 1);
}

#[tokio::test]
async fn an_expired_token_does_not_pay() {
    let shop = Shop::open().await;
    let mut charge = shop.charge(shop.token(CARD).await).await;
    shop.clock.advance(TOKEN_TTL_MS);
    let Act::Authorize {
        source: CardSource::Token { token, order },
        ..
    } = &charge.act
    else {
        panic!()
    };
    let (token, record) = (*token, order.unverified().record);
    charge.deadline = shop.in_ms(20_000);
    let source = CardSource::Token {
        token,
        order: shop.order(&charge, record),
    };
    charge.act = Act::Authorize {
        money: money(),
        source,
        return_url: None,
    };
    assert_eq!(shop.perform(&charge).await, refused(Refusal::TokenExpired));
    assert_eq!(shop.rows().await[3], 0);
}

#[tokio::test]
async fn a_lost_security_code_stops_the_charge_before_anything_is_recorded() {
    let mut shop = Shop::open().await;
    let charge = shop.charge(shop.token(CARD).await).await;
    shop.restart().await;
    assert_eq!(shop.perform(&charge).await, refused(Refusal::CvcLost));
    assert_eq!(
        (shop.rows().await[3], shop.provider.arrived().len()),
        (0, 0)
    );
}

#[tokio::test]
async fn an_order_for_anything_else_opens_nothing() {
    let shop = Shop::open().await;
    let token = shop.token(CARD).await;
    let other_record = shop
        .resolve(shop.token(OTHER_CARD).await)
        .await
        .unwrap()
        .record;
    let calls = shop.keys.calls.load(Ordering::SeqCst);
    let changes: [fn(&mut Perform); 3] = [
        |perform| perform.payment = PaymentId::from_bytes([6; 16]),
        |perform| perform.attempt = coffer_core::id::AttemptId::from_bytes([6; 16]),
        |perform| {
            let Act::Authorize { money, .. } = &mut perform.act else {
                panic!()
            };
            *money = coffer_core::Money::new(2000, money.currency()).unwrap();
        },
    ];
    for change in changes {
        let mut charge = shop.charge(token).await;
        change(&mut charge);
        assert_eq!(shop.perform(&charge).await, refused(Refusal::OrderInvalid));
    }
    let mut charge = shop.charge(token).await;
    let source = CardSource::Token {
        token,
        order: shop.order(&charge, other_record),
    };
    charge.act = Act::Authorize {
        money: money(),
        source,
        return_url: None,
    };
    assert_eq!(shop.perform(&charge).await, refused(Refusal::OrderInvalid));
    assert_eq!(shop.keys.calls.load(Ordering::SeqCst), calls);
    assert_eq!(
        (shop.rows().await[3], shop.provider.arrived().len()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_token_is_no_kept_card() {
    let shop = Shop::open().await;
    let mut charge = shop.charge(shop.token(CARD).await).await;
    let Act::Authorize {
        source: CardSource::Token { order, .. },
        ..
    } = charge.act
    else {
        panic!()
    };
    charge.act = Act::Authorize {
        money: money(),
        source: CardSource::Kept { order },
        return_url: None,
    };
    assert_eq!(shop.perform(&charge).await, refused(Refusal::RecordUnknown));
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline_or_to_an_unknown_provider() {
    let shop = Shop::open().await;
    let charge = shop.charge(shop.token(CARD).await).await;
    let elsewhere = Perform {
        provider: Provider::try_from("other".to_owned()).ok().unwrap(),
        ..charge.clone()
    };
    assert_eq!(
        shop.perform(&elsewhere).await,
        refused(Refusal::ProviderMissing)
    );
    shop.clock.advance(20_000);
    assert_eq!(shop.perform(&charge).await, refused(Refusal::OrderExpired));
    assert_eq!(shop.settle(charge.attempt).await, Settlement::NotRecorded);
    assert_eq!(shop.provider.arrived().len(), 0);
}

#[tokio::test]
async fn a_test_card_needs_no_deposit_and_does_not_exist_in_live_mode() {
    let shop = Shop::open().await;
    let source = CardSource::Test(TestToken::Approved);
    let charge = shop.perform_of(Act::Authorize {
        money: money(),
        source,
        return_url: None,
    });
    assert_eq!(shop.perform(&charge).await, Ok(AttemptOutcome::Succeeded));
    let mut live = charge;
    live.place.mode = Mode::Live;
    assert_eq!(shop.perform(&live).await, refused(Refusal::TokenUnknown));
    assert_eq!(shop.provider.arrived().len(), 1);
}

#[tokio::test]
async fn capture_and_refund_use_the_reference_of_their_own_payment_only() {
    let shop = Shop::open().await;
    let charge = shop.charge(shop.token(CARD).await).await;
    shop.perform(&charge).await.unwrap();
    let authorize = charge.attempt;
    let mut stranger = shop.perform_of(Act::Capture {
        money: money(),
        authorize,
    });
    stranger.payment = PaymentId::from_bytes([6; 16]);
    assert_eq!(
        shop.perform(&stranger).await,
        refused(Refusal::AttemptConflict)
    );
    let unknown = shop.perform_of(Act::Refund {
        money: money(),
        authorize: shop.clock.id(),
    });
    assert_eq!(
        shop.perform(&unknown).await,
        refused(Refusal::AttemptConflict)
    );
    shop.provider.arrived();
    for act in [
        Act::Capture {
            money: money(),
            authorize,
        },
        Act::Refund {
            money: money(),
            authorize,
        },
        Act::Void { authorize },
    ] {
        assert_eq!(
            shop.perform(&shop.perform_of(act)).await,
            Ok(AttemptOutcome::Succeeded)
        );
    }
    assert_eq!(shop.provider.arrived().len(), 3);
}

#[tokio::test]
async fn a_challenge_is_answered_with_its_address() {
    let shop = Shop::open().await;
    shop.provider.behave(Behaviour::Challenge);
    let charge = shop.charge(shop.token(CARD).await).await;
    let challenged = AttemptOutcome::Challenged {
        url: "https://p.test/c".to_owned(),
    };
    assert_eq!(shop.perform(&charge).await, Ok(challenged));
}
