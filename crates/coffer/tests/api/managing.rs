//! Keys that manage keys: made, shown once, changed, rotated, stopped, and never more than their maker.

use coffer_testkit::{Answer, Coffer, Merchant};
use serde_json::{Value, json};

use crate::{BINARY, all_pages, keys::key, problems::problem};

const KEYS: &str = "/v1/api_keys";

/// `GET /v1/ping` with this key.
async fn ping(coffer: &Coffer, shop: &Merchant, key: &str, headers: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [&[("authorization", bearer.as_str())], headers].concat();
    let client = coffer.client();
    client
        .send("GET", &shop.url("/v1/ping"), &headers, None)
        .await
}

fn secret(answer: &Answer) -> &str {
    answer.json["secret"].as_str().unwrap()
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_by_nobody() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let new = json!({"name": "reporting job", "permissions": "reporting", "addresses": ["127.0.0.1", "::1"]});
    let made = shop.post_once(KEYS, "make", &new).await.expect(201);
    ping(&coffer, &shop, secret(&made), &[]).await.expect(200);
    assert_eq!(made.json["permissions"]["payments"], "read");
    assert_eq!(made.json["permissions"]["refunds"], "read");
    assert_eq!(made.json["permissions"]["api_keys"], "none");
    let repeated = shop.post_once(KEYS, "make", &new).await.expect(201);
    assert_eq!(
        (
            repeated.id(),
            &repeated.json["secret"],
            &repeated.json["code"]
        ),
        (made.id(), &Value::Null, &json!("secret_already_shown"))
    );
    let shown = shop.get(&format!("{KEYS}/{}", made.id())).await.expect(200);
    assert_eq!(shown.json["secret"], Value::Null);
    assert!(secret(&made).ends_with(shown.json["last4"].as_str().unwrap()));
    assert!(all_pages(&shop, KEYS).await.contains(&made.id()));
}

#[tokio::test]
async fn a_secret_key_says_what_it_may_do() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let refused = shop.post(KEYS, &json!({"name": "vague"})).await;
    problem(&refused, 400, "field_missing");
    assert_eq!(refused.json["field"], "permissions");
    for (field, wrong) in [
        ("permissions", json!("everything")),
        ("permissions", json!({"payment": "read"})),
        ("addresses", json!(["203.0.113.0/33"])),
        ("origins", json!(["https://shop.test"])),
        ("expires", json!("2020-01-01T00:00:00Z")),
        ("name", json!("")),
    ] {
        let mut new = json!({"name": "wrong", "permissions": {}});
        new[field] = wrong;
        let refused = shop.post(KEYS, &new).await;
        problem(&refused, 400, "field_invalid");
        assert_eq!(refused.json["field"], field);
    }
    let publishable = json!({"name": "page", "kind": "pk", "permissions": "full"});
    problem(&shop.post(KEYS, &publishable).await, 400, "field_invalid");
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_for_a_while() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let new = json!({"name": "server", "permissions": {}});
    let made = shop.post(KEYS, &new).await.expect(201);
    let path = format!("{KEYS}/{}", made.id());
    let rotated = shop.post(&format!("{path}/rotate"), &json!({})).await;
    let rotated = rotated.expect(200);
    assert_eq!(rotated.json["state"], "rotating");
    for text in [secret(&made), secret(&made), secret(&rotated)] {
        ping(&coffer, &shop, text, &[]).await.expect(200);
    }
    let uses = shop.get(&format!("{path}/uses")).await.expect(200).json;
    assert_eq!(
        (&uses["present"][0]["calls"], &uses["old"][0]["calls"]),
        (&json!(1), &json!(2))
    );
    let ended = shop.post(&format!("{path}/end_rotation"), &json!({})).await;
    assert_eq!(ended.expect(200).json["state"], "active");
    problem(
        &ping(&coffer, &shop, secret(&made), &[]).await,
        401,
        "key_unknown",
    );
    ping(&coffer, &shop, secret(&rotated), &[])
        .await
        .expect(200);
}

#[tokio::test]
async fn a_key_cannot_make_one_that_may_do_more() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (id, text) = key(
        &coffer,
        &shop,
        json!({"permissions": "api_keys:write payments:read"}),
    )
    .await;
    let bearer = format!("Bearer {text}");
    let call = async |method: &str, path: &str, body: Value| {
        let headers = [("authorization", bearer.as_str())];
        let client = coffer.client();
        client
            .send(method, &shop.url(path), &headers, Some(&body))
            .await
    };
    let wide = json!({"name": "wide", "permissions": {"payments": "write"}});
    let refused = call("POST", KEYS, wide).await;
    problem(&refused, 403, "beyond_own_key");
    assert_eq!(refused.json["field"], "permissions");
    let own = format!("{KEYS}/{id}");
    let refused = call("PATCH", &own, json!({"permissions": "full"})).await;
    problem(&refused, 403, "beyond_own_key");
    let narrow = json!({"name": "narrow", "permissions": {"payments": "read"}});
    call("POST", KEYS, narrow).await.expect(201);
}

#[tokio::test]
async fn a_secret_key_in_a_page_or_an_address_is_marked_and_its_owner_told() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for way in ["browser", "address"] {
        let new = json!({"name": way, "permissions": {}});
        let made = shop.post(KEYS, &new).await.expect(201);
        if way == "browser" {
            let seen = ping(
                &coffer,
                &shop,
                secret(&made),
                &[("origin", "https://shop.test")],
            );
            problem(&seen.await, 403, "key_in_browser");
        } else {
            let (client, path) = (
                coffer.client(),
                format!("/v1/ping?next=%2F{}", secret(&made)),
            );
            let seen = client.send("GET", &shop.url(&path), &[], None).await;
            problem(&seen, 400, "key_in_url");
        }
        let exposed = async || {
            let key = shop.get(&format!("{KEYS}/{}", made.id())).await.expect(200);
            key.json["exposed"].is_string().then_some(())
        };
        let promptly = std::time::Duration::from_secs(5);
        coffer_testkit::eventually(promptly, "the key is marked", exposed).await;
    }
}

