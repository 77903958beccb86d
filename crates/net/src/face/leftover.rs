//! The body of a request: it has to arrive in time, and what the application leaves unread of it is read and dropped before
//! the answer leaves. Otherwise the connection, or over HTTP/2 the stream, would be reset with bytes still arriving, and the
//! client might never see its answer: curl 7.88 takes a stream that is reset for an error, whatever came before (RFC 9113, 8.1).

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header::EXPECT};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use super::{crowd::Mark, deadline::Deadline, visit::Visit};

/// So much is read for nothing; who sends more may miss the answer.
const BYTES_MAX: usize = 1024 * 1024;
const TIME_MAX: Duration = Duration::from_secs(2);

/// The place where a body goes that was not read to its end.
#[derive(Clone, Default)]
pub(super) struct Leftover(Option<Arc<Mutex<Option<Incoming>>>>);

impl Leftover {
    /// The request with a body that comes back here. Not when the client waits to be asked for the body: then it has not sent any.
    pub(super) fn of(
        request: Request<Incoming>,
        visit: &Visit,
    ) -> (Request<axum::body::Body>, Self) {
        if request.body().is_end_stream() {
            return (request.map(|_| axum::body::Body::empty()), Self(None));
        }
        let waits = request.headers().contains_key(EXPECT);
        let place = Self((!waits).then(Arc::default));
        let mut deadline = Deadline::default();
        deadline.set_in(visit.limits().body);
        let mark = visit.guest.body();
        let request = request.map(|body| {
            axum::body::Body::new(Lent {
                body: Some(body),
                home: place.clone(),
                deadline,
                unfinished: Some(mark),
            })
        });
        (request, place)
    }

    /// Reads what is left, within limits.
    pub(super) async fn drain(self) {
        let left = self.0.as_deref().and_then(|left| crate::lock(left).take());
        let Some(mut body) = left else {
            return;
        };
        let read = async {
            let mut room = BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                room = room.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if room == 0 {
                    return;
                }
            }
        };
        // In time or not, the answer is sent now.
        let _ = timeout(TIME_MAX, read).await;
    }
}

/// A body in the hands of the application.
struct Lent {
    body: Option<Incoming>,
    home: Leftover,
    deadline: Deadline,
    unfinished: Option<Mark>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let Leftover(Some(home)) = &self.home {
            *crate::lock(home) = unread;
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(frame) => {
                if frame.is_none() || body.is_end_stream() {
                    this.unfinished = None;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => this
                .deadline
                .poll(context)
                .map(|()| Some(Err(io::Error::from(io::ErrorKind::TimedOut).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
