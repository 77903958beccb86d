//! Floods of HTTP/2 frames at the process of the api: cut off, without a trace in its memory.

use std::fs;

use coffer_testkit::{Coffer, dial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{BINARY, PATIENCE, serves};

pub(crate) const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Frames of a flood: much more than is endured.
const MANY: u32 = 50_000;
/// What the process may have grown by after all of them (YARDSTICK Y9).
const GROWTH_MAX_KIB: u64 = 20 * 1024;
const ROUNDS: usize = 8;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [
        &[a, b, c, kind, flags],
        stream.to_be_bytes().as_slice(),
        payload,
    ]
    .concat()
}

/// A text of at most 126 bytes after an octet (RFC 7541, 5.2): the value of a field whose name is in the static table there, or
/// after 0 a name, which its value follows.
pub(crate) fn text(before: &[u8], text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 127);
    [before, &[length], text.as_bytes()].concat()
}

/// `GET /v1/ping` of `localhost`, in the static table where it has a place (RFC 7541, appendix A).
fn ping() -> Vec<u8> {
    [
        vec![0x82, 0x87],
        text(&[0x01], "localhost"),
        text(&[0x04], "/v1/ping"),
    ]
    .concat()
}

type Flood = fn(u32) -> Vec<u8>;

const FLOODS: &[(&str, Flood)] = &[
    ("rapid reset", |count| {
        let stream = count * 2 + 1;
        [
            frame(1, 5, stream, &ping()),
            frame(3, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    }),
    ("continuations", |count| match count {
        0 => frame(1, 1, 1, &ping()),
        _ => frame(9, 0, 1, b"\0\x01x\x01y"),
    }),
    ("settings", |_| frame(4, 0, 0, &[0, 4, 0, 0, 255, 255])),
    ("pings", |_| frame(6, 0, 0, &[7; 8])),
    ("empty data", |count| match count {
        0 => frame(1, 4, 1, &ping()),
        _ => frame(0, 0, 1, &[]),
    }),
];

/// Sends until nobody listens. The answers are not read, so that they would pile up.
async fn flood(coffer: &Coffer, each: Flood) -> bool {
    let mut tls = dial(coffer.address("api"), "localhost", b"h2")
        .await
        .unwrap();
    tls.write_all(HELLO).await.unwrap();
    for count in 0..MANY {
        match timeout(PATIENCE, tls.write_all(&each(count))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return true,
            Err(_) => return false,
        }
    }
    let mut answers = Vec::new();
    timeout(PATIENCE, tls.read_to_end(&mut answers))
        .await
        .is_ok()
}

/// The memory that a process occupies.
fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn floods_are_cut_off_and_leave_the_memory_as_it_was() {
    let coffer = Coffer::start(BINARY).await;
    let api = coffer.address("api");
    serves(api, "/openapi.json").await;
    let before = resident_kib(coffer.pid("api"));
    for (name, each) in FLOODS {
        for _ in 0..ROUNDS {
            assert!(flood(&coffer, *each).await, "{name} was endured");
        }
        serves(api, "/openapi.json").await;
        let grown = resident_kib(coffer.pid("api")).saturating_sub(before);
        println!("{name}: {grown} KiB more");
        assert!(grown <= GROWTH_MAX_KIB, "{name}: {grown} KiB");
    }
}
