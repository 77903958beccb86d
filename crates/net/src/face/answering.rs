//! Answers on their way out. Over HTTP/2 each is a task of its own, which a client that never opens its window would keep for
//! ever; so each is watched from the moment at which it could be sent.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::{crowd::Mark, limits::FaceLimits, patience::Pace};
use crate::task;

tokio::task_local! {
    static ANSWER: Answer;
}

/// How far the answer of the current HTTP/2 stream is.
#[derive(Default)]
struct Answer {
    begun: Cell<bool>,
    taken: Cell<u64>,
}

/// Runs the streams of HTTP/2 connections.
#[derive(Clone)]
pub(super) struct Streams(pub(super) std::sync::Arc<FaceLimits>);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let pace = Pace::new(&self.0);
        task::spawn_apart(
            "http/2 stream",
            ANSWER.scope(Answer::default(), watched(stream, pace)),
        );
    }
}

/// Runs a stream to its end, or until its answer has waited too long for the client: then it is dropped, which resets it.
async fn watched<F: Future>(stream: F, mut pace: Pace) {
    let mut stream = pin!(stream);
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let begun = ANSWER.with(|answer| {
            pace.took(answer.taken.take());
            answer.begun.get()
        });
        if begun { pace.poll(cx) } else { Poll::Pending }
    })
    .await;
}

/// Tells the stream of this task that its answer is ready.
pub(super) fn begun() {
    // There is none over HTTP/1.
    let _ = ANSWER.try_with(|answer| answer.begun.set(true));
}

/// The body of an answer, with the mark that its request is in work.
pub(super) struct Answered {
    body: Body,
    _request: Mark,
}

impl Answered {
    pub(super) const fn new(body: Body, request: Mark) -> Self {
        Self {
            body,
            _request: request,
        }
    }
}

impl hyper::body::Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            let count = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let _ = ANSWER.try_with(|answer| {
                answer.taken.set(answer.taken.get().saturating_add(count));
            });
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
