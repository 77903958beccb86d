//! Clients that keep a face waiting, in every way there is: each is left behind, and others are served meanwhile.

use std::time::Duration;

use coffer_net::face::{FaceLimits, FaceSettings};
use rustls::version::TLS13;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    floods::{Connection, frame},
    served::{LONG, Served, rest, settings},
};

/// Every wait is short, so that whoever is left behind is soon.
const SHORT: Duration = Duration::from_millis(300);

fn hasty() -> FaceSettings {
    FaceSettings {
        limits: FaceLimits {
            handshake: SHORT,
            head: SHORT,
            body: SHORT,
            idle: SHORT,
            stall: SHORT,
            farewell: SHORT,
            ..FaceLimits::default()
        },
        ..settings()
    }
}

const GOOD: &[u8] = b"GET /info HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_handshake_is_closed() {
    let served = Served::start(hasty()).await;
    for first in [
        b"".as_slice(),
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\r\n",
        b"\r\n\r\n\0",
    ] {
        let mut tcp = TcpStream::connect(served.address).await.unwrap();
        tcp.write_all(first).await.unwrap();
        let answer = rest(&mut tcp).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_told_so_and_the_connection_closed() {
    let served = Served::start(hasty()).await;
    for begun in [
        "G",
        "GET /info HTTP/1.1\r\n",
        "GET /info HTTP/1.1\r\nhost: localhost\r\nx: ",
    ] {
        let answer = served.raw_https(begun.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.ends_with("TooSlow"),
            "{answer}"
        );
        assert!(answer.contains("strict-transport-security"), "{answer}");
    }
}

#[tokio::test]
async fn a_trickle_does_not_lengthen_the_time_for_a_head() {
    let served = Served::start(hasty()).await;
    let mut tls = served.http1().await;
    tls.write_all(b"GET /info HTTP/1.1\r\n").await.unwrap();
    let mut answer = [0; 16];
    loop {
        tokio::select! {
            read = tls.read(&mut answer) => {
                assert_eq!(&answer[..read.unwrap()], b"HTTP/1.1 408 Req");
                return;
            }
            () = tokio::time::sleep(SHORT / 10) => tls.write_all(b"x: y\r\n").await.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_without_a_word() {
    let served = Served::start(hasty()).await;
    assert_eq!(served.raw_https(b"").await, "");
    let answer = served
        .raw_https(b"GET /info HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
}

#[tokio::test]
async fn a_connection_is_idle_from_its_last_answer_and_not_from_some_later_time() {
    let limits = FaceLimits {
        head: LONG * 2,
        idle: SHORT,
        ..FaceLimits::default()
    };
    let served = Served::start(FaceSettings {
        limits,
        ..settings()
    })
    .await;
    // Closed before the time for a head is over, which `rest` does not wait for.
    let answer = served
        .raw_https(b"GET /info HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let served = Served::start(hasty()).await;
    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        let request =
            format!("POST /echo HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n5\r\nhel");
        let answer = served.raw_https(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let mut connection = Connection::open(&served).await;
    let post = connection.headers("POST", "/echo", &[]);
    connection.send(&frame(1, 4, 1, &post)).await;
    connection.send(&frame(0, 0, 1, b"hel")).await;
    connection.until(1, 1).await;
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_given_up() {
    let served = Served::start(hasty()).await;
    let mut tls = served.http1().await;
    tls.write_all(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    // It would be waited for, if it could still end.
    assert!(served.tasks.stop(LONG).await);
}

#[tokio::test]
async fn an_answer_whose_window_stays_shut_is_reset() {
    let served = Served::start(hasty()).await;
    let mut connection = Connection::open(&served).await;
    // SETTINGS_INITIAL_WINDOW_SIZE of nothing.
    connection.send(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let get = connection.headers("GET", "/info", &[]);
    connection.send(&frame(1, 5, 1, &get)).await;
    let (_, reset) = connection.until(3, 1).await;
    assert_eq!(reset, 8_u32.to_be_bytes(), "CANCEL");
}

#[tokio::test]
async fn an_http_2_connection_without_requests_is_told_to_end_and_ended() {
    let served = Served::start(hasty()).await;
    let mut connection = Connection::open(&served).await;
    let get = connection.headers("GET", "/info", &[]);
    connection.send(&frame(1, 5, 1, &get)).await;
    connection.until(7, 0).await;
    connection.ended().await;
}

#[tokio::test]
async fn a_header_block_that_does_not_end_ends_its_connection() {
    let served = Served::start(hasty()).await;
    let mut connection = Connection::open(&served).await;
    let get = connection.headers("GET", "/info", &[]);
    connection.send(&frame(1, 1, 1, &get)).await;
    connection.ended().await;
}

#[tokio::test]
async fn who_answers_no_preface_is_not_waited_for() {
    let served = Served::start(hasty()).await;
    let mut tls = served.tls(&TLS13, &[b"h2"]).await.unwrap();
    rest(&mut tls).await;
}

#[tokio::test]
async fn a_thousand_who_wait_keep_nobody_out() {
    let limits = FaceLimits {
        unfinished_per_address_max: 32,
        connections_max: 64,
        // Nobody leaves because its time is over.
        handshake: LONG * 10,
        ..FaceLimits::default()
    };
    let served = Served::start(FaceSettings {
        limits,
        ..settings()
    })
    .await;
    let mut crowd = Vec::new();
    for count in 0..1_000 {
        let mut tcp = TcpStream::connect(served.address).await.unwrap();
        // Some in the middle of a handshake.
        if count % 2 == 0 {
            tcp.write_all(b"\x16\x03\x01").await.unwrap();
        }
        crowd.push(tcp);
        if count % 100 == 50 {
            let answer = served.raw_https(GOOD).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{count}: {answer}");
        }
    }
    // The first is long gone, the last has its place.
    rest(&mut crowd[0]).await;
    let last = crowd.last().unwrap();
    assert!(
        last.try_read(&mut [0])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    );
}

#[tokio::test]
async fn a_request_in_work_stays_while_others_come_and_go() {
    let limits = FaceLimits {
        unfinished_per_address_max: 2,
        connections_max: 3,
        ..FaceLimits::default()
    };
    let served = Served::start(FaceSettings {
        limits,
        ..settings()
    })
    .await;
    let mut tls = served.http1().await;
    let request = b"GET /wait HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    tls.write_all(request).await.unwrap();
    served.begun.notified().await;
    for _ in 0..10 {
        drop(TcpStream::connect(served.address).await.unwrap());
        served.raw_https(GOOD).await;
    }
    served.go_on.notify_one();
    assert!(rest(&mut tls).await.ends_with("done"));
}
