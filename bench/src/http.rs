//! The load: HTTP/1.1 over TLS 1.3 on connections that are kept open, unless the server ends them. It does little, so that it costs little: requests are
//! bytes that were written before, of an answer only the status, the length and the body are looked at.

use std::{
    borrow::Cow,
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use futures_util::future::join_all;
use memchr::memmem;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{
        SupportedKxGroup,
        aws_lc_rs::{self, cipher_suite::TLS13_AES_128_GCM_SHA256},
    },
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::drive::Client;

/// Connections that load a server at a time.
pub(crate) const CONNECTIONS: usize = 64;
/// The room for an answer; none of those that are asked for is longer.
const ANSWER_MAX: usize = 64 * 1024;

/// A face of a server.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Target {
    /// A face at this address, whose certificate is from the authority in this file.
    pub(crate) fn new(address: SocketAddr, authority: &Path) -> Self {
        let tls = tls(
            authority,
            aws_lc_rs::kx_group::X25519,
            Resumption::disabled(),
        );
        Self {
            address,
            tls: Arc::new(tls),
        }
    }

    /// The same, with other TLS.
    pub(crate) fn with(&self, tls: ClientConfig) -> Self {
        Self {
            address: self.address,
            tls: Arc::new(tls),
        }
    }

    /// The value of the header `Host`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// A connection from this address of ours, after its handshake, or whatever became of it.
    pub(crate) async fn try_connect_from(
        &self,
        from: IpAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let tcp = socket.connect(self.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, tcp).await
    }

    /// A connection after its handshake.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        tcp.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, tcp).await.expect("a handshake")
    }
}

/// TLS 1.3 as a client that trusts the authority in this file and offers one way to exchange keys.
pub(crate) fn tls(
    authority: &Path,
    exchange: &'static dyn SupportedKxGroup,
    resumption: Resumption,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).expect("an authority") {
        roots
            .add(certificate.expect("a certificate"))
            .expect("a certificate");
    }
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![exchange];
    // What browsers ask for first; every server here takes it.
    provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = resumption;
    config
}

/// A request without a body.
pub(crate) fn get(host: &str, path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\r\n")
        .into_bytes()
}

/// A request with a JSON body.
pub(crate) fn post(host: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// A connection that is kept open for as long as the server keeps it.
pub(crate) struct Connection {
    target: Target,
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
    /// The server ends it with the answer that came last.
    is_over: bool,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Self {
        Self {
            target: target.clone(),
            stream: target.connect().await,
            received: Vec::with_capacity(ANSWER_MAX),
            is_over: false,
        }
    }

    /// Sends a request and waits for its answer, which is good or ends the program.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        let body = self.receive(request).await;
        assert!(self.received[9] == b'2', "{}", self.text());
        &self.received[body..]
    }

    /// Sends a request and waits for its answer, whatever that says: its head.
    pub(crate) async fn head(&mut self, request: &[u8]) -> &str {
        let body = self.receive(request).await;
        std::str::from_utf8(&self.received[..body]).expect("a head")
    }

    /// Sends a request and waits for its answer: where its body begins.
    async fn receive(&mut self, request: &[u8]) -> usize {
        if self.is_over {
            self.stream = self.target.connect().await;
        }
        self.stream.write_all(request).await.expect("a request");
        self.stream.flush().await.expect("a request");
        self.received.clear();
        loop {
            let count = self
                .stream
                .read_buf(&mut self.received)
                .await
                .expect("an answer");
            assert!(
                count > 0 && self.received.len() < ANSWER_MAX,
                "the answer broke off: {}",
                self.text()
            );
            if let Some(body) = body_of(&self.received) {
                let head = &self.received[..body];
                self.is_over = memmem::find(head, b"connection: close").is_some();
                return body;
            }
        }
    }

    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.received)
    }
}

/// Where the body begins, once all of it is there.
fn body_of(received: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = memmem::find(received, b"\r\n\r\n")?;
    let is_length = |line: &&[u8]| {
        line.len() > LENGTH.len() && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH)
    };
    let mut lines = received[..head].split(|byte| *byte == b'\n');
    let line = lines.find(is_length).expect("an answer with a length");
    let length = String::from_utf8_lossy(&line[LENGTH.len()..])
        .trim()
        .parse::<usize>();
    let end = head + 4 + length.expect("a length");
    (received.len() >= end).then_some(head + 4)
}

/// What to send next; nothing when there is nothing left.
pub(crate) type Next<'a> = dyn Fn() -> Option<Cow<'a, [u8]>> + 'a;

/// A client that sends one request after another on its connection.
pub(crate) struct Sender<'a> {
    connection: Connection,
    next: &'a Next<'a>,
}

impl<'a> Sender<'a> {
    /// As many as load a server.
    pub(crate) async fn all(target: &Target, next: &'a Next<'a>) -> Vec<Self> {
        Self::some(CONNECTIONS, target, next).await
    }

    /// So many.
    pub(crate) async fn some(count: usize, target: &Target, next: &'a Next<'a>) -> Vec<Self> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = Connection::open(target).await;
            all.push(Self { connection, next });
        }
        all
    }
}

impl Client for Sender<'_> {
    async fn act(&mut self) -> bool {
        let Some(request) = (self.next)() else {
            return false;
        };
        self.connection.exchange(&request).await;
        true
    }
}

/// Sends all requests over some connections and returns the JSON of their answers, in any order.
pub(crate) async fn ask(target: &Target, requests: Vec<Vec<u8>>) -> Vec<serde_json::Value> {
    let (requests, answers) = (RefCell::new(requests.into_iter()), RefCell::new(Vec::new()));
    let client = async || {
        let mut connection = Connection::open(target).await;
        loop {
            let Some(request) = requests.borrow_mut().next() else {
                return;
            };
            let answer = serde_json::from_slice(connection.exchange(&request).await);
            answers.borrow_mut().push(answer.expect("JSON"));
        }
    };
    join_all((0..CONNECTIONS).map(|_| client())).await;
    answers.into_inner()
}
