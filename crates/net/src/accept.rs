//! Accepting connections, and ending them: what the public faces, the links and the loopback listener have in common.

use std::{
    future::{Future, pending},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper_util::server::graceful::GracefulConnection;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use crate::Tasks;

/// How long a connection may live, so that no old certificate, setting or process is used for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// How long a connection that was asked to end may take to finish its requests.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long to wait when the machine has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The connections that arrive at a listener until the process stops.
pub(crate) struct Arrivals {
    listener: TcpListener,
    tasks: Tasks,
}

/// A listener with room for a limited number of connections.
pub(crate) struct Acceptor {
    arrivals: Arrivals,
    room: Arc<Semaphore>,
}

/// A connection, and the room that it takes up while it lives.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) _room: OwnedSemaphorePermit,
}

impl Arrivals {
    pub(crate) fn new(listener: TcpListener, tasks: Tasks) -> Self {
        // What is set on a listener its connections have from the start.
        if let Err(error) = rustix::net::sockopt::set_tcp_nodelay(&listener, true) {
            tracing::warn!(%error, "answers may be sent late");
        }
        Self { listener, tasks }
    }

    /// The next connection; none when the process stops.
    pub(crate) async fn next(&self) -> Option<(TcpStream, SocketAddr)> {
        let stopping = pin!(self.tasks.stopping());
        tokio::select! {
            biased;
            () = stopping => None,
            accepted = self.accept() => Some(accepted),
        }
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener, connections_max: usize, tasks: Tasks) -> Self {
        Self {
            arrivals: Arrivals::new(listener, tasks),
            room: Arc::new(Semaphore::new(connections_max)),
        }
    }

    /// The next connection, once there is room for it; none when the process stops.
    pub(crate) async fn next(&self) -> Option<Accepted> {
        let stopping = pin!(self.arrivals.tasks.stopping());
        let _room = tokio::select! {
            biased;
            () = stopping => return None,
            // Nobody closes the semaphore.
            room = Arc::clone(&self.room).acquire_owned() => room.ok()?,
        };
        let (stream, peer) = self.arrivals.next().await?;
        Some(Accepted {
            stream,
            peer,
            _room,
        })
    }
}

/// Something that hardly ever happens, to be waited for beside work that wakes its task all the time: it is looked at when it
/// says so itself, and not whenever the work goes on.
pub(crate) async fn rarely<F: Future>(event: F) -> F::Output {
    let mut alone = FuturesUnordered::from_iter([event]);
    match alone.next().await {
        Some(happened) => happened,
        None => pending().await,
    }
}

/// Serves a connection until it ends, the process stops or it is too old; then lets its requests finish.
pub(crate) async fn serve<C: GracefulConnection>(
    connection: C,
    stopping: impl Future<Output = ()>,
) -> Result<(), C::Error> {
    serve_until(connection, async {
        stopping.await;
        DRAIN_MAX
    })
    .await
}

/// As [`serve`], until whatever ends it says how long its requests may take to finish.
pub(crate) async fn serve_until<C: GracefulConnection>(
    connection: C,
    ending: impl Future<Output = Duration>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let ending = rarely(async {
        tokio::select! {
            drain = ending => drain,
            () = sleep(CONNECTION_AGE_MAX) => DRAIN_MAX,
        }
    });
    let drain = tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        drain = ending => drain,
    };
    connection.as_mut().graceful_shutdown();
    timeout(drain, connection).await.unwrap_or(Ok(()))
}
