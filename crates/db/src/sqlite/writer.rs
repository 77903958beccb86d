//! The writer: one thread owns the connection and commits what waits, many callers' transactions with one fsync.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::failure;
use super::group::Group;
use super::proof::Catalog;
use crate::health::Health;
use crate::{Error, Outcome, Transaction, Unavailable};

/// Transactions that may wait; one more is answered `Overloaded` at once.
const WRITER_QUEUE: usize = 4096;
/// Transactions that share one commit.
const GROUP_MAX: usize = 128;
/// How often an idle writer looks whether a failed storage works again.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// A transaction and who waits for it.
struct Work {
    transaction: Transaction,
    reply: Reply,
}

/// Takes the transaction back, too: the thread that made its values frees them at less cost than this one.
type Reply = oneshot::Sender<(Result<Outcome, Error>, Transaction)>;

/// The writer as its callers see it.
pub(super) struct Writer {
    /// Empty once closed; the thread ends when the queue is drained.
    queue: RwLock<Option<SyncSender<Work>>>,
    ended: watch::Receiver<()>,
    health: Arc<Health>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        catalog: Arc<Catalog>,
        health: Arc<Health>,
    ) -> Result<Self, Error> {
        let (queue, works) = sync_channel(WRITER_QUEUE);
        let (ready, started) = sync_channel(1);
        let (ending, ended) = watch::channel(());
        let thread_health = Arc::clone(&health);
        let thread = move || {
            let thread = Thread {
                connection,
                catalog,
                health: thread_health,
            };
            thread.run(&works, &ready);
            // Dropped last, so that whoever waits for the end finds the files at rest.
            drop((thread.connection, ending));
        };
        let spawned = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(thread);
        spawned.map_err(|error| Unavailable::Io(error.to_string()))?;
        started.recv().map_err(|_| Unavailable::ConnectionLost)??;
        Ok(Self {
            queue: RwLock::new(Some(queue)),
            ended,
            health,
        })
    }

    pub(super) async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let submitted = self.submit(Work { transaction, reply });
        submitted
            .map_err(Error::from)
            .inspect_err(|error| self.health.failed(error))?;
        // No answer means that the thread is gone, and with it the knowledge of what was committed.
        match answer.await {
            Ok((done, _)) => done,
            Err(_) => {
                let lost = Error::from(Unavailable::ConnectionLost);
                self.health.failed(&lost);
                Err(lost)
            }
        }
    }

    fn submit(&self, work: Work) -> Result<(), Unavailable> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().map(|queue| queue.try_send(work)) {
            None => Err(Unavailable::Closed),
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(Unavailable::Overloaded),
            Some(Err(TrySendError::Disconnected(_))) => Err(Unavailable::ConnectionLost),
        }
    }

    pub(super) fn refuse_new_work(&self) {
        drop(
            self.queue
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Waits until the thread has committed what waited and has closed its connection.
    pub(super) async fn drained(&self) {
        // Nothing is ever sent: the error, when the thread drops its side, is the news.
        while self.ended.clone().changed().await.is_ok() {}
    }
}

/// The writer's own side.
struct Thread {
    connection: Connection,
    catalog: Arc<Catalog>,
    health: Arc<Health>,
}

impl Thread {
    fn run(&self, works: &Receiver<Work>, ready: &SyncSender<Result<(), Error>>) {
        let prepared = Group::prepare(&self.connection, &self.catalog);
        match prepared {
            Ok(mut group) => {
                // The opener waits for this; if it is gone, the queue is too and the loop ends at once.
                let _ = ready.send(Ok(()));
                self.serve(&mut group, works);
            }
            Err(error) => drop(ready.send(Err(error))),
        }
        self.rest();
    }

    fn serve(&self, group: &mut Group<'_>, works: &Receiver<Work>) {
        loop {
            match works.recv_timeout(PROBE_INTERVAL) {
                Ok(first) => self.commit(group, first, works),
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes what waits now, commits it, and only then answers.
    fn commit(&self, group: &mut Group<'_>, first: Work, works: &Receiver<Work>) {
        let waiting = std::iter::once(first)
            .chain(works.try_iter())
            .take(GROUP_MAX);
        let (transactions, replies): (Vec<_>, Vec<_>) =
            waiting.map(|work| (work.transaction, work.reply)).unzip();
        let changes = self.connection.total_changes();
        match group.commit(&transactions) {
            Ok(answers) => {
                if self.connection.total_changes() != changes {
                    self.health.committed();
                }
                let done = replies.into_iter().zip(transactions);
                for ((reply, transaction), answer) in done.zip(answers) {
                    self.answer(reply, answer, transaction);
                }
            }
            Err(error) => {
                for (reply, transaction) in replies.into_iter().zip(transactions) {
                    self.answer(reply, Err(error.clone().into()), transaction);
                }
            }
        }
    }

    fn answer(&self, reply: Reply, answer: Result<Outcome, Error>, transaction: Transaction) {
        if let Err(error) = &answer {
            self.health.failed(error);
        }
        // A caller that went away does not want to know; its transaction is committed all the same.
        let _ = reply.send((answer, transaction));
    }

    /// A process that is taken out of traffic gets no writes to recover by, so it makes one itself.
    fn probe(&self) {
        const WRITE: &str = "UPDATE migrations SET applied = applied";
        if !self.health.is_good()
            && self
                .connection
                .execute(WRITE, [])
                .is_ok_and(|touched| touched > 0)
        {
            self.health.committed();
        }
    }

    /// Moves the write-ahead log into the database. If that fails the log stays and the next start reads it.
    fn rest(&self) {
        let checkpoint = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = checkpoint {
            let error = failure::of_commit(&error);
            tracing::warn!(db.error = %error, "the write-ahead log could not be merged; the next start will do it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{schema, settings};
    use crate::{Migration, Statement, params};

    const INSERT: Statement = Statement::new("insert", "INSERT INTO t (data) VALUES ($1)");
    const TABLE: Migration = Migration {
        version: 1,
        name: "t",
        sql: "CREATE TABLE t (data {bytes} NOT NULL) {strict}",
    };

    fn connection(folder: &tempfile::TempDir) -> Connection {
        let connection = Connection::open(folder.path().join("t.db")).unwrap();
        settings::apply_to_writer(&connection).unwrap();
        schema::migrate(&connection, &[TABLE]).unwrap();
        connection
    }

    fn thread(connection: Connection) -> Thread {
        let catalog = Arc::new(crate::sqlite::proof::catalog(&connection, &[&[&INSERT]]).unwrap());
        Thread {
            connection,
            catalog,
            health: Arc::new(Health::new()),
        }
    }

    /// Commits one insert on this thread.
    fn commit(thread: &Thread, bytes: usize) -> Result<Outcome, Error> {
        let (reply, mut answer) = oneshot::channel();
        let (_queue, works) = sync_channel(1);
        let work = Work {
            transaction: insert(bytes),
            reply,
        };
        thread.commit(
            &mut Group::prepare(&thread.connection, &thread.catalog).unwrap(),
            work,
            &works,
        );
        answer.try_recv().unwrap().0
    }

    fn insert(bytes: usize) -> Transaction {
        Transaction::new().one(&INSERT, params![vec![0_u8; bytes]])
    }

    #[test]
    fn a_full_disk_is_unhealthy_until_something_is_stored_again() {
        let folder = tempfile::tempdir().unwrap();
        let thread = thread(connection(&folder));
        let limit = |pages: i64| {
            thread
                .connection
                .execute_batch(&format!("PRAGMA max_page_count={pages}"))
                .unwrap()
        };
        limit(10);
        let full = Error::from(Unavailable::DiskFull);
        assert_eq!(commit(&thread, 1 << 20).unwrap_err(), full);
        assert!(!thread.health.is_good());
        limit(1_000_000);
        assert!(commit(&thread, 1 << 20).is_ok());
        assert!(thread.health.is_good());
    }

    #[test]
    fn an_idle_writer_finds_out_that_the_storage_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let thread = thread(connection(&folder));
        thread.health.failed(&Unavailable::DiskFull.into());
        thread
            .connection
            .execute_batch("PRAGMA query_only=ON")
            .unwrap();
        thread.probe();
        assert!(!thread.health.is_good());
        thread
            .connection
            .execute_batch("PRAGMA query_only=OFF")
            .unwrap();
        thread.probe();
        assert!(thread.health.is_good());
    }

    #[test]
    fn a_foreign_lock_is_overload_and_does_not_touch_health() {
        let folder = tempfile::tempdir().unwrap();
        let thread = thread(connection(&folder));
        thread.connection.busy_timeout(Duration::ZERO).unwrap();
        let other = connection(&folder);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(
            commit(&thread, 1).unwrap_err(),
            Unavailable::Overloaded.into()
        );
        assert!(thread.health.is_good());
        other.execute_batch("ROLLBACK").unwrap();
        assert!(commit(&thread, 1).is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_is_answered_at_once_and_what_was_accepted_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let held = connection(&folder);
        held.execute_batch("BEGIN IMMEDIATE").unwrap();
        let Thread {
            connection,
            catalog,
            health,
        } = thread(Connection::open(folder.path().join("t.db")).unwrap());
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        let writer = Writer::start(connection, catalog, health).unwrap();
        let mut answers = Vec::new();
        let refused = loop {
            let (reply, answer) = oneshot::channel();
            match writer.submit(Work {
                transaction: insert(1),
                reply,
            }) {
                Ok(()) => answers.push(answer),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, Unavailable::Overloaded);
        assert!(
            (WRITER_QUEUE..=WRITER_QUEUE + GROUP_MAX).contains(&answers.len()),
            "{}",
            answers.len()
        );
        held.execute_batch("ROLLBACK").unwrap();
        for answer in answers {
            assert_eq!(answer.await.unwrap().0.unwrap().touched(&INSERT), 1);
        }
    }

    #[tokio::test]
    async fn a_writer_that_died_is_a_lost_connection_and_unhealthy() {
        let (queue, works) = sync_channel(1);
        drop(works);
        let health = Arc::new(Health::new());
        let ended = watch::channel(()).1;
        let writer = Writer {
            queue: RwLock::new(Some(queue)),
            ended,
            health: Arc::clone(&health),
        };
        assert_eq!(
            writer.transact(insert(1)).await.unwrap_err(),
            Unavailable::ConnectionLost.into()
        );
        assert!(!health.is_good());
        writer.drained().await;
    }
}
