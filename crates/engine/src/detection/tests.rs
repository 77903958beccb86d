//! Each signal is raised by what it is for, explains itself, and is acted on as its policy says.

use std::net::Ipv4Addr;

use coffer_core::{
    api_key::{KeyKind, compose},
    payment::CaptureMode,
    permission::Permissions,
    rate::Rate,
};
use coffer_net::contract::vault::AttemptOutcome;

use super::*;
use crate::{
    AccountChange, Alert, AuthenticationError, Caller, Fresh, Page,
    fixture::{Shop, origin, payment, presented},
};

pub(super) const MINUTE_MS: i64 = 60_000;
const DECLINED: AttemptOutcome = AttemptOutcome::Failed {
    reason: DeclineReason::InsufficientFunds,
};

/// As `coffer.toml` has them when it says nothing.
pub(crate) fn settings() -> DetectionSettings {
    DetectionSettings {
        strangers: Policy::Watch,
        window_ms: 10 * MINUTE_MS,
        scanning_misses: 60,
        stuffing_keys: 20,
        testing_declines: 20,
        testing_share: 50,
        testing_small: 200,
        rate_factor: 4,
        rate_floor: 600,
        learning_ms: 3 * 24 * 60 * MINUTE_MS,
        slow: Rate::new(30, 30).unwrap(),
        slow_ms: 15 * MINUTE_MS,
        block_ms: 60 * MINUTE_MS,
    }
}

async fn alerts(shop: &Shop, count: usize) -> Vec<Alert> {
    loop {
        let alerts = shop.engine.alerts_newest().await.unwrap();
        if alerts.len() >= count {
            return alerts;
        }
        tokio::task::yield_now().await;
    }
}

/// Until it is held on this node.
async fn held(shop: &Shop, subject: &Subject) {
    let engine = &shop.engine;
    while engine.0.detection.holds.of(subject, engine.now()).is_none() {
        tokio::task::yield_now().await;
    }
}

async fn choose(shop: &Shop, caller: &Caller, policy: Policy) {
    let change = AccountChange {
        detection: Some(policy),
        ..AccountChange::default()
    };
    shop.engine.account_update(caller, change).await.unwrap();
}

