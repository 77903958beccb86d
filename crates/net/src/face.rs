//! A public face: HTTPS for an application, from the listener to the edge of the application.
//!
//! Here live the limits that an application cannot set: connections, times, sizes, what HTTP/2 clients may ask for
//! (`limits.rs`); the rules for the head of every request (`head.rs`, `policy.rs`); and what holds for every answer: HSTS,
//! and nothing but one fixed answer over plain HTTP. What is wrong with a request is a [`Fault`], for the application to word.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use axum::{Router, body::Body};
use http::{Request, Response};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::{Tasks, tls::CertificateStore};

mod answering;
mod chunks;
mod crowd;
mod deadline;
mod entry;
mod fault;
mod front;
mod handshakes;
pub(crate) mod head;
mod hello;
mod http1;
mod http2;
mod leftover;
mod limits;
mod patience;
pub(crate) mod plain_http;
mod policy;
mod preread;
pub(crate) mod proxies;
mod residue;
mod tls;
mod visit;

pub use crowd::client_of;
pub use fault::Fault;
pub use front::{Front, Passage};
pub use limits::FaceLimits;
pub use plain_http::{Overheard, PlainCall, PlainPolicy};
pub use proxies::{ClientHeader, TrustedProxies};
pub use residue::Confidential;

/// Two years, fit for the browsers' preload lists (R3).
pub const HSTS: &str = "max-age=63072000; includeSubDomains; preload";

/// How a face presents itself.
pub struct FaceSettings {
    /// The hosts that it answers for, without ports.
    pub names: Vec<String>,
    /// What plain HTTP is answered.
    pub plain: PlainPolicy,
    /// Who may say who the client is.
    pub proxies: TrustedProxies,
    /// How many and how long.
    pub limits: FaceLimits,
}

impl FaceSettings {
    /// With the usual limits, and no proxies before it.
    #[must_use]
    pub fn new(names: Vec<String>, plain: PlainPolicy) -> Self {
        Self {
            names,
            plain,
            proxies: TrustedProxies::none(),
            limits: FaceLimits::default(),
        }
    }
}

/// What answers the requests of a face.
pub trait Application: Send + Sync + 'static {
    /// The answer to a request that came in this way. A [`Fault`] in its extensions is to be put into words.
    fn answer(&self, request: Request<Body>, came: ConnectionInfo) -> Answering;
}

/// An answer in the making.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Its handlers find the [`ConnectionInfo`] in the extensions of the request.
impl Application for Router {
    fn answer(&self, mut request: Request<Body>, came: ConnectionInfo) -> Answering {
        request.extensions_mut().insert(came);
        let answer = self.clone().oneshot(request);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    }
}

/// An application with its certificates and rules, to be served by one listener or several. Cheap to clone.
#[derive(Clone)]
pub struct Face(Arc<Parts>);

struct Parts {
    tls: Arc<CertificateStore>,
    app: Box<dyn Application>,
    names: Vec<String>,
    plain: PlainPolicy,
    proxies: TrustedProxies,
    limits: Arc<FaceLimits>,
}

impl Face {
    /// The application behind these certificates.
    #[must_use]
    pub fn new(tls: Arc<CertificateStore>, app: impl Application, settings: FaceSettings) -> Self {
        let FaceSettings {
            names,
            plain,
            proxies,
            limits,
        } = settings;
        Self(Arc::new(Parts {
            tls,
            app: Box::new(app),
            names,
            plain,
            proxies,
            limits: Arc::new(limits),
        }))
    }
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Whose request it is: the address at the other end of the connection, or whom a trusted proxy named.
    pub peer: SocketAddr,
    /// `1.3` or `1.2`.
    pub tls_version: &'static str,
    /// `h2` or `http/1.1`.
    pub alpn: &'static str,
}

/// Serves the face until the process stops; then refuses new connections and finishes requests in flight.
pub async fn serve(listener: TcpListener, face: Face, tasks: Tasks) {
    entry::receive(listener, entry::Inside::Face(face), tasks).await;
}
