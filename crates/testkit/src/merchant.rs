//! A merchant and what it does: call the API with its keys, let a payer type a card.

use std::sync::atomic::{AtomicU64, Ordering};

use coffer_net::outbound::OutboundError;
use serde_json::{Value, json};

use crate::{Answer, Client, Coffer, account_with_keys};

/// The site of every test's merchant.
const SITE: &str = "https://shop.test";

/// A card as a payer types it.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// The number.
    pub number: &'static str,
    /// The security code.
    pub cvc: &'static str,
}

impl Card {
    /// Visa, approved.
    pub const APPROVED: Self = Self {
        number: "4242424242424242",
        cvc: "123",
    };
    /// Visa, declined: not enough money.
    pub const INSUFFICIENT_FUNDS: Self = Self {
        number: "4000000000009995",
        cvc: "123",
    };
}

/// A merchant with test keys of its own account.
#[derive(Clone)]
pub struct Merchant {
    /// Its account.
    pub account: String,
    /// For its site.
    pub publishable_key: String,
    /// For its server.
    pub secret_key: String,
    client: Client,
    api: String,
    fields: String,
    fields_origin: String,
}

impl Merchant {
    pub(crate) async fn create(coffer: &Coffer) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let name = format!("merchant {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (account, publishable_key, secret_key) =
            account_with_keys(&coffer.admin("api"), &name).await;
        let fields = coffer.address("fields").port();
        let merchant = Self {
            account,
            publishable_key,
            secret_key,
            client: coffer.client(),
            api: format!("https://localhost:{}", coffer.address("api").port()),
            fields: format!("https://localhost:{fields}"),
            fields_origin: format!("https://fields.coffer.localhost:{fields}"),
        };
        let changed = merchant
            .call(
                "PATCH",
                "/v1/account",
                &[],
                Some(&json!({"origins": [SITE]})),
            )
            .await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        merchant
    }

    /// The same merchant, who calls the API at this port.
    pub(crate) fn calling(&self, port: u16) -> Self {
        Self {
            api: format!("https://localhost:{port}"),
            ..self.clone()
        }
    }

    /// The same merchant, who calls another installation that has its account.
    #[must_use]
    pub fn moved_to(&self, coffer: &Coffer) -> Self {
        let fields = coffer.address("fields").port();
        Self {
            client: coffer.client(),
            api: format!("https://localhost:{}", coffer.address("api").port()),
            fields: format!("https://localhost:{fields}"),
            fields_origin: format!("https://fields.coffer.localhost:{fields}"),
            ..self.clone()
        }
    }

    /// Calls the API with the secret key.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        self.try_call(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Self::call`], for a request that may find nobody.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, OutboundError> {
        let bearer = format!("Bearer {}", self.secret_key);
        let headers: Vec<(&str, &str)> = [("authorization", bearer.as_str())]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        self.client
            .try_send(method, &format!("{}{path}", self.api), &headers, body)
            .await
    }

    /// The address of a path of the API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// Gets an object or a list.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    /// Creates something, without an idempotency key.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], Some(body)).await
    }

    /// Creates something under an idempotency key.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.call("POST", path, &[("idempotency-key", key)], Some(body))
            .await
    }

    /// As [`Self::post_once`], for a request that may find nobody.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_post_once(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Answer, OutboundError> {
        self.try_call("POST", path, &[("idempotency-key", key)], Some(body))
            .await
    }

    /// Lets a payer type a card on the merchant's site; answers the token.
    ///
    /// # Panics
    /// When the card is not accepted.
    pub async fn deposit(&self, card: Card) -> String {
        let answer = self.try_deposit(card).await.expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json["id"]
            .as_str()
            .expect("the token's id")
            .to_owned()
    }

    /// As [`Self::deposit`], with whatever is answered, if anything is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_deposit(&self, card: Card) -> Result<Answer, OutboundError> {
        let answer = self.try_ticket().await?;
        match answer.json["ticket"].as_str() {
            Some(ticket) => self.try_deposit_with(ticket, card).await,
            None => Ok(answer),
        }
    }

    /// Permission to deposit one card, as the merchant's site gets it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn ticket(&self) -> String {
        let answer = self.try_ticket().await.expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json["ticket"]
            .as_str()
            .expect("the ticket")
            .to_owned()
    }

    async fn try_ticket(&self) -> Result<Answer, OutboundError> {
        let bearer = format!("Bearer {}", self.publishable_key);
        let headers = [("authorization", bearer.as_str()), ("origin", SITE)];
        let url = format!("{}/v1/intakes", self.api);
        self.client
            .try_send("POST", &url, &headers, Some(&json!({})))
            .await
    }

    /// Deposits a card with a ticket.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn deposit_with(&self, ticket: &str, card: Card) -> Answer {
        self.try_deposit_with(ticket, card)
            .await
            .expect("an answer")
    }

    async fn try_deposit_with(&self, ticket: &str, card: Card) -> Result<Answer, OutboundError> {
        let body =
            json!({"number": card.number, "cvc": card.cvc, "exp_month": 12, "exp_year": 2040});
        let headers = [
            ("coffer-intake", ticket),
            ("origin", self.fields_origin.as_str()),
        ];
        let url = format!("{}/v1/tokens", self.fields);
        self.client
            .try_send("POST", &url, &headers, Some(&body))
            .await
    }
}
