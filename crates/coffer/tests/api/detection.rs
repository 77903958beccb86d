//! What looks hostile, through the faces: noticed, held back where that is wanted, and let go.

use std::time::Duration;

use coffer_net::outbound::Method;
use coffer_testkit::{Coffer, eventually};
use serde_json::json;

use crate::{BINARY, problems::problem};

#[tokio::test]
async fn who_scans_gets_no_answer_where_the_installation_wants_that_until_the_operator_lifts_it() {
    let settings = [
        ("COFFER_DETECTION_STRANGERS", "block"),
        ("COFFER_DETECTION_SCANNING_MISSES", "5"),
    ];
    let coffer = Coffer::start_with(BINARY, &settings).await;
    let (shop, client) = (coffer.merchant().await, coffer.client());
    for at in 0..5 {
        let url = shop.url(&format!("/admin/{at}"));
        problem(
            &client.send("GET", &url, &[], None).await,
            404,
            "route_unknown",
        );
    }
    let blocked = async || {
        let answer = shop.get("/v1/ping").await;
        (answer.status == 403).then_some(answer)
    };
    let refused = eventually(Duration::from_secs(5), "the address is blocked", blocked).await;
    problem(&refused, 403, "blocked");
    let admin = coffer.admin("api");
    let blocks = admin.call("/blocks", Method::GET, None).await.unwrap();
    let block = &blocks[0];
    assert!(
        block["subject"].as_str().unwrap().starts_with("address "),
        "{block}"
    );
    assert_eq!(
        (&block["signal"], &block["account"]),
        (&json!("scanning"), &json!(null))
    );
    let lift = json!({"id": block["id"]});
    let lifted = admin.call("/blocks/lift", Method::POST, Some(&lift)).await;
    assert_eq!(lifted.unwrap()["id"], block["id"]);
    shop.get("/v1/ping").await.expect(200);
}

#[tokio::test]
async fn an_account_chooses_what_is_done_about_a_key_that_tests_cards_and_another_key_lifts_it() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    assert_eq!(shop.get("/v1/account").await.json["detection"], "watch");
    let choice = json!({"detection": "block"});
    let chosen = shop.call("PATCH", "/v1/account", &[], Some(&choice));
    assert_eq!(chosen.await.expect(200).json["detection"], "block");
    let made = json!({"name": "stolen", "permissions": "full"});
    let mut thief = shop.clone();
    let made = shop.post("/v1/api_keys", &made).await.expect(201);
    made.json["secret"]
        .as_str()
        .unwrap()
        .clone_into(&mut thief.secret_key);
    let order = json!({"amount": 100, "currency": "EUR", "token": "tok_test_declined_lost_card"});
    let stopped = async || {
        let answer = thief.post("/v1/payments", &order).await;
        (answer.status == 403).then_some(answer)
    };
    let refused = eventually(Duration::from_secs(20), "the key is blocked", stopped).await;
    problem(&refused, 403, "blocked");
    thief.get("/v1/payments").await.expect(200);
    let blocks = shop.get("/v1/blocks").await.expect(200);
    let block = &blocks.json["data"][0];
    assert_eq!(
        (&block["subject"], &block["policy"]),
        (&json!(made.id()), &json!("block"))
    );
    let path = format!("/v1/blocks/{}", block["id"].as_str().unwrap());
    problem(
        &thief.call("DELETE", &path, &[], None).await,
        403,
        "refused",
    );
    shop.call("DELETE", &path, &[], None).await.expect(204);
    problem(&shop.get(&path).await, 404, "not_found");
    thief.post("/v1/payments", &order).await.expect(201);
    let alerts = shop.get("/v1/alerts").await.expect(200).json;
    let alert = &alerts["data"][0];
    assert_eq!(alert["kind"], "card_testing", "{alert}");
    assert!(
        alert["score"].as_i64().unwrap() >= 100
            && alert["detail"].as_str().unwrap().contains("declined")
    );
}
