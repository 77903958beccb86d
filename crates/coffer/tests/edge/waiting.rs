//! A thousand clients who keep the API waiting, each in one of the known ways: every one is left behind, and a client that
//! keeps to the rules is answered all the while (YARDSTICK Y10).

use std::time::Duration;

use coffer_testkit::{Coffer, dial};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{BINARY, PATIENCE, serves};

const CROWD: usize = 1_000;
const WAYS: usize = 6;
/// Within so long everybody is left behind who gives no reason to wait.
const LEFT_BEHIND_WITHIN: Duration = Duration::from_secs(30);

/// Waits in one of the ways until the face closes; how long it took from the last thing that we did.
async fn wait(face: std::net::SocketAddr, way: usize) -> Duration {
    let began = Instant::now();
    let begun: &[u8] = match way {
        // Nothing, and a handshake that does not go on.
        0 | 1 => {
            let mut tcp = TcpStream::connect(face).await.unwrap();
            let begun: &[u8] = if way == 0 { b"" } else { b"\x16\x03\x01\x02" };
            let _ = tcp.write_all(begun).await;
            let closed = timeout(PATIENCE, tcp.read_to_end(&mut Vec::new())).await;
            let _ = closed.expect("it was waited for");
            return began.elapsed();
        }
        2 => b"GET /v1/ping HTTP/1.1\r\nhost: localhost\r\nx: ",
        3 => b"POST /v1/payments HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
        4 => b"GET /v1/ping HTTP/1.1\r\nhost: localhost\r\n\r\n",
        _ => b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n",
    };
    // It may have to leave during the handshake already, for others.
    let Ok(mut tls) = dial(face, "localhost", b"http/1.1").await else {
        return began.elapsed();
    };
    let _ = tls.write_all(begun).await;
    let began = Instant::now();
    let closed = timeout(PATIENCE, tls.read_to_end(&mut Vec::new())).await;
    let _ = closed.expect("it was waited for");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_wait_are_left_behind_while_others_are_served() {
    let coffer = Coffer::start(BINARY).await;
    let api = coffer.address("api");
    let mut crowd = JoinSet::new();
    let began = Instant::now();
    for way in 0..CROWD {
        crowd.spawn(async move { (way % WAYS, wait(api, way % WAYS).await) });
        if way % 100 == 0 {
            serves(api, "/openapi.json").await;
        }
    }
    let all_here = began.elapsed();
    let mut longest = [Duration::ZERO; WAYS];
    while let Some(waited) = crowd.join_next().await {
        let (way, waited) = waited.unwrap();
        longest[way] = longest[way].max(waited);
    }
    println!("all here after {all_here:?}, the last of each way waited {longest:?}");
    let left_behind = |waited: &Duration| *waited <= LEFT_BEHIND_WITHIN;
    assert!(longest.iter().all(left_behind), "{longest:?}");
    // A thousand of one address are more than may be unfinished at a time; the listener had room.
    let metrics = coffer.metrics("api").await;
    let evicted = |reason| format!("coffer_face_evictions_total{{reason=\"{reason}\"}} ");
    assert!(metrics.contains(&evicted("unfinished")), "{metrics}");
    assert!(
        !metrics.contains(&(evicted("unfinished") + "0")),
        "{metrics}"
    );
    assert!(metrics.contains(&(evicted("full") + "0")), "{metrics}");
    serves(api, "/openapi.json").await;
}
