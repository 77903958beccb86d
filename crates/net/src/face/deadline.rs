//! A point in time that moves with every request and is hardly ever reached.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Moving it costs no timer: the timer goes off at an earlier time and is then set to the later one.
#[derive(Default)]
pub(super) struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(super) fn set_in(&mut self, time: Duration) {
        self.at = Some(Instant::now() + time);
    }

    pub(super) const fn clear(&mut self) {
        self.at = None;
    }

    pub(super) const fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Ready when it is reached; never when none is set.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn it_is_reached_when_it_was_last_set_to_be() {
        let mut deadline = Deadline::default();
        for milliseconds in [80, 10, 120] {
            deadline.set_in(Duration::from_millis(40));
            assert!(poll!(poll_fn(|cx| deadline.poll(cx))).is_pending());
            let (began, time) = (Instant::now(), Duration::from_millis(milliseconds));
            deadline.set_in(time);
            poll_fn(|cx| deadline.poll(cx)).await;
            assert!(began.elapsed() >= time);
        }
        deadline.clear();
        assert!(poll!(poll_fn(|cx| deadline.poll(cx))).is_pending());
    }

    #[tokio::test]
    async fn an_earlier_time_is_not_waited_past() {
        let mut deadline = Deadline::default();
        deadline.set_in(Duration::from_secs(3600));
        assert!(poll!(poll_fn(|cx| deadline.poll(cx))).is_pending());
        deadline.set_in(Duration::from_millis(1));
        poll_fn(|cx| deadline.poll(cx)).await;
    }
}
