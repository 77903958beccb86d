//! Adds HSTS to the answer that hyper itself gives to a connection whose first request cannot be read.
//!
//! Such an answer (400, 414, 431) never passes our service. As long as the service was not called, whatever is written can
//! only be that answer, so its head may be changed in passing. Later ones need no change: the client has had an answer with
//! HSTS on the same connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HSTS;

/// A stream on which the first answer gets HSTS, if it is not the service's.
pub(super) struct FirstAnswer<S> {
    inner: S,
    served: Arc<AtomicBool>,
    /// A changed head that was not written completely, how much of it was, and the bytes that it stands for.
    pending: Option<Pending>,
}

struct Pending {
    bytes: Vec<u8>,
    written: usize,
    stands_for: usize,
}

impl<S> FirstAnswer<S> {
    /// `served` becomes true when the service is called for the first time.
    pub(super) const fn new(inner: S, served: Arc<AtomicBool>) -> Self {
        Self {
            inner,
            served,
            pending: None,
        }
    }
}

/// The answer with HSTS after its status line, if this is the head of one.
fn with_hsts(answer: &[u8]) -> Option<Vec<u8>> {
    if !answer.starts_with(b"HTTP/1.") {
        return None;
    }
    let line = answer.windows(2).position(|end| end == b"\r\n")?;
    let (status, rest) = answer.split_at_checked(line)?;
    Some(
        [
            status,
            b"\r\nstrict-transport-security: ",
            HSTS.as_bytes(),
            rest,
        ]
        .concat(),
    )
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstAnswer<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.pending.is_none() && !this.served.load(Ordering::Acquire) {
            this.pending = with_hsts(bytes).map(|changed| Pending {
                bytes: changed,
                written: 0,
                stands_for: bytes.len(),
            });
        }
        let Some(pending) = &mut this.pending else {
            return Pin::new(&mut this.inner).poll_write(cx, bytes);
        };
        while let Some(rest) = pending
            .bytes
            .get(pending.written..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(Pin::new(&mut this.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => pending.written += count,
            }
        }
        let stands_for = pending.stands_for;
        this.pending = None;
        Poll::Ready(Ok(stands_for))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstAnswer<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_head_of_an_answer_is_changed() {
        let changed = with_hsts(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        let expected = format!(
            "HTTP/1.1 400 Bad Request\r\nstrict-transport-security: {HSTS}\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(changed).unwrap(), expected);
        assert_eq!(with_hsts(b"PRI * HTTP/2.0\r\n"), None);
        assert_eq!(with_hsts(b"HTTP/1.1 400"), None);
    }
}
