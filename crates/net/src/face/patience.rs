//! A client that does not take its answer: a write that waits too long for it ends the connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{deadline::Deadline, limits::FaceLimits};

/// A stream that is written to with limited patience.
pub(super) struct Patience<S> {
    inner: S,
    pace: Pace,
}

/// How much of an answer has to be taken in what time. A slow line is not an attack; a line that stands still is.
pub(super) struct Pace {
    within: Duration,
    bytes: u64,
    /// Taken since the deadline was set.
    taken: u64,
    deadline: Deadline,
}

impl Pace {
    pub(super) fn new(limits: &FaceLimits) -> Self {
        Self {
            within: limits.stall,
            bytes: limits.stall_bytes,
            taken: 0,
            deadline: Deadline::default(),
        }
    }

    pub(super) const fn took(&mut self, bytes: u64) {
        self.taken = self.taken.saturating_add(bytes);
    }

    /// Nothing waits to be taken.
    const fn rest(&mut self) {
        self.deadline.clear();
    }

    /// Something waits to be taken. Ready when it has waited too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.deadline.is_set() {
                self.taken = 0;
                self.deadline.set_in(self.within);
            }
            if self.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.taken < self.bytes {
                return Poll::Ready(());
            }
            self.deadline.clear();
        }
    }
}

impl<S> Patience<S> {
    pub(super) fn new(inner: S, limits: &FaceLimits) -> Self {
        Self {
            inner,
            pace: Pace::new(limits),
        }
    }

    fn waits<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.pace
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write(cx, bytes) {
            Poll::Pending => this.waits(cx),
            Poll::Ready(Ok(count)) => {
                this.pace.took(u64::try_from(count).unwrap_or(u64::MAX));
                Poll::Ready(Ok(count))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_flush(cx) {
            Poll::Pending => this.waits(cx),
            done @ Poll::Ready(_) => {
                this.pace.rest();
                done
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_shutdown(cx) {
            Poll::Pending => this.waits(cx),
            done @ Poll::Ready(_) => done,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, to)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    const STALL: Duration = Duration::from_secs(1);

    fn written_to(room: usize, stall_bytes: u64) -> (DuplexStream, Patience<DuplexStream>) {
        let (client, server) = duplex(room);
        let limits = FaceLimits {
            stall: STALL,
            stall_bytes,
            ..FaceLimits::default()
        };
        (client, Patience::new(server, &limits))
    }

    async fn write(server: &mut Patience<DuplexStream>) -> io::Result<()> {
        server.write_all(&[7; 1024]).await?;
        server.flush().await
    }

    /// Takes a byte every tenth of the time, for ever.
    async fn trickle(client: &mut DuplexStream) {
        loop {
            tokio::time::sleep(STALL / 10).await;
            client.read_u8().await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_or_a_trickle_is_not_waited_for() {
        let (mut client, mut server) = written_to(100, 100);
        let nothing = write(&mut server).await;
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::TimedOut);
        client.read_exact(&mut [0; 100]).await.unwrap();

        let (mut client, mut server) = written_to(100, 200);
        let written = tokio::select! {
            written = write(&mut server) => written,
            () = trickle(&mut client) => unreachable!(),
        };
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_slow_line_gets_the_whole_answer_though_it_takes_longer() {
        let (mut client, mut server) = written_to(700, 1);
        let began = Instant::now();
        let (written, ()) = tokio::join!(write(&mut server), async {
            for _ in 0..5 {
                tokio::time::sleep(STALL / 2).await;
                client.read_exact(&mut [0; 100]).await.unwrap();
            }
        });
        written.unwrap();
        assert!(began.elapsed() > STALL);
    }

    #[tokio::test]
    async fn time_without_anything_to_take_does_not_count() {
        let (mut client, mut server) = written_to(700, 1024 * 1024);
        for _ in 0..3 {
            let (written, read) = tokio::join!(write(&mut server), async {
                tokio::time::sleep(STALL / 10).await;
                client.read_exact(&mut [0; 1024]).await
            });
            written.unwrap();
            read.unwrap();
            tokio::time::sleep(STALL).await;
        }
    }
}
