//! A merchant, as the demo plays it: a site with a publishable key, a server with a secret key, and a payer with a card.

use std::time::Duration;

use coffer_net::outbound::{
    AddressPolicy, HeaderMap, HeaderName, HeaderValue, Method, Outbound, OutboundLimits,
    OutboundRequest, Roots,
};
use serde_json::{Value, json};

use super::{
    stage::{Stage, system},
    transcript::Transcript,
};
use crate::failure::Failure;

/// The merchant's site.
pub(super) const SITE: &str = "https://shop.test";
const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(30),
    body_max: 1024 * 1024,
};

/// What a face answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) json: Value,
}

impl Reply {
    /// A field, as text; nested ones by a JSON pointer (RFC 6901).
    pub(super) fn text(&self, pointer: &str) -> String {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// A field, as a number.
    pub(super) fn number(&self, pointer: &str) -> i64 {
        self.json
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    }
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, &'a str)>,
    pub(super) body: Option<Value>,
}

/// The merchant and the payer.
pub(super) struct Shop {
    client: Outbound,
    pub(super) api: String,
    pub(super) fields: String,
    pub(super) fields_origin: String,
    pub(super) publishable: String,
    secret: String,
    /// The payer's card, made for this run, so that it can be looked for afterwards.
    pub(super) number: String,
    /// Everything that any face answered.
    pub(super) answers: Vec<String>,
}

impl Shop {
    /// Opens a shop with the demo account's keys.
    pub(super) fn open(stage: &Stage) -> Result<Self, Failure> {
        let authority = stage.data().join("public/development-ca.pem");
        let pem =
            std::fs::read_to_string(authority).map_err(system("the development authority"))?;
        let roots = Roots::public()
            .with_pem(&pem)
            .map_err(system("the development authority"))?;
        let this_machine = ["127.0.0.0/8", "::1/128"]
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect();
        Ok(Self {
            client: Outbound::new(AddressPolicy::new(this_machine), roots),
            api: format!("https://localhost:{}", stage.port("api")),
            fields: format!("https://localhost:{}", stage.port("fields")),
            fields_origin: format!("https://fields.coffer.localhost:{}", stage.port("fields")),
            publishable: format!("Bearer {}", stage.publishable_key),
            secret: format!("Bearer {}", stage.secret_key),
            number: new_card_number()?,
            answers: Vec::new(),
        })
    }

    /// The card number as a payer types it, and as the transcript shows it.
    pub(super) fn masked(&self) -> String {
        let (head, tail) = (
            self.number.get(..6).unwrap_or_default(),
            self.number.get(12..).unwrap_or_default(),
        );
        format!("{head}••••••{tail}")
    }

    /// Calls the API with the secret key and shows it.
    pub(super) async fn call(
        &mut self,
        script: &Transcript,
        method: &'static str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Reply, Failure> {
        self.call_once(script, method, path, None, body).await
    }

    /// As [`Self::call`], under an idempotency key.
    pub(super) async fn call_once(
        &mut self,
        script: &Transcript,
        method: &'static str,
        path: &str,
        key: Option<&str>,
        body: Option<Value>,
    ) -> Result<Reply, Failure> {
        let secret = self.secret.clone();
        let mut headers = vec![("authorization", secret.as_str())];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let url = format!("{}{path}", self.api);
        self.show_and_send(
            script,
            Ask {
                method,
                url,
                headers,
                body,
            },
        )
        .await
    }

    /// Looks at a payment without showing it.
    pub(super) async fn look(&mut self, payment: &str) -> Result<Reply, Failure> {
        let secret = self.secret.clone();
        let headers = vec![("authorization", secret.as_str())];
        let url = format!("{}/v1/payments/{payment}", self.api);
        self.send(Ask {
            method: "GET",
            url,
            headers,
            body: None,
        })
        .await
        .map(|(reply, _)| reply)
    }

    /// Sends any request and shows it, the card number masked.
    pub(super) async fn show_and_send(
        &mut self,
        script: &Transcript,
        ask: Ask<'_>,
    ) -> Result<Reply, Failure> {
        let shown = ask
            .body
            .as_ref()
            .map(|body| body.to_string().replace(&self.number, &self.masked()));
        let shown = shown.and_then(|text| serde_json::from_str(&text).ok());
        let headers: Vec<_> = ask
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        script.sent(ask.method, &ask.url, &headers, shown.as_ref());
        let (reply, text) = self.send(ask).await?;
        script.came(reply.status, &text);
        Ok(reply)
    }

    /// Sends a request without showing it.
    pub(super) async fn send(&mut self, ask: Ask<'_>) -> Result<(Reply, String), Failure> {
        let mut headers = HeaderMap::new();
        let form = ask.headers.iter().any(|(name, _)| *name == "content-type");
        if ask.body.is_some() && !form {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        for (name, value) in &ask.headers {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).map_err(system("a header"))?,
            );
        }
        let body = match ask.body {
            Some(Value::String(form)) => form.into_bytes(),
            Some(json) => json.to_string().into_bytes(),
            None => Vec::new(),
        };
        let method = Method::from_bytes(ask.method.as_bytes()).map_err(system("a method"))?;
        let request = OutboundRequest {
            method,
            url: ask.url,
            headers,
            body: body.into(),
            plain_http: false,
        };
        let answer = self
            .client
            .send(request, LIMITS)
            .await
            .map_err(system("a request"))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        self.answers.push(format!("{:?} {text}", answer.headers));
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok((
            Reply {
                status: answer.status.as_u16(),
                json,
            },
            text,
        ))
    }

    /// Lets the payer type the card into the vault's fields, as a browser sends it: a ticket from the API by the
    /// publishable key, then the card to the vault.
    pub(super) async fn deposit(&mut self, script: &Transcript) -> Result<Reply, Failure> {
        let publishable = self.publishable.clone();
        let headers = vec![("authorization", publishable.as_str()), ("origin", SITE)];
        let url = format!("{}/v1/intakes", self.api);
        let intake = self
            .show_and_send(
                script,
                Ask {
                    method: "POST",
                    url,
                    headers,
                    body: Some(json!({})),
                },
            )
            .await?;
        let (ticket, origin) = (intake.text("/ticket"), self.fields_origin.clone());
        let headers = vec![
            ("coffer-intake", ticket.as_str()),
            ("origin", origin.as_str()),
        ];
        let body = json!({"number": self.number, "exp_month": 12, "exp_year": 2040, "cvc": "123"});
        let url = format!("{}/v1/tokens", self.fields);
        self.show_and_send(
            script,
            Ask {
                method: "POST",
                url,
                headers,
                body: Some(body),
            },
        )
        .await
    }
}

/// A card that no other run has: the simulator approves every number that begins with 424242.
fn new_card_number() -> Result<String, Failure> {
    let random: [u8; 9] = coffer_crypto::random().map_err(system("a card number"))?;
    let mut digits = vec![4, 2, 4, 2, 4, 2];
    digits.extend(random.map(|byte| byte % 10));
    let check = (0..10).find(|check| coffer_core::brand::luhn(&[&digits[..], &[*check]].concat()));
    digits.extend(check);
    Ok(digits
        .iter()
        .map(|digit| char::from(b'0'.saturating_add(*digit)))
        .collect())
}
