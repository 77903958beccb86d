//! The server engine: transactions pipelined on connections of their own or together with others', reads on a few that they
//! share.
//!
//! Isolation is READ COMMITTED: a step sees what was committed before it began, and a conditional `UPDATE` looks at its
//! condition again after it waited for another's lock. So what guards a rule is a row that is updated or a unique key,
//! never a `SELECT` or `NOT EXISTS` alone.

mod address;
mod copy;
mod failure;
mod finds;
mod lanes;
mod queue;
mod readers;
mod run;
mod schema;
mod session;
mod several;
mod value;
mod writers;

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

pub use self::address::PostgresAddress;
pub(crate) use self::copy::{PostgresFilling, PostgresSnapshot};
use self::failure::Failed;
use self::finds::{Find, Finds};
use self::lanes::Lanes;
use self::readers::Readers;
use self::run::{Alike, Catalog};
pub use self::session::PLANNER;
use self::writers::{Lent, Writers};
use crate::health::Health;
use crate::{Disk, Error, Migration, Outcome, Row, Statement, Transaction, Unavailable, Value};

/// Transactions and reads that may wait or run; one more is answered `Overloaded` at once.
const IN_FLIGHT_MAX: u32 = 4096;
/// How often a server that failed is asked whether it works again.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How often a transaction is run that only lost against another (a deadlock), or its connection before the commit, or of
/// which not every step touched its row.
const TRIES: u32 = 5;

/// An open PostgreSQL database.
pub(crate) struct Postgres {
    parts: Arc<Parts>,
    lanes: Lanes,
    finds: Finds,
    in_flight: Arc<Semaphore>,
}

/// What a transaction needs while it runs, whoever waits for it.
struct Parts {
    catalog: Catalog,
    writers: Writers,
    readers: Readers,
    health: Health,
    closed: AtomicBool,
}

impl Postgres {
    pub(crate) async fn open(
        address: &PostgresAddress,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Result<Self, Error> {
        let writers = Writers::new(session::manager(address)?)?;
        let lent = writers.lend().await.map_err(|failed| failed.error)?;
        let client = lent.client().ok_or(Unavailable::Closed)?;
        schema::migrate(client, migrations).await?;
        let catalog = run::catalog(client, statements).await?;
        lent.give_back();
        let parts = Parts {
            catalog,
            writers,
            readers: Readers::new(session::manager(address)?),
            health: Health::new(),
            closed: AtomicBool::new(false),
        };
        let parts = Arc::new(parts);
        Ok(Self {
            lanes: Lanes::open(&parts),
            finds: Finds::open(&parts),
            parts,
            in_flight: Arc::new(Semaphore::new(
                IN_FLIGHT_MAX.try_into().unwrap_or(usize::MAX),
            )),
        })
    }

    pub(crate) async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        let permit = self.enter()?;
        let done = if run::joins(&self.parts.catalog, &transaction) {
            self.lanes.transact(transaction, permit).await
        } else {
            let parts = Arc::clone(&self.parts);
            // A task of its own, so that a caller that goes away does not leave a transaction half sent.
            let task = spawn(async move {
                let _permit = permit;
                parts.transact(&transaction).await
            });
            let lost = |_| Err(Unavailable::ConnectionLost.into());
            task.await.unwrap_or_else(lost)
        };
        done.inspect_err(|error| self.note(error))
    }

    pub(crate) async fn read(
        &self,
        statement: &'static Statement,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        let permit = self.enter()?;
        let read = if self.parts.catalog.entry(statement)?.proof.finds() {
            self.finds.find(statement, params, permit).await
        } else {
            let read = self.parts.read(statement, &params).await;
            drop(permit);
            read
        };
        read.inspect_err(|error| self.note(error))
    }

    /// Waits for what is on its way, then lets the connections go.
    pub(crate) async fn close(&self) {
        self.parts.closed.store(true, Ordering::SeqCst);
        drop(self.in_flight.acquire_many(IN_FLIGHT_MAX).await);
        self.in_flight.close();
        self.lanes.close();
        self.finds.close();
        self.parts.writers.close();
        self.parts.readers.close();
    }

