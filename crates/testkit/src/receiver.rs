//! A merchant's webhook receiver, as good or bad as a test wants it.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
    serve::Listener,
};
use coffer_net::outbound::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};

use crate::PATIENCE;

/// One message as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// To which path.
    pub path: String,
    /// How many came to this path before.
    pub before: usize,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: String,
}

impl Received {
    /// What the body says.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A header, empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What a receiver does with a message.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with this status.
    Status(u16),
    /// Sends the client elsewhere.
    Redirect(String),
    /// Never answers while the receiver lives.
    Hang,
}

type Behaviour = dyn Fn(&Received) -> Reply + Send + Sync;

/// A receiver and what came to it.
pub struct Receiver {
    /// Where it listens, without a path.
    pub url: String,
    coming: UnboundedReceiver<Received>,
    waiting: VecDeque<Received>,
    shared: Arc<Shared>,
    _open: watch::Sender<()>,
}

struct Shared {
    behave: Box<Behaviour>,
    counts: Mutex<HashMap<String, usize>>,
    all: Mutex<Vec<Received>>,
    hanging: AtomicUsize,
    coming: UnboundedSender<Received>,
    /// Ends with the receiver, so that what hangs does not hold up the end of a test.
    open: watch::Receiver<()>,
}

impl Receiver {
    /// Listens on a free port of the loopback interface and behaves so.
    ///
    /// # Panics
    /// When there is none.
    pub async fn listen(behave: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::answer(url, listener, behave)
    }

    /// The same behind TLS, as `localhost`, with the certificate in this folder of [`certified`](crate::certified)'s.
    ///
    /// # Panics
    /// When there is no free port, or no certificate.
    pub async fn listen_over_tls(
        certified: &Path,
        behave: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = OverTls::bind(certified).await;
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        Self::answer(url, listener, behave)
    }

    fn answer<L>(
        url: String,
        listener: L,
        behave: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let (sender, coming) = unbounded_channel();
        let (open, still_open) = watch::channel(());
        let shared = Arc::new(Shared {
            behave: Box::new(behave),
            counts: Mutex::default(),
            all: Mutex::default(),
            hanging: AtomicUsize::new(0),
            coming: sender,
            open: still_open,
        });
        let app = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&shared));
        coffer_net::task::spawn("webhook receiver", async move {
            axum::serve(listener, app).await
        });
        Self {
            url,
            coming,
            waiting: VecDeque::new(),
            shared,
            _open: open,
        }
    }

    /// The next message for which this holds; what came before it waits to be asked for.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn next(&mut self, what: &str, wanted: impl Fn(&Received) -> bool) -> Received {
        if let Some(place) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(place).unwrap();
        }
        let search = async {
            loop {
                let message = self.coming.recv().await.unwrap();
                if wanted(&message) {
                    return message;
                }
                self.waiting.push_back(message);
            }
        };
        timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|_| panic!("no webhook in time: {what}"))
    }

    /// The next message to this path about this event of this object.
    pub async fn event(&mut self, path: &str, kind: &str, object: &str) -> Received {
        self.next(&format!("{kind} of {object} to {path}"), |message| {
            let json = message.json();
            message.path == path && json["type"] == kind && json["object"]["id"] == object
        })
        .await
    }

    /// Everything that ever came.
    ///
    /// # Panics
    /// Never, unless the receiver itself panicked.
    #[must_use]
    pub fn everything(&self) -> Vec<Received> {
        self.shared.all.lock().unwrap().clone()
    }

    /// How many messages it keeps without an answer, their senders still waiting.
    #[must_use]
    pub fn hanging(&self) -> usize {
        self.shared.hanging.load(Ordering::SeqCst)
    }
}

/// A listener that does one handshake after the other; who fails at it is not heard of.
struct OverTls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl OverTls {
    async fn bind(certified: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(certified.join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(certified.join("key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        Self {
            tcp: TcpListener::bind(("127.0.0.1", 0)).await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }
}

impl Listener for OverTls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (tcp, address) = Listener::accept(&mut self.tcp).await;
            if let Ok(tls) = self.acceptor.accept(tcp).await {
                return (tls, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Counts a message that hangs until its sender gives up.
struct Hanging(Arc<Shared>);

impl Hanging {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.hanging.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let before = {
        let mut counts = shared.counts.lock().unwrap();
        let count = counts.entry(path.clone()).or_default();
        *count += 1;
        *count - 1
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    let message = Received {
        path,
        before,
        headers,
        body,
    };
    let reply = (shared.behave)(&message);
    let hanging = matches!(reply, Reply::Hang).then(|| Hanging::new(&shared));
    shared.all.lock().unwrap().push(message.clone());
    // The test may have ended.
    let _ = shared.coming.send(message);
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
        Reply::Hang => {
            let _hanging = hanging;
            let _ = shared.open.clone().changed().await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
    }
}
