//! The admin socket of a role: a Unix socket in its directory, for its own user and root alone; and the client of it.

use std::{
    fs::Permissions,
    io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{client, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use crate::{Tasks, accept, task};

const CONNECTIONS_MAX: usize = 16;
/// Callers that wait for their turn.
const BACKLOG: i32 = 128;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const HEADER_READ_MAX: Duration = Duration::from_secs(10);
/// Unsealing stretches a passphrase, and a verification reads a whole log.
const CALL_MAX: Duration = Duration::from_secs(300);
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// A bound admin socket.
pub struct AdminSocket(UnixListener);

impl AdminSocket {
    /// Makes the socket, with mode 0600 before anyone can connect to it. One that is left of a process that crashed is
    /// replaced: whoever calls this holds the directory's lock.
    ///
    /// # Errors
    /// When the socket cannot be made, or something else has its name.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        rustix::net::listen(&socket, BACKLOG)?;
        UnixListener::from_std(StdListener::from(socket)).map(Self)
    }

    /// Serves the application, over HTTP/1.1, to this user and root until the process stops.
    pub async fn serve(self, app: Router, tasks: Tasks) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut stopping = std::pin::pin!(tasks.stopping());
        loop {
            // Whoever comes when there is no room waits at the door: only the operator comes here.
            let guest = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, self.0.accept().await)
            };
            let guest = tokio::select! {
                biased;
                () = &mut stopping => return,
                guest = guest => guest,
            };
            let (Ok(permit), Ok((stream, _))) = guest else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (app, stopping) = (app.clone(), tasks.stopping());
            tasks.spawn("admin connection", async move {
                if may_enter(&stream) {
                    converse(stream, app, stopping).await;
                }
                drop(permit);
            });
        }
    }
}

/// The mode of the socket says so already; a file system may ignore it.
fn may_enter(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let may = uid == Some(own) || uid == Some(0);
    if !may {
        tracing::warn!(peer.uid = uid, "another user came to the admin socket");
    }
    may
}

async fn converse(stream: UnixStream, app: Router, stopping: impl Future<Output = ()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    if let Err(error) = accept::serve(connection, stopping).await {
        tracing::debug!(%error, "a connection to the admin socket ended");
    }
}

/// Why a call of the admin socket gave no answer.
#[derive(Debug)]
pub enum AdminError {
    /// Nobody listens, or the connection broke; whether the call had an effect is unknown in the latter case.
    Away(io::Error),
    /// It said no.
    Refused {
        /// The status.
        status: StatusCode,
        /// The problem (RFC 9457), or null.
        problem: Value,
    },
    /// The answer is not JSON.
    Malformed,
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(error) => write!(f, "the process does not answer: {error}"),
            Self::Refused { status, problem } => {
                let detail = problem.get("detail").and_then(Value::as_str);
                f.write_str(detail.unwrap_or_else(|| status.as_str()))
            }
            Self::Malformed => f.write_str("the process gave an answer that cannot be read"),
        }
    }
}

impl std::error::Error for AdminError {}

/// Calls a running process through its admin socket.
#[derive(Debug, Clone)]
pub struct AdminClient {
    socket: PathBuf,
}

impl AdminClient {
    /// A client of the process with this socket.
    #[must_use]
    pub const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Makes one call and returns its answer; null for an answer without a body.
    ///
    /// # Errors
    /// When the process cannot be reached, refuses, or answers with something else than JSON.
    pub async fn call(
        &self,
        path: &str,
        method: Method,
        json: Option<&Value>,
    ) -> Result<Value, AdminError> {
        let body = json.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "admin")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| AdminError::Malformed)?;
        let answer = timeout(CALL_MAX, self.exchange(request)).await;
        let (status, bytes) = answer
            .map_err(io::Error::from)
            .and_then(|answer| answer)
            .map_err(AdminError::Away)?;
        if !status.is_success() {
            let problem = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            return Err(AdminError::Refused { status, problem });
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| AdminError::Malformed)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> io::Result<(StatusCode, Bytes)> {
        let stream = UnixStream::connect(&self.socket).await?;
        let handshake = client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(io::Error::other)?;
        task::spawn_apart("admin client", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an admin socket ended");
            }
        });
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await;
        body.map(|body| (status, body.to_bytes()))
            .map_err(io::Error::other)
    }
}
