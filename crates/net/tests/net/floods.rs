//! HTTP/2 as attackers write it: frames by hand, and what a face endures of them.

use http::Request;
use rustls::version::TLS13;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::served::{LONG, Served, settings};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113, 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [a, b, c, kind, flags];
    [head.as_slice(), &stream.to_be_bytes(), payload].concat()
}

/// A connection that speaks HTTP/2 by hand.
pub(crate) struct Connection {
    read: ReadHalf<TlsStream<TcpStream>>,
    write: WriteHalf<TlsStream<TcpStream>>,
}

impl Connection {
    pub(crate) async fn open(served: &Served) -> Self {
        let tls = served.tls(&TLS13, &[b"h2"]).await.unwrap();
        let (read, write) = split(tls);
        let mut connection = Self { read, write };
        connection.send(PREFACE).await;
        connection.send(&frame(4, 0, 0, &[])).await;
        connection.send(&frame(4, 1, 0, &[])).await;
        connection
    }

    /// A header block without compression (RFC 7541, 6.2.2).
    pub(crate) fn headers(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let pseudo = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
        ];
        let mut block = Vec::new();
        for (name, value) in pseudo.iter().chain(more) {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend(text.as_bytes());
            }
        }
        block
    }

    /// Sends, if anybody still listens.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.write.write_all(bytes).await.is_ok() && self.write.flush().await.is_ok()
    }

    /// The next frame: type, flags, stream, payload.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        timeout(LONG, self.read.read_exact(&mut head))
            .await
            .expect("a frame or an end")
            .ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]).try_into().unwrap()];
        self.read.read_exact(&mut payload).await.ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }

    /// The next frame of this type on this stream: flags and payload.
    pub(crate) async fn until(&mut self, kind: u8, stream: u32) -> (u8, Vec<u8>) {
        loop {
            let (found, flags, of, payload) = self.next().await.expect("a frame");
            if (found, of) == (kind, stream) {
                return (flags, payload);
            }
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Sends this again and again; the face ends the connection before the last.
async fn cut_off(served: &Served, name: &str, mut each: impl FnMut(&Connection, u32) -> Vec<u8>) {
    const MOST: u32 = 100_000;
    let mut connection = Connection::open(served).await;
    for count in 0..MOST {
        let bytes = each(&connection, count);
        if !connection.send(&bytes).await {
            // Whoever was cut off learns of it; others are served.
            connection.ended().await;
            let (status, _, _) = served.http2_get("/info").await;
            assert!(status.is_success());
            return;
        }
    }
    panic!("{name}: endured");
}

#[tokio::test]
async fn frames_that_ask_for_nothing_are_endured_for_a_while() {
    let served = Served::start(settings()).await;
    cut_off(&served, "settings", |_, _| {
        frame(4, 0, 0, &[0, 4, 0, 0, 255, 255])
    })
    .await;
    cut_off(&served, "pings", |_, _| frame(6, 0, 0, &[0; 8])).await;
    cut_off(&served, "pongs", |_, _| frame(6, 1, 0, &[0; 8])).await;
    cut_off(&served, "priorities", |_, _| {
        frame(2, 0, 1, &[0, 0, 0, 0, 1])
    })
    .await;
    cut_off(&served, "windows", |_, _| frame(8, 0, 0, &[0, 0, 0, 1])).await;
    cut_off(&served, "unknown types", |_, _| frame(0xfa, 0, 0, &[])).await;
    cut_off(&served, "resets of nothing", |_, _| frame(3, 0, 1, &[0; 4])).await;
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_are_not_endured() {
    let served = Served::start(settings()).await;
    cut_off(&served, "rapid reset", |connection, count| {
        let stream = count * 2 + 1;
        let get = connection.headers("GET", "/info", &[]);
        [
            frame(1, 5, stream, &get),
            frame(3, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    })
    .await;
    cut_off(
        &served,
        "reset by a window that overflows",
        |connection, count| {
            let stream = count * 2 + 1;
            let get = connection.headers("GET", "/wait", &[]);
            let window = frame(8, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
            [frame(1, 5, stream, &get), window].concat()
        },
    )
    .await;
}

#[tokio::test]
async fn a_head_in_endless_pieces_is_not_endured() {
    let served = Served::start(settings()).await;
    for piece in [b"".as_slice(), b"\0\x01x\x01y"] {
        cut_off(&served, "continuations", |connection, count| {
            if count == 0 {
                frame(1, 1, 1, &connection.headers("GET", "/info", &[]))
            } else {
                frame(9, 0, 1, piece)
            }
        })
        .await;
    }
    let large = vec![0xff; 16 * 1024];
    cut_off(&served, "large continuations", |_, count| {
        frame(if count == 0 { 1 } else { 9 }, 0, 1, &large)
    })
    .await;
}

#[tokio::test]
async fn a_body_in_empty_pieces_is_not_endured() {
    let served = Served::start(settings()).await;
    cut_off(&served, "empty data", |connection, count| {
        if count == 0 {
            frame(1, 4, 1, &connection.headers("POST", "/echo", &[]))
        } else {
            frame(0, 0, 1, &[])
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_of_headers_that_unfolds_to_megabytes_is_not_kept() {
    let served = Served::start(settings()).await;
    let mut connection = Connection::open(&served).await;
    // One large header into the table of the compression, then references to it, a byte each (RFC 7541, 6.2.1 and 6.1).
    let mut block = connection.headers("GET", "/info", &[]);
    block.extend([0x40, 1, b'x', 0x7f, 0xb1, 0x1e]);
    block.extend([b'y'; 4_016]);
    block.extend([0xbe; 8 * 1024]);
    connection.send(&frame(1, 5, 1, &block)).await;
    // h2 itself answers 431 (its index in no table), or the connection ends.
    while let Some((kind, _, _, payload)) = connection.next().await {
        if kind == 1 {
            assert!(payload.windows(3).any(|part| part == b"431") || !payload.is_empty());
            break;
        }
    }
    assert!(served.http2_get("/info").await.0.is_success());
}

#[tokio::test]
async fn a_good_client_may_ask_as_often_as_it_likes() {
    let served = Served::start(settings()).await;
    let mut sender = served.http2_client().await;
    for _ in 0..2_000 {
        let request = Request::get("https://localhost/info");
        let request = request.body(http_body_util::Empty::new()).unwrap();
        sender.ready().await.unwrap();
        assert!(
            sender
                .send_request(request)
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
}
