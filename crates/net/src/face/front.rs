//! One listener for several faces: the host that a client asks for in its handshake says which. Some hosts are of another
//! process, and their connections are passed on to it unopened, behind a PROXY v2 preamble that says whose they are.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    Face, FaceLimits, PlainPolicy, TrustedProxies,
    crowd::{Guest, Mark},
    entry::{self, Entry, Inside},
    hello::{self, Hello},
    preread::Preread,
    proxies,
};
use crate::Tasks;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// No connection is passed on for longer; whoever answers it has limits of its own.
const PASSAGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Several faces behind one listener.
pub struct Front {
    /// Those of this process.
    pub faces: Vec<Face>,
    /// Those of others.
    pub passages: Vec<Passage>,
    /// What plain HTTP is answered, whatever host it asks for.
    pub plain: PlainPolicy,
    /// Who may say who the client is.
    pub proxies: TrustedProxies,
    /// How many and how long.
    pub limits: FaceLimits,
}

/// Where the connections for a host are passed on to.
#[derive(Debug, Clone)]
pub struct Passage {
    /// The host.
    pub name: String,
    /// Host and port of the other process, which takes this one for a trusted proxy.
    pub to: String,
}

impl Front {
    /// Serves the faces until the process stops; then refuses new connections and finishes requests in flight.
    pub async fn serve(self, listener: TcpListener, tasks: Tasks) {
        entry::receive(listener, Inside::Front(Arc::new(self)), tasks).await;
    }

    /// Gives a connection to whoever answers for its host.
    pub(super) async fn choose(
        &self,
        entry: Entry,
        mut stream: TcpStream,
        head: Mark,
    ) -> io::Result<()> {
        let read = timeout(self.limits.handshake, hello::read(&mut stream));
        let Hello { host, bytes } = read.await??;
        let host = host.unwrap_or_default();
        let is_its = |name: &String| name.eq_ignore_ascii_case(&host);
        if let Some(face) = self
            .faces
            .iter()
            .find(|face| face.0.names.iter().any(is_its))
        {
            let stream = Preread::new(bytes, stream);
            return entry.serve(face.clone(), stream, head).await;
        }
        match self.passages.iter().find(|passage| is_its(&passage.name)) {
            Some(passage) => pass(passage, &entry, stream, bytes, head).await,
            None => timeout(self.limits.farewell, hello::refuse_host(&mut stream)).await?,
        }
    }
}

async fn pass(
    passage: &Passage,
    entry: &Entry,
    stream: TcpStream,
    hello: Bytes,
    head: Mark,
) -> io::Result<()> {
    let connecting = timeout(CONNECT_MAX, TcpStream::connect(&passage.to));
    let mut beyond = match connecting.await {
        Ok(Ok(beyond)) => beyond,
        Ok(Err(error)) => return Err(unreached(passage, error)),
        Err(elapsed) => return Err(unreached(passage, elapsed.into())),
    };
    beyond.set_nodelay(true)?;
    let preamble = proxies::preamble(entry.peer);
    let begin = [preamble.as_slice(), &hello].concat();
    beyond.write_all(&begin).await?;
    // Whether it is at work only the other side knows, which has the same limits; here it counts as idle.
    drop(head);
    let guest = Arc::clone(&entry.seat.guest);
    let mut client = Noticed { stream, guest };
    let mut both = pin!(copy_bidirectional(&mut client, &mut beyond));
    let (stopping, limits) = (entry.tasks.stopping(), entry.inside.limits());
    tokio::select! {
        ended = timeout(PASSAGE_MAX, both.as_mut()) => ended??,
        () = stopping => timeout(limits.farewell, both).await??,
    };
    Ok(())
}

fn unreached(passage: &Passage, error: io::Error) -> io::Error {
    tracing::warn!(%error, host = passage.name, "a connection could not be passed on");
    error
}

/// A client's side of a passage: whoever sends something was not idle.
struct Noticed {
    stream: TcpStream,
    guest: Arc<Guest>,
}

impl AsyncRead for Noticed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, to);
        if read.is_ready() {
            self.guest.waits_from_now();
        }
        read
    }
}

impl AsyncWrite for Noticed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
