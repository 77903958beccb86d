//! Access tokens: what OAuth's endpoints answer, what a token can do, and when it can no more.

use std::time::Duration;

use coffer_core::api_key::KeyText;
use coffer_net::outbound::Method;
use coffer_testkit::{Answer, Coffer, Merchant, eventually};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::{BINARY, keys::key, pay, problems::problem, signatures::python};

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const SOON: Duration = Duration::from_secs(5);

/// A key as a client of OAuth: its id and its text.
#[derive(Clone, Copy)]
pub(crate) struct OAuthClient<'a> {
    pub(crate) coffer: &'a Coffer,
    pub(crate) shop: &'a Merchant,
    pub(crate) key: &'a str,
}

impl OAuthClient<'_> {
    pub(crate) fn id(&self) -> String {
        KeyText::parse(self.key).unwrap().id.to_string()
    }

    pub(crate) async fn send(&self, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let (client, url) = (self.coffer.client(), self.shop.url(path));
        let sent = client.send_bytes("POST", &url, headers, form.as_bytes().to_vec());
        sent.await.unwrap()
    }

    /// Sends a form with the key by HTTP Basic.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        let pair = BASE64.encode(format!("{}:{}", self.id(), self.key).as_bytes());
        let basic = format!("Basic {pair}");
        self.send(path, &[FORM, ("authorization", &basic)], form)
            .await
    }

    pub(crate) async fn ask(&self, more: &str) -> Answer {
        let form = format!("grant_type=client_credentials{more}");
        self.post("/oauth/token", &form).await
    }

    /// A token of this scope.
    pub(crate) async fn token(&self, scope: &str) -> String {
        let answer = self.ask(&format!("&scope={scope}")).await.expect(200);
        answer.json["access_token"].as_str().unwrap().to_owned()
    }

    async fn call(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let (client, url) = (self.coffer.client(), self.shop.url(path));
        client.send(method, &url, &headers, body.as_ref()).await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.call(token, "GET", path, None).await
    }

    async fn introspect(&self, token: &str) -> Value {
        let form = format!("token={token}");
        self.post("/oauth/introspect", &form).await.expect(200).json
    }
}

pub(crate) fn of<'a>(coffer: &'a Coffer, shop: &'a Merchant) -> OAuthClient<'a> {
    OAuthClient {
        coffer,
        shop,
        key: &shop.secret_key,
    }
}

/// Checks that an answer is an error as RFC 6749, 5.2 wants it.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!(
        (answer.status, &answer.json["error"]),
        (status, &json!(error)),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        (answer.header("cache-control"), answer.header("pragma")),
        ("no-store", "no-cache")
    );
    let text = answer.json["error_description"].as_str().unwrap();
    let permitted = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    assert!(!text.is_empty() && text.bytes().all(permitted), "{text}");
    let page = answer.json["error_uri"].as_str().unwrap();
    assert!(page.contains("/docs/errors/"), "{page}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(
        challenge.starts_with("Basic "),
        status == 401,
        "{challenge}"
    );
    assert!(answer.header("coffer-request-id").starts_with("req_"));
}

#[tokio::test]
async fn a_key_gets_a_token_and_the_token_what_its_scope_permits() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let client = of(&coffer, &shop);
    let answer = client
        .ask("&scope=payments:read%20refunds:read&unknown=1")
        .await
        .expect(200);
    assert_eq!(
        (answer.header("cache-control"), answer.header("pragma")),
        ("no-store", "no-cache")
    );
    assert_eq!(answer.json["token_type"], "Bearer");
    assert_eq!(answer.json["expires_in"], 600);
    assert_eq!(answer.json["scope"], "payments:read refunds:read");
    let token = answer.json["access_token"].as_str().unwrap();
    assert!(
        token.starts_with("oat_test_") && token.len() == 147,
        "{token}"
    );
    client.get(token, "/v1/ping").await.expect(200);
    let listed = client.get(token, "/v1/payments").await.expect(200);
    assert!(listed.header("ratelimit").starts_with("\"key\";r="));
    let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    let denied = client
        .call(token, "POST", "/v1/payments", Some(order))
        .await;
    problem(&denied, 403, "permission_missing");
    assert_eq!(denied.json["required_permission"], "payments:write");
    assert_eq!(
        denied.header("www-authenticate"),
        "Bearer error=\"insufficient_scope\", scope=\"payments:write\""
    );
    let (id, secret) = (client.id(), client.key);
    let form = format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&expires_in=60"
    );
    let answer = client
        .send("/oauth/token", &[FORM], &form)
        .await
        .expect(200);
    assert_eq!(answer.json["expires_in"], 60);
    assert!(
        answer.json["scope"]
            .as_str()
            .unwrap()
            .contains("api_keys:write")
    );
}

