//! From a connection to its first request: a place in the crowd, a proxy's preamble, TLS or not, the handshake.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{ProtocolVersion, ServerConnection};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    ConnectionInfo, Face, FaceLimits, PlainPolicy, TrustedProxies,
    answering::Streams,
    crowd::{Crowd, Mark, Seat},
    front::Front,
    handshakes::Handshakes,
    http1::Requests,
    http2::Frames,
    limits::HEAD_BYTES_MAX,
    patience::Patience,
    plain_http,
    preread::Preread,
    proxies,
    tls::Tls,
    visit::Visit,
};
use crate::{
    Tasks,
    accept::{self, Arrivals, DRAIN_MAX},
    tls::{ALPN_ACME, ALPN_HTTP2},
};

/// The first byte of a TLS record that begins a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// The kernel ends a connection whose client acknowledges nothing for so long, whatever is still to be sent.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(25);

const HTTP2_STREAMS_MAX: u32 = 128;
/// Streams that the client reset before we looked at them (CVE-2023-44487).
const HTTP2_RESETS_PENDING_MAX: usize = 20;
const HTTP2_LOCAL_RESETS_MAX: usize = 128;
const HTTP2_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const HTTP2_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What h2 reads of a head; beyond it h2 answers by itself. So it is more than [`HEAD_BYTES_MAX`], above which we do.
const HTTP2_HEAD_BYTES_MAX: usize = 4 * HEAD_BYTES_MAX;
/// Of an answer, so much waits in memory for the client's window. The windows of requests bound what it may send unread.
const HTTP2_ANSWER_BUFFER: usize = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 512 * 1024;
const HTTP2_STREAM_WINDOW: u32 = 128 * 1024;

/// What is behind a listener.
#[derive(Clone)]
pub(super) enum Inside {
    Face(Face),
    Front(Arc<Front>),
}

impl Inside {
    pub(super) fn limits(&self) -> &FaceLimits {
        match self {
            Self::Face(face) => &face.0.limits,
            Self::Front(front) => &front.limits,
        }
    }

    fn proxies(&self) -> &TrustedProxies {
        match self {
            Self::Face(face) => &face.0.proxies,
            Self::Front(front) => &front.proxies,
        }
    }

    fn plain(&self) -> &PlainPolicy {
        match self {
            Self::Face(face) => &face.0.plain,
            Self::Front(front) => &front.plain,
        }
    }
}

/// Takes connections until the process stops.
pub(super) async fn receive(listener: TcpListener, inside: Inside, tasks: Tasks) {
    let crowd = Crowd::new(inside.limits());
    let handshakes = Arc::new(Handshakes::new(inside.limits().handshakes));
    if let Err(error) = set_user_timeout(&listener) {
        tracing::warn!(%error, "clients that went away may be waited for");
    }
    let arrivals = Arrivals::new(listener, tasks.clone());
    let mut stopping = pin!(tasks.stopping());
    while let Some((stream, peer)) = arrivals.next().await {
        let peer = proxies::plain(peer);
        let is_client = !inside.proxies().trust(peer.ip());
        let seat = tokio::select! {
            biased;
            () = &mut stopping => return,
            seat = crowd.admit(peer.ip(), is_client) => seat,
        };
        let head = seat.guest.head();
        let entry = Entry {
            inside: inside.clone(),
            peer,
            seat,
            handshakes: Arc::clone(&handshakes),
            tasks: tasks.clone(),
        };
        tasks.spawn("face connection", entry.run(stream, head));
    }
}

/// A connection on its way in.
pub(super) struct Entry {
    pub(super) inside: Inside,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
    handshakes: Arc<Handshakes>,
    pub(super) tasks: Tasks,
}

