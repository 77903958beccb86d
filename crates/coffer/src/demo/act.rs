//! The acts of the demo: each makes its requests, shows them, and says what must be true.

use std::time::Duration;

use serde_json::json;

use super::{
    hook::Hook,
    shop::{Ask, Reply, SITE, Shop},
    stage::Stage,
    transcript::Transcript,
};
use crate::{admin::Socket, directory::Role, failure::Failure, secret_file};

/// How often, and how many times, an act looks whether something has happened by itself.
const LOOK: (Duration, u32) = (Duration::from_millis(250), 80);

/// The merchant says where it wants to be told, and which site may ask for cards.
pub(super) async fn tell_me(script: &mut Transcript, shop: &mut Shop) -> Result<Hook, Failure> {
    script.title("The merchant names its site, and a webhook receiver (plain HTTP will do)");
    let mut hook = Hook::listen().await?;
    shop.call(
        script,
        "PATCH",
        "/v1/account",
        Some(json!({"origins": [SITE]})),
    )
    .await?;
    let made = shop
        .call(
            script,
            "POST",
            "/v1/webhook_endpoints",
            Some(json!({"url": hook.url()})),
        )
        .await?;
    hook.secret = made.text("/secret");
    script.check(
        "the secret of the webhooks is shown, this once",
        made.status == 201 && !hook.secret.is_empty(),
    );
    Ok(hook)
}

/// The payer types a card into the vault's fields.
pub(super) async fn deposit(script: &mut Transcript, shop: &mut Shop) -> Result<String, Failure> {
    script.title("The payer types a card into fields that the vault serves; the merchant and the api never see it");
    let token = shop.deposit(script).await?;
    let last4 = shop.number.get(12..).unwrap_or_default().to_owned();
    script.check(
        "a token came back, with no more of the number than its last four digits",
        token.status == 201
            && token.text("/card/last4") == last4
            && !token.json.to_string().contains(&shop.number),
    );
    Ok(token.text("/id"))
}

/// The merchant's server pays with the token.
pub(super) async fn pay(
    script: &mut Transcript,
    shop: &mut Shop,
    token: &str,
) -> Result<String, Failure> {
    script.title(
        "The merchant's server pays with the token: authorized and captured at the provider",
    );
    let order =
        json!({"amount": 1999, "currency": "EUR", "token": token, "reference": "order-1042"});
    let paid = shop
        .call(script, "POST", "/v1/payments", Some(order.clone()))
        .await?;
    script.check(
        "19.99 EUR are captured",
        paid.text("/status") == "captured" && paid.number("/amount_captured") == 1999,
    );
    let again = shop
        .call(script, "POST", "/v1/payments", Some(order))
        .await?;
    script.check(
        "a token pays once",
        again.status >= 400 && again.text("/code") == "token_used",
    );
    Ok(paid.text("/id"))
}

/// The merchant is told that something changed, verifies it, and fetches what.
pub(super) async fn be_told(
    script: &mut Transcript,
    shop: &mut Shop,
    hook: &mut Hook,
    payment: &str,
) -> Result<(), Failure> {
    script.title(
        "A webhook says that something changed, and nothing else; the merchant fetches the object",
    );
    let Some(message) = hook.next("payment.captured", payment).await else {
        script.check("the webhook came", false);
        return Ok(());
    };
    script.line(&format!("POST {} {}", hook.url(), message.body));
    script.check(
        "its signature is by the endpoint's secret",
        message.is_signed_by(&hook.secret),
    );
    script.check(
        "another secret does not verify it",
        !message.is_signed_by("whsec_AAAA"),
    );
    script.check(
        "it holds no amount, no card, no customer",
        !["amount", "card", "last4", "1999"]
            .iter()
            .any(|word| message.body.contains(word)),
    );
    let fetched = shop
        .call(script, "GET", &format!("/v1/payments/{payment}"), None)
        .await?;
    script.check(
        "the object tells the rest, over HTTPS, to whoever has a key",
        fetched.text("/status") == "captured",
    );
    Ok(())
}

/// Some of the money goes back.
pub(super) async fn refund(
    script: &mut Transcript,
    shop: &mut Shop,
    payment: &str,
) -> Result<(), Failure> {
    script.title("A partial refund, and one that would give back more than was taken");
    let part = shop
        .call(
            script,
            "POST",
            "/v1/refunds",
            Some(json!({"payment": payment, "amount": 500})),
        )
        .await?;
    script.check(
        "5.00 EUR went back",
        part.status == 201 && part.text("/status") == "succeeded",
    );
    let more = shop
        .call(
            script,
            "POST",
            "/v1/refunds",
            Some(json!({"payment": payment, "amount": 1500})),
        )
        .await?;
    script.check("refunds cannot exceed the capture", more.status >= 400);
    Ok(())
}

