//! An HTTP/2 connection on its way to hyper: frames are counted by what they bring, and every wait for the client has an end.
//!
//! hyper and its h2 bound streams, header lists and continuations. What they answer without end is frames that ask for
//! nothing: settings, pings, resets, priorities, windows. Each costs credit here, which requests and time give back; a client
//! without credit is cut off.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    crowd::Mark,
    deadline::Deadline,
    limits::{HEAD_BYTES_MAX, LOOK_AGAIN},
    visit::Visit,
};

/// What a connection begins with, and can have at most.
const CREDIT_MAX: u32 = 1_000;
/// What time gives back.
const CREDIT_PER_SECOND: u32 = 50;
/// What a request gives back.
const CREDIT_PER_REQUEST: u32 = 4;
/// Bytes of a header block before decompression; the list may be larger.
const BLOCK_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// Data in frames smaller than this costs credit.
const DATA_MIN: usize = 256;

/// `PRI * HTTP/2.0…` (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A stream of frames.
pub(super) struct Frames<S> {
    inner: S,
    visit: Arc<Visit>,
    reader: Reader,
    budget: Budget,
    /// The head that has begun; the first one begins with the connection.
    head: Option<Mark>,
    waiting: Waiting,
    deadline: Deadline,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// While requests are answered, until they are.
    Nothing,
    Head,
    Request,
    /// After it was told that the connection ends.
    Farewell,
}

impl<S> Frames<S> {
    pub(super) fn new(inner: S, visit: Arc<Visit>, head: Mark) -> Self {
        Self {
            inner,
            visit,
            reader: Reader::new(),
            budget: Budget::new(Instant::now()),
            head: Some(head),
            waiting: Waiting::Nothing,
            deadline: Deadline::default(),
        }
    }

    /// Counts what has come.
    fn count(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (budget, head, visit) = (&mut self.budget, &mut self.head, &self.visit);
        self.reader.read(bytes, |frame, block_bytes| {
            if block_bytes > BLOCK_BYTES_MAX || !budget.covers(frame, Instant::now) {
                return Err(cut_off());
            }
            if frame.kind.is_of_head() {
                *head = if frame.flags & END_HEADERS == 0 {
                    head.take().or_else(|| Some(visit.guest.head()))
                } else {
                    None
                };
            }
            Ok(())
        })
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let waiting = match (&self.head, self.waiting) {
            (Some(_), _) => Waiting::Head,
            (None, _) if self.visit.guest.is_working() => Waiting::Nothing,
            (None, Waiting::Farewell) => Waiting::Farewell,
            (None, _) => Waiting::Request,
        };
        let limits = self.visit.limits();
        if waiting != self.waiting || !self.deadline.is_set() {
            self.waiting = waiting;
            self.deadline.set_in(match waiting {
                Waiting::Nothing => LOOK_AGAIN.min(limits.idle),
                Waiting::Head => limits.head,
                Waiting::Request => limits.idle,
                Waiting::Farewell => limits.farewell,
            });
        }
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        match waiting {
            Waiting::Head | Waiting::Farewell => {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            Waiting::Request => {
                self.visit.end();
                self.waiting = Waiting::Farewell;
                self.deadline.set_in(limits.farewell);
            }
            Waiting::Nothing => self.deadline.clear(),
        }
        self.poll_patience(cx)
    }
}

fn cut_off() -> io::Error {
    io::Error::other("too many frames that ask for nothing")
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = to.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, to)? {
            Poll::Ready(()) => {
                Poll::Ready(this.count(to.filled().get(before..).unwrap_or_default()))
            }
            Poll::Pending => this.poll_patience(cx).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The types of frames (RFC 9113, 6), as far as they cost differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    Ping,
    Window,
    Continuation,
    Other,
}

impl Kind {
    const fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::Reset,
            4 => Self::Settings,
            6 => Self::Ping,
            8 => Self::Window,
            9 => Self::Continuation,
            _ => Self::Other,
        }
    }

    const fn is_of_head(self) -> bool {
        matches!(self, Self::Headers | Self::Continuation)
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    flags: u8,
    length: usize,
}

impl Frame {
    fn read(head: [u8; FRAME_HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        Self {
            kind: Kind::of(kind),
            flags,
            length: usize::try_from(length).unwrap_or(usize::MAX),
        }
    }

    /// What it takes to answer, beside what it asks for.
    const fn cost(self) -> u32 {
        match self.kind {
            Kind::Headers => 0,
            Kind::Data if self.length >= DATA_MIN || self.flags & END_STREAM != 0 => 0,
            Kind::Data | Kind::Window => 1,
            Kind::Priority => 2,
            Kind::Ping | Kind::Continuation | Kind::Other => 5,
            Kind::Reset | Kind::Settings => 10,
        }
    }
}

/// Finds the heads of frames in a stream, in whatever pieces it comes.
struct Reader {
    head: [u8; FRAME_HEAD_BYTES],
    filled: usize,
    /// Bytes of the preface or of a frame that are still to come.
    skip: usize,
    /// Bytes of the header block so far.
    block: usize,
}

impl Reader {
    const fn new() -> Self {
        Self {
            head: [0; FRAME_HEAD_BYTES],
            filled: 0,
            skip: PREFACE_BYTES,
            block: 0,
        }
    }

