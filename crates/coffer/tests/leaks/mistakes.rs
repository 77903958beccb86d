//! Card numbers where none may be: in every text of a merchant's request, which is refused, and in requests that are none.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::Day;

const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A number in groups of four.
pub(crate) fn grouped(number: &str, separator: &str) -> String {
    let groups = number.as_bytes().chunks(4);
    let groups: Vec<&str> = groups
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    groups.join(separator)
}

fn percent_encoded(number: &str) -> String {
    number
        .bytes()
        .map(|digit| format!("%{digit:02x}"))
        .collect()
}

/// A payment that would be made, with something more in it.
fn order(more: Value) -> String {
    let mut order = json!({"amount": 1, "currency": "EUR", "token": "tok_test_approved"});
    let fields = order.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    order.to_string()
}

/// Bodies that hold the number: in any field, key or depth, however it is written.
fn bodies(card: &str) -> Vec<(&'static str, String)> {
    let (spaced, dashed) = (grouped(card, " "), grouped(card, "-"));
    let escaped: String = card
        .bytes()
        .map(|digit| format!("\\u00{digit:02x}"))
        .collect();
    let payments = [
        order(json!({"reference": card})),
        order(json!({"reference": format!("order {spaced}!")})),
        order(json!({"reference": "ESCAPED"})).replace("ESCAPED", &escaped),
        order(json!({"description": dashed})),
        order(json!({"metadata": {"note": card}})),
        order(json!({"metadata": {card: "note"}})),
        order(json!({"metadata": {"note": {"deeper": [spaced]}}})),
        order(json!({"token": card})),
        order(json!({"card": card})),
        order(json!({"customer": card})),
        order(json!({"currency": card})),
        order(json!({"return_url": format!("https://shop.test/{card}")})),
        order(json!({card: "unknown field"})),
        order(json!({"unknown_field": [[card]]})),
    ];
    let url = json!({"url": format!("https://shop.test/{dashed}")});
    let description = json!({"url": "https://shop.test", "description": card});
    let others = [
        ("/v1/customers", json!({"reference": card}).to_string()),
        ("/v1/refunds", json!({"payment": card}).to_string()),
        ("/v1/webhook_endpoints", url.to_string()),
        ("/v1/webhook_endpoints", description.to_string()),
    ];
    payments
        .map(|body| ("/v1/payments", body))
        .into_iter()
        .chain(others)
        .collect()
}

fn addresses(card: &str) -> [String; 7] {
    let percent = percent_encoded(card);
    [
        format!("/v1/payments/{card}"),
        format!("/v1/payments/{percent}"),
        format!("/v1/payments?reference={card}"),
        format!("/v1/payments?reference={}", grouped(card, "+")),
        format!("/v1/payments?after={percent}"),
        format!("/v1/payments?{card}=1"),
        format!("/{card}/nothing?is=here"),
    ]
}

/// A path, its headers and a body.
type Case<'a> = (String, &'a [(&'a str, &'a str)], String);

impl Day {
    /// A card number in any text that a merchant sends is refused, whatever it is sent as.
    pub(crate) async fn make_mistakes(&mut self) {
        let card = self.canary("the card in a wrong place").number;
        for (path, body) in bodies(card) {
            self.refused("POST", path, &[JSON], &body).await;
        }
        for path in addresses(card) {
            self.refused("GET", &path, &[], "").await;
        }
        for key in [card, &grouped(card, "-")] {
            let headers = [JSON, ("idempotency-key", key)];
            let body = order(json!({}));
            self.refused("POST", "/v1/payments", &headers, &body).await;
        }
        let publishable = format!("Bearer {}", self.watched.shop.publishable_key);
        let headers = [JSON, ("authorization", publishable.as_str())];
        let body = json!({"payment": "x", "checkout_secret": card}).to_string();
        self.refused("POST", "/v1/intakes", &headers, &body).await;
    }

