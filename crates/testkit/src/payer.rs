//! A payer at the page of one payment, with what the page's script does and without a browser.

use serde_json::{Value, json};

use crate::{Answer, Card, Client, Coffer, Merchant};

/// A payer at the page of one payment.
pub struct Payer {
    /// Any client.
    pub client: Client,
    /// Where the page is.
    pub origin: String,
    /// The page's address.
    pub page: String,
    /// The payment.
    pub payment: String,
    shop: Merchant,
}

impl Payer {
    /// At the page of a new payment.
    ///
    /// # Panics
    /// When it has none.
    pub async fn of(coffer: &Coffer, shop: &Merchant, order: Value) -> Self {
        let made = shop.post("/v1/payments", &order).await.expect(201);
        let page = made.json["checkout_url"].as_str().unwrap().to_owned();
        let port = coffer.address("checkout").port();
        let origin = format!("https://pay.coffer.localhost:{port}");
        assert!(page.starts_with(&format!("{origin}/c/pay_")), "{page}");
        Self {
            client: coffer.client(),
            shop: shop.clone(),
            origin,
            page,
            payment: made.id(),
        }
    }

    /// Gets the page.
    pub async fn look(&self) -> Answer {
        self.client.send("GET", &self.page, &[], None).await
    }

    /// Types a card into the frame of the page; the token.
    ///
    /// # Panics
    /// When the card is not accepted.
    pub async fn types(&self, card: Card) -> String {
        let page = self.look().await.expect(200);
        let (_, rest) = page
            .text
            .split_once("/v1/fields?ticket=")
            .expect("the card fields");
        let (ticket, _) = rest.split_once('"').unwrap();
        self.shop.deposit_with(ticket, card).await.expect(201).id()
    }

    /// What the page's script sends when the payer pays.
    pub async fn pays(&self, token: &str) -> Answer {
        self.sends(
            &[("origin", &self.origin), ("sec-fetch-site", "same-origin")],
            token,
        )
        .await
    }

    /// The same with other headers.
    pub async fn sends(&self, headers: &[(&str, &str)], token: &str) -> Answer {
        let url = format!("{}/card", self.page);
        self.client
            .send("POST", &url, headers, Some(&json!({"token": token})))
            .await
    }

    /// What the page asks for while it waits.
    pub async fn status(&self) -> Value {
        let url = format!("{}/status", self.page);
        let answer = self.client.send("GET", &url, &[], None).await;
        answer.expect(200).json
    }

    /// The payment as its merchant sees it.
    pub async fn payment(&self) -> Value {
        let path = format!("/v1/payments/{}", self.payment);
        self.shop.get(&path).await.expect(200).json
    }
}
