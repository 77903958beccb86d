//! Requests written so that two servers could read them in two ways: none gets two answers, none reaches the application.

use coffer_net::face::{FaceLimits, FaceSettings};
use http::{Request, StatusCode, header::HOST};

use crate::served::{Served, settings};

const HOST_LINE: &str = "host: localhost\r\n";
/// What an attacker hides behind a request, to be taken for another one.
const HIDDEN: &str = "GET /info HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sends this and then what is hidden; exactly one answer comes, with this status, and it is the fault's.
async fn refused_once(served: &Served, request: &str, status: u16, fault: &str) {
    let answer = served
        .raw_https(format!("{request}{HIDDEN}").as_bytes())
        .await;
    assert_eq!(
        answer.matches("HTTP/1.").count(),
        1,
        "{request:?}: {answer}"
    );
    assert!(
        answer.contains(&format!(" {status} ")),
        "{request:?}: {answer}"
    );
    assert!(answer.ends_with(fault), "{request:?}: {answer}");
    assert_eq!(
        answer.matches("strict-transport-security: ").count(),
        1,
        "{answer}"
    );
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_request_with_two_lengths_or_none_that_is_certain_gets_one_answer() {
    let served = Served::start(settings()).await;
    let chunked = "transfer-encoding: chunked\r\n";
    for fields in [
        format!("content-length: 5\r\n{chunked}"),
        format!("{chunked}content-length: 5\r\n"),
        format!("content-length: 0\r\n{chunked}"),
        "content-length: 5\r\ncontent-length: 6\r\n".to_owned(),
        "content-length: 5\r\ncontent-length: 5\r\n".to_owned(),
        "content-length: 5, 5\r\n".to_owned(),
        "content-length: +5\r\n".to_owned(),
        "content-length: 5 \x0b\r\n".to_owned(),
        "content-length : 5\r\n".to_owned(),
        "content-length:\r\n 5\r\n".to_owned(),
        "transfer-encoding : chunked\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: identity, chunked\r\n".to_owned(),
        "transfer-encoding:\r\n chunked\r\n".to_owned(),
        format!("{chunked}{chunked}"),
    ] {
        let request = format!("POST /echo HTTP/1.1\r\n{HOST_LINE}{fields}\r\n0\r\n\r\n");
        refused_once(&served, &request, 400, "Malformed").await;
    }
    let old = format!("POST /echo HTTP/1.0\r\n{HOST_LINE}{chunked}\r\n0\r\n\r\n");
    refused_once(&served, &old, 400, "Malformed").await;
}

#[tokio::test]
async fn a_head_that_is_not_written_to_the_letter_gets_one_answer() {
    let served = Served::start(settings()).await;
    for request in [
        "GET /info HTTP/1.1\nhost: localhost\n\n",
        "GET /info HTTP/1.1\r\nhost: localhost\n\r\n",
        "GET /info HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n",
        "GET /info HTTP/1.1\r\nhost: localhost\r\nx: a\rb: c\r\n\r\n",
        "GET /info HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n",
        "GET /info HTTP/1.1\r\nhost: localhost\r\nno colon\r\n\r\n",
        "GET /info HTTP/1.1\r\n host: localhost\r\n\r\n",
        "GET /info\r\n\r\n",
        "GET  /info HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /info HTTP/1.1 \r\nhost: localhost\r\n\r\n",
        "GET /info HTTP/3.0\r\nhost: localhost\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\0\r\n\r\n",
    ] {
        refused_once(&served, request, 400, "Malformed").await;
    }
}

#[tokio::test]
async fn a_host_is_named_once_and_is_ours() {
    let served = Served::start(settings()).await;
    for fields in [
        "",
        "host:\r\n",
        "host: evil.test\r\n",
        "host: localhost.evil.test\r\n",
        "host: localhost@evil.test\r\n",
        "host: localhost:99999\r\n",
        "host: localhost\r\nhost: localhost\r\n",
        "host: localhost\r\nhost: evil.test\r\n",
        "x-forwarded-host: localhost\r\n",
    ] {
        let request = format!("GET /info HTTP/1.1\r\n{fields}\r\n");
        refused_once(&served, &request, 400, "HostWrong").await;
    }
    let two = "GET https://evil.test/info HTTP/1.1\r\nhost: localhost\r\n\r\n";
    refused_once(&served, two, 400, "HostWrong").await;
    refused_once(&served, "GET /info HTTP/1.0\r\n\r\n", 400, "HostWrong").await;

    let (status, _, fault) = served.http2(Request::get("https://evil.test/info")).await;
    assert_eq!(
        (status, fault.as_str()),
        (StatusCode::MISDIRECTED_REQUEST, "Misdirected")
    );
    let two = Request::get("https://localhost/info").header(HOST, "evil.test");
    let (status, headers, fault) = served.http2(two).await;
    assert_eq!(
        (status, fault.as_str()),
        (StatusCode::BAD_REQUEST, "HostWrong")
    );
    assert!(headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_told_so_over_both_versions() {
    let served = Served::start(settings()).await;
    let get =
        |path: &str, field: &str| format!("GET /{path} HTTP/1.1\r\n{HOST_LINE}x: {field}\r\n\r\n");
    let (long, endless) = ("a".repeat(9 * 1024), "a".repeat(40 * 1024));
    refused_once(&served, &get("info", &endless), 431, "HeadTooLarge").await;
    refused_once(&served, &get(&long, ""), 414, "AddressTooLong").await;
    refused_once(&served, &get(&endless, ""), 414, "AddressTooLong").await;
    let many = get("info", &"1\r\nx: ".repeat(100));
    refused_once(&served, &many, 431, "HeadTooLarge").await;

    let large = Request::get("https://localhost/info").header("x", "a".repeat(17 * 1024));
    let (status, headers, _) = served.http2(large).await;
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(headers.contains_key("strict-transport-security"));
    let long = Request::get(format!("https://localhost/{long}"));
    assert_eq!(served.http2(long).await.0, StatusCode::URI_TOO_LONG);
}

#[tokio::test]
async fn a_method_is_not_changed_by_a_header_and_tunnels_are_not_built() {
    let served = Served::start(settings()).await;
    for name in [
        "x-http-method-override",
        "X-HTTP-Method",
        "x-method-override",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\n{HOST_LINE}{name}: GET\r\n\r\n");
        refused_once(&served, &request, 400, "MethodOverride").await;
    }
    for line in ["CONNECT localhost:443", "TRACE /info"] {
        let request = format!("{line} HTTP/1.1\r\n{HOST_LINE}\r\n");
        let answer = served
            .raw_https(format!("{request}{HIDDEN}").as_bytes())
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, "),
            "{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    let upgrade = format!(
        "GET /info HTTP/1.1\r\n{HOST_LINE}connection: upgrade, close\r\nupgrade: h2c\r\n\r\n"
    );
    let answer = served.raw_https(upgrade.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn requests_behind_each_other_are_answered_in_order_until_one_is_at_fault() {
    let served = Served::start(settings()).await;
    let requests = [
        "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello",
        "\r\nPOST /echo HTTP/1.1\r\nhost: localhost:1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nto\r\n3\r\nyou\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HIDDEN,
    ];
    let answers = served.raw_https(requests.concat().as_bytes()).await;
    let order: Vec<_> = ["[hello]", "[toyou]", "HTTP/1.1 400 ", "Malformed"]
        .iter()
        .map(|part| {
            answers
                .find(part)
                .unwrap_or_else(|| panic!("no {part} in {answers}"))
        })
        .collect();
    assert!(order.is_sorted(), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{answers}");
}

#[tokio::test]
async fn a_body_that_is_not_in_chunks_as_it_says_ends_the_connection() {
    let served = Served::start(settings()).await;
    for body in [
        "5;x=y\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nhost: evil.test\r\n\r\n",
        "-1\r\n",
    ] {
        let request = format!(
            "POST /echo HTTP/1.1\r\n{HOST_LINE}transfer-encoding: chunked\r\n\r\n{body}{HIDDEN}"
        );
        let answer = served.raw_https(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{body:?}: {answer}");
    }
}

/// A small generator of numbers, the same every time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Some bytes of it replaced, doubled or left out.
fn mutated(request: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const BYTES: &[u8] = b"\r\n \t:;,/?#%[]{}<>\\^`|\"\0\x7f\xff0aA";
    let mut mutant = request.to_vec();
    for _ in 0..=numbers.below(3) {
        let (place, byte) = (
            numbers.below(mutant.len()),
            BYTES[numbers.below(BYTES.len())],
        );
        match numbers.below(3) {
            0 => mutant[place] = byte,
            1 => mutant.insert(place, byte),
            _ => drop(mutant.remove(place)),
        }
    }
    mutant
}

/// hyper answers by itself, without HSTS, what it cannot read. So whatever we let pass, it has to be able to read.
#[tokio::test]
async fn every_answer_to_a_mutated_request_is_ours() {
    let short = std::time::Duration::from_millis(50);
    let limits = FaceLimits {
        head: short,
        idle: short,
        body: short,
        ..FaceLimits::default()
    };
    let served = Served::start(FaceSettings {
        limits,
        ..settings()
    })
    .await;
    let requests: [&[u8]; 2] = [
        b"GET /info?a=b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-y: z, 1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for count in 0..600 {
        let mutant = mutated(requests[count % 2], &mut numbers);
        let answers = served.raw_https(&mutant).await;
        assert_eq!(
            answers.matches("HTTP/1.").count(),
            answers.matches("strict-transport-security: ").count(),
            "{:?}: {answers}",
            String::from_utf8_lossy(&mutant)
        );
    }
}
