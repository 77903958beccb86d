//! A face with a small application, and clients that send it whatever they like.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Bytes,
    routing::{get, post},
};
use coffer_net::{
    Tasks,
    face::{ConnectionInfo, Face, FaceSettings, Fault, PlainPolicy, serve},
    tls::CertificateStore,
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{SupportedProtocolVersion, version::TLS13};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Ca, client_config};

pub(crate) const LONG: Duration = Duration::from_secs(20);
/// The page of the code for plain HTTP.
pub(crate) const PAGE: &str = "https://localhost/docs/errors/https_required";
/// More than every buffer between two ends holds.
pub(crate) const LARGE: usize = 16 * 1024 * 1024;

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<CertificateStore>,
    pub(crate) tasks: Tasks,
    pub(crate) begun: Arc<Notify>,
    pub(crate) go_on: Arc<Notify>,
    /// A request in work has ended, with its answer or without.
    pub(crate) ended: Arc<Notify>,
}

/// Tells when it is dropped.
struct Ending(Arc<Notify>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What the API does with plain HTTP.
pub(crate) fn refused() -> PlainPolicy {
    let (page, overheard) = (PAGE.to_owned(), None);
    PlainPolicy::Refuse403 { page, overheard }
}

/// For `localhost`, with limits to be changed.
pub(crate) fn settings() -> FaceSettings {
    FaceSettings::new(vec!["localhost".to_owned()], refused())
}

impl Served {
    pub(crate) async fn start(settings: FaceSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = CertificateStore::new();
        load(&store);
        let [begun, go_on, ended] = [(); 3].map(|()| Arc::new(Notify::new()));
        let app = application(&begun, &go_on, &ended);
        let tasks = Tasks::new();
        let face = Face::new(Arc::clone(&store), app, settings);
        tasks.spawn("face", serve(listener, face, tasks.clone()));
        Self {
            address,
            store,
            tasks,
            begun,
            go_on,
            ended,
        }
    }

    pub(crate) async fn tls(
        &self,
        version: &'static SupportedProtocolVersion,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        handshake(tcp, "localhost", version, alpn).await
    }

    /// A connection for requests over HTTP/1.1.
    pub(crate) async fn http1(&self) -> TlsStream<TcpStream> {
        self.tls(&TLS13, &[b"http/1.1"]).await.unwrap()
    }

    /// Everything that is answered to these bytes over TLS, until the face closes.
    pub(crate) async fn raw_https(&self, bytes: &[u8]) -> String {
        let mut tls = self.http1().await;
        tls.write_all(bytes).await.unwrap();
        rest(&mut tls).await
    }

    pub(crate) async fn raw_plain(&self, bytes: &[u8]) -> String {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        rest(&mut tcp).await
    }

    /// A connection for requests over HTTP/2.
    pub(crate) async fn http2_client(&self) -> SendRequest<Empty<Bytes>> {
        let tls = self.tls(&TLS13, &[b"h2"]).await.unwrap();
        let io = TokioIo::new(tls);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .unwrap();
        coffer_net::task::spawn("client", connection);
        sender
    }

    pub(crate) async fn http2(
        &self,
        request: http::request::Builder,
    ) -> (StatusCode, HeaderMap, String) {
        let mut sender = self.http2_client().await;
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status, head.headers, body)
    }

    pub(crate) async fn http2_get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.http2(Request::get(format!("https://localhost{path}")))
            .await
    }
}

pub(crate) async fn handshake<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: S,
    name: &str,
    version: &'static SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<S>> {
    let connector = TlsConnector::from(Arc::new(client_config(None, version, alpn)));
    let name = name.to_owned().try_into().unwrap();
    connector.connect(name, stream).await
}

/// What still comes, until the other side closes.
pub(crate) async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // An end without a farewell is an end.
    let read = timeout(LONG, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

fn application(begun: &Arc<Notify>, go_on: &Arc<Notify>, ended: &Arc<Notify>) -> Router {
    let [begin, wait, end] = [begun, go_on, ended].map(Arc::clone);
    let wait = async move || {
        let _ending = Ending(Arc::clone(&end));
        begin.notify_one();
        wait.notified().await;
        "done"
    };
    Router::new()
        .route("/info", get(info))
        // It answers without reading what comes.
        .route("/refuse", post(async || StatusCode::PAYLOAD_TOO_LARGE))
        .route("/echo", post(echo))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/wait", get(wait))
        .route(
            "/last",
            get(async || ([(http::header::CONNECTION, "close")], "bye")),
        )
        .layer(axum::middleware::from_fn(word_fault))
}

async fn info(Extension(info): Extension<ConnectionInfo>) -> String {
    format!("{} {} {}", info.tls_version, info.alpn, info.peer.ip())
}

async fn echo(
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> (StatusCode, String) {
    match body {
        Ok(body) => (
            StatusCode::OK,
            format!("[{}]", String::from_utf8_lossy(&body)),
        ),
        Err(_) => (StatusCode::BAD_REQUEST, "broken off".to_owned()),
    }
}

async fn word_fault(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    match request.extensions().get::<Fault>() {
        Some(fault) => (fault.status(), format!("{fault:?}")).into_response(),
        None => next.run(request).await,
    }
}

pub(crate) fn load(store: &CertificateStore) {
    let certified = Ca::new().issue(None, false, true);
    store.load_pem(&certified.chain, &certified.key).unwrap();
}