    pub(crate) fn healthy(&self) -> bool {
        self.parts.health.is_good()
    }

    /// Its server's disk, of which nothing is known but what it says.
    pub(crate) fn disk(&self) -> Disk {
        Disk {
            reserve_bytes: None,
            full_times: self.parts.health.full_times(),
        }
    }

    /// After the first failure someone looks until the server stores again, whether or not there is other work.
    fn note(&self, error: &Error) {
        let was_good = self.parts.health.is_good();
        self.parts.health.failed(error);
        if was_good && !self.parts.health.is_good() {
            let parts = Arc::clone(&self.parts);
            spawn(async move { parts.recover().await });
        }
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        if self.parts.closed.load(Ordering::SeqCst) {
            return Err(Unavailable::Closed);
        }
        let permit = Arc::clone(&self.in_flight).try_acquire_owned();
        permit.map_err(|error| match error {
            TryAcquireError::NoPermits => Unavailable::Overloaded,
            TryAcquireError::Closed => Unavailable::Closed,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this crate stands below the one that names tasks; what waits for a task sees its panic"
)]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// Ends what is left of a transaction. A connection is kept only in a known state: after a commit, or a rollback that the
/// server confirmed.
async fn end(lent: Lent, committed: bool) {
    let known = match lent.client() {
        Some(client) => committed || client.batch_execute("ROLLBACK").await.is_ok(),
        None => false,
    };
    if known {
        lent.give_back();
    }
}

impl Parts {
    async fn transact(&self, transaction: &Transaction) -> Result<Outcome, Error> {
        let mut tries = 1;
        let mut alike = Alike::Together;
        loop {
            match self.attempt(transaction, alike).await {
                Ok(outcome) => {
                    self.health.committed();
                    return Ok(outcome);
                }
                Err(failed) if failed.again && tries < TRIES => {
                    tries = tries.saturating_add(1);
                    alike = Alike::Apart;
                }
                Err(failed) => return Err(failed.error),
            }
        }
    }

    async fn attempt(&self, transaction: &Transaction, alike: Alike) -> Result<Outcome, Failed> {
        let lent = self.writers.lend().await?;
        let client = lent
            .client()
            .ok_or(Unavailable::Closed)
            .map_err(Error::from)?;
        let transaction = slice::from_ref(transaction);
        let done = match run::steps(client, &self.catalog, transaction, alike).await {
            Ok(outcomes) => match run::commit(client).await {
                Ok(()) => Ok(outcomes.into_iter().next().unwrap_or_default()),
                Err(error) => Err(error.into()),
            },
            Err(failed) => Err(failed),
        };
        end(lent, done.is_ok()).await;
        done
    }

    async fn recover(&self) {
        while !self.health.is_good() && !self.closed.load(Ordering::SeqCst) {
            sleep(PROBE_INTERVAL).await;
            let Ok(lent) = self.writers.lend().await else {
                continue;
            };
            if let Some(client) = lent.client()
                && run::probe(client).await.is_ok()
            {
                self.health.committed();
                lent.give_back();
            }
        }
    }

    /// The rows of many keys, at the places of their keys. All of them are looked for by the same statement.
    async fn find(&self, finds: &[Find]) -> Result<Vec<Option<Row>>, Failed> {
        let Some(first) = finds.first() else {
            return Ok(Vec::new());
        };
        let entry = self.catalog.entry(first.statement)?;
        let keys: Vec<&[Value]> = finds.iter().map(|find| find.key.as_slice()).collect();
        let client = self.readers.client().await?;
        run::find(&client, entry, &keys).await
    }

    async fn read(
        &self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let entry = self.catalog.entry(statement)?;
        let mut tries = 1;
        loop {
            let client = self.readers.client().await?;
            match run::read(&client, entry, params).await {
                Ok(rows) => return Ok(rows),
                Err(failed) if failed.again && tries < TRIES => tries = tries.saturating_add(1),
                Err(failed) => return Err(failed.error),
            }
        }
    }
}