/// A card is declined.
pub(super) async fn decline(script: &mut Transcript, shop: &mut Shop) -> Result<(), Failure> {
    script.title("A decline is an answer, not an error (test tokens need no card)");
    let order =
        json!({"amount": 700, "currency": "EUR", "token": "tok_test_declined_insufficient_funds"});
    let declined = shop
        .call(script, "POST", "/v1/payments", Some(order))
        .await?;
    script.check(
        "declined, and why",
        declined.status == 201
            && declined.text("/status") == "declined"
            && declined.text("/last_attempt/decline_reason") == "insufficient_funds",
    );
    Ok(())
}

/// The payer passes a challenge.
pub(super) async fn challenge(script: &mut Transcript, shop: &mut Shop) -> Result<(), Failure> {
    script.title("A challenge (3-D Secure style): the payer confirms at the provider's page");
    let order = json!({"amount": 4200, "currency": "EUR", "token": "tok_test_challenge"});
    let waiting = shop
        .call(script, "POST", "/v1/payments", Some(order))
        .await?;
    script.check(
        "the payment waits for the payer",
        waiting.text("/status") == "requires_action",
    );
    let (id, url) = (waiting.text("/id"), waiting.text("/next_action/url"));
    let headers = vec![("content-type", "application/x-www-form-urlencoded")];
    shop.show_and_send(
        script,
        Ask {
            method: "POST",
            url,
            headers,
            body: Some(json!("decision=approve")),
        },
    )
    .await?;
    let settled = until(shop, &id, "captured").await?;
    script.check(
        "Coffer finds out by itself and captures",
        settled.text("/status") == "captured",
    );
    Ok(())
}

/// The same request twice.
pub(super) async fn repeat(script: &mut Transcript, shop: &mut Shop) -> Result<(), Failure> {
    script.title("The same request twice, as after a lost connection: one charge, the same answer");
    let order = || Some(json!({"amount": 900, "currency": "EUR", "token": "tok_test_approved"}));
    let first = shop
        .call_once(script, "POST", "/v1/payments", Some("order-1043"), order())
        .await?;
    let second = shop
        .call_once(script, "POST", "/v1/payments", Some("order-1043"), order())
        .await?;
    script.check(
        "both answers are the same",
        first.status == 201 && first.json == second.json,
    );
    let other = Some(json!({"amount": 901, "currency": "EUR", "token": "tok_test_approved"}));
    let refused = shop
        .call_once(script, "POST", "/v1/payments", Some("order-1043"), other)
        .await?;
    script.check("the key is not for another request", refused.status == 422);
    Ok(())
}

/// The key server is sealed: what needs a card waits, all else goes on.
pub(super) async fn seal(
    script: &mut Transcript,
    stage: &Stage,
    shop: &mut Shop,
    payment: &str,
) -> Result<(), Failure> {
    script.title(
        "The key server is sealed: no card can be stored or opened by anyone; the rest goes on",
    );
    let (directory, kept) = (stage.directory()?, shop.deposit(script).await?.text("/id"));
    let socket = Socket::of(&directory, Role::Keys);
    script.line("$ coffer keys seal");
    socket.post("/seal", json!({})).await?;
    let order = || Some(json!({"amount": 100, "currency": "EUR", "token": kept}));
    let charged = shop.call(script, "POST", "/v1/payments", order()).await?;
    script.check(
        "a stored card cannot be charged: 503",
        charged.status == 503,
    );
    let typed = shop.deposit(script).await?;
    script.check(
        "a card cannot be taken: 503, and it is parked nowhere",
        typed.status == 503,
    );
    let read = shop
        .call(script, "GET", &format!("/v1/payments/{payment}"), None)
        .await?;
    script.check("payments can be read", read.status == 200);
    script.line("$ coffer keys unseal");
    let passphrase = secret_file::read_text(&directory.file(Role::Keys, "passphrase"))?;
    let text = String::from_utf8_lossy(passphrase.expose()).into_owned();
    socket.post("/unseal", json!({"passphrase": text})).await?;
    let charged = shop.call(script, "POST", "/v1/payments", order()).await?;
    script.check(
        "opened again, the same token pays",
        charged.text("/status") == "captured",
    );
    Ok(())
}

async fn until(shop: &mut Shop, payment: &str, status: &str) -> Result<Reply, Failure> {
    let quiet = Transcript::default();
    let (pause, looks) = LOOK;
    for _ in 1..looks {
        let seen = shop.look(payment).await?;
        if seen.text("/status") == status {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    shop.call(&quiet, "GET", &format!("/v1/payments/{payment}"), None)
        .await
}
