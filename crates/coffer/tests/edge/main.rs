//! The faces of a whole Coffer against what the internet sends: requests that no client writes, floods, clients that wait.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod exposed;
mod floods;
mod front;
mod handshakes;
mod heads;
mod room;
mod slow;
mod waiting;

use std::{net::SocketAddr, time::Duration};

use coffer_testkit::dial;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// More than any limit of an edge.
const PATIENCE: Duration = Duration::from_secs(45);

/// Everything that is answered to these bytes over HTTP/1.1, until the face closes.
async fn answer(face: SocketAddr, bytes: &[u8]) -> String {
    let mut tls = dial(face, "localhost", b"http/1.1").await.unwrap();
    tls.write_all(bytes).await.unwrap();
    rest(&mut tls).await
}

/// What still comes, until the other side closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // An end without a farewell is an end.
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the face did not close");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether a client that keeps to the rules is answered.
async fn serves(face: SocketAddr, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = answer(face, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
