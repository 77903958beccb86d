//! Depositing a card at the fields face.

use std::sync::atomic::Ordering;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use coffer_core::{
    Mode,
    id::AccountId,
    limits::{INTAKE_TTL_MS, TOKEN_TTL_MS},
};
use coffer_net::contract::{
    Error, Place, Refusal,
    vault::{ResolveToken, VaultService as _},
};

use crate::shop::{CARD, ORIGIN, OTHER_CARD, Said, Shop, peer, place};

fn code(said: &Said) -> (u16, &str) {
    (
        said.status.as_u16(),
        said.json["code"].as_str().unwrap_or(&said.text),
    )
}

#[tokio::test]
async fn a_ticket_that_is_forged_or_over_deposits_nothing() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    let forged = format!("{}AAAA", &ticket[..ticket.len() - 4]);
    for bad in ["", "x", &forged] {
        assert_eq!(
            code(&shop.post(bad, CARD, ORIGIN).await),
            (403, "ticket_invalid")
        );
    }
    shop.clock.advance(INTAKE_TTL_MS);
    assert_eq!(
        code(&shop.post(&ticket, CARD, ORIGIN).await),
        (403, "ticket_expired")
    );
    assert_eq!(shop.rows().await, [0; 4]);
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_deposit() {
    let shop = Shop::open().await;
    for origin in [
        "https://shop.example",
        "null",
        "https://fields.coffer.localhost",
    ] {
        let said = shop.post(&shop.ticket().await, CARD, origin).await;
        assert_eq!(code(&said), (403, "origin_not_allowed"));
        assert!(said.headers.get("access-control-allow-origin").is_none());
    }
    assert_eq!(shop.rows().await, [0; 4]);
}

#[tokio::test]
async fn while_the_key_server_is_sealed_or_frozen_nothing_is_stored() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    shop.keys.sealed.store(true, Ordering::SeqCst);
    let said = shop.post(&ticket, CARD, ORIGIN).await;
    assert_eq!(code(&said), (503, "unavailable"));
    assert_eq!(said.headers["retry-after"], "2");
    shop.keys.sealed.store(false, Ordering::SeqCst);
    shop.keys.frozen.store(true, Ordering::SeqCst);
    assert_eq!(
        code(&shop.post(&ticket, CARD, ORIGIN).await),
        (503, "unavailable")
    );
    assert_eq!(shop.rows().await, [0; 4]);
    shop.keys.frozen.store(false, Ordering::SeqCst);
    assert_eq!(
        shop.post(&ticket, CARD, ORIGIN).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_ticket_is_for_one_card_and_a_repeat_gives_the_same_token() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    let first = shop.post(&ticket, CARD, ORIGIN).await;
    let again = shop.post(&ticket, CARD, ORIGIN).await;
    assert_eq!(first.json, again.json);
    assert_eq!(
        code(&shop.post(&ticket, OTHER_CARD, ORIGIN).await),
        (409, "ticket_used")
    );
    // The same brand, last four digits and expiry, and yet another card.
    let like = CARD.replace("4242 4242 4242 4242", "4000000000024242");
    assert_eq!(
        code(&shop.post(&ticket, &like, ORIGIN).await),
        (409, "ticket_used")
    );
    assert_eq!(shop.rows().await, [1, 1, 1, 0]);
}

#[tokio::test]
async fn one_ticket_cannot_use_up_the_accounts_fingerprints() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    shop.post(&ticket, CARD, ORIGIN).await;
    for _ in 1..20 {
        assert_eq!(
            code(&shop.post(&ticket, OTHER_CARD, ORIGIN).await),
            (409, "ticket_used")
        );
    }
    let calls = shop.keys.calls.load(Ordering::SeqCst);
    for card in [CARD, OTHER_CARD] {
        assert_eq!(
            code(&shop.post(&ticket, card, ORIGIN).await),
            (429, "ticket_tries_exceeded")
        );
    }
    assert_eq!(shop.keys.calls.load(Ordering::SeqCst), calls);
    shop.token(CARD).await;
}

#[tokio::test]
async fn twins_at_the_same_time_get_one_token() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    let (one, two, three) = tokio::join!(
        shop.post(&ticket, CARD, ORIGIN),
        shop.post(&ticket, CARD, ORIGIN),
        shop.post(&ticket, CARD, ORIGIN)
    );
    assert_eq!((&one.json, &two.json), (&two.json, &three.json));
    assert_eq!(shop.rows().await, [1, 1, 1, 0]);
}

#[tokio::test]
async fn the_page_learns_brand_last_four_and_expiry_and_nothing_else() {
    let shop = Shop::open().await;
    let said = shop.post(&shop.ticket().await, CARD, ORIGIN).await;
    assert_eq!(said.status, StatusCode::CREATED);
    let expected = serde_json::json!({
        "id": said.json["id"], "type": "token", "mode": "test",
        "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030},
        "expires": "2026-11-22T10:15:00.000Z",
    });
    assert_eq!(said.json, expected);
    assert_eq!(said.headers["cache-control"], "no-store");
    assert_eq!(said.headers["referrer-policy"], "no-referrer");
    assert!(
        said.headers["coffer-request-id"]
            .to_str()
            .unwrap()
            .starts_with("req_")
    );
}

