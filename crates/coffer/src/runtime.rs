//! Runtimes: built after the sandbox, never before.

use std::{future::Future, num::NonZero, thread::available_parallelism, time::Duration};

use crate::failure::Failure;

/// Worker threads of a role at most: one machine runs four of them.
const WORKERS_MAX: usize = 2;
/// How long blocking work (a read of stdin that never returns) may hold up the end of a process.
const LEFTOVERS: Duration = Duration::from_millis(200);

/// Runs a role to its end.
pub(crate) fn serve<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // Two that share the one core which a process may use only wake each other.
    let cores = available_parallelism().map_or(WORKERS_MAX, NonZero::get);
    let workers = cores.min(WORKERS_MAX);
    finish(
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers),
        work,
    )
}

/// Runs a command to its end, on this thread.
pub(crate) fn command<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    finish(&mut tokio::runtime::Builder::new_current_thread(), work)
}

fn finish<T>(
    builder: &mut tokio::runtime::Builder,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::doing("starting the runtime", error))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}