#[tokio::test]
async fn what_is_no_request_for_a_token_gets_none() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let client = of(&coffer, &shop);
    for (more, error) in [
        ("&scope=everything:read", "invalid_scope"),
        ("&scope=payments:read:pay_1", "invalid_scope"),
        ("&expires_in=0", "invalid_request"),
        ("&expires_in=3601", "invalid_request"),
        ("&scope=payments:read&scope=refunds:read", "invalid_request"),
        ("&client_secret=sk_test_1", "invalid_request"),
        ("&scope=4242424242424242", "invalid_request"),
        ("&a=%ff", "invalid_request"),
    ] {
        refused(&client.ask(more).await, 400, error);
    }
    for (form, error) in [
        ("", "invalid_request"),
        ("scope=payments:read", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        (
            "grant_type=authorization_code&code=1",
            "unsupported_grant_type",
        ),
    ] {
        refused(&client.post("/oauth/token", form).await, 400, error);
    }
    let in_address = client
        .post("/oauth/token?grant_type=client_credentials", "")
        .await;
    refused(&in_address, 400, "invalid_request");
    let json = [("content-type", "application/json")];
    refused(
        &client.send("/oauth/token", &json, "{}").await,
        400,
        "invalid_request",
    );
    let get = coffer
        .client()
        .send("GET", &shop.url("/oauth/token"), &[], None)
        .await;
    problem(&get, 405, "method_not_allowed");
}

#[tokio::test]
async fn whoever_is_no_client_gets_no_token() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let client = of(&coffer, &shop);
    let (reader_id, reader) = key(&coffer, &shop, json!({"permissions": "payments:read"})).await;
    let narrow = OAuthClient {
        key: &reader,
        ..client
    };
    refused(
        &narrow.ask("&scope=payments:write").await,
        400,
        "invalid_scope",
    );
    let (_, canary) = key(&coffer, &shop, json!({"canary": true})).await;
    let (_, elsewhere) = key(&coffer, &shop, json!({"addresses": "203.0.113.0/24"})).await;
    for stopped in [&canary, &elsewhere] {
        let stopped = OAuthClient {
            key: stopped,
            ..client
        };
        refused(&stopped.ask("").await, 401, "invalid_client");
    }
    let page = OAuthClient {
        key: &shop.publishable_key,
        ..client
    };
    refused(&page.ask("").await, 400, "unauthorized_client");
    let token = client.token("payments:read").await;
    let bearer = format!("Bearer {token}");
    let as_client = format!(
        "Basic {}",
        BASE64.encode(format!("{reader_id}:{token}").as_bytes())
    );
    let other_id = format!(
        "Basic {}",
        BASE64.encode(format!("{reader_id}:{}", client.key).as_bytes())
    );
    for authorization in [bearer, as_client, other_id] {
        let headers = [FORM, ("authorization", authorization.as_str())];
        let answer = client
            .send("/oauth/token", &headers, "grant_type=client_credentials")
            .await;
        refused(&answer, 401, "invalid_client");
    }
}

#[tokio::test]
async fn a_token_for_one_payment_reaches_that_payment_and_nothing_else() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let client = of(&coffer, &shop);
    let manual = json!({"capture": "manual"});
    let (mine, other) = (
        pay(&shop, manual.clone()).await.id(),
        pay(&shop, manual).await.id(),
    );
    let scope = format!("payments:write:{mine}+refunds:write:{mine}");
    let token = client.token(&scope).await;
    let at = |id: &str, act: &str| format!("/v1/payments/{id}{act}");
    let post = async |path: &str, body: Value| client.call(&token, "POST", path, Some(body)).await;

    client.get(&token, &at(&mine, "")).await.expect(200);
    post(&at(&mine, "/capture"), json!({})).await.expect(200);
    let refund = json!({"payment": mine, "amount": 100});
    post("/v1/refunds", refund).await.expect(201);
    let refunds = client
        .get(&token, &format!("/v1/refunds?payment={mine}"))
        .await;
    assert_eq!(refunds.expect(200).ids().len(), 1);
    client.get(&token, "/v1/ping").await.expect(200);

    let gone = "pay_00000000000000000000000000";
    let told = |answer: &Answer| {
        (
            answer.status,
            answer.json["code"].clone(),
            answer.json["detail"].clone(),
        )
    };
    let none = client
        .get(&client.token("payments:read").await, &at(gone, ""))
        .await;
    for answer in [
        client.get(&token, &at(&other, "")).await,
        client.get(&token, &at("1", "")).await,
        post(&at(&other, "/capture"), json!({})).await,
        post(&at(&other, "/cancel"), json!({})).await,
        post("/v1/refunds", json!({"payment": other})).await,
        client
            .get(&token, &format!("/v1/refunds?payment={other}"))
            .await,
    ] {
        assert_eq!(told(&answer), told(&none));
    }
    let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved"});
    for answer in [
        post("/v1/payments", order).await,
        client.get(&token, "/v1/payments").await,
        client.get(&token, "/v1/refunds").await,
    ] {
        problem(&answer, 403, "one_object_only");
    }
    problem(
        &client.get(&token, "/v1/customers").await,
        403,
        "permission_missing",
    );
    let untouched = shop.get(&at(&other, "")).await.expect(200);
    assert_eq!(untouched.json["status"], "authorized");
}

