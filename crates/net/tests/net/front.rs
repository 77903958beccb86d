//! One listener for several hosts: each handshake goes to who answers for its host, and to nobody else.

use std::net::SocketAddr;

use axum::{Extension, Router, routing::get};
use coffer_net::{
    Tasks,
    face::{
        ClientHeader, ConnectionInfo, Face, FaceLimits, FaceSettings, Front, Passage,
        TrustedProxies, serve,
    },
    tls::CertificateStore,
};
use rustls::version::{TLS12, TLS13};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    served::{LONG, handshake, refused, rest},
    support::Ca,
};

fn face(ca: &Ca, name: &'static str, proxies: TrustedProxies) -> Face {
    let store = CertificateStore::new();
    let certified = ca.issue_for(name);
    store.load_pem(&certified.chain, &certified.key).unwrap();
    let who = async move |Extension(info): Extension<ConnectionInfo>| {
        format!("{name} {}", info.peer.ip())
    };
    let app = Router::new().route("/", get(who));
    // It waits for its clients longer than any test does.
    let limits = FaceLimits {
        head: LONG * 10,
        ..FaceLimits::default()
    };
    let settings = FaceSettings::new(vec![name.to_owned()], refused());
    Face::new(
        store,
        app,
        FaceSettings {
            proxies,
            limits,
            ..settings
        },
    )
}

fn loopback() -> TrustedProxies {
    TrustedProxies::new(
        vec!["127.0.0.0/8".parse().unwrap()],
        ClientHeader::XForwardedFor,
    )
}

/// `api.test` and `pay.test` here, `fields.test` elsewhere, `gone.test` nowhere.
async fn front(tasks: &Tasks) -> SocketAddr {
    front_before(tasks, tasks).await
}

async fn front_before(tasks: &Tasks, beyond_tasks: &Tasks) -> SocketAddr {
    let ca = Ca::new();
    let beyond = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = beyond.local_addr().unwrap().to_string();
    let fields = face(&ca, "fields.test", loopback());
    beyond_tasks.spawn("beyond", serve(beyond, fields, beyond_tasks.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let passage = |name: &str, to: String| Passage {
        name: name.to_owned(),
        to,
    };
    let front = Front {
        faces: ["api.test", "pay.test"]
            .map(|name| face(&ca, name, loopback()))
            .to_vec(),
        passages: vec![
            passage("fields.test", to),
            passage("gone.test", "127.0.0.1:1".to_owned()),
        ],
        plain: refused(),
        proxies: loopback(),
        limits: FaceLimits::default(),
    };
    tasks.spawn("front", front.serve(listener, tasks.clone()));
    address
}

/// What the host's face says, when we come through the front.
async fn ask(front: SocketAddr, preamble: &[u8], host: &str) -> std::io::Result<String> {
    let mut tcp = TcpStream::connect(front).await?;
    tcp.write_all(preamble).await?;
    let mut tls = handshake(tcp, host, &TLS13, &[b"http/1.1"]).await?;
    let name = tls.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert!(
        name.windows(host.len()).any(|part| part == host.as_bytes()),
        "{host}'s certificate"
    );
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    let answer = rest(&mut tls).await;
    Ok(answer.rsplit("\r\n\r\n").next().unwrap().to_owned())
}

#[tokio::test]
async fn each_host_is_answered_by_its_face_and_others_learn_the_real_client() {
    let tasks = Tasks::new();
    let front = front(&tasks).await;
    let preamble = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x12\x67\x01\xbb";
    for host in ["api.test", "pay.test", "fields.test"] {
        assert_eq!(
            ask(front, b"", host).await.unwrap(),
            format!("{host} 127.0.0.1")
        );
        assert_eq!(
            ask(front, preamble, host).await.unwrap(),
            format!("{host} 203.0.113.9")
        );
    }
}

#[tokio::test]
async fn no_host_and_unknown_hosts_are_refused_by_an_alert() {
    let tasks = Tasks::new();
    let front = front(&tasks).await;
    for (host, version) in [
        ("evil.test", &TLS13),
        ("test", &TLS12),
        ("127.0.0.1", &TLS13),
    ] {
        let tcp = TcpStream::connect(front).await.unwrap();
        let refused = handshake(tcp, host, version, &[]).await.unwrap_err();
        assert!(
            refused.to_string().contains("UnrecognisedName"),
            "{host}: {refused}"
        );
    }
    assert!(ask(front, b"", "gone.test").await.is_err());
}

#[tokio::test]
async fn a_hello_in_pieces_is_read_and_one_without_end_is_not() {
    let tasks = Tasks::new();
    let front = front(&tasks).await;
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut tcp = TcpStream::connect(front).await.unwrap();
    let relay = coffer_net::task::spawn("relay", async move {
        // 64 bytes at a time.
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut theirs, &mut tcp, 64, 64).await;
    });
    let mut tls = handshake(ours, "fields.test", &TLS13, &[b"http/1.1"])
        .await
        .unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\nhost: fields.test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    tls.flush().await.unwrap();
    assert!(rest(&mut tls).await.ends_with("fields.test 127.0.0.1"));
    relay.abort();

    let mut tcp = TcpStream::connect(front).await.unwrap();
    let record = [
        &[0x16, 3, 1, 0x40, 0][..],
        &[1, 0, 0xff, 0xff],
        &[0; 0x4000],
    ]
    .concat();
    while tcp.write_all(&record).await.is_ok() {}
}

#[tokio::test]
async fn a_connection_that_is_passed_on_does_not_keep_the_process_from_stopping() {
    let (here, there) = (Tasks::new(), Tasks::new());
    let front = front_before(&here, &there).await;
    let tcp = TcpStream::connect(front).await.unwrap();
    let _open = handshake(tcp, "fields.test", &TLS13, &[]).await.unwrap();
    assert!(here.stop(LONG).await);
}

#[tokio::test]
async fn what_is_no_tls_is_answered_as_by_the_api() {
    let tasks = Tasks::new();
    let front = front(&tasks).await;
    let mut tcp = TcpStream::connect(front).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: pay.test\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}
