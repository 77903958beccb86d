//! A key that came over plain HTTP: refused, whatever it is, and its owner learns that it was exposed, once.

use std::{net::SocketAddr, time::Duration};

use coffer_testkit::{Coffer, Merchant, eventually};
use data_encoding::BASE64;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{BINARY, rest};

const SOON: Duration = Duration::from_secs(20);

/// The answer over plain HTTP, without what differs every time.
async fn plainly(face: SocketAddr, authorization: &str) -> String {
    let mut tcp = TcpStream::connect(face).await.unwrap();
    let request = format!(
        "GET /v1/payments HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut tcp).await;
    let id = answer.find("req_").unwrap();
    let id = answer[id..id + 30].to_owned();
    answer.replace(&id, "req")
}

async fn exposures(shop: &Merchant) -> Vec<String> {
    let events = shop
        .get("/v1/events?type=api_key.exposed")
        .await
        .expect(200);
    let of = |event: &serde_json::Value| event["object"]["id"].as_str().unwrap().to_owned();
    events.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

#[tokio::test]
async fn a_key_sent_in_clear_is_refused_and_told_of_once_and_the_answer_tells_nothing() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let api = coffer.address("api");
    let nobody = plainly(api, "Bearer nothing").await;
    assert!(
        nobody.starts_with("HTTP/1.1 403 ") && nobody.contains("https_required"),
        "{nobody}"
    );

    let basic = BASE64.encode(format!("{}:", shop.secret_key).as_bytes());
    for authorization in [
        format!("Bearer {}", shop.secret_key),
        format!("Basic {basic}"),
    ] {
        assert_eq!(plainly(api, &authorization).await, nobody);
        eventually(SOON, "the event", async || {
            Some(exposures(&shop).await).filter(|found| !found.is_empty())
        })
        .await;
    }
    // Pages answer 308 and look at nothing; the last one marks the end of what may still come.
    for face in ["checkout", "fields"] {
        let answer = plainly_redirected(coffer.address(face), &other.secret_key).await;
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    }
    plainly(api, &format!("Bearer {}", other.publishable_key)).await;
    plainly(
        api,
        &format!("Bearer {}", coffer.demo()["secret_key"].as_str().unwrap()),
    )
    .await;
    assert_eq!(exposures(&shop).await.len(), 1);
    assert!(exposures(&other).await.is_empty());
    // It still works: only its owner knows what would stop with it.
    shop.get("/v1/ping").await.expect(200);
}

async fn plainly_redirected(face: SocketAddr, key: &str) -> String {
    let mut tcp = TcpStream::connect(face).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    rest(&mut tcp).await
}
