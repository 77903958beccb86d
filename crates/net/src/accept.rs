//! Accepting connections, and ending them: what the public faces, the links and the loopback listener have in common.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

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
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long to wait when the machine has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener with room for a limited number of connections.
pub(crate) struct Acceptor {
    listener: TcpListener,
    room: Arc<Semaphore>,
    tasks: Tasks,
}

/// A connection, and the room that it takes up while it lives.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) _room: OwnedSemaphorePermit,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener, connections_max: usize, tasks: Tasks) -> Self {
        Self {
            listener,
            room: Arc::new(Semaphore::new(connections_max)),
            tasks,
        }
    }

    /// The next connection, once there is room for it; none when the process stops.
    pub(crate) async fn next(&self) -> Option<Accepted> {
        let stopping = pin!(self.tasks.stopping());
        tokio::select! {
            biased;
            () = stopping => None,
            accepted = self.accept() => Some(accepted),
        }
    }

    async fn accept(&self) -> Accepted {
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<Accepted> {
        // Nobody closes the semaphore.
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(io::Error::other)?;
        let (stream, peer) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Accepted {
            stream,
            peer,
            _room: room,
        })
    }
}

/// Serves a connection until it ends, the process stops or it is too old; then lets its requests finish.
pub(crate) async fn serve<C: GracefulConnection>(
    connection: C,
    stopping: impl Future<Output = ()>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stopping => {}
        () = sleep(CONNECTION_AGE_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(DRAIN_MAX, connection).await.unwrap_or(Ok(()))
}
