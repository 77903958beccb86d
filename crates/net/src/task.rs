//! Tasks: each has a name, its panic is logged, and those of a process end together.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::request_id;

/// Locks a mutex, even if a task panicked while it held it: that was logged, and what is guarded is whole, since each of our
/// changes to it is one call.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a task. It keeps running when its handle is dropped, belongs to the caller's request and span, and a panic in it
/// is logged by name (never with its message, which may repeat a value).
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that starts tasks; everyone else starts them through it"
)]
pub fn spawn<F>(name: &'static str, work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(named(name, Box::pin(work)))
}

/// Starts a task that belongs to nobody's request: a connection that outlives the call that made it, or work for many calls.
#[expect(
    clippy::disallowed_methods,
    reason = "as `spawn`, without the caller's request"
)]
pub(crate) fn spawn_apart<F>(name: &'static str, work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(guarded(name, Box::pin(work)))
}

/// The work is boxed: what is around it, and a task itself, would otherwise be several times as large, and is moved.
fn named<F: Future>(name: &'static str, work: Pin<Box<F>>) -> impl Future<Output = F::Output> {
    request_id::scope_of(request_id::current(), guarded(name, work)).in_current_span()
}

/// Does the work in the caller's own task, and no longer than that waits for it. None when it panicked.
pub(crate) async fn caught<F: Future>(name: &'static str, work: F) -> Option<F::Output> {
    AssertUnwindSafe(guarded(name, work))
        .catch_unwind()
        .await
        .ok()
}

async fn guarded<F: Future>(name: &'static str, work: F) -> F::Output {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(output) => output,
        Err(panic) => {
            tracing::error!(task.name = name, "a task panicked");
            std::panic::resume_unwind(panic)
        }
    }
}

/// Work whose type nobody has to know. It carries its own request and span.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The tasks of a process, or of a part of it, that stop together. Clones are the same tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that [`Tasks::stop`] waits for. It should watch [`Tasks::stopping`] if it would not end by itself.
    #[expect(
        clippy::disallowed_methods,
        reason = "as `spawn`, and counted by the tracker"
    )]
    pub fn spawn<F>(&self, name: &'static str, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(named(name, Box::pin(work))))
    }

    /// Does the work in the caller's own task; what is left of it when the caller goes away is done in a task like those of
    /// [`Tasks::spawn`]. None when it panicked.
    pub async fn finish<T: Send + 'static>(&self, name: &'static str, work: Work<T>) -> Option<T> {
        let (tasks, rest) = (self, Some(work));
        let finishing = Finishing { tasks, name, rest };
        caught(name, finishing).await
    }

    /// Starts work that is done again and again, with this pause after each time, until the tasks should end. What fails is
    /// logged and tried again.
    pub fn every<S, W, E>(
        &self,
        name: &'static str,
        pause: Duration,
        state: &S,
        work: impl Fn(S) -> W + Send + 'static,
    ) where
        S: Clone + Send + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + Send,
    {
        let (state, stopping) = (state.clone(), self.stopping());
        self.spawn(name, async move {
            tokio::pin!(stopping);
            loop {
                if let Err(error) = work(state.clone()).await {
                    tracing::warn!(task.name = name, %error, "a background task failed; it is tried again");
                }
                tokio::select! {
                    () = &mut stopping => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// Waits until the tasks should end.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stopping.clone().cancelled_owned()
    }

    /// Whether the tasks should end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Tells all tasks to end and waits for them, at most this long. Whether all have ended.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.stopping.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(grace, self.tracker.wait())
            .await
            .is_ok();
        if !ended {
            tracing::warn!(task.count = self.tracker.len(), "tasks did not end in time");
        }
        ended
    }
}

/// Work that goes on when whoever waits for it goes away.
struct Finishing<'t, T: Send + 'static> {
    tasks: &'t Tasks,
    name: &'static str,
    /// None when it has ended.
    rest: Option<Work<T>>,
}

impl<T: Send + 'static> Future for Finishing<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that what panics is not polled again.
        let Some(mut rest) = self.rest.take() else {
            return Poll::Pending;
        };
        let polled = rest.as_mut().poll(context);
        if polled.is_pending() {
            self.rest = Some(rest);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finishing<'_, T> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end, and its tasks with it.
        if let Some(rest) = self.rest.take()
            && Handle::try_current().is_ok()
        {
            self.tasks.spawn(self.name, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_only_its_task() {
        let outcome = spawn("doomed", async { panic!("by test") }).await;
        assert!(outcome.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn work_is_finished_when_whoever_waits_for_it_goes_away() {
        let tasks = Tasks::new();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (told, mut done) = mpsc::unbounded_channel();
        let work = async move {
            let went = gone.await;
            told.send(went.is_ok()).unwrap();
        };
        let mut waiting = Box::pin(tasks.finish("work", Box::pin(work)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        go.send(()).unwrap();
        assert_eq!(done.recv().await, Some(true));
        assert!(tasks.stop(Duration::from_secs(10)).await);
    }

    #[tokio::test]
    async fn work_that_panics_ends_nobody_else() {
        let (tasks, work) = (Tasks::new(), async { panic!("by test") });
        assert_eq!(tasks.finish("doomed", Box::pin(work)).await, None::<()>);
        assert_eq!(tasks.finish("fine", Box::pin(async { 7 })).await, Some(7));
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_until_the_tasks_end() {
        let (tasks, (told, mut tries)) = (Tasks::new(), mpsc::unbounded_channel());
        tasks.every("failing", Duration::ZERO, &told, |told| async move {
            told.send(()).unwrap();
            Err("by test")
        });
        for _ in 0..3 {
            tries.recv().await.unwrap();
        }
        assert!(tasks.stop(Duration::from_secs(10)).await);
    }

    #[tokio::test]
    async fn stopping_waits_for_the_tasks_and_no_longer_than_the_grace() {
        let tasks = Tasks::new();
        let told = tasks.spawn("obedient", tasks.stopping());
        assert!(tasks.stop(Duration::from_secs(10)).await);
        assert!(told.is_finished() && tasks.is_stopping());

        let tasks = Tasks::new();
        let _deaf = tasks.spawn("deaf", std::future::pending::<()>());
        assert!(!tasks.stop(Duration::from_millis(1)).await);
    }
}
