//! Too many requests at a time: lists are refused, and what moves money finds room.

use coffer_testkit::{Answer, Coffer, Merchant, dial, eventually};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::{
    BINARY, PATIENCE,
    floods::{HELLO, frame, text},
};

/// Connections, and requests on each of them: more than leave room for lists, fewer than leave none for what moves money.
const CONNECTIONS: usize = 3;
const REQUESTS: u32 = 100;

/// The head of a payment whose body does not come (RFC 7541, appendix A: POST, https, :authority, :path).
fn begun(shop: &Merchant) -> Vec<u8> {
    let field = |name, value: &str| [text(&[0x00], name), text(&[], value)].concat();
    [
        vec![0x83, 0x87],
        text(&[0x01], "localhost"),
        text(&[0x04], "/v1/payments"),
        field("authorization", &format!("Bearer {}", shop.secret_key)),
        field("content-type", "application/json"),
        field("content-length", "50"),
    ]
    .concat()
}

async fn listed(shop: &Merchant, status: u16) -> Answer {
    let list = async || {
        let answer = shop.get("/v1/payments").await;
        (answer.status == status).then_some(answer)
    };
    eventually(PATIENCE, "lists are answered so", list).await
}

#[tokio::test]
async fn captures_and_refunds_are_done_while_there_is_no_room_for_lists() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let pay = async |capture: &str| {
        let order = json!({"amount": 1000, "currency": "EUR", "token": "tok_test_approved", "capture": capture});
        let paid = shop.post("/v1/payments", &order).await.expect(201);
        paid.json["id"].as_str().unwrap().to_owned()
    };
    let (authorized, captured) = (pay("manual").await, pay("automatic").await);
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut tls = dial(coffer.address("api"), "localhost", b"h2")
            .await
            .unwrap();
        let begun = begun(&shop);
        // Headers end with this frame, and the request does not.
        let requests = (0..REQUESTS).map(|place| frame(1, 4, place * 2 + 1, &begun));
        let all = [HELLO.to_vec()].into_iter().chain(requests);
        tls.write_all(&all.collect::<Vec<_>>().concat())
            .await
            .unwrap();
        crowd.push(tls);
    }
    let refused = listed(&shop, 503).await;
    assert_eq!(refused.json["code"], "overloaded");
    assert!(refused.headers.contains_key("retry-after"));
    let capture = format!("/v1/payments/{authorized}/capture");
    shop.post(&capture, &json!({})).await.expect(200);
    let refund = json!({"payment": captured});
    shop.post("/v1/refunds", &refund).await.expect(201);
    let shown = shop.get(&format!("/v1/payments/{authorized}")).await;
    assert_eq!(shown.expect(200).json["status"], "captured");
    // All that while.
    let again = shop.get("/v1/payments").await;
    assert_eq!(again.status, 503, "{}", again.text);
    drop(crowd);
    listed(&shop, 200).await;
}
