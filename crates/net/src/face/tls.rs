//! TLS of a client's connection. As tokio-rustls does it, but for one thing: the session ticket, which no client waits for, leaves
//! with the first answer. By itself it would cost every connection a packet, and wake its client for nothing.

use std::{
    future::poll_fn,
    io::{self, BufRead as _, IoSlice, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection after its handshake.
pub(super) struct Tls<S> {
    io: S,
    session: ServerConnection,
    /// Something that the client waits for is with rustls still.
    owes: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tls<S> {
    /// Takes a client's handshake.
    ///
    /// # Errors
    /// Those of the stream, and [`io::ErrorKind::InvalidData`] for what the client does wrong, which it was told.
    pub(super) async fn accept(io: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut tls = Self {
            io,
            session: ServerConnection::new(config).map_err(io::Error::other)?,
            owes: false,
        };
        poll_fn(|cx| tls.poll_handshake(cx)).await?;
        Ok(tls)
    }

    pub(super) const fn session(&self) -> &ServerConnection {
        &self.session
    }

    pub(super) const fn io_mut(&mut self) -> &mut S {
        &mut self.io
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_write_out(cx))?;
            if ready!(self.poll_read_in(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        // What is left is a ticket; in TLS 1.2, where the server has the last word, it is that.
        if self.session.protocol_version() == Some(ProtocolVersion::TLSv1_2) {
            ready!(self.poll_write_out(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more of what the client sends; nothing, if it sends no more.
    fn poll_read_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(polled(self.session.read_tls(&mut Adapter {
            io: &mut self.io,
            cx
        })))?;
        if let Err(error) = self.session.process_new_packets() {
            // It is told, if it takes that at once.
            let _ = self.poll_write_out(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut io = Adapter {
                io: &mut self.io,
                cx,
            };
            if ready!(polled(self.session.write_tls(&mut io)))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        self.owes = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.session.wants_read() {
            if ready!(this.poll_read_in(cx))? == 0 {
                break;
            }
        }
        let mut reader = this.session.reader();
        let came = reader.fill_buf()?;
        let count = came.len().min(to.remaining());
        to.put_slice(came.get(..count).unwrap_or_default());
        reader.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.owes {
            ready!(this.poll_write_out(cx))?;
        }
        let count = this.session.writer().write_vectored(parts)?;
        this.owes = true;
        match this.poll_write_out(cx)? {
            // rustls has taken them all the same.
            Poll::Ready(()) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.owes {
            ready!(this.poll_write_out(cx))?;
        }
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Once, however often it is called.
        this.session.send_close_notify();
        ready!(this.poll_write_out(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

/// A stream as rustls wants it, which knows of no task that could be woken.
struct Adapter<'a, 'c, S> {
    io: &'a mut S,
    cx: &'a mut Context<'c>,
}

impl<S: AsyncRead + Unpin> Read for Adapter<'_, '_, S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut to = ReadBuf::new(to);
        blocking(Pin::new(&mut *self.io).poll_read(self.cx, &mut to))?;
        Ok(to.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Adapter<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    /// One piece, as nearly always, costs the kernel less by itself.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match parts {
            [one] => self.write(one),
            parts => blocking(Pin::new(&mut *self.io).poll_write_vectored(self.cx, parts)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn polled<T>(outcome: io::Result<T>) -> Poll<io::Result<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}

#[cfg(test)]
mod tests {
    use coffer_crypto::pki::KeyPair;
    use futures_util::FutureExt as _;
    use rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        version::{TLS12, TLS13},
    };
    use rustls_pki_types::ServerName;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_rustls::{TlsConnector, client::TlsStream};

    use super::*;
    use crate::tls::{CertificateStore, certificates, provider, tests::chain};

    /// Both ends of a connection with so much room in each direction.
    async fn connected(
        version: &'static SupportedProtocolVersion,
        room: usize,
    ) -> (TlsStream<DuplexStream>, Tls<DuplexStream>) {
        let key = KeyPair::generate().unwrap();
        let (store, chain) = (CertificateStore::new(), chain(&key, "api.test"));
        store.load_pem(&chain, &key.pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&chain).unwrap());
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = duplex(room);
        let name = ServerName::try_from("api.test").unwrap();
        let (client, server) = tokio::join!(
            TlsConnector::from(Arc::new(client)).connect(name, near),
            Tls::accept(far, store.config())
        );
        (client.unwrap(), server.unwrap())
    }

    fn has_ticket(client: &TlsStream<DuplexStream>) -> bool {
        client.get_ref().1.tls13_tickets_received() > 0
    }

    #[tokio::test]
    async fn a_ticket_leaves_with_the_first_answer_and_not_before() {
        let (mut client, mut server) = connected(&TLS13, 64 * 1024).await;
        server.flush().await.unwrap();
        let came = client.read_u8().now_or_never();
        assert!(came.is_none() && !has_ticket(&client));
        server.write_all(b"!").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'!');
        assert!(has_ticket(&client));
    }

    #[tokio::test]
    async fn a_client_that_only_leaves_gets_a_ticket_and_a_goodbye() {
        let (mut client, mut server) = connected(&TLS13, 64 * 1024).await;
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        server.shutdown().await.unwrap();
        drop(server);
        // An end without a goodbye would be an error.
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(has_ticket(&client));
    }

    #[tokio::test]
    async fn who_speaks_tls_1_2_waits_for_nothing_either() {
        let (mut client, mut server) = connected(&TLS12, 64 * 1024).await;
        client.write_all(b"?").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'?');
    }

    #[tokio::test]
    async fn a_long_answer_arrives_whole_over_a_narrow_line() {
        for version in [&TLS12, &TLS13] {
            let (mut client, mut server) = connected(version, 100).await;
            let answer: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
            let mut came = vec![0; answer.len()];
            let (written, read) = tokio::join!(
                async {
                    server.write_all(&answer).await?;
                    server.flush().await
                },
                client.read_exact(&mut came)
            );
            assert!(written.is_ok() && read.is_ok() && came == answer);
        }
    }

    #[tokio::test]
    async fn nothing_more_is_taken_while_the_client_takes_nothing() {
        let (_client, mut server) = connected(&TLS13, 4 * 1024).await;
        let mut taken = 0;
        while let Some(count) = server.write(&[7; 16 * 1024]).now_or_never() {
            taken += count.unwrap();
            assert!(taken < 1024 * 1024);
        }
        assert!(server.flush().now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_speaks_no_tls_or_hangs_up_is_told_and_let_go() {
        let store = CertificateStore::new();
        let (mut near, far) = duplex(1024);
        near.write_all(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0])
            .await
            .unwrap();
        let refused = Tls::accept(far, store.config()).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let mut told = Vec::new();
        near.read_to_end(&mut told).await.unwrap();
        // A fatal alert (RFC 8446, 5.1 and 6).
        assert_eq!((told[0], told[5]), (0x15, 2));

        let (near, far) = duplex(1024);
        drop(near);
        let ended = Tls::accept(far, store.config()).await.err().unwrap();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }
}