    /// Calls back for each frame that begins, with the size that its header block has with it.
    fn read(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Frame, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip = self.skip.saturating_sub(skipped);
            bytes = bytes.get(skipped..).unwrap_or_default();
            let place = self.head.get_mut(self.filled..).unwrap_or_default();
            let count = place.len().min(bytes.len());
            let (now, rest) = bytes.split_at_checked(count).unwrap_or_default();
            for (to, from) in place.iter_mut().zip(now) {
                *to = *from;
            }
            bytes = rest;
            self.filled = self.filled.saturating_add(count);
            if self.filled == FRAME_HEAD_BYTES {
                let frame = Frame::read(self.head);
                (self.filled, self.skip) = (0, frame.length);
                self.block = match frame.kind {
                    Kind::Headers => frame.length,
                    Kind::Continuation => self.block.saturating_add(frame.length),
                    Kind::Data
                    | Kind::Priority
                    | Kind::Reset
                    | Kind::Settings
                    | Kind::Ping
                    | Kind::Window
                    | Kind::Other => 0,
                };
                each(frame, self.block)?;
            }
        }
        Ok(())
    }
}

/// What a client may still send that asks for nothing.
struct Budget {
    credit: u32,
    since: Instant,
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self {
            credit: CREDIT_MAX,
            since: now,
        }
    }

    fn covers(&mut self, frame: Frame, now: impl Fn() -> Instant) -> bool {
        if frame.kind == Kind::Headers {
            self.give(CREDIT_PER_REQUEST);
        }
        let cost = frame.cost();
        if cost > self.credit {
            let seconds = now().saturating_duration_since(self.since).as_secs();
            self.since += Duration::from_secs(seconds);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.give(CREDIT_PER_SECOND.saturating_mul(seconds));
        }
        match self.credit.checked_sub(cost) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => false,
        }
    }

    fn give(&mut self, credit: u32) {
        self.credit = self.credit.saturating_add(credit).min(CREDIT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        frame.resize(FRAME_HEAD_BYTES + length, 0xff);
        frame
    }

    #[test]
    fn frames_are_found_in_whatever_pieces_they_come() {
        let mut stream = vec![b'P'; PREFACE_BYTES];
        for (kind, flags, length) in [(4, 0, 6), (1, 0, 300), (9, 0, 20), (9, 4, 0), (0, 1, 3)] {
            stream.extend(frame(kind, flags, length));
        }
        for size in [1, 2, 7, 64, stream.len()] {
            let (mut reader, mut found) = (Reader::new(), Vec::new());
            for piece in stream.chunks(size) {
                let each = |frame: Frame, block| {
                    found.push((frame.kind, frame.length, block));
                    Ok(())
                };
                reader.read(piece, each).unwrap();
            }
            let expected = [
                (Kind::Settings, 6, 0),
                (Kind::Headers, 300, 300),
                (Kind::Continuation, 20, 320),
                (Kind::Continuation, 0, 320),
                (Kind::Data, 3, 0),
            ];
            assert_eq!(found, expected, "{size}");
        }
    }

    fn of(kind: u8) -> Frame {
        Frame {
            kind: Kind::of(kind),
            flags: 0,
            length: 0,
        }
    }

    /// How often a client can do this at once before it is cut off, at most a million times.
    fn endures(kinds: &[u8]) -> usize {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        let covers = |budget: &mut Budget| {
            let mut each = kinds.iter();
            each.all(|kind| budget.covers(of(*kind), || now))
        };
        (0..1_000_000).take_while(|_| covers(&mut budget)).count()
    }

    #[test]
    fn what_asks_for_nothing_is_not_endured_for_long_and_requests_are_for_ever() {
        for (name, kinds, most) in [
            ("settings", [4].as_slice(), 100),
            ("pings", &[6], 200),
            ("empty data", &[0], 1_000),
            ("continuations", &[9], 200),
            ("priorities", &[2], 500),
            ("windows", &[8], 1_000),
            ("unknown types", &[200], 200),
            ("requests and their resets", &[1, 3], 170),
        ] {
            let endured = endures(kinds);
            assert!(endured <= most && endured > 50, "{name}: {endured}");
        }
        assert_eq!(endures(&[1]), 1_000_000);
        assert_eq!(endures(&[1, 8, 8, 8, 8]), 1_000_000);
    }

    #[test]
    fn time_gives_credit_back() {
        let mut now = Instant::now();
        let mut budget = Budget::new(now);
        let (ping, pings_per_second) = (of(6), 10);
        while budget.covers(ping, || now) {}
        for _ in 0..100 {
            now += Duration::from_secs(1);
            let covered = (0..100).take_while(|_| budget.covers(ping, || now)).count();
            assert_eq!(covered, pings_per_second);
        }
    }
}
