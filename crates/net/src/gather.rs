//! Doing together what comes at the same time: what arrives while the like of it is being done is done next, all at once.
//! The first goes at once, so that nobody waits for company.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex},
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
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    together_max: usize,
    waiting_max: usize,
    /// Whether what its caller gave up before it was begun is still done.
    stubborn: bool,
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
    /// At most `together_max` are done at once, and at most `waiting_max` wait. All of it is done, even if its caller goes
    /// away: what has to be on record is.
    #[must_use]
    pub fn new(together_max: usize, waiting_max: usize) -> Self {
        Self::with(Limits {
            together_max,
            waiting_max,
            stubborn: true,
        })
    }

    /// As [`Gather::new`], but what its caller gave up before it was begun is never done.
    #[must_use]
    pub fn of_what_is_wanted(together_max: usize, waiting_max: usize) -> Self {
        Self::with(Limits {
            together_max,
            waiting_max,
            stubborn: false,
        })
    }

    fn with(limits: Limits) -> Self {
        let queue = Arc::default();
        Self { queue, limits }
    }

    /// Has it done, with those that wait at the same time: `work` gives a result for each, in their order. What is begun is
    /// finished even if the caller goes away. It is the work of whoever came first that does it, so everyone brings the same.
    /// It waits from this call on, not from when the answer is asked for.
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
            let (queue, limits) = (Arc::clone(&self.queue), self.limits);
            let server = Server { queue, done: false };
            task::spawn_apart("gathered work", server.serve(limits, work));
        }
        async move {
            added?;
            done.await.map_err(|_| Missed::Lost)
        }
    }

    /// Whether whoever adds it has to start the work: nobody is at it.
    fn add(&self, thing: T, told: oneshot::Sender<R>) -> Result<bool, Missed> {
        let mut queue = crate::lock(&self.queue);
        if queue.waiting.len() >= self.limits.waiting_max {
            return Err(Missed::Full);
        }
        queue.waiting.push_back((thing, told));
        Ok(!std::mem::replace(&mut queue.served, true))
    }
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
            *crate::lock(&self.queue) = Queue::default();
        }
    }
}

impl<T, R> Server<T, R> {
    async fn serve<W, F>(mut self, limits: Limits, work: W)
    where
        W: Fn(Vec<T>) -> F,
        F: Future<Output = Vec<R>>,
    {
        while let Some((things, told)) = self.next(limits) {
            for (told, result) in told.into_iter().zip(work(things).await) {
                // Who went away meanwhile does not want to know; it is done all the same.
                let _ = told.send(result);
            }
        }
        self.done = true;
    }

    /// The next to be done together; none when nothing waits any more, and then nobody serves.
    fn next(&self, limits: Limits) -> Option<(Vec<T>, Vec<oneshot::Sender<R>>)> {
        let mut queue = crate::lock(&self.queue);
        queue
            .waiting
            .retain(|(_, told)| limits.stubborn || !told.is_closed());
        let count = queue.waiting.len().min(limits.together_max);
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

    /// What is done of three things, of which the first two are given up: one that was begun and one that waits.
    async fn done_of_three(gather: Gather<u32, u32>) -> Vec<u32> {
        let (open, done) = (
            Arc::new(Semaphore::new(0)),
            Arc::new(Mutex::new(Vec::new())),
        );
        let (opened, seen) = (Arc::clone(&open), Arc::clone(&done));
        let work = move |things: Vec<u32>| {
            let (open, done) = (Arc::clone(&opened), Arc::clone(&seen));
            async move {
                open.acquire().await.unwrap().forget();
                done.lock().unwrap().extend(things.iter().copied());
                things
            }
        };
        let mut begun = Box::pin(gather.join(0, work.clone()));
        assert!(futures_util::poll!(&mut begun).is_pending());
        tokio::task::yield_now().await;
        let waiting = gather.join(1, work.clone());
        drop((begun, waiting));
        open.add_permits(2);
        assert_eq!(gather.join(2, work).await, Ok(2));
        done.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn what_its_caller_gave_up_is_done_all_the_same() {
        assert_eq!(done_of_three(Gather::new(10, 10)).await, [0, 1, 2]);
    }

    #[tokio::test]
    async fn of_what_is_wanted_only_what_was_begun_is_finished_without_its_caller() {
        let gather = Gather::of_what_is_wanted(10, 10);
        assert_eq!(done_of_three(gather).await, [0, 2]);
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
