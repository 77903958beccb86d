//! Requests to the world: webhooks and payment providers. Guarded: only allowed addresses, verified TLS, no redirects, no
//! proxies, limits of time and size; and each failure says whether the peer may have got the request.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::{
    task,
    tls::{self, ALPN_HTTP1, CertificateError},
};

mod address;
mod pool;
pub(crate) mod target;

pub use address::AddressPolicy;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pool::{Pool, Sender};
use target::Target;
pub(crate) use target::resolve;

/// The longest time to resolve, connect and shake hands.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_HEADERS_MAX: usize = 16 * 1024;
/// How often a request that was provably not sent is tried on another connection.
const RECONNECTS_MAX: usize = 1;

/// The authorities that servers' certificates may come from.
#[derive(Debug, Clone)]
pub struct Roots(RootCertStore);

impl Roots {
    /// The public ones.
    #[must_use]
    pub fn public() -> Self {
        Self(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    pub(crate) fn store(&self) -> RootCertStore {
        self.0.clone()
    }

    /// These as well.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] for a text that holds no certificates of authorities.
    pub fn with_pem(mut self, pem: &str) -> Result<Self, CertificateError> {
        for certificate in tls::certificates(pem)? {
            let added = self.0.add(certificate);
            added.map_err(|_| CertificateError::Malformed)?;
        }
        Ok(self)
    }
}

/// One request.
pub struct OutboundRequest {
    /// What to do.
    pub method: Method,
    /// Where; `https://` unless `plain_http`.
    pub url: String,
    /// Further headers; those that belong to the connection are refused.
    pub headers: HeaderMap,
    /// The body; wiped when it was sent.
    pub body: Zeroizing<Vec<u8>>,
    /// Whether an `http://` URL is meant (webhooks carry nothing secret).
    pub plain_http: bool,
}

/// How long to wait and how much to read.
#[derive(Debug, Clone, Copy)]
pub struct OutboundLimits {
    /// For all of it.
    pub timeout: Duration,
    /// The longest body of the answer.
    pub body_max: usize,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct OutboundResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Whether the peer can have seen the request. Money depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// No byte of it left for the peer: it may be sent again.
    NotSent,
    /// It may have arrived and been acted on.
    MaybeSent,
}

/// What went wrong, in words that may be shown to whoever gave the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundErrorKind {
    /// The URL or a header is not one that may be used.
    RequestInvalid,
    /// No connection; also when the address is one that may not be used.
    Unreachable,
    /// No TLS connection with a certificate for this host.
    Certificate,
    /// It took too long.
    Timeout,
    /// The connection ended before the answer, or what came was not HTTP.
    Broken,
    /// The answer is longer than its limit.
    TooLarge,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboundError {
    /// Whether the peer can have seen the request.
    pub blame: Blame,
    /// What went wrong.
    pub kind: OutboundErrorKind,
}

impl std::fmt::Display for OutboundError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            OutboundErrorKind::RequestInvalid => "the URL or a header cannot be used",
            OutboundErrorKind::Unreachable => "the host cannot be reached",
            OutboundErrorKind::Certificate => "the host has no valid certificate",
            OutboundErrorKind::Timeout => "the host did not answer in time",
            OutboundErrorKind::Broken => "the connection ended before the answer",
            OutboundErrorKind::TooLarge => "the answer is too long",
        })
    }
}

impl std::error::Error for OutboundError {}

/// The client. Clones share their connections.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    policy: AddressPolicy,
    tls: Arc<ClientConfig>,
    pool: Pool,
}

