//! A pool of connections for transactions, each lent to one at a time.

use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, Object, Pool, PoolError, Runtime, Timeouts,
};

use super::failure::{self, Failed};
use super::session::{self, CONNECT_TIMEOUT};
use crate::{Error, Unavailable};

/// Connections for transactions, and so transactions at one time. Every node has as many; the server's
/// `max_connections` must allow for all nodes.
pub(super) const WRITERS: usize = 12;
/// How long a transaction waits for one.
const WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Writers {
    pool: Pool,
}

impl Writers {
    pub(super) fn new(manager: Manager) -> Result<Self, Error> {
        let timeouts = Timeouts {
            wait: Some(WAIT_MAX),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(CONNECT_TIMEOUT),
        };
        let check = Hook::async_fn(|client: &mut ClientWrapper, _| {
            Box::pin(async move {
                let checked = session::check(client).await;
                checked.map_err(|error| HookError::message(error.to_string()))
            })
        });
        let pool = Pool::builder(manager)
            .max_size(WRITERS)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .post_create(check)
            .build();
        let pool = pool.map_err(|error| Error::Defect(error.to_string()))?;
        Ok(Self { pool })
    }

    /// A connection for one transaction alone.
    pub(super) async fn lend(&self) -> Result<Lent, Failed> {
        let lent = self.pool.get().await.map_err(failed)?;
        Ok(Lent(Some(lent)))
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

fn failed(error: PoolError) -> Failed {
    let error = match error {
        PoolError::Timeout(_) => Unavailable::Overloaded.into(),
        PoolError::Backend(error) => failure::of_connection(&error),
        PoolError::PostCreateHook(HookError::Message(why)) => Error::Refused(why.into_owned()),
        PoolError::PostCreateHook(HookError::Backend(error)) => failure::of_connection(&error),
        PoolError::Closed => Unavailable::Closed.into(),
        PoolError::NoRuntimeSpecified => Error::Defect("the pool has no runtime".to_owned()),
    };
    error.into()
}

/// A connection that goes back only when its transaction has ended: dropped in any other way (an error, a panic, the end
/// of the runtime) it is closed, and the server undoes what was not committed.
pub(super) struct Lent(Option<Object>);

impl Lent {
    pub(super) fn client(&self) -> Option<&ClientWrapper> {
        self.0.as_deref()
    }

    /// Back into the pool.
    pub(super) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(unknown) = self.0.take() {
            drop(Object::take(unknown));
        }
    }
}
