//! The calling end of a link: one HTTP/2 connection, made when needed, made anew when it ended.

mod packed;

use std::{collections::HashMap, future::Future, io, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use coffer_core::{id::RequestId, limits::LINK_BODY_MAX};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::TcpStream,
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use self::packed::Meeting;
use super::{
    DEADLINE_HEADER, Revoked, WIRE_HEADER, WIRE_VERSION, decode, encode,
    identity::{Credentials, Identity, peer_of},
};
use crate::{
    contract::{Error, Role},
    request_id, task,
};

const CONNECT_MAX: Duration = Duration::from_millis(500);
const HANDSHAKE_MAX: Duration = Duration::from_secs(2);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a call that was provably not sent is tried on a new connection.
const RECONNECTS_MAX: usize = 1;
/// Nothing looks at it: the certificate must name a role, not a host.
const SERVER_NAME: &str = "role.coffer.internal";

/// A client to one role at one address. Clones share the connection.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    revoked: Option<Revoked>,
}

struct Shared {
    identity: Arc<Identity>,
    address: String,
    expect: Role,
    /// What calls go over.
    connection: ArcSwapOption<Connection>,
    /// Held by whoever connects; when that failed last.
    failed: Mutex<Option<Instant>>,
    uris: Uris,
    meetings: std::sync::Mutex<HashMap<(Role, &'static str), Meeting>>,
}

/// The addresses of the methods that were called; there are as many as methods.
type Uris = std::sync::Mutex<HashMap<(Role, &'static str), Uri>>;

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// With which credentials it was made.
    credentials: Arc<Credentials>,
    serial: String,
}

impl Link {
    /// A link to `expect` at `address` (`host:port`). Connects with the first call.
    #[must_use]
    pub fn new(identity: Arc<Identity>, address: String, expect: Role) -> Self {
        let shared = Shared {
            identity,
            address,
            expect,
            connection: ArcSwapOption::empty(),
            failed: Mutex::default(),
            uris: Uris::default(),
            meetings: std::sync::Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            revoked: None,
        }
    }

    /// The same link, which also never talks to a process whose certificate is revoked.
    #[must_use]
    pub fn refusing(mut self, revoked: Revoked) -> Self {
        self.revoked = Some(revoked);
        self
    }

    /// Calls a method and waits for its answer, at most this long. Sent at most once.
    ///
    /// # Errors
    /// What the role answers; `Away` when it cannot be reached, is another role, or does not answer in time;
    /// `Refused(Malformed)` when the request is too large; `Defect` for an answer that cannot be read.
    pub fn call<Req: Serialize, Res: DeserializeOwned>(
        &self,
        role: Role,
        method: &'static str,
        request: &Req,
        within: Duration,
    ) -> impl Future<Output = Result<Res, Error>> + Send + use<'_, Req, Res> {
        // Encoded at once, so that the future, which is moved more than once, does not hold the message.
        let request = self.request(role, method, request, within);
        async move {
            let answer = timeout(within, self.exchange(request?)).await;
            let (status, body) = answer.map_err(|_| {
                tracing::warn!(link.role = %role, link.method = method, "a role did not answer in time");
                Error::Away
            })??;
            if status == StatusCode::OK {
                decode(&body).map_err(|_| Error::Defect)
            } else {
                Err(decode::<Error>(&body).unwrap_or(Error::Defect))
            }
        }
    }

    fn request<Req: Serialize>(
        &self,
        role: Role,
        method: &'static str,
        request: &Req,
        within: Duration,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let body = encode(request)?;
        let uri = self.uri(role, method)?;
        Ok(http_request(uri, body, within, request_id::current()))
    }

    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Error> {
        for _ in 0..=RECONNECTS_MAX {
            let connection = self.connection().await?;
            match connection.sender.clone().try_send_request(request).await {
                Ok(response) => return read(response).await,
                Err(mut failure) => {
                    self.forget(&connection);
                    let Some(unsent) = failure.take_message() else {
                        let error = failure.into_error();
                        self.log_away("a role went away during a call", &error);
                        return Err(Error::Away);
                    };
                    request = unsent;
                }
            }
        }
        Err(Error::Away)
    }

    /// The connection, made anew if it ended, our credentials were replaced, or the peer's were revoked.
    async fn connection(&self) -> Result<Arc<Connection>, Error> {
        match self.usable() {
            Some(connection) => self.trusted(connection),
            None => Box::pin(self.connected()).await,
        }
    }

