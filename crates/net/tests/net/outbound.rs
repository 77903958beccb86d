//! Rules of outbound requests: only to allowed addresses and proven hosts, and each failure says whether it may have
//! arrived.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use coffer_net::outbound::{
    AddressPolicy, Blame, HeaderMap, HeaderValue, Method, Outbound, OutboundError,
    OutboundErrorKind, OutboundLimits, OutboundRequest, OutboundResponse, Roots, StatusCode,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::support::{Ca, Certified};

const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(20),
    body_max: 1024,
};

/// What the server at the other end does with each request.
#[derive(Clone, Copy)]
enum Conduct {
    Answer(&'static str),
    HangUp,
    Silence,
}

struct Host {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Host {
    async fn start(conduct: Conduct, certified: Option<Certified>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let acceptor = certified.map(|certified| acceptor(&certified));
        coffer_net::task::spawn("host", async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                coffer_net::task::spawn("host connection", receive(tcp, acceptor.clone(), conduct));
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/hooks?x=1", self.address.port())
    }
}

fn acceptor(certified: &Certified) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(certified.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certified.key.expose()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn receive(tcp: TcpStream, acceptor: Option<TlsAcceptor>, conduct: Conduct) {
    match acceptor {
        None => converse(tcp, conduct).await,
        Some(acceptor) => {
            if let Ok(tls) = acceptor.accept(tcp).await {
                converse(tls, conduct).await;
            }
        }
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, conduct: Conduct) {
    let mut seen = Vec::new();
    while stream.read_buf(&mut seen).await.unwrap_or(0) > 0 {
        if !seen.ends_with(b"hello") {
            continue;
        }
        match conduct {
            Conduct::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Conduct::HangUp => return,
            Conduct::Silence => std::future::pending().await,
        }
        seen.clear();
    }
}

fn request(url: String) -> OutboundRequest {
    OutboundRequest {
        method: Method::POST,
        url,
        headers: HeaderMap::from_iter([("x-test".parse().unwrap(), HeaderValue::from_static("1"))]),
        body: Zeroizing::new(b"hello".to_vec()),
        plain_http: true,
    }
}

fn loopback(roots: Roots) -> Outbound {
    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    Outbound::new(AddressPolicy::new(networks), roots)
}

async fn send(outbound: &Outbound, url: String) -> Result<OutboundResponse, OutboundError> {
    outbound.send(request(url), LIMITS).await
}

fn failure(outcome: Result<OutboundResponse, OutboundError>) -> (Blame, OutboundErrorKind) {
    let error = outcome.unwrap_err();
    (error.blame, error.kind)
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_connected_to() {
    let host = Host::start(
        Conduct::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        None,
    )
    .await;
    let outbound = Outbound::new(AddressPolicy::public_only(), Roots::public());
    for name in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "0",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "[::]",
        "127.0.0.2",
    ] {
        for scheme in ["http", "https"] {
            let refused = failure(send(&outbound, host.url(scheme, name)).await);
            assert_eq!(
                refused,
                (Blame::NotSent, OutboundErrorKind::Unreachable),
                "{scheme} {name}"
            );
        }
    }
    assert_eq!(host.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_dead_host_reads_like_a_refused_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let dead = send(&loopback(Roots::public()), url.clone())
        .await
        .unwrap_err();
    let refused = send(
        &Outbound::new(AddressPolicy::public_only(), Roots::public()),
        url,
    )
    .await;
    assert_eq!(dead, refused.unwrap_err());
}

#[tokio::test]
async fn plain_http_needs_to_be_meant_and_the_connection_s_headers_are_ours() {
    let outbound = loopback(Roots::public());
    let invalid = (Blame::NotSent, OutboundErrorKind::RequestInvalid);
    let mut plain = request("http://127.0.0.1:1/".to_owned());
    plain.plain_http = false;
    assert_eq!(failure(outbound.send(plain, LIMITS).await), invalid);
    for name in [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
    ] {
        let mut smuggling = request("http://127.0.0.1:1/".to_owned());
        smuggling
            .headers
            .insert(name, HeaderValue::from_static("1"));
        assert_eq!(
            failure(outbound.send(smuggling, LIMITS).await),
            invalid,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nhi";
    let host = Host::start(Conduct::Answer(redirect), None).await;
    let answer = send(&loopback(Roots::public()), host.url("http", "127.0.0.1"))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (StatusCode::FOUND, &b"hi"[..])
    );
    assert_eq!(host.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let ok = Conduct::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let host = Host::start(ok, None).await;
    let outbound = loopback(Roots::public());
    for _ in 0..3 {
        assert!(send(&outbound, host.url("http", "127.0.0.1")).await.is_ok());
    }
    assert_eq!(host.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_host_must_prove_its_name() {
    let ok = Conduct::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let ca = Ca::new();
    let host = Host::start(ok, Some(ca.issue(None, false, true))).await;
    let untrusted = send(&loopback(Roots::public()), host.url("https", "localhost")).await;
    assert_eq!(
        failure(untrusted),
        (Blame::NotSent, OutboundErrorKind::Certificate)
    );

    let trusting = loopback(Roots::public().with_pem(ca.pem()).unwrap());
    let other_name = send(&trusting, host.url("https", "127.0.0.2")).await;
    assert_eq!(
        failure(other_name),
        (Blame::NotSent, OutboundErrorKind::Unreachable)
    );
    for name in ["localhost", "127.0.0.1"] {
        let answer = send(&trusting, host.url("https", name)).await.unwrap();
        assert_eq!(answer.body, b"hi");
    }
    let elsewhere = Host::start(ok, Some(ca.issue_for("shop.test"))).await;
    let wrong = send(&trusting, elsewhere.url("https", "localhost")).await;
    assert_eq!(
        failure(wrong),
        (Blame::NotSent, OutboundErrorKind::Certificate)
    );
}

#[tokio::test]
async fn once_connected_every_failure_may_have_arrived() {
    let outbound = loopback(Roots::public());
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 1025\r\n\r\n";
    for (conduct, kind) in [
        (Conduct::HangUp, OutboundErrorKind::Broken),
        (
            Conduct::Answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi"),
            OutboundErrorKind::Timeout,
        ),
        (
            Conduct::Answer("nonsense\r\n\r\n"),
            OutboundErrorKind::Broken,
        ),
        (Conduct::Answer(long), OutboundErrorKind::TooLarge),
        (Conduct::Silence, OutboundErrorKind::Timeout),
    ] {
        let host = Host::start(conduct, None).await;
        let mut limits = LIMITS;
        if kind == OutboundErrorKind::Timeout {
            limits.timeout = Duration::from_millis(500);
        }
        let outcome = outbound
            .send(request(host.url("http", "127.0.0.1")), limits)
            .await;
        assert_eq!(failure(outcome), (Blame::MaybeSent, kind));
        assert_eq!(host.connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_was_not_sent() {
    let host = Host::start(Conduct::Silence, None).await;
    let mut limits = LIMITS;
    limits.timeout = Duration::from_millis(200);
    let outcome = loopback(Roots::public())
        .send(request(host.url("https", "127.0.0.1")), limits)
        .await;
    assert_eq!(failure(outcome).0, Blame::NotSent);
}
