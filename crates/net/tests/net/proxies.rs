//! Who the client is: nobody but a trusted proxy can say it is somebody else.

use coffer_net::face::{ClientHeader, FaceLimits, FaceSettings, TrustedProxies};
use rustls::version::TLS13;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::served::{Served, handshake, rest, settings};

/// For 203.0.113.9 (PROXY protocol 2, 2.2).
const PREAMBLE: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x12\x67\x01\xbb";

async fn served_behind(networks: &[&str]) -> Served {
    let networks = networks.iter().map(|network| network.parse().unwrap());
    let proxies = TrustedProxies::new(networks.collect(), ClientHeader::XForwardedFor);
    Served::start(FaceSettings {
        proxies,
        ..settings()
    })
    .await
}

/// Who the application takes us for, when we send this before the handshake and these headers.
async fn taken_for(served: &Served, preamble: &[u8], headers: &str) -> Option<String> {
    let mut tcp = TcpStream::connect(served.address).await.unwrap();
    tcp.write_all(preamble).await.unwrap();
    let mut tls = handshake(tcp, "localhost", &TLS13, &[]).await.ok()?;
    let request =
        format!("GET /info HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await.ok()?;
    let answer = rest(&mut tls).await;
    let info = answer.rsplit("\r\n\r\n").next()?;
    Some(info.rsplit(' ').next()?.to_owned())
}

const SPOOFED: &str = "x-forwarded-for: 203.0.113.7\r\nforwarded: for=203.0.113.7\r\n\
    x-real-ip: 203.0.113.7\r\ntrue-client-ip: 203.0.113.7\r\n";

#[tokio::test]
async fn a_stranger_is_who_he_is_and_a_preamble_of_his_is_refused() {
    for networks in [[].as_slice(), &["10.0.0.0/8", "::1/128"]] {
        let served = served_behind(networks).await;
        assert_eq!(taken_for(&served, b"", SPOOFED).await.unwrap(), "127.0.0.1");
        assert_eq!(taken_for(&served, PREAMBLE, "").await, None);
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_asks() {
    for network in ["127.0.0.0/8", "::ffff:127.0.0.0/104"] {
        let served = served_behind(&[network]).await;
        assert_eq!(taken_for(&served, b"", "").await.unwrap(), "127.0.0.1");
        assert_eq!(
            taken_for(&served, PREAMBLE, "").await.unwrap(),
            "203.0.113.9"
        );
        let chain = "x-forwarded-for: 198.51.100.1, 203.0.113.8\r\nx-forwarded-for: 127.0.0.9\r\n";
        assert_eq!(taken_for(&served, b"", chain).await.unwrap(), "203.0.113.8");
        // Whom the preamble names is no proxy, and his headers are his own.
        assert_eq!(
            taken_for(&served, PREAMBLE, SPOOFED).await.unwrap(),
            "203.0.113.9"
        );
    }
}

#[tokio::test]
async fn a_broken_preamble_is_refused_even_from_a_proxy() {
    let served = served_behind(&["127.0.0.0/8"]).await;
    for (place, byte) in [(12, 0x31), (13, 0x31), (14, 0x7f), (5, b'x')] {
        let mut preamble = PREAMBLE.to_vec();
        preamble[place] = byte;
        assert_eq!(taken_for(&served, &preamble, "").await, None, "{place}");
    }
    let twice = [PREAMBLE, PREAMBLE].concat();
    assert_eq!(taken_for(&served, &twice, "").await, None);
}

#[tokio::test]
async fn clients_of_a_proxy_do_not_push_each_other_out() {
    let proxies = TrustedProxies::new(
        vec!["127.0.0.0/8".parse().unwrap()],
        ClientHeader::XForwardedFor,
    );
    let limits = FaceLimits {
        unfinished_per_address_max: 2,
        ..FaceLimits::default()
    };
    let served = Served::start(FaceSettings {
        proxies,
        limits,
        ..settings()
    })
    .await;
    let mut waiting = Vec::new();
    for client in 0..8 {
        let mut preamble = PREAMBLE.to_vec();
        preamble[19] = client;
        let mut tcp = TcpStream::connect(served.address).await.unwrap();
        tcp.write_all(&preamble).await.unwrap();
        waiting.push(tcp);
    }
    assert_eq!(
        taken_for(&served, PREAMBLE, "").await.unwrap(),
        "203.0.113.9"
    );
    for tcp in &waiting {
        let error = tcp.try_read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}
