//! What the application leaves unread of a request is read and dropped before the answer leaves. Otherwise the connection
//! would be closed with bytes still arriving, the machine would reset it, and the client might never see its answer.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Version, header::EXPECT};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// So much is read for nothing; who sends more may miss the answer.
const BYTES_MAX: usize = 1024 * 1024;
const TIME_MAX: Duration = Duration::from_secs(2);

/// The place where a body goes that was not read to its end.
#[derive(Clone, Default)]
pub(super) struct Leftover(Arc<Mutex<Option<Incoming>>>);

impl Leftover {
    /// The request with a body that comes back here. Not over HTTP/2, where a stream ends without its connection, nor when
    /// the client waits to be asked for the body: then it has not sent any.
    pub(super) fn of(request: Request<Incoming>) -> (Request<axum::body::Body>, Self) {
        let place = Self::default();
        let lent = request.version() != Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        let home = lent.then(|| place.clone());
        let request = request.map(|body| {
            let body = Some(body);
            axum::body::Body::new(Lent { body, home })
        });
        (request, place)
    }

    /// Reads what is left, within limits.
    pub(super) async fn drain(self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
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
    home: Option<Leftover>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let Some(Leftover(home)) = &self.home {
            *home.lock().unwrap_or_else(PoisonError::into_inner) = unread;
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