    async fn connected(&self) -> Result<Arc<Connection>, Error> {
        let asked = Instant::now();
        let mut failed = self.shared.failed.lock().await;
        if let Some(connection) = self.usable() {
            return self.trusted(connection);
        }
        self.shared.connection.store(None);
        // Whoever waited while another call failed to connect need not find out again.
        if failed.is_some_and(|failed| failed >= asked) {
            return Err(Error::Away);
        }
        match self.connect(self.shared.identity.credentials()).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *failed = None;
                self.shared.connection.store(Some(Arc::clone(&connection)));
                self.trusted(connection)
            }
            Err(error) => {
                *failed = Some(Instant::now());
                self.log_away("a role cannot be reached", &error);
                Err(Error::Away)
            }
        }
    }

    fn usable(&self) -> Option<Arc<Connection>> {
        let credentials = self.shared.identity.credentials();
        let fits = |connection: &Arc<Connection>| {
            !connection.sender.is_closed() && Arc::ptr_eq(&connection.credentials, &credentials)
        };
        self.shared.connection.load_full().filter(fits)
    }

    fn trusted(&self, connection: Arc<Connection>) -> Result<Arc<Connection>, Error> {
        let revoked = |revoked: &Revoked| revoked.load().contains(&connection.serial);
        if self.revoked.as_ref().is_some_and(revoked) {
            tracing::warn!(link.role = %self.shared.expect, peer.serial = connection.serial, "a role's certificate is revoked");
            return Err(Error::Away);
        }
        Ok(connection)
    }

    /// The next call connects anew, unless another has done so already.
    fn forget(&self, connection: &Arc<Connection>) {
        self.shared.connection.compare_and_swap(connection, None);
    }

    fn uri(&self, role: Role, method: &'static str) -> Result<Uri, Error> {
        // A panic elsewhere leaves the map whole: every change of it is one call.
        let mut uris = crate::lock(&self.shared.uris);
        if let Some(uri) = uris.get(&(role, method)) {
            return Ok(uri.clone());
        }
        let uri = format!("https://{SERVER_NAME}/{role}/v1/{method}");
        let uri: Uri = uri.parse().map_err(|_| Error::Defect)?;
        uris.insert((role, method), uri.clone());
        Ok(uri)
    }

    async fn connect(&self, credentials: Arc<Credentials>) -> io::Result<Connection> {
        let config = credentials.client_config(self.shared.expect);
        let connector = TlsConnector::from(Arc::new(config.map_err(io::Error::other)?));
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let tcp = within(CONNECT_MAX, TcpStream::connect(&self.shared.address)).await?;
        tcp.set_nodelay(true)?;
        let tls = within(HANDSHAKE_MAX, connector.connect(name, tcp)).await?;
        let leaf = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let peer = leaf.and_then(|leaf| peer_of(leaf));
        let serial = peer
            .map(|peer| peer.serial)
            .ok_or(io::ErrorKind::InvalidData)?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(io::Error::other)?;
        task::spawn_apart("link connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a link's connection ended");
            }
        });
        Ok(Connection {
            sender,
            credentials,
            serial,
        })
    }

    fn log_away(&self, what: &'static str, error: &dyn std::error::Error) {
        let source = error.source().map(ToString::to_string);
        tracing::warn!(link.role = %self.shared.expect, link.address = self.shared.address, %error, source, "{what}");
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await?
}

fn http_request(
    uri: Uri,
    body: Zeroizing<Vec<u8>>,
    within: Duration,
    id: Option<RequestId>,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_owner(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    let number = |name, number| (HeaderName::from_static(name), HeaderValue::from(number));
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    headers.extend([
        number(WIRE_HEADER, u64::from(WIRE_VERSION)),
        number(DEADLINE_HEADER, within_ms),
    ]);
    if let Some(id) = id
        && let Ok(mut id) = HeaderValue::from_str(&id.to_string())
    {
        // No other request has it, so the connection's table of headers need not remember it.
        id.set_sensitive(true);
        headers.insert(request_id::HEADER, id);
    }
    request
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Error> {
    let (head, body) = response.into_parts();
    let body = super::collect(Limited::new(body, LINK_BODY_MAX)).await;
    // The role may have done what it was asked: its answer got lost.
    body.map(|body| (head.status, body))
        .map_err(|_| Error::Away)
}