#[tokio::test]
async fn a_token_ends_when_it_is_revoked_when_its_time_is_over_and_with_its_key() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (id, text) = key(&coffer, &shop, json!({"permissions": "payments:write"})).await;
    let (client, sibling) = (
        OAuthClient {
            key: &text,
            ..of(&coffer, &shop)
        },
        of(&coffer, &shop),
    );
    let elsewhere = coffer.merchant().await;
    let elsewhere = of(&coffer, &elsewhere);
    let (revoked, kept) = (
        client.token("payments:read").await,
        client.token("payments:read").await,
    );

    let seen = sibling.introspect(&revoked).await;
    assert_eq!(
        (&seen["active"], &seen["client_id"]),
        (&json!(true), &json!(id))
    );
    assert_eq!(
        (&seen["scope"], &seen["sub"]),
        (&json!("payments:read"), &json!(shop.account))
    );
    assert_eq!(
        seen["exp"].as_i64().unwrap() - seen["iat"].as_i64().unwrap(),
        600
    );
    let inactive = json!({"active": false});
    assert_eq!(elsewhere.introspect(&revoked).await, inactive);
    assert_eq!(client.introspect("nonsense").await, inactive);

    let form = format!("token={revoked}&token_type_hint=access_token");
    refused(
        &sibling.post("/oauth/revoke", &form).await,
        400,
        "unauthorized_client",
    );
    for form in [form.as_str(), &form, "token=oat_cut"] {
        let ended = client.post("/oauth/revoke", form).await.expect(200);
        assert_eq!(ended.text, "");
    }
    problem(
        &client.get(&revoked, "/v1/payments").await,
        401,
        "access_token_revoked",
    );
    assert_eq!(client.introspect(&revoked).await, inactive);
    client.get(&kept, "/v1/payments").await.expect(200);

    let brief = client.ask("&expires_in=1").await.expect(200);
    let brief = brief.json["access_token"].as_str().unwrap();
    eventually(SOON, "the token ends", async || {
        let answer = client.get(brief, "/v1/payments").await;
        (answer.status != 200).then(|| problem(&answer, 401, "access_token_expired"))
    })
    .await;

    let freeze = json!({"id": id, "act": "freeze"});
    let admin = coffer.admin("api");
    let frozen = admin
        .call("/api-keys/task", Method::POST, Some(&freeze))
        .await;
    frozen.unwrap();
    let answer = client.get(&kept, "/v1/payments").await;
    problem(&answer, 401, "key_frozen");
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer error=\"invalid_token\""
    );
    refused(&client.ask("").await, 401, "invalid_client");
    assert_eq!(sibling.introspect(&kept).await, inactive);
}

#[tokio::test]
async fn a_token_that_anybody_could_read_works_no_more() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let client = of(&coffer, &shop);
    let works_no_more = async |token: &str| {
        eventually(SOON, "the token ends", async || {
            let answer = client.get(token, "/v1/ping").await;
            (answer.status != 200).then(|| problem(&answer, 401, "access_token_revoked"))
        })
        .await;
    };
    let token = client.token("payments:read").await;
    let in_address = shop.get(&format!("/v1/payments?reference={token}")).await;
    problem(&in_address, 400, "key_in_url");
    works_no_more(&token).await;

    let token = client.token("payments:read").await;
    let report = json!({"key": token});
    let url = shop.url("/v1/exposed_keys");
    let reported = coffer.client().send("POST", &url, &[], Some(&report)).await;
    reported.expect(204);
    works_no_more(&token).await;

    let token = client.token("payments:read").await;
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("sec-fetch-site", "cross-site"),
    ];
    let url = shop.url("/v1/ping");
    let in_page = coffer.client().send("GET", &url, &headers, None).await;
    problem(&in_page, 403, "key_in_browser");
    works_no_more(&token).await;
    // The key behind them goes on: what it issued was exposed, and not the key.
    shop.get("/v1/ping").await.expect(200);
    assert!(shop.get("/v1/alerts").await.expect(200).ids().is_empty());
}

