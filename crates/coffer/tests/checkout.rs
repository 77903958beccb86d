//! The payers' pages, through all processes: a payment without a card, its page, a card typed into the vault's frame, paid.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use coffer_testkit::{Answer, Card, Client, Coffer, Merchant};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");

/// A payer at the page of one payment.
struct Payer {
    client: Client,
    shop: Merchant,
    origin: String,
    page: String,
    payment: String,
}

impl Payer {
    /// At the page of a new payment.
    async fn of(coffer: &Coffer, shop: &Merchant, order: Value) -> Self {
        let made = shop.post("/v1/payments", &order).await.expect(201);
        let page = made.json["checkout_url"].as_str().unwrap().to_owned();
        let origin = origin(coffer);
        assert!(page.starts_with(&format!("{origin}/c/pay_")), "{page}");
        Self {
            client: coffer.client(),
            shop: shop.clone(),
            origin,
            page,
            payment: made.id(),
        }
    }

    async fn look(&self) -> Answer {
        self.client.send("GET", &self.page, &[], None).await
    }

    /// Types a card into the frame of the page; the token.
    async fn types(&self, card: Card) -> String {
        let page = self.look().await.expect(200);
        let (_, rest) = page
            .text
            .split_once("/v1/fields?ticket=")
            .expect("the card fields");
        let (ticket, _) = rest.split_once('"').unwrap();
        self.shop.deposit_with(ticket, card).await.expect(201).id()
    }

    /// What the page's script sends when the payer pays.
    async fn pays(&self, token: &str) -> Answer {
        self.sends(
            &[("origin", &self.origin), ("sec-fetch-site", "same-origin")],
            token,
        )
        .await
    }

    async fn sends(&self, headers: &[(&str, &str)], token: &str) -> Answer {
        let url = format!("{}/card", self.page);
        self.client
            .send("POST", &url, headers, Some(&json!({"token": token})))
            .await
    }

    async fn status(&self) -> Value {
        let url = format!("{}/status", self.page);
        self.client
            .send("GET", &url, &[], None)
            .await
            .expect(200)
            .json
    }

    /// The payment as its merchant sees it.
    async fn payment(&self) -> Value {
        self.shop
            .get(&format!("/v1/payments/{}", self.payment))
            .await
            .expect(200)
            .json
    }
}

fn origin(coffer: &Coffer) -> String {
    format!(
        "https://pay.coffer.localhost:{}",
        coffer.address("checkout").port()
    )
}

fn order(more: Value) -> Value {
    let mut order =
        json!({"amount": 1999, "currency": "EUR", "description": "A <chair> & a table"});
    order
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    order
}

/// The operations of this kind in the provider's books.
async fn charged(coffer: &Coffer, operation: &str) -> usize {
    let ledger = coffer.ledger().await;
    ledger
        .iter()
        .filter(|line| line["operation"] == operation)
        .count()
}

#[tokio::test]
async fn a_payer_pays_at_the_page_and_goes_back_with_the_payments_id_and_nothing_else() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let back = "https://shop.test/done?order=1";
    let payer = Payer::of(&coffer, &shop, order(json!({"return_url": back}))).await;

    let form = payer.look().await.expect(200);
    assert!(form.text.contains("19.99\u{a0}EUR"), "{}", form.text);
    assert!(
        form.text.contains("A &#60;chair&#62; &#38; a table"),
        "{}",
        form.text
    );
    assert_eq!(
        payer.status().await,
        json!({"status": "requires_card", "next": null})
    );

    let token = payer.types(Card::APPROVED).await;
    let paid = payer.pays(&token).await.expect(200);
    assert_eq!(paid.json, json!({"status": "captured", "next": null}));
    let seen = payer.payment().await;
    assert_eq!(
        (&seen["status"], &seen["card"]["last4"]),
        (&json!("captured"), &json!("4242"))
    );

    let page = payer.look().await.expect(200);
    assert!(page.text.contains("Payment received") && page.text.contains("4242"));
    let way_back = format!("{back}&#38;payment={}\"", payer.payment);
    assert!(page.text.contains(&way_back), "{}", page.text);
    assert!(!page.text.contains("ticket="), "{}", page.text);

    // Whatever is repeated charges nothing.
    let again = payer.pays(&token).await.expect(200);
    assert_eq!(again.json["status"], "captured");
    assert_eq!(
        (
            charged(&coffer, "authorize").await,
            charged(&coffer, "capture").await
        ),
        (1, 1)
    );
}