    async fn refused(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let url = self.watched.shop.url(path);
        let answer = self.watched.send(method, &url, headers, body).await;
        assert_eq!(
            (answer.status, &answer.json["code"]),
            (400, &json!("card_number_not_allowed")),
            "{method} {path} {body}: {}",
            answer.text
        );
    }

    /// A card number in what is no text of a merchant's request, or no request at all: whatever is answered, the number is
    /// neither in that nor anywhere else.
    pub(crate) async fn make_noise(&mut self) {
        let card = self.canary("the card in noise").number;
        self.noise_at_the_api(card).await;
        self.noise_at_the_fields(card).await;
        let url = format!(
            "https://localhost:{}/v1/authorizations/{card}?{card}={card}",
            self.coffer.address("simulator").port()
        );
        let headers = [JSON, ("idempotency-key", card)];
        self.watched
            .send("POST", &url, &headers, &typed(card))
            .await;
    }

    async fn noise_at_the_api(&self, card: &str) {
        let number = format!("{{\"amount\":{card},\"currency\":\"EUR\",\"reference\":{card}}}");
        for (method, path, kind, body) in [
            ("POST", "/v1/payments", JSON, number),
            (
                "POST",
                "/v1/payments",
                JSON,
                format!("{{\"reference\":\"{card}"),
            ),
            ("POST", "/v1/payments", JSON, format!("[\"{card}\"]")),
            ("POST", "/v1/payments", FORM, format!("card[number]={card}")),
            ("POST", "/v1/tokens", JSON, typed(card)),
            ("PUT", "/v1/payments", JSON, typed(card)),
        ] {
            let url = self.watched.shop.url(path);
            let answer = self.watched.send(method, &url, &[kind], &body).await;
            assert!(answer.status >= 400, "{}", answer.text);
        }
        let bearer = format!("Bearer {card}");
        let basic = format!("Basic {}", BASE64.encode(format!("{card}:").as_bytes()));
        for header in [
            ("authorization", bearer.as_str()),
            ("authorization", basic.as_str()),
            ("user-agent", card),
            ("coffer-request-id", card),
            ("origin", card),
            ("cookie", card),
            ("referer", card),
        ] {
            let url = self.watched.shop.url("/v1/ping");
            self.watched.send("GET", &url, &[header], "").await;
        }
    }

    async fn noise_at_the_fields(&self, card: &str) {
        let port = self.coffer.address("fields").port();
        let own = format!("https://fields.coffer.localhost:{port}");
        let ticket = self.watched.shop.ticket().await;
        let (origin, ticket) = (("origin", own.as_str()), ("coffer-intake", ticket.as_str()));
        let past = typed(card).replace("2040", "2001");
        let named = typed(card).replace("2040", &format!("2040,\"name\":\"{card}\""));
        let tokens = "/v1/tokens".to_owned();
        let twice = format!("/v1/tokens?ticket={card}&ticket={card}");
        let cases: [Case; 7] = [
            (
                tokens.clone(),
                &[JSON, origin, ("coffer-intake", card)],
                typed(card),
            ),
            (
                tokens.clone(),
                &[JSON, ("origin", card), ticket],
                typed(card),
            ),
            (
                tokens.clone(),
                &[FORM, origin, ticket],
                format!("number={card}"),
            ),
            (tokens.clone(), &[JSON, origin, ticket], past),
            (twice, &[JSON, origin], typed(card)),
            (
                format!("/docs/errors/{card}?{card}"),
                &[origin],
                String::new(),
            ),
            // The last one is right, and has the number in the name as well.
            (tokens, &[JSON, origin, ticket], named),
        ];
        for (path, headers, body) in cases {
            let url = format!("https://localhost:{port}{path}");
            let method = if body.is_empty() { "GET" } else { "POST" };
            self.watched.send(method, &url, headers, &body).await;
        }
    }
}

/// A card as the fields send it.
fn typed(card: &str) -> String {
    format!("{{\"number\":\"{card}\",\"cvc\":\"123\",\"exp_month\":12,\"exp_year\":2040}}")
}
