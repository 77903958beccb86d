//! What callers leave for a few tasks to take, many at a time.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, oneshot};

use crate::{Error, Unavailable};

/// Where the answer to a piece of work goes. Who went away does not want to know.
pub(super) type Reply<R> = oneshot::Sender<Result<R, Error>>;

/// As its callers see it: as long as there are permits, and empty once closed.
pub(super) struct Queue<T>(RwLock<Option<UnboundedSender<T>>>);

/// Its other end, which the tasks share.
pub(super) struct Waiting<T>(Arc<Mutex<UnboundedReceiver<T>>>);

impl<T> Queue<T> {
    pub(super) fn open() -> (Self, Waiting<T>) {
        let (queue, waiting) = unbounded_channel();
        let waiting = Waiting(Arc::new(Mutex::new(waiting)));
        (Self(RwLock::new(Some(queue))), waiting)
    }

    /// Leaves work, and waits for its answer. None means that who took it is gone, and with it the knowledge of what was done.
    pub(super) async fn ask<R>(&self, work: impl FnOnce(Reply<R>) -> T) -> Result<R, Error> {
        let (reply, answer) = oneshot::channel();
        self.put(work(reply))?;
        let lost = |_| Err(Unavailable::ConnectionLost.into());
        answer.await.unwrap_or_else(lost)
    }

    fn put(&self, work: T) -> Result<(), Unavailable> {
        let queue = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(Unavailable::Closed)?;
        queue.send(work).map_err(|_| Unavailable::Closed)
    }

    /// Nothing comes any more; what waits is still taken.
    pub(super) fn close(&self) {
        let mut queue = self.0.write().unwrap_or_else(PoisonError::into_inner);
        drop(queue.take());
    }
}

impl<T> Waiting<T> {
    /// What waits now, or comes next; nothing when there is nobody left who could bring more.
    pub(super) async fn take(&self, most: usize) -> Vec<T> {
        let mut taken = Vec::new();
        self.0.lock().await.recv_many(&mut taken, most).await;
        taken
    }
}

impl<T> Clone for Waiting<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