/// Cards tried with the caller's key, as many as it takes.
async fn test_cards(shop: &Shop, caller: &Caller) {
    for _ in 0..20 {
        shop.vault.answer(Ok(DECLINED));
        let tried = payment(CaptureMode::Automatic);
        shop.engine
            .payment_create(caller, Fresh::unkeyed(), tried)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_key_that_tests_cards_is_blocked_on_every_node_where_its_account_wants_that_until_it_is_lifted()
 {
    let shop = Shop::open().await;
    let other = shop.another_node().await;
    let (tester, owner) = (shop.caller("POST /v1/payments").await, {
        let (_, text) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        let calling = shop
            .engine
            .authenticate(presented(&text), origin("GET /v1/blocks"));
        calling.await.ok().unwrap()
    });
    choose(&shop, &owner, Policy::Block).await;
    test_cards(&shop, &tester).await;
    // Of the key, and of the card behind the test token.
    let raised = alerts(&shop, 2).await;
    assert!(
        raised
            .iter()
            .all(|alert| alert.kind == AlertKind::CardTesting && alert.place == Some(shop.place))
    );
    let pay = async |engine: &Engine, caller: &Caller| {
        let new = payment(CaptureMode::Automatic);
        engine
            .payment_create(caller, Fresh::unkeyed(), new)
            .await
            .map(drop)
    };
    let page = || Page::new(None, None).unwrap();
    held(&shop, &Subject::Key(tester.api_key())).await;
    let listed = shop.engine.block_list(&owner, page()).await.unwrap();
    let block = listed.items.into_iter().next().unwrap();
    assert_eq!(
        (block.signal, block.policy),
        (Signal::CardTesting, Policy::Block)
    );
    assert_eq!(block.subject, tester.api_key().to_string());
    other.poll_changes().await.unwrap();
    for engine in [&shop.engine, &other] {
        let refused = pay(engine, &tester).await;
        assert_eq!(
            refused,
            Err(Error::Held(Held::Blocked { until: block.until }))
        );
        pay(engine, &owner).await.unwrap();
    }
    let itself = shop.engine.block_lift(&tester, block.id).await;
    assert!(matches!(itself, Err(Error::Refused(_))));
    shop.engine.block_lift(&owner, block.id).await.unwrap();
    other.poll_changes().await.unwrap();
    for engine in [&shop.engine, &other] {
        pay(engine, &tester).await.unwrap();
    }
    assert!(
        shop.engine
            .block_list(&owner, page())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn who_is_slowed_gets_little_done_and_is_free_after_a_while() {
    let shop = Shop::open().await;
    let tester = shop.caller("POST /v1/payments").await;
    choose(&shop, &tester, Policy::Slow).await;
    test_cards(&shop, &tester).await;
    alerts(&shop, 2).await;
    held(&shop, &Subject::Key(tester.api_key())).await;
    let pay = async || {
        let new = payment(CaptureMode::Automatic);
        shop.engine
            .payment_create(&tester, Fresh::unkeyed(), new)
            .await
            .map(drop)
    };
    let mut done = 0;
    let retry_after_s = loop {
        match pay().await {
            Ok(()) => done += 1,
            Err(Error::Held(Held::Slowed { retry_after_s })) => break retry_after_s,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((done, retry_after_s), (30, 2));
    shop.clock.advance(settings().slow_ms);
    for _ in 0..40 {
        pay().await.unwrap();
    }
}

#[tokio::test]
async fn in_test_mode_an_account_is_told_and_nothing_is_held() {
    let shop = Shop::open().await;
    let tester = shop.caller("POST /v1/payments").await;
    test_cards(&shop, &tester).await;
    let raised = alerts(&shop, 2).await;
    let of_key = raised
        .iter()
        .find(|alert| alert.subject == tester.api_key().to_string())
        .unwrap();
    assert!(of_key.score.is_some() && of_key.detail.as_deref().unwrap().starts_with("20 of 20"));
    assert!(shop.engine.blocks_holding().await.unwrap().is_empty());
}

#[tokio::test]
async fn who_tries_keys_is_told_to_the_operator_and_slowed_and_a_key_that_works_goes_on() {
    let shop = Shop::watched_by(DetectionSettings {
        strangers: Policy::Slow,
        slow: Rate::new(6, 1).unwrap(),
        ..settings()
    })
    .await;
    shop.caller("GET /v1/ping").await;
    for byte in 0..20 {
        let guess = compose(
            KeyKind::Secret,
            Mode::Test,
            ApiKeyId::from_bytes([byte; 16]),
            &[7; 32],
        );
        let tried = shop
            .engine
            .authenticate(presented(&guess), origin("GET /v1/ping"));
        assert_eq!(tried.await.err(), Some(AuthenticationError::Unknown));
    }
    let raised = alerts(&shop, 1).await;
    assert_eq!(
        (raised[0].kind, raised[0].place),
        (AlertKind::CredentialStuffing, None)
    );
    held(&shop, &Subject::Address(origin("").address)).await;
    let guess = compose(
        KeyKind::Secret,
        Mode::Test,
        ApiKeyId::from_bytes([99; 16]),
        &[7; 32],
    );
    let mut tried = Vec::new();
    for _ in 0..2 {
        let calling = shop
            .engine
            .authenticate(presented(&guess), origin("GET /v1/ping"));
        tried.push(calling.await.err().unwrap());
    }
    assert!(
        matches!(tried[1], AuthenticationError::TooManyFailures { .. }),
        "{tried:?}"
    );
    shop.caller("GET /v1/ping").await;
}

#[tokio::test]
async fn a_key_is_learned_from_what_is_written_of_it_on_any_node() {
    let shop = Shop::open().await;
    let from = async |engine: &Engine, last: u8| {
        let mut origin = origin("GET /v1/ping");
        origin.address = IpAddr::V4(Ipv4Addr::new(203, 0, last, 7));
        engine
            .authenticate(presented(&shop.key), origin)
            .await
            .ok()
            .unwrap();
        engine.write_uses().await.unwrap();
    };
    from(&shop.engine, 1).await;
    shop.clock.advance(30 * 24 * 60 * MINUTE_MS);
    shop.engine.poll_changes().await.unwrap();
    let other = shop.another_node().await;
    from(&other, 1).await;
    assert!(shop.engine.alerts_newest().await.unwrap().is_empty());
    from(&other, 2).await;
    let raised = alerts(&shop, 1).await;
    assert_eq!(raised[0].kind, AlertKind::NewNetwork);
    assert!(
        raised[0]
            .detail
            .as_deref()
            .unwrap()
            .contains("203.0.2.0/24")
    );
    from(&shop.engine, 2).await;
    assert_eq!(shop.engine.alerts_newest().await.unwrap()[0].times, 1);
}

#[tokio::test]
async fn a_key_that_calls_far_more_than_in_its_busiest_hour_is_told_once_an_hour() {
    let shop = Shop::open().await;
    let caller = shop.caller("GET /v1/ping").await;
    let taken = crate::Taken {
        outcome: crate::Outcome::Succeeded,
        latency: std::time::Duration::ZERO,
        bytes_in: 0,
        bytes_out: 0,
    };
    let call = async |count: usize| {
        for _ in 0..count {
            shop.engine.count(&caller, "ping", &taken);
        }
        shop.engine.write_usage().await.unwrap();
        shop.engine.watch_rates().await.unwrap();
    };
    call(700).await;
    shop.clock.advance(4 * 24 * 60 * MINUTE_MS);
    call(2_800).await;
    assert!(shop.engine.alerts_newest().await.unwrap().is_empty());
    call(1).await;
    call(1).await;
    let raised = alerts(&shop, 1).await;
    assert_eq!(
        (raised[0].kind, raised[0].times),
        (AlertKind::UnusualRate, 1)
    );
    assert_eq!(
        raised[0].detail.as_deref(),
        Some("2801 calls in this hour; the busiest hour of the week before had 700")
    );
}

#[test]
fn a_flood_of_findings_is_told_in_part_and_each_minute_anew() {
    let detection = Detection::new(settings());
    let told = |ms| {
        (0..1_000)
            .filter(|_| detection.may_tell(Timestamp::from_millis(ms)))
            .count()
    };
    assert_eq!(
        [told(0), told(59_999), told(60_000)],
        [TOLD_MAX, 0, TOLD_MAX]
    );
}
