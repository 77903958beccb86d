//! An HTTP/1 connection on its way to hyper: every head is looked at before hyper sees any of it, and every wait for the
//! client has an end.
//!
//! Instead of a head that is at fault, and of everything after it, hyper gets one that is not ([`IN_PLACE`]), so that the
//! fault is answered by the application, in its turn and form; then the connection ends.

use std::{
    future::Future as _,
    io, mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    task::yield_now,
};

use super::{
    chunks::Chunks,
    crowd::Mark,
    deadline::Deadline,
    fault::Fault,
    head::{self, Framing},
    limits::LOOK_AGAIN,
    visit::Visit,
};

/// What hyper reads in place of a request that is at fault.
const IN_PLACE: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
/// How much is read at a time.
const READ: usize = 4 * 1024;

/// A stream of requests.
pub(super) struct Requests<S> {
    inner: S,
    visit: Arc<Visit>,
    /// What has come and was not handed on.
    buffer: BytesMut,
    /// So much of it may be handed on.
    ready: usize,
    /// So much of it has no end of a head.
    seen: usize,
    next: Next,
    /// The head that has begun.
    head: Option<Mark>,
    waiting: Waiting,
    deadline: Deadline,
    /// The next bytes of an answer are its first.
    gives_way: bool,
}

/// What the client sends next.
enum Next {
    Head,
    Body(u64),
    Chunks(Chunks),
    /// Whatever it is, it is not read.
    Nothing,
}

/// What a read has brought.
enum Came {
    /// A request, which hyper has.
    Whole,
    /// Something to be looked at.
    Part,
    /// The end of the stream.
    End,
}

/// What the deadline is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Request,
    Head,
}

impl<S> Requests<S> {
    /// `head` is the mark that the handshake has had: the client has to send its first request now.
    pub(super) fn new(inner: S, visit: Arc<Visit>, head: Mark) -> Self {
        Self {
            inner,
            visit,
            buffer: BytesMut::new(),
            ready: 0,
            seen: 0,
            next: Next::Head,
            head: Some(head),
            waiting: Waiting::Nothing,
            deadline: Deadline::default(),
            gives_way: false,
        }
    }

    /// Finds out how much of what has come may be handed on.
    fn advance(&mut self) -> io::Result<()> {
        if self.ready > 0 || self.buffer.is_empty() {
            return Ok(());
        }
        match &mut self.next {
            Next::Head => self.advance_in_head(),
            Next::Body(left) => {
                let here = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
                let here = here.min(*left);
                *left = left.saturating_sub(here);
                self.ready = usize::try_from(here).map_err(io::Error::other)?;
                if *left == 0 {
                    self.next = Next::Head;
                }
            }
            Next::Chunks(chunks) => {
                let passed = chunks.pass(&self.buffer);
                self.ready = passed.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                if *chunks == Chunks::Done {
                    self.next = Next::Head;
                }
            }
            Next::Nothing => {}
        }
        Ok(())
    }

    fn advance_in_head(&mut self) {
        // Once after a body, for clients that end it with a line of its own (RFC 9112, 2.2).
        if self.seen == 0 && self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
        if self.buffer.is_empty() {
            return;
        }
        if self.head.is_none() {
            self.head = Some(self.visit.guest.head());
        }
        let framing = match head::end(&self.buffer, &mut self.seen) {
            Ok(None) => return,
            Ok(Some(length)) => {
                self.ready = length;
                head::framing(self.buffer.get(..length).unwrap_or_default())
            }
            Err(fault) => Err(fault),
        };
        self.next = match framing {
            Ok(Framing::Empty) => Next::Head,
            Ok(Framing::Length(length)) => Next::Body(length),
            Ok(Framing::Chunked) => Next::Chunks(Chunks::new()),
            Err(fault) => return self.refuse(fault),
        };
        self.seen = 0;
    }

    fn refuse(&mut self, fault: Fault) {
        self.visit.refuse(fault);
        self.buffer.clear();
        self.buffer.extend_from_slice(IN_PLACE);
        self.ready = self.buffer.len();
        self.next = Next::Nothing;
    }

    fn hand_on(&mut self, to: &mut ReadBuf<'_>) {
        let count = self.ready.min(to.remaining());
        to.put_slice(self.buffer.get(..count).unwrap_or_default());
        self.visit.residue.gave(count);
        self.buffer.advance(count);
        self.ready = self.ready.saturating_sub(count);
        if self.ready == 0 {
            self.handed_on();
        }
        if self.buffer.is_empty() {
            // What passed may have been a key or a card: memory that is given back is wiped.
            self.buffer = BytesMut::new();
        }
    }

