//! Heads of requests that are not as they should be, at every face: one answer, in the face's own form.

use coffer_testkit::Coffer;
use serde_json::Value;

use crate::{BINARY, answer};

/// What an attacker hides behind a request, to be taken for another one.
const HIDDEN: &str = "GET /robots.txt HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A request, the status of its answer, and the code of its problem.
fn wrong() -> Vec<(String, u16, &'static str)> {
    let long = "a".repeat(17 * 1024);
    let (get, post) = ("GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n");
    let host = "host: localhost\r\n";
    let cases = [
        (format!("{get}\r\n"), 400, "host_wrong"),
        (format!("{get}{host}{host}\r\n"), 400, "host_wrong"),
        (format!("{get}host: evil.test\r\n\r\n"), 400, "host_wrong"),
        (
            format!("{post}{host}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
            "head_malformed",
        ),
        (
            format!("{post}{host}content-length: 0\r\ncontent-length: 44\r\n\r\n"),
            400,
            "head_malformed",
        ),
        (
            format!("{post}{host}transfer-encoding: xchunked\r\n\r\n"),
            400,
            "head_malformed",
        ),
        (format!("{get}host: localhost\n\n"), 400, "head_malformed"),
        (
            format!("{get}{host}x: a\r\n b\r\n\r\n"),
            400,
            "head_malformed",
        ),
        ("nonsense\r\n\r\n".to_owned(), 400, "head_malformed"),
        (
            format!("{get}{host}x: {long}\r\n\r\n"),
            431,
            "head_too_large",
        ),
        (
            format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
            414,
            "address_too_long",
        ),
        (
            format!("{post}{host}x-http-method-override: DELETE\r\n\r\n"),
            400,
            "method_override_not_allowed",
        ),
        (
            format!("TRACE / HTTP/1.1\r\n{host}\r\n"),
            405,
            "method_not_allowed",
        ),
    ];
    cases.into_iter().collect()
}

#[tokio::test]
async fn what_two_servers_could_read_in_two_ways_gets_one_answer_from_every_face() {
    let coffer = Coffer::start(BINARY).await;
    for name in ["api", "fields", "checkout", "simulator"] {
        for (request, status, code) in wrong() {
            let sent = format!("{request}{HIDDEN}");
            let answer = answer(coffer.address(name), sent.as_bytes()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status} ")),
                "{name} {code}: {answer}"
            );
            assert_eq!(
                answer.matches("HTTP/1.1 ").count(),
                1,
                "{name} {code}: {answer}"
            );
            let hsts = "strict-transport-security: max-age=63072000; includeSubDomains; preload";
            assert_eq!(head.matches(hsts).count(), 1, "{name} {code}: {head}");
            match name {
                "simulator" => {}
                "checkout" => {
                    assert!(head.contains("text/html") && head.contains("coffer-request-id: req_"));
                }
                _ => problem(head, body, status, code),
            }
        }
    }
}

fn problem(head: &str, body: &str, status: u16, code: &str) {
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&problem["code"], &problem["status"]),
        (&code.into(), &status.into()),
        "{body}"
    );
    let id = problem["request_id"].as_str().unwrap();
    assert!(head.contains(&format!("coffer-request-id: {id}")), "{head}");
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
}