#[tokio::test]
async fn guesses_count_alike_wherever_they_are_made() {
    let coffer = Coffer::start_with(
        BINARY,
        &[
            ("COFFER_LIMITS_FAILURES_PER_MINUTE", "1"),
            ("COFFER_LIMITS_FAILURES_BURST", "5"),
        ],
    )
    .await;
    let shop = coffer.merchant().await;
    let token = of(&coffer, &shop).token("payments:read").await;
    let mut guess = KeyText::parse(&shop.secret_key).unwrap();
    let mut last = None;
    for byte in 0..6_u8 {
        guess.id = coffer_core::id::ApiKeyId::from_bytes([byte; 16]);
        let text = coffer_core::api_key::compose(guess.kind, guess.mode, guess.id, &[7; 32]);
        let client = OAuthClient {
            key: &text,
            ..of(&coffer, &shop)
        };
        last = Some(client.ask("").await);
    }
    let last = last.unwrap();
    refused(&last, 429, "temporarily_unavailable");
    assert!(
        last.header("retry-after")
            .parse::<u64>()
            .is_ok_and(|wait| wait > 0)
    );
    let client = of(&coffer, &shop);
    let text = coffer_core::api_key::compose(guess.kind, guess.mode, guess.id, &[8; 32]);
    problem(&client.get(&text, "/v1/ping").await, 429, "rate_exceeded");
    client.get(&token, "/v1/ping").await.expect(200);
}

#[tokio::test]
async fn the_record_names_the_key_and_the_token() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let client = of(&coffer, &shop);
    let token = client.token("customers:write").await;
    let made = client
        .call(&token, "POST", "/v1/customers", Some(json!({})))
        .await;
    let customer = made.expect(201).id();
    let id = client.introspect(&token).await["jti"]
        .as_str()
        .unwrap()
        .to_owned();
    client
        .get(&token, &format!("/v1/customers/{customer}"))
        .await
        .expect(200);
    client
        .post("/oauth/revoke", &format!("token={token}"))
        .await
        .expect(200);
    let expected = [
        ("access_token.issued", json!([id])),
        ("access_token.revoked", json!([id])),
        ("customer", json!([customer, id])),
        ("customer.create", json!([customer, id])),
    ];
    let query = format!("/v1/audit_records?limit=100&object={id}");
    eventually(SOON, "all of it is on record", async || {
        let listed = shop.get(&query).await.expect(200);
        let mut found: Vec<_> = listed.json["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| {
                assert_eq!(record["actor"]["id"], client.id());
                (
                    record["action"].as_str().unwrap().to_owned(),
                    record["objects"].clone(),
                )
            })
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let same = |found: &(String, Value), wanted: &(&str, Value)| {
            found.0 == wanted.0 && found.1 == wanted.1
        };
        let all = found.len() == 4 && found.iter().zip(&expected).all(|(one, two)| same(one, two));
        all.then_some(())
    })
    .await;
}

/// Asks for a token as a foreign library does, from what the metadata tells.
const ASK: &str = r#"
import json, sys, ssl, urllib.request
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
said = json.load(sys.stdin)
trust = ssl.create_default_context(cafile=said["authority"])
def fetch(url, body=None, headers={}):
    request = urllib.request.Request(url, body and body.encode(), headers)
    try: return urllib.request.urlopen(request, context=trust).read().decode()
    except urllib.error.HTTPError as error: return error.read().decode()
metadata = json.loads(fetch(said["origin"] + "/.well-known/oauth-authorization-server"))
assert metadata["issuer"] == said["origin"], metadata
client = BackendApplicationClient(client_id=said["id"])
def ask(scope):
    body = client.prepare_request_body(scope=scope, include_client_id=True, client_secret=said["key"])
    answer = fetch(metadata["token_endpoint"], body, {"Content-Type": "application/x-www-form-urlencoded"})
    return client.parse_request_body_response(answer, scope=scope)
try: ask(["privacy:everything"]); sys.exit("a wrong scope was granted")
except OAuth2Error as error: assert error.error == "invalid_scope", error
ask([scope for scope in metadata["scopes_supported"] if scope.endswith(":write")])
url, headers, _ = client.add_token(said["origin"] + "/v1/ping", "GET")
print(fetch(url, None, headers))
"#;

#[tokio::test]
async fn a_foreign_client_finds_its_way_by_the_metadata() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let said = json!({
        "origin": shop.url(""),
        "authority": coffer.directory().join("public/development-ca.pem"),
        "id": of(&coffer, &shop).id(),
        "key": shop.secret_key,
    });
    let told = tokio::task::spawn_blocking(move || python(ASK, &said));
    let told = told.await.unwrap();
    assert_eq!(told["account"], shop.account);
}
