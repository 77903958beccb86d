//! Doing together what comes at the same time: what arrives while the like of it is being done is done next, all at once.
//! The first goes at once, so that nobody waits for company.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::task;

/// Why something was not done, or nobody knows whether it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Too many wait; it was not begun.
    Full,
    /// The work came to no end.
    Lost,
}

/// Where things of one kind meet.
pub struct Gather<T, R> {
    queue: Arc<Mutex<Queue<T, R>>>,
    together_max: usize,
    waiting_max: usize,
}

struct Queue<T, R> {
    waiting: VecDeque<(T, oneshot::Sender<R>)>,
    /// Whether a task takes from it.
    served: bool,
}

impl<T, R> Default for Queue<T, R> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            served: false,
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Gather<T, R> {
    /// At most `together_max` are done at once, and at most `waiting_max` wait.
    #[must_use]
    pub fn new(together_max: usize, waiting_max: usize) -> Self {
        Self {
            queue: Arc::default(),
            together_max,
            waiting_max,
        }
    }

    /// Has it done, with those that wait at the same time: `work` gives a result for each, in their order. It is done even
    /// if the caller goes away, by the work of whoever came first, so everyone brings the same. It waits from this call on, not
    /// from when the answer is asked for.
    ///
    /// # Errors
    /// `Full` when too many wait; `Lost` when the work panicked.
    pub fn join<W, F>(
        &self,
        thing: T,
        work: W,
    ) -> impl Future<Output = Result<R, Missed>> + use<T, R, W, F>
    where
        W: Fn(Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send + 'static,
    {
        let (told, done) = oneshot::channel();
        let added = self.add(thing, told);
        if added == Ok(true) {
            let (queue, together_max) = (Arc::clone(&self.queue), self.together_max);
            let server = Server { queue, done: false };
            task::spawn_apart("gathered work", server.serve(together_max, work));
        }
        async move {
            added?;
            done.await.map_err(|_| Missed::Lost)
        }
    }

    /// Whether whoever adds it has to start the work: nobody is at it.
    fn add(&self, thing: T, told: oneshot::Sender<R>) -> Result<bool, Missed> {
        let mut queue = lock(&self.queue);
        if queue.waiting.len() >= self.waiting_max {
            return Err(Missed::Full);
        }
        queue.waiting.push_back((thing, told));
        Ok(!std::mem::replace(&mut queue.served, true))
    }
}

/// A panic elsewhere leaves the queue whole: every change of it is one call.
fn lock<T, R>(queue: &Mutex<Queue<T, R>>) -> MutexGuard<'_, Queue<T, R>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the queue. If it ends in a panic, those who wait are told so, and the next to come starts again.
struct Server<T, R> {
    queue: Arc<Mutex<Queue<T, R>>>,
    /// Nobody waits any more, and another may already serve those who come.
    done: bool,
}

impl<T, R> Drop for Server<T, R> {
    fn drop(&mut self) {
        if !self.done {
            *lock(&self.queue) = Queue::default();
        }
    }
}

impl<T, R> Server<T, R> {
    async fn serve<W, F>(mut self, together_max: usize, work: W)
    where
        W: Fn(Vec<T>) -> F,
        F: Future<Output = Vec<R>>,
    {
        while let Some((things, told)) = self.next(together_max) {
            for (told, result) in told.into_iter().zip(work(things).await) {
                // Who went away does not want to know; it is done all the same.
                let _ = told.send(result);
            }
        }
        self.done = true;
    }

    /// The next to be done together; none when nothing waits any more, and then nobody serves.
    fn next(&self, together_max: usize) -> Option<(Vec<T>, Vec<oneshot::Sender<R>>)> {
        let mut queue = lock(&self.queue);
        let count = queue.waiting.len().min(together_max);
        queue.served = count > 0;
        (count > 0).then(|| queue.waiting.drain(..count).unzip())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Work that waits for a permit and tells each how many were done with it.
    fn counting(open: &Arc<Semaphore>) -> impl Fn(Vec<u32>) -> Counted + Send + Clone + 'static {
        let open = Arc::clone(open);
        move |things| {
            let open = Arc::clone(&open);
            Box::pin(async move {
                open.acquire().await.unwrap().forget();
                things.iter().map(|thing| (*thing, things.len())).collect()
            })
        }
    }

    type Counted = std::pin::Pin<Box<dyn Future<Output = Vec<(u32, usize)>> + Send>>;

    #[tokio::test]
    async fn the_first_goes_at_once_and_what_comes_meanwhile_goes_together() {
        let (gather, open) = (Gather::new(3, 100), Arc::new(Semaphore::new(0)));
        let work = counting(&open);
        let mut first = Box::pin(gather.join(0, work.clone()));
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
        let rest = join_all((1..6).map(|thing| gather.join(thing, work.clone())));
        open.add_permits(3);
        let (first, rest) = tokio::join!(first, rest);
        assert_eq!(first, Ok((0, 1)));
        let expected = [(1, 3), (2, 3), (3, 3), (4, 2), (5, 2)].map(Ok);
        assert_eq!(rest, expected);
        open.add_permits(1);
        assert_eq!(gather.join(7, work).await, Ok((7, 1)), "and again");
    }

    #[tokio::test]
    async fn no_more_than_may_wait_wait() {
        let (gather, open) = (Gather::new(10, 2), Arc::new(Semaphore::new(0)));
        let work = counting(&open);
        let all = join_all((0..3).map(|thing| gather.join(thing, work.clone())));
        let mut all = Box::pin(all);
        assert!(futures_util::poll!(&mut all).is_pending());
        open.add_permits(1);
        assert_eq!(all.await, [Ok((0, 2)), Ok((1, 2)), Err(Missed::Full)]);
    }

    #[tokio::test]
    async fn what_is_begun_is_done_without_its_caller() {
        let (gather, open) = (Gather::new(10, 10), Arc::new(Semaphore::new(0)));
        let mut gone = Box::pin(gather.join(0, counting(&open)));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        open.add_permits(2);
        assert_eq!(gather.join(1, counting(&open)).await, Ok((1, 2)));
    }

    #[tokio::test]
    async fn work_that_panics_is_lost_and_the_next_starts_again() {
        let gather: Gather<u32, u32> = Gather::new(10, 10);
        let doomed = |_| async { panic!("by test") };
        assert_eq!(gather.join(0, doomed).await, Err(Missed::Lost));
        let fine = |things| async { things };
        assert_eq!(gather.join(1, fine).await, Ok(1));
    }
}
