//! The answering end of a link: nobody reaches a method who has not proven to be a role that may call it.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Handler, Identity, Revoked, call::Visitor, identity::peer_of};
use crate::{
    Tasks,
    accept::{self, Accepted, Acceptor},
    contract::{Method, Role},
};

const CONNECTIONS_MAX: usize = 256;
/// Calls in work at once, over all connections; more are answered `Away`.
const CALLS_MAX: usize = 512;
const STREAMS_MAX: u32 = 512;
const HEADERS_MAX: u32 = 8 * 1024;
const RESETS_PENDING_MAX: usize = 32;
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a role lets other roles do.
pub struct Door {
    /// Whose methods these are.
    pub role: Role,
    /// The methods, and who may call them.
    pub methods: &'static [Method],
    /// Who may call nothing any more.
    pub revoked: Revoked,
    /// Who answers.
    pub handler: Arc<dyn Handler>,
}

/// Answers calls until the process stops; those in work then still get their answer.
pub async fn serve(listener: TcpListener, identity: Arc<Identity>, door: Door, tasks: Tasks) {
    let door = Arc::new(door);
    let calls = Arc::new(Semaphore::new(CALLS_MAX));
    let acceptor = Acceptor::new(listener, CONNECTIONS_MAX, tasks.clone());
    while let Some(accepted) = acceptor.next().await {
        let entrance = Entrance {
            identity: Arc::clone(&identity),
            door: Arc::clone(&door),
            calls: Arc::clone(&calls),
            tasks: tasks.clone(),
        };
        tasks.spawn("link connection", entrance.receive(accepted));
    }
}

struct Entrance {
    identity: Arc<Identity>,
    door: Arc<Door>,
    calls: Arc<Semaphore>,
    tasks: Tasks,
}

impl Entrance {
    async fn receive(self, accepted: Accepted) {
        let Accepted {
            stream,
            peer: address,
            _room,
        } = accepted;
        let tls = match self.handshake(stream).await {
            Ok(tls) => tls,
            Err(error) => {
                tracing::warn!(%error, peer.address = %address, "a link's handshake failed");
                return;
            }
        };
        let leaf = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let Some(peer) = leaf.and_then(|leaf| peer_of(leaf)) else {
            tracing::warn!(peer.address = %address, "a certificate of ours names no role");
            return;
        };
        let Self {
            door, calls, tasks, ..
        } = self;
        let stopping = tasks.stopping();
        let visitor = Arc::new(Visitor::new(door, peer, calls, tasks));
        let service = service_fn(move |request| {
            let visitor = Arc::clone(&visitor);
            async move { Ok::<_, Infallible>(visitor.answer(request).await) }
        });
        let connection = builder().serve_connection(TokioIo::new(tls), service);
        if let Err(error) = accept::serve(connection, stopping).await {
            tracing::debug!(%error, peer.address = %address, "a link's connection ended");
        }
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.identity.credentials().server_config());
        timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await?
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}
