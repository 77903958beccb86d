//! One commit for the transactions of many callers, as the embedded engine has it.
//!
//! What waits is sent as one of the server's transactions, as if nothing could go wrong, which is nearly always so. When a
//! step fails or does not do what it must, all is undone and each runs by itself, so that one caller's failure is no other's.
//! Only transactions that cannot wait for each other in a circle come here ([`super::run::joins`]).

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::queue::{Queue, Reply, Waiting};
use super::run::{self, Alike};
use super::{Parts, end, spawn};
use crate::{Error, Outcome, Transaction};

/// Groups at one time: one is on its way through the server while another waits for the disk.
const LANES: usize = 2;
/// Transactions that share one commit.
const GROUP_MAX: usize = 64;

/// A transaction and who waits for it.
struct Work {
    transaction: Transaction,
    caller: Caller,
}

/// Who waits for a transaction, and the place that it takes as long as that lasts.
struct Caller {
    reply: Reply<Outcome>,
    _permit: OwnedSemaphorePermit,
}

impl Caller {
    fn answer(self, done: Result<Outcome, Error>) {
        // A caller that went away does not want to know; its transaction is carried out all the same.
        let _ = self.reply.send(done);
    }
}

impl Work {
    fn parted(self) -> (Transaction, Caller) {
        (self.transaction, self.caller)
    }

    /// By itself.
    async fn run(self, parts: Arc<Parts>) {
        let done = parts.transact(&self.transaction).await;
        self.caller.answer(done);
    }
}

/// The lanes as their callers see them.
pub(super) struct Lanes(Queue<Work>);

impl Lanes {
    pub(super) fn open(parts: &Arc<Parts>) -> Self {
        let (queue, works) = Queue::open();
        for _ in 0..LANES {
            spawn(serve(Arc::clone(parts), works.clone()));
        }
        Self(queue)
    }

    pub(super) async fn transact(
        &self,
        transaction: Transaction,
        permit: OwnedSemaphorePermit,
    ) -> Result<Outcome, Error> {
        let work = |reply| Work {
            transaction,
            caller: Caller {
                reply,
                _permit: permit,
            },
        };
        self.0.ask(work).await
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// One lane: takes what waits, commits it, answers, until there is nobody left who could bring more.
async fn serve(parts: Arc<Parts>, works: Waiting<Work>) {
    loop {
        let group = works.take(GROUP_MAX).await;
        if group.is_empty() {
            return;
        }
        commit(&parts, group).await;
    }
}

async fn commit(parts: &Arc<Parts>, mut group: Vec<Work>) {
    if let [_] = group.as_slice() {
        for alone in group {
            alone.run(Arc::clone(parts)).await;
        }
        return;
    }
    group.sort_by(|one, other| one.transaction.object().cmp(&other.transaction.object()));
    let (transactions, callers): (Vec<_>, Vec<_>) = group.into_iter().map(Work::parted).unzip();
    match parts.together(&transactions).await {
        Together::Committed(outcomes) => {
            for (caller, outcome) in callers.into_iter().zip(outcomes) {
                caller.answer(Ok(outcome));
            }
        }
        Together::Unknown(error) => {
            for caller in callers {
                caller.answer(Err(error.clone()));
            }
        }
        Together::Undone => {
            for (transaction, caller) in transactions.into_iter().zip(callers) {
                let work = Work {
                    transaction,
                    caller,
                };
                spawn(work.run(Arc::clone(parts)));
            }
        }
    }
}

/// What became of a group.
enum Together {
    /// All of it is durable.
    Committed(Vec<Outcome>),
    /// Nothing of it was kept.
    Undone,
    /// The commit failed: it may have been carried out.
    Unknown(Error),
}

impl Parts {
    async fn together(&self, transactions: &[Transaction]) -> Together {
        let Ok(lent) = self.writers.lend().await else {
            return Together::Undone;
        };
        let Some(client) = lent.client() else {
            return Together::Undone;
        };
        let ran = run::steps(client, &self.catalog, transactions, Alike::Together).await;
        let together = match ran {
            Err(_) => Together::Undone,
            Ok(outcomes) => match run::commit(client).await {
                Ok(()) => Together::Committed(outcomes),
                Err(error) => Together::Unknown(error),
            },
        };
        let committed = matches!(together, Together::Committed(_));
        end(lent, committed).await;
        if committed {
            self.health.committed();
        }
        together
    }
}
