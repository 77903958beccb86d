//! A connection of which something was read already.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::residue::Residue;

/// What was read comes again, then the rest.
pub(super) struct Preread {
    again: Bytes,
    stream: TcpStream,
    residue: Option<Arc<Residue>>,
}

impl Preread {
    pub(super) const fn new(again: Bytes, stream: TcpStream) -> Self {
        Self {
            again,
            stream,
            residue: None,
        }
    }

    /// From now on what rustls reads to is overwritten when that is asked for.
    pub(super) fn watch(&mut self, residue: Arc<Residue>) {
        self.residue = Some(residue);
    }
}

impl AsyncRead for Preread {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(residue) = &self.residue {
            residue.overwrite(to);
        }
        if self.again.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, to);
        }
        let count = self.again.len().min(to.remaining());
        to.put_slice(self.again.get(..count).unwrap_or_default());
        self.again.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Preread {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// The goodbye of TLS is on its way, and the connection is dropped next: closing it tells the client the rest.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