#[tokio::test]
async fn no_card_number_is_on_disk() {
    let shop = Shop::open().await;
    shop.token(CARD).await;
    let disk = shop.disk();
    let contains = |needle: &[u8]| disk.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"visa"));
    assert!(!contains(b"4242424242424242") && !contains(b"34323432343234323432343234323432"));
}

#[tokio::test]
async fn a_refusal_is_a_problem_that_repeats_nothing_and_has_a_page() {
    let shop = Shop::open().await;
    let card = r#"{"number":"4242424242424241","exp_month":12,"exp_year":2030,"cvc":"987"}"#;
    let said = shop.post(&shop.ticket().await, card, ORIGIN).await;
    assert_eq!(code(&said), (400, "number_invalid"));
    assert_eq!(
        (said.json["field"].as_str(), said.json["status"].as_u64()),
        (Some("number"), Some(400))
    );
    assert_eq!(
        said.json["request_id"].as_str().unwrap(),
        said.headers["coffer-request-id"].to_str().unwrap()
    );
    assert_eq!(said.headers["content-type"], "application/problem+json");
    assert!(!said.text.contains("4242") && !said.text.contains("987"));
    let page = said.json["type"]
        .as_str()
        .unwrap()
        .strip_prefix(ORIGIN)
        .unwrap();
    let page = shop
        .send(Request::get(page).body(Body::empty()).unwrap())
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("number_invalid"));
}

#[tokio::test]
async fn whatever_is_asked_the_answer_is_a_problem() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    let post = |kind: &str, body: String| {
        let request = Request::post("/v1/tokens")
            .header("content-type", kind)
            .header("coffer-intake", &ticket);
        request.body(Body::from(body)).unwrap()
    };
    let large = format!(r#"{{"number":"{}"}}"#, "4".repeat(9000));
    for (request, expected) in [
        (
            Request::get("/").body(Body::empty()).unwrap(),
            (404, "not_found"),
        ),
        (
            Request::get("/docs/errors/nothing")
                .body(Body::empty())
                .unwrap(),
            (404, "not_found"),
        ),
        (
            Request::get("/v1/tokens").body(Body::empty()).unwrap(),
            (405, "method_not_allowed"),
        ),
        (
            Request::post("/v1/tokens?ticket=a&ticket=b")
                .body(Body::empty())
                .unwrap(),
            (400, "request_malformed"),
        ),
        (
            post("text/plain", CARD.to_owned()),
            (415, "content_type_not_supported"),
        ),
        (
            post("application/json", "[]".to_owned()),
            (400, "request_malformed"),
        ),
        (post("application/json", large), (413, "request_too_large")),
    ] {
        let said = shop.send(request).await;
        assert_eq!(code(&said), expected);
        assert_eq!(said.headers["content-type"], "application/problem+json");
        assert_eq!(said.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn a_token_ends_after_fifteen_minutes() {
    let shop = Shop::open().await;
    let token = shop.token(CARD).await;
    assert_eq!(shop.resolve(token).await.unwrap().instance, "vault-1");
    shop.clock.advance(TOKEN_TTL_MS);
    assert_eq!(
        shop.resolve(token).await.unwrap_err(),
        Error::Refused(Refusal::TokenExpired)
    );
}

#[tokio::test]
async fn a_token_of_another_account_or_mode_is_not_found() {
    let shop = Shop::open().await;
    let token = shop.token(CARD).await;
    let elsewhere = [
        Place {
            account: AccountId::from_bytes([2; 16]),
            ..place()
        },
        Place {
            mode: Mode::Live,
            ..place()
        },
    ];
    for place in elsewhere {
        let resolved = shop
            .vault
            .resolve_token(
                &peer(),
                ResolveToken {
                    place,
                    token,
                    payment: None,
                },
            )
            .await;
        assert_eq!(resolved.unwrap_err(), Error::Refused(Refusal::TokenUnknown));
    }
}

#[tokio::test]
async fn a_ticket_may_come_in_the_address() {
    let shop = Shop::open().await;
    let address = format!("/v1/tokens?ticket={}", shop.ticket().await);
    let request = Request::post(address)
        .header("content-type", "application/json")
        .body(Body::from(CARD));
    assert_eq!(
        shop.send(request.unwrap()).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn an_expired_token_is_dropped_with_its_card_and_a_fresh_one_is_not() {
    let shop = Shop::open().await;
    let old = shop.token(CARD).await;
    shop.clock.advance(TOKEN_TTL_MS + 60 * 60 * 1000 + 1);
    let fresh = shop.token(CARD).await;
    assert_eq!(shop.rows().await, [2, 2, 2, 0]);
    shop.vault.prune().await.unwrap();
    assert_eq!(shop.rows().await, [1, 1, 1, 0]);
    assert_eq!(
        shop.resolve(old).await.unwrap_err(),
        Error::Refused(Refusal::TokenUnknown)
    );
    assert!(shop.resolve(fresh).await.is_ok());
}
