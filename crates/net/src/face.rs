//! A public face: HTTPS for an axum application, from the listener to the edge of the application.
//!
//! Here live the limits that an application cannot set: connections, handshake and header times, HTTP/2's resets; and what
//! holds for every answer: HSTS, and nothing but one fixed answer over plain HTTP.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, header::STRICT_TRANSPORT_SECURITY};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ProtocolVersion;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt as _;

use crate::{
    Tasks,
    accept::{self, Accepted, Acceptor},
    tls::{ALPN_HTTP2, CertificateStore},
};

mod first_answer;
mod leftover;
mod plain_http;

use first_answer::FirstAnswer;
use leftover::Leftover;

/// Two years, fit for the browsers' preload lists (R3).
pub const HSTS: &str = "max-age=63072000; includeSubDomains; preload";

/// Connections of one face, unless it says otherwise.
const CONNECTIONS_MAX: usize = 4096;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const HEADER_READ_MAX: Duration = Duration::from_secs(10);
const HEADERS_MAX: usize = 16 * 1024;
const HEADERS_COUNT_MAX: usize = 64;
const HTTP2_HEADERS_MAX: u32 = 16 * 1024;
const HTTP2_STREAMS_MAX: u32 = 128;
/// Streams that the client reset before we looked at them (CVE-2023-44487).
const HTTP2_RESETS_PENDING_MAX: usize = 20;
const HTTP2_LOCAL_RESETS_MAX: usize = 128;
const HTTP2_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const HTTP2_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of a TLS record that begins a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// What plain HTTP is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainPolicy {
    /// 403 with code `https_required`: for the API, whose clients must not get used to it.
    Refuse403 {
        /// The address of the code's page, or `about:blank` (RFC 9457).
        page: String,
    },
    /// 308 to the same path over HTTPS: for pages.
    Redirect308 {
        /// The host, with the port if it is not 443.
        to: String,
    },
}

/// The limits of one face.
#[derive(Debug, Clone)]
pub struct FaceLimits {
    /// How many connections there may be at once; further ones wait.
    pub connections_max: usize,
    /// What plain HTTP is answered.
    pub plain: PlainPolicy,
}

impl FaceLimits {
    /// The usual limits.
    #[must_use]
    pub const fn new(plain: PlainPolicy) -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            plain,
        }
    }
}

/// How a request came; in the extensions of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The address at the other end of the connection.
    pub peer: SocketAddr,
    /// `1.3` or `1.2`.
    pub tls_version: &'static str,
    /// `h2` or `http/1.1`.
    pub alpn: &'static str,
}

/// Serves the application until the process stops; then refuses new connections and finishes requests in flight.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<CertificateStore>,
    app: Router,
    limits: FaceLimits,
    tasks: Tasks,
) {
    let acceptor = Acceptor::new(listener, limits.connections_max, tasks.clone());
    let plain = Arc::new(limits.plain);
    while let Some(accepted) = acceptor.next().await {
        let face = Face {
            tls: Arc::clone(&tls),
            app: app.clone(),
            plain: Arc::clone(&plain),
            tasks: tasks.clone(),
        };
        tasks.spawn("face connection", face.receive(accepted));
    }
}

struct Face {
    tls: Arc<CertificateStore>,
    app: Router,
    plain: Arc<PlainPolicy>,
    tasks: Tasks,
}

impl Face {
    async fn receive(self, accepted: Accepted) {
        let Accepted {
            stream,
            peer,
            _room,
        } = accepted;
        let outcome = match timeout(HANDSHAKE_MAX, first_byte(&stream)).await {
            Ok(Ok(Some(TLS_HANDSHAKE))) => self.serve_https(stream, peer).await,
            Ok(Ok(Some(_))) => plain_http::answer(stream, &self.plain).await,
            Ok(Ok(None)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(elapsed) => Err(elapsed.into()),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, peer.address = %peer, "a connection ended");
        }
    }

    async fn serve_https(self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let acceptor = TlsAcceptor::from(self.tls.config());
        let tls = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await??;
        let info = connection_info(&tls, peer);
        let served = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(FirstAnswer::new(tls, Arc::clone(&served)));
        let app = self.app;
        let service = service_fn(move |request| {
            served.store(true, Ordering::Release);
            answer(app.clone(), info, request)
        });
        let stopping = self.tasks.stopping();
        // The protocol is the one agreed on in the handshake: guessing it from the first bytes would have no time limit.
        let ended = if info.alpn == "h2" {
            accept::serve(http2_builder().serve_connection(io, service), stopping).await
        } else {
            accept::serve(http1_builder().serve_connection(io, service), stopping).await
        };
        ended.map_err(io::Error::other)
    }
}

/// What the client sends first, left in place; none when it only came to hang up.
async fn first_byte(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0_u8];
    let count = stream.peek(&mut first).await?;
    Ok(first.first().copied().filter(|_| count > 0))
}

fn connection_info(tls: &TlsStream<TcpStream>, peer: SocketAddr) -> ConnectionInfo {
    let (_, session) = tls.get_ref();
    ConnectionInfo {
        peer,
        // The configuration offers no third version.
        tls_version: if session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            "1.3"
        } else {
            "1.2"
        },
        alpn: if session.alpn_protocol() == Some(ALPN_HTTP2) {
            "h2"
        } else {
            "http/1.1"
        },
    }
}

async fn answer(
    app: Router,
    info: ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (mut request, leftover) = Leftover::of(request);
    request.extensions_mut().insert(info);
    let mut response = app.oneshot(request).await?;
    leftover.drain().await;
    response
        .headers_mut()
        .insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    Ok(response)
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_MAX)
        .max_header_size(HEADERS_MAX)
        .max_headers(HEADERS_COUNT_MAX);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
        .max_local_error_reset_streams(HTTP2_LOCAL_RESETS_MAX)
        .max_header_list_size(HTTP2_HEADERS_MAX)
        .keep_alive_interval(HTTP2_KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(HTTP2_KEEP_ALIVE_TIMEOUT);
    builder
}