    /// The next bytes begin another head, for which the client has its time from its answer on.
    fn handed_on(&mut self) {
        self.head = None;
        self.waiting = Waiting::Nothing;
        self.gives_way = true;
    }

    /// An answer gives way, once, to the requests that are here already. So the answers of a round leave together, and who has
    /// many connections with us, as a proxy on this machine, is woken for all of them at once and not for each.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if mem::take(&mut self.gives_way) {
            pin!(yield_now()).poll(cx)
        } else {
            Poll::Ready(())
        }
    }

    /// Reads to where hyper wants it, which is where it stays if it is one whole request without fault, as it nearly always is.
    fn poll_whole(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<Came>>
    where
        S: AsyncRead + Unpin,
    {
        let before = to.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, to))?;
        let bytes = to.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() {
            return Poll::Ready(Ok(Came::End));
        }
        if matches!(self.next, Next::Head) && head::is_whole(bytes) {
            self.visit.residue.gave(bytes.len());
            self.handed_on();
            return Poll::Ready(Ok(Came::Whole));
        }
        self.buffer.extend_from_slice(bytes);
        to.set_filled(before);
        Poll::Ready(Ok(Came::Part))
    }

    /// Reads more of what has begun.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Came>>
    where
        S: AsyncRead + Unpin,
    {
        self.buffer.reserve(READ);
        let count = ready!(pin!(self.inner.read_buf(&mut self.buffer)).poll(cx))?;
        Poll::Ready(Ok(if count == 0 { Came::End } else { Came::Part }))
    }

    /// Notices a client that hangs up while its answer is in the making. Once something has come, it is not looked at again.
    fn watch(&mut self, cx: &mut Context<'_>) -> io::Result<()>
    where
        S: AsyncRead + Unpin,
    {
        let is_read = matches!(self.next, Next::Head) && self.buffer.is_empty();
        if !is_read || !self.visit.guest.is_working() {
            return Ok(());
        }
        match self.poll_more(cx)? {
            Poll::Ready(Came::End) => Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(Came::Part | Came::Whole) | Poll::Pending => Ok(()),
        }
    }

    /// Nothing comes. Ready when it has not come for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = match (&self.next, &self.head) {
            // hyper reads a body while its answer is in the making.
            (_, _) if self.visit.guest.is_working() => Waiting::Nothing,
            (Next::Head, None) => Waiting::Request,
            (Next::Head, Some(_)) => Waiting::Head,
            (Next::Body(_) | Next::Chunks(_) | Next::Nothing, _) => Waiting::Nothing,
        };
        if waiting != self.waiting || !self.deadline.is_set() {
            self.waiting = waiting;
            let limits = self.visit.limits();
            self.deadline.set_in(match waiting {
                Waiting::Nothing => LOOK_AGAIN.min(limits.idle),
                Waiting::Request => limits.idle,
                Waiting::Head => limits.head,
            });
        }
        ready!(self.deadline.poll(cx));
        self.deadline.clear();
        if waiting == Waiting::Nothing {
            return self.poll_patience(cx);
        }
        if self.buffer.is_empty() {
            self.next = Next::Nothing;
        } else {
            self.refuse(Fault::TooSlow);
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Requests<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.visit.residue.overwrite(to);
        loop {
            this.advance()?;
            if this.ready > 0 {
                this.hand_on(to);
                return Poll::Ready(Ok(()));
            }
            if matches!(this.next, Next::Nothing) {
                // An end of the stream now would end the answer, too, after which hyper ends the connection by itself.
                return if this.visit.guest.is_working() {
                    Poll::Pending
                } else {
                    Poll::Ready(Ok(()))
                };
            }
            let read = if this.buffer.is_empty() {
                this.poll_whole(cx, to)
            } else {
                this.poll_more(cx)
            };
            match read? {
                Poll::Ready(Came::Whole | Came::End) => return Poll::Ready(Ok(())),
                Poll::Ready(Came::Part) => {}
                Poll::Pending => ready!(this.poll_patience(cx)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Requests<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    /// hyper flushes whenever it has done what it could.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        Poll::Ready(this.watch(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