impl Outbound {
    /// A client that may connect where `policy` says and trusts `roots`.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "our one provider has suites for TLS 1.2 and 1.3; every start proves it"
    )]
    pub fn new(policy: AddressPolicy, roots: Roots) -> Self {
        let mut config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots.0)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
        Self(Arc::new(Shared {
            policy,
            tls: Arc::new(config),
            pool: Pool::default(),
        }))
    }

    /// Sends a request, at most once, and reads its answer. Redirects are answers like any other.
    ///
    /// # Errors
    /// Why there is no answer, and whether the peer can have seen the request.
    pub async fn send(
        &self,
        request: OutboundRequest,
        limits: OutboundLimits,
    ) -> Result<OutboundResponse, OutboundError> {
        let deadline = Instant::now() + limits.timeout;
        let (target, mut request) =
            prepare(request).ok_or(not_sent(OutboundErrorKind::RequestInvalid))?;
        let mut pooled = true;
        for _ in 0..=RECONNECTS_MAX {
            let mut sender = self
                .sender(&target, pooled, deadline)
                .await
                .map_err(not_sent)?;
            // A process that was stopped for a while must not wake up and send: others count on the deadline.
            if Instant::now() >= deadline {
                return Err(not_sent(OutboundErrorKind::Timeout));
            }
            let sent = timeout_at(deadline, sender.try_send_request(request)).await;
            match sent.map_err(|_| maybe_sent(OutboundErrorKind::Timeout))? {
                Ok(response) => {
                    return self
                        .receive(target, sender, response, limits, deadline)
                        .await;
                }
                // Given back only if nothing of it was written.
                Err(mut failure) => {
                    request = failure
                        .take_message()
                        .ok_or(maybe_sent(OutboundErrorKind::Broken))?
                }
            }
            pooled = false;
        }
        Err(not_sent(OutboundErrorKind::Broken))
    }

    /// A connection that is ready for a request. Everything that fails or takes too long here was not sent.
    async fn sender(
        &self,
        target: &Target,
        pooled: bool,
        deadline: Instant,
    ) -> Result<Sender, OutboundErrorKind> {
        let deadline = deadline.min(Instant::now() + CONNECT_MAX);
        let ready = async {
            while pooled && let Some(mut sender) = self.0.pool.take(target) {
                if sender.ready().await.is_ok() {
                    return Ok(sender);
                }
            }
            self.connect(target).await
        };
        timeout_at(deadline, ready)
            .await
            .unwrap_or(Err(OutboundErrorKind::Unreachable))
    }

    async fn connect(&self, target: &Target) -> Result<Sender, OutboundErrorKind> {
        let stream = target.connect(&self.0.policy, &self.0.tls).await?;
        let handshake = http1::Builder::new()
            .max_header_size(ANSWER_HEADERS_MAX)
            .handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake
            .await
            .map_err(|_| OutboundErrorKind::Unreachable)?;
        task::spawn_apart("outbound connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an outbound connection ended");
            }
        });
        sender
            .ready()
            .await
            .map_err(|_| OutboundErrorKind::Unreachable)?;
        Ok(sender)
    }

    async fn receive(
        &self,
        target: Target,
        sender: Sender,
        response: http::Response<Incoming>,
        limits: OutboundLimits,
        deadline: Instant,
    ) -> Result<OutboundResponse, OutboundError> {
        let (head, body) = response.into_parts();
        let body_max = u64::try_from(limits.body_max).unwrap_or(u64::MAX);
        if body.size_hint().lower() > body_max {
            return Err(maybe_sent(OutboundErrorKind::TooLarge));
        }
        let collected = timeout_at(deadline, Limited::new(body, limits.body_max).collect()).await;
        let collected = collected.map_err(|_| maybe_sent(OutboundErrorKind::Timeout))?;
        let body = collected.map_err(|error| {
            let too_large = error.is::<http_body_util::LengthLimitError>();
            maybe_sent(if too_large {
                OutboundErrorKind::TooLarge
            } else {
                OutboundErrorKind::Broken
            })
        })?;
        self.0.pool.put(target, sender);
        Ok(OutboundResponse {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes().to_vec(),
        })
    }
}

/// The request as HTTP/1.1 wants it, or nothing if it may not be sent at all.
fn prepare(request: OutboundRequest) -> Option<(Target, Request<Full<Bytes>>)> {
    let (target, path, host) = target::parse(&request.url)?;
    if !(target.tls || request.plain_http) || request.method == Method::CONNECT {
        return None;
    }
    // These belong to the connection and are ours to set.
    let own = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    if own.iter().any(|name| request.headers.contains_key(name)) {
        return None;
    }
    let mut prepared = Request::new(Full::new(Bytes::from_owner(request.body)));
    *prepared.method_mut() = request.method;
    *prepared.uri_mut() = path;
    *prepared.headers_mut() = request.headers;
    prepared.headers_mut().insert(header::HOST, host);
    Some((target, prepared))
}

const fn not_sent(kind: OutboundErrorKind) -> OutboundError {
    OutboundError {
        blame: Blame::NotSent,
        kind,
    }
}

const fn maybe_sent(kind: OutboundErrorKind) -> OutboundError {
    OutboundError {
        blame: Blame::MaybeSent,
        kind,
    }
}
