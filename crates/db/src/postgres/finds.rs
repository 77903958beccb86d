//! Many callers' rows found by one statement: for a server, to be asked costs more than to find.
//!
//! What waits is asked for at once, while what was asked before is on its way; who comes alone is served by the statement itself.

use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::join_all;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot};

use super::{Parts, spawn};
use crate::{Error, Row, Statement, Unavailable, Value};

/// Questions on their way at one time: one is at the server while the other gathers.
const ASKED: usize = 2;
/// Rows that one question asks for.
const ASK_MAX: usize = 64;

/// One row that is looked for, and who waits for it.
pub(super) struct Find {
    pub(super) statement: &'static Statement,
    pub(super) key: Vec<Value>,
    reply: oneshot::Sender<Result<Vec<Row>, Error>>,
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
pub(super) struct Finds {
    /// Empty once closed. It is as long as there are permits.
    queue: RwLock<Option<UnboundedSender<Find>>>,
}

impl Finds {
    pub(super) fn open(parts: &Arc<Parts>) -> Self {
        let (queue, finds) = unbounded_channel();
        let finds = Arc::new(Mutex::new(finds));
        for _ in 0..ASKED {
            spawn(serve(Arc::clone(parts), Arc::clone(&finds)));
        }
        Self {
            queue: RwLock::new(Some(queue)),
        }
    }

    pub(super) async fn find(
        &self,
        statement: &'static Statement,
        key: Vec<Value>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Vec<Row>, Error> {
        let (reply, answer) = oneshot::channel();
        self.submit(Find {
            statement,
            key,
            reply,
            _permit: permit,
        })?;
        let lost = |_| Err(Unavailable::ConnectionLost.into());
        answer.await.unwrap_or_else(lost)
    }

    fn submit(&self, find: Find) -> Result<(), Unavailable> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(Unavailable::Closed)?;
        queue.send(find).map_err(|_| Unavailable::Closed)
    }

    pub(super) fn close(&self) {
        let mut queue = self.queue.write().unwrap_or_else(PoisonError::into_inner);
        drop(queue.take());
    }
}

/// Asks for what waits, until there is nobody left who could bring more.
async fn serve(parts: Arc<Parts>, finds: Arc<Mutex<UnboundedReceiver<Find>>>) {
    loop {
        let mut waiting = Vec::new();
        if finds.lock().await.recv_many(&mut waiting, ASK_MAX).await == 0 {
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