impl Entry {
    async fn run(self, stream: TcpStream, head: Mark) {
        let (guest, peer) = (Arc::clone(&self.seat.guest), self.peer);
        let outcome = tokio::select! {
            biased;
            outcome = self.enter(stream, head) => outcome,
            () = accept::rarely(guest.shown_out()) => Err(io::Error::other("it made room for another")),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, peer.address = %peer, "a connection ended");
        }
    }

    async fn enter(mut self, mut stream: TcpStream, head: Mark) -> io::Result<()> {
        let limits = self.inside.limits();
        match timeout(limits.handshake, self.first_byte(&mut stream)).await?? {
            Some(TLS_HANDSHAKE) if !self.may_begin() => {
                Err(io::Error::other("its client begins too many handshakes"))
            }
            Some(TLS_HANDSHAKE) => match self.inside.clone() {
                Inside::Face(face) => {
                    let stream = Preread::new(bytes::Bytes::new(), stream);
                    self.serve(face, stream, head).await
                }
                Inside::Front(front) => front.choose(self, stream, head).await,
            },
            Some(_) => {
                // It has all that there will ever be of it: nothing is ended for another while a key is looked at.
                let _request = self.seat.guest.request();
                plain_http::answer(stream, self.inside.plain(), self.peer).await
            }
            None => Ok(()),
        }
    }

    /// Whether its client may begin a handshake. A proxy that does not say for whom it comes stands for many clients.
    fn may_begin(&self) -> bool {
        let address = self.peer.ip();
        self.inside.proxies().trust(address) || self.handshakes.admit(address)
    }

    /// What the client sends first, left in place, after a proxy has said who it is; none when it only came to hang up.
    async fn first_byte(&mut self, stream: &mut TcpStream) -> io::Result<Option<u8>> {
        let first = peek(stream).await?;
        if first != Some(b'\r') || !proxies::begins_with_preamble(stream).await? {
            return Ok(first);
        }
        if !self.inside.proxies().trust(self.peer.ip()) {
            return Err(io::Error::other("a stranger says for whom it comes"));
        }
        if let Some(client) = proxies::read_preamble(stream).await? {
            self.peer = client;
            self.seat.move_to(client.ip());
        }
        peek(stream).await
    }

    /// Serves the requests of a connection that begins with a handshake.
    pub(super) async fn serve(self, face: Face, stream: Preread, head: Mark) -> io::Result<()> {
        let limits = Arc::clone(&face.0.limits);
        let handshake = Tls::accept(stream, face.0.tls.config());
        let mut tls = timeout(limits.handshake, handshake).await??;
        if tls.session().alpn_protocol() == Some(ALPN_ACME) {
            // The handshake was the answer; nothing is ever said in this protocol (RFC 8737, 3).
            return Ok(());
        }
        let info = connection_info(tls.session(), self.peer);
        let guest = Arc::clone(&self.seat.guest);
        let visit = Visit::new(face.0, guest, info);
        tls.io_mut().watch(Arc::clone(&visit.residue));
        let service = {
            let visit = Arc::clone(&visit);
            service_fn(move |request| Arc::clone(&visit).answer(request))
        };
        let ending = async {
            tokio::select! {
                () = self.tasks.stopping() => {}
                () = visit.over() => {}
            }
            DRAIN_MAX
        };
        let io = Patience::new(tls, &limits);
        // The protocol is the one agreed on in the handshake: guessing it from the first bytes would have no time limit.
        let ended = if info.alpn == "h2" {
            let io = TokioIo::new(Frames::new(io, Arc::clone(&visit), head));
            let connection = http2_builder(limits).serve_connection(io, service);
            accept::serve_until(connection, ending).await
        } else {
            let io = TokioIo::new(Requests::new(io, Arc::clone(&visit), head));
            let connection = http1_builder().serve_connection(io, service);
            accept::serve_until(connection, ending).await
        };
        ended.map_err(io::Error::other)
    }
}

async fn peek(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0_u8];
    let count = stream.peek(&mut first).await?;
    Ok(first.first().copied().filter(|_| count > 0))
}

/// For every connection that arrives there.
fn set_user_timeout(listener: &TcpListener) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let milliseconds = u32::try_from(UNACKNOWLEDGED_MAX.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(listener, milliseconds)?;
    }
    Ok(())
}

fn connection_info(session: &ServerConnection, peer: SocketAddr) -> ConnectionInfo {
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

/// Times, sizes and numbers are looked at by [`Requests`], before hyper; and so are clients that hang up, for which hyper would
/// take a new buffer with every request.
fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(true)
        .max_header_size(HEAD_BYTES_MAX);
    builder
}

fn http2_builder(limits: Arc<FaceLimits>) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams(limits));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
        .max_local_error_reset_streams(HTTP2_LOCAL_RESETS_MAX)
        .max_header_list_size(u32::try_from(HTTP2_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_send_buf_size(HTTP2_ANSWER_BUFFER)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .keep_alive_interval(HTTP2_KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(HTTP2_KEEP_ALIVE_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_begins_with_what_is_set_on_its_listener() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        set_user_timeout(&listener).unwrap();
        let arrivals = Arrivals::new(listener, Tasks::new());
        let (client, arrived) = tokio::join!(TcpStream::connect(address), arrivals.next());
        let (stream, _) = arrived.unwrap();
        assert!(stream.nodelay().unwrap() && client.is_ok());
        #[cfg(target_os = "linux")]
        assert_eq!(
            u128::from(rustix::net::sockopt::tcp_user_timeout(&stream).unwrap()),
            UNACKNOWLEDGED_MAX.as_millis()
        );
    }
}
