//! Many callers' rows found by one statement: for a server, to be asked costs more than to find.
//!
//! What waits is asked for at once, while what was asked before is on its way; who comes alone is served by the statement itself.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::OwnedSemaphorePermit;

use super::queue::{Queue, Reply, Waiting};
use super::{Parts, spawn};
use crate::{Error, Row, Statement, Value};

/// Questions on their way at one time: one is at the server while the other gathers.
const ASKED: usize = 2;
/// Rows that one question asks for.
const ASK_MAX: usize = 64;

/// One row that is looked for, and who waits for it.
pub(super) struct Find {
    pub(super) statement: &'static Statement,
    pub(super) key: Vec<Value>,
    reply: Reply<Vec<Row>>,
    _permit: OwnedSemaphorePermit,
}

impl Find {
    fn answer(self, found: Result<Vec<Row>, Error>) {
        // Who went away does not want to know.
        let _ = self.reply.send(found);
    }

    /// By itself.
    async fn run(self, parts: Arc<Parts>) {
        let found = parts.read(self.statement, &self.key).await;
        self.answer(found);
    }
}

/// The finds as their callers see them.
pub(super) struct Finds(Queue<Find>);

impl Finds {
    pub(super) fn open(parts: &Arc<Parts>) -> Self {
        let (queue, finds) = Queue::open();
        for _ in 0..ASKED {
            spawn(serve(Arc::clone(parts), finds.clone()));
        }
        Self(queue)
    }

    pub(super) async fn find(
        &self,
        statement: &'static Statement,
        key: Vec<Value>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Vec<Row>, Error> {
        let find = |reply| Find {
            statement,
            key,
            reply,
            _permit: permit,
        };
        self.0.ask(find).await
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// Asks for what waits, until there is nobody left who could bring more.
async fn serve(parts: Arc<Parts>, finds: Waiting<Find>) {
    loop {
        let mut waiting = finds.take(ASK_MAX).await;
        if waiting.is_empty() {
            return;
        }
        let mut asked = Vec::new();
        while let Some(first) = waiting.first() {
            let statement = first.statement;
            let (same, others): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|find| find.statement.is(statement));
            asked.push(ask(&parts, same));
            waiting = others;
        }
        join_all(asked).await;
    }
}

/// All of one statement.
async fn ask(parts: &Arc<Parts>, finds: Vec<Find>) {
    if let [_] = finds.as_slice() {
        for alone in finds {
            alone.run(Arc::clone(parts)).await;
        }
        return;
    }
    match parts.find(&finds).await {
        Ok(found) => {
            for (find, row) in finds.into_iter().zip(found) {
                find.answer(Ok(Vec::from_iter(row)));
            }
        }
        // Whatever it was, each learns for itself, and tries again where that is of use.
        Err(_) => {
            for find in finds {
                spawn(find.run(Arc::clone(parts)));
            }
        }
    }
}