#[tokio::test]
async fn a_server_that_fetches_as_node_does_is_no_browser() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (_, text) = key(&coffer, &shop, json!({})).await;
    let like_node = [("sec-fetch-mode", "cors"), ("user-agent", "node")];
    ping(&coffer, &shop, &text, &like_node).await.expect(200);
}

#[tokio::test]
async fn whoever_finds_a_key_can_have_it_frozen() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let new = json!({"name": "in a repository", "permissions": {}});
    let made = shop.post(KEYS, &new).await.expect(201);
    let report = async |key: &str| {
        let (url, body) = (shop.url("/v1/exposed_keys"), json!({"key": key}));
        coffer.client().send("POST", &url, &[], Some(&body)).await
    };
    // The answer tells nothing of what a text is.
    for text in ["sk_test_nothing", secret(&made), secret(&made), "?"] {
        assert_eq!(report(text).await.expect(204).text, "");
    }
    problem(
        &ping(&coffer, &shop, secret(&made), &[]).await,
        401,
        "key_frozen",
    );
    let unfrozen = shop
        .post(&format!("{KEYS}/{}/unfreeze", made.id()), &json!({}))
        .await;
    assert_eq!(unfrozen.expect(200).json["state"], "active");
    ping(&coffer, &shop, secret(&made), &[]).await.expect(200);
}

#[tokio::test]
async fn limits_are_tried_out_before_they_hold() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let (id, text) = key(&coffer, &shop, json!({})).await;
    let path = format!("{KEYS}/{id}");
    let observed =
        json!({"observed": {"permissions": {"refunds": "read"}, "addresses": ["203.0.113.7"]}});
    let changed = shop
        .call("PATCH", &path, &[], Some(&observed))
        .await
        .expect(200);
    assert_eq!(
        changed.json["observed"]["addresses"],
        json!(["203.0.113.7"])
    );
    let bearer = format!("Bearer {text}");
    let headers = [("authorization", bearer.as_str())];
    let (client, list) = (coffer.client(), shop.url("/v1/payments"));
    let listed = client.send("GET", &list, &headers, None).await;
    listed.expect(200);
    let uses = shop.get(&format!("{path}/uses")).await.expect(200).json;
    assert_eq!(
        uses["would_refuse_permissions"][0]["value"],
        "payments:read"
    );
    assert_eq!(uses["would_refuse_addresses"][0]["calls"], 1);
    let ended = json!({"observed": null});
    let changed = shop
        .call("PATCH", &path, &[], Some(&ended))
        .await
        .expect(200);
    assert_eq!(changed.json["observed"], Value::Null);
}

#[tokio::test]
async fn a_key_shows_what_it_has_used_of_its_caps_and_what_is_left() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let caps = json!([
        {"kind": "captured_per_day", "currency": "EUR", "limit": 5000},
        {"kind": "cards_per_day", "limit": 10},
        {"kind": "refunded_per_call", "currency": "EUR", "limit": 100},
    ]);
    for wrong in [
        json!([{"kind": "captured_per_day", "limit": 5000}]),
        json!([{"kind": "cards_per_day", "currency": "EUR", "limit": 1}]),
        json!([{"kind": "cards_per_day", "limit": 1, "used": 0}]),
        json!([{"kind": "cards_per_day", "limit": 1}, {"kind": "cards_per_day", "limit": 2}]),
        json!({"cards_per_day": 1}),
    ] {
        let new = json!({"name": "till", "permissions": "full", "caps": wrong});
        problem(&shop.post(KEYS, &new).await, 400, "field_invalid");
    }
    let new = json!({"name": "till", "permissions": "full", "caps": caps});
    let made = shop.post(KEYS, &new).await.expect(201);
    let mut till = shop.clone();
    secret(&made).clone_into(&mut till.secret_key);
    let order = json!({"amount": 1999, "currency": "EUR", "token": "tok_test_approved"});
    for status in [201, 201, 403] {
        let answer = till.post("/v1/payments", &order).await.expect(status);
        if status == 403 {
            problem(&answer, 403, "cap_exceeded");
            assert_eq!(answer.json["cap"]["left"], 1002);
            assert!(
                answer.json["cap"]["resets"]
                    .as_str()
                    .unwrap()
                    .ends_with("T00:00:00.000Z")
            );
        }
    }
    let shown = shop.get(&format!("{KEYS}/{}", made.id())).await.expect(200);
    let of = |at: usize| {
        let cap = &shown.json["caps"][at];
        (
            cap["kind"].as_str().unwrap(),
            cap["used"].as_i64(),
            cap["left"].as_i64(),
        )
    };
    assert_eq!(of(0), ("captured_per_day", Some(3998), Some(1002)));
    assert_eq!(of(1), ("refunded_per_call", None, None));
    assert_eq!(of(2), ("cards_per_day", Some(2), Some(8)));
    let path = format!("{KEYS}/{}", made.id());
    let changed = shop
        .call("PATCH", &path, &[], Some(&json!({"caps": []})))
        .await;
    assert_eq!(changed.expect(200).json["caps"], json!([]));
    till.post("/v1/payments", &order).await.expect(201);
}
