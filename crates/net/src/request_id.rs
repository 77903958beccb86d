//! The id of the request that the current task works for, so that it reaches every log line and every other role.

use std::future::Future;

use coffer_core::id::RequestId;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The header that carries it between roles and to callers.
pub const HEADER: &str = "request-id";

/// The id of the request that this task works for, if it works for one.
#[must_use]
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(|id| *id).ok()
}

/// Runs `work` for this request. Tasks that it starts with [`crate::task::spawn`] work for it, too.
pub fn scope<T>(id: RequestId, work: impl Future<Output = T>) -> impl Future<Output = T> {
    // No `async fn`: it would keep `work` twice.
    CURRENT.scope(id, work)
}

/// As [`scope`], or without any when there is none.
pub async fn scope_of<T>(id: Option<RequestId>, work: impl Future<Output = T>) -> T {
    match id {
        Some(id) => scope(id, work).await,
        None => work.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_works_for_the_request_that_started_it() {
        let id = RequestId::from_bytes([7; 16]);
        let seen = scope(id, async {
            crate::task::spawn("inner", async { current() })
                .await
                .unwrap()
        });
        assert_eq!(seen.await, Some(id));
        assert_eq!(current(), None);
    }
}
