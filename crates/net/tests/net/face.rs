//! Rules of the public faces: nothing works over plain HTTP, every HTTPS answer has HSTS, requests in flight are finished.

use std::sync::Arc;

use bytes::Bytes;
use coffer_net::face::{FaceSettings, HSTS, PlainPolicy};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use rustls::CipherSuite;
use rustls::version::{TLS12, TLS13};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::served::{LONG, PAGE, Served, load, rest, settings};

fn has_hsts(answer: &str) -> bool {
    let head = answer.split("\r\n\r\n").next().unwrap();
    head.matches(&format!("strict-transport-security: {HSTS}"))
        .count()
        == 1
}

#[tokio::test]
async fn plain_http_is_refused_by_the_api_whatever_it_asks() {
    let face = Served::start(settings()).await;
    for request in [
        "GET /info HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk_test_x\r\n\r\n",
        "POST /v1/payments HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello",
        "GET /info HTTP/1.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "nonsense\r\n\r\n",
        "\r\n\r\n",
    ] {
        let answer = face.raw_plain(request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 403 Forbidden\r\n"),
            "{request:?}: {answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("content-type: application/problem+json")
                && !head.contains("strict-transport")
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "https_required");
        assert_eq!(problem["type"], PAGE);
        let id = problem["request_id"].as_str().unwrap();
        assert!(head.contains(&format!("coffer-request-id: {id}")));
    }
}

#[tokio::test]
async fn who_is_refused_while_still_sending_gets_the_answer_and_keeps_the_connection() {
    let face = Served::start(settings()).await;
    let body = "x".repeat(512 * 1024);
    let requests = [
        format!(
            "POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        format!(
            "POST /refuse HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
        "GET /info HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
    ];
    let answers = face.raw_https(requests.concat().as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 413 ").count(), 2, "{answers}");
    assert!(answers.ends_with("1.3 http/1.1 127.0.0.1"), "{answers}");
}

#[tokio::test]
async fn who_hangs_up_is_worked_for_no_longer() {
    let served = Served::start(settings()).await;
    let mut tls = served.http1().await;
    let request = b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n";
    tls.write_all(request).await.unwrap();
    served.begun.notified().await;
    drop(tls);
    timeout(LONG, served.ended.notified()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_comes_while_another_is_in_work_is_answered_after_it() {
    let served = Served::start(settings()).await;
    let mut tls = served.http1().await;
    let request = b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n";
    tls.write_all(request).await.unwrap();
    served.begun.notified().await;
    let next = b"GET /last HTTP/1.1\r\nhost: localhost\r\n\r\n";
    tls.write_all(next).await.unwrap();
    served.go_on.notify_one();
    let answers = rest(&mut tls).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert!(answers.ends_with("bye"), "{answers}");
}

#[tokio::test]
async fn who_sends_without_end_is_not_listened_to_for_ever() {
    let face = Served::start(settings()).await;
    let mut tls = face.tls(&TLS13, &[b"http/1.1"]).await.unwrap();
    let head = "POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nonly this";
    tls.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tls.read_to_end(&mut answer);
    let _ = tokio::time::timeout(LONG, read).await.expect("an end");
    assert!(answer.starts_with(b"HTTP/1.1 413 "));
}

#[tokio::test]
async fn plain_http_is_sent_to_https_by_pages_without_its_query() {
    let to = "pay.test:8444".to_owned();
    let face = Served::start(FaceSettings {
        plain: PlainPolicy::Redirect308 { to },
        ..settings()
    })
    .await;
    for (path, location) in [
        ("/c/chk_1", "https://pay.test:8444/c/chk_1"),
        ("/c/chk_1?secret=s", "https://pay.test:8444/"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: evil.test\r\n\r\n");
        let answer = face.raw_plain(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
        assert!(
            answer.contains(&format!("\r\nlocation: {location}\r\n")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn every_https_answer_has_hsts_even_those_that_no_handler_made() {
    let face = Served::start(settings()).await;
    let long = "a".repeat(20 * 1024);
    for (request, status) in [
        (
            "GET /info HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            200,
        ),
        (
            "GET /missing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            404,
        ),
        (
            "PUT /info HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            405,
        ),
        ("not http at all\r\n\r\n".to_owned(), 400),
        (
            format!("GET /info HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n"),
            431,
        ),
    ] {
        let answer = face.raw_https(request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(has_hsts(&answer), "{answer}");
    }
    let (status, headers, _) = face.http2_get("/missing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["strict-transport-security"], HSTS);
}

#[tokio::test]
async fn the_application_learns_how_a_request_came() {
    let face = Served::start(settings()).await;
    assert_eq!(face.http2_get("/info").await.2, "1.3 h2 127.0.0.1");
    let mut tls = face.tls(&TLS12, &[]).await.unwrap();
    let request = b"GET /info HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    tls.write_all(request).await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("1.2 http/1.1 127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let face = Served::start(settings()).await;
    let mut shown = Vec::new();
    for _ in 0..2 {
        let tls = face.tls(&TLS13, &[]).await.unwrap();
        shown.push(tls.get_ref().1.peer_certificates().unwrap()[0].clone());
        load(&face.store);
    }
    assert_ne!(shown[0], shown[1]);
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_preferred() {
    let face = Served::start(settings()).await;
    let tls = face.tls(&TLS13, &[]).await.unwrap();
    let group = tls
        .get_ref()
        .1
        .negotiated_key_exchange_group()
        .unwrap()
        .name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

/// The client's own order is another one, as OpenSSL's is.
#[tokio::test]
async fn suites_that_hash_in_hardware_are_preferred() {
    let face = Served::start(settings()).await;
    for (version, suite) in [
        (&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ] {
        let tls = face.tls(version, &[]).await.unwrap();
        let agreed = tls.get_ref().1.negotiated_cipher_suite().unwrap();
        assert_eq!(agreed.suite(), suite);
    }
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_face_stops() {
    let face = Arc::new(Served::start(settings()).await);
    let client = Arc::clone(&face);
    let answer =
        coffer_net::task::spawn("client", async move { client.http2_get("/wait").await.2 });
    face.begun.notified().await;
    let release = async { face.go_on.notify_one() };
    let (stopped, ()) = tokio::join!(face.tasks.stop(LONG), release);
    assert!(stopped);
    assert_eq!(answer.await.unwrap(), "done");
    assert!(TcpStream::connect(face.address).await.is_err());
}

#[tokio::test]
async fn an_answer_that_says_so_is_the_last_of_its_connection_over_either_protocol() {
    let served = Served::start(settings()).await;
    let head = "GET /last HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answered = served.raw_https(head.repeat(2).as_bytes()).await;
    assert_eq!(answered.matches("HTTP/1.1 200").count(), 1, "{answered}");

    let mut client = served.http2_client().await;
    let request = || {
        let request = Request::get("https://localhost/last");
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let (head, body) = client.send_request(request()).await.unwrap().into_parts();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "bye");
    assert!(!head.headers.contains_key("connection"));
    let ended = async {
        while client.ready().await.is_ok() {
            if client.send_request(request()).await.is_err() {
                return;
            }
        }
    };
    timeout(LONG, ended)
        .await
        .expect("the end of the connection");
}
