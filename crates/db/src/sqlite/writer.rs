//! The writer: one thread owns the connection and commits what waits, many callers' transactions with one fsync.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::failure;
use super::group::Group;
use super::proof::Catalog;
use super::reader::Readers;
use super::reserve::Reserve;
use crate::health::Health;
use crate::{Error, Outcome, Transaction, Unavailable};

/// Transactions that may wait; one more is answered `Overloaded` at once.
const WRITER_QUEUE: usize = 4096;
/// Transactions that share one commit.
const GROUP_MAX: usize = 128;
/// How often the writer looks whether a failed storage works again, and the longest pause while it does not.
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
    pub(super) fn start(connection: Connection, thread: Thread) -> Result<Self, Error> {
        let (queue, works) = sync_channel(WRITER_QUEUE);
        let (ready, started) = sync_channel(1);
        let (ending, ended) = watch::channel(());
        let health = Arc::clone(&thread.health);
        let run = move || {
            thread.run(connection, &works, ready);
            // Dropped last, so that whoever waits for the end finds the files at rest.
            drop(ending);
        };
        let spawned = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(run);
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
pub(super) struct Thread {
    pub(super) path: PathBuf,
    pub(super) catalog: Arc<Catalog>,
    pub(super) health: Arc<Health>,
    pub(super) reserve: Arc<Reserve>,
    pub(super) readers: Arc<Readers>,
}

/// Why a connection is not used any more.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The database was closed.
    Closed,
    /// The storage failed under it.
    Failed,
}

impl Thread {
    fn run(
        &self,
        mut connection: Connection,
        works: &Receiver<Work>,
        ready: SyncSender<Result<(), Error>>,
    ) {
        let mut opener = Some(ready);
        loop {
            match Group::prepare(&connection, &self.catalog) {
                Ok(mut group) => {
                    if let Some(opener) = opener.take() {
                        // If the opener is gone, the queue is too and serving ends at once.
                        let _ = opener.send(Ok(()));
                    }
                    if self.serve(&mut group, works) == End::Closed {
                        drop(group);
                        return self.rest(&connection);
                    }
                }
                Err(error) => match opener.take() {
                    Some(opener) => return drop(opener.send(Err(error))),
                    None => self.health.failed(&error),
                },
            }
            drop(connection);
            match self.reopen(works) {
                Some(again) => connection = again,
                None => return,
            }
        }
    }

    fn serve(&self, group: &mut Group<'_>, works: &Receiver<Work>) -> End {
        let mut looked = Instant::now();
        loop {
            let came = works.recv_timeout(PROBE_INTERVAL);
            // When nothing came, too: what another process wrote is seen a moment later.
            let _pause = self.readers.pause();
            let done = match came {
                Ok(first) => self.commit(group, first, works),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return End::Closed,
            };
            let lacking = !self.health.is_good() || self.reserve.is_missing();
            let looks = lacking && looked.elapsed() >= PROBE_INTERVAL;
            let done = done.and_then(|()| {
                if looks {
                    looked = Instant::now();
                    self.look(group)
                } else {
                    Ok(())
                }
            });
            if matches!(done, Err(Unavailable::Io(_))) {
                return End::Failed;
            }
        }
    }

    /// Takes what waits, commits it, and only then answers.
    fn commit(
        &self,
        group: &mut Group<'_>,
        first: Work,
        works: &Receiver<Work>,
    ) -> Result<(), Unavailable> {
        let mut transactions = vec![first.transaction];
        let mut replies = vec![first.reply];
        let mut waiting = works.try_iter().take(GROUP_MAX - 1);
        let changes = group.changes();
        let mut committed = group.commit(&mut transactions, || {
            let work = waiting.next()?;
            replies.push(work.reply);
            Some(work.transaction)
        });
        // Nothing of it is stored, and with the room of the reserve all may be.
        if matches!(committed, Err(Unavailable::DiskFull)) && self.reserve.free() {
            self.health.found_full();
            committed = group.commit(&mut transactions, || None);
        }
        match committed {
            Ok(answers) => {
                // On a full disk one that fitted in is no sign that the next does.
                if group.changes() != changes && !self.health.is_full() {
                    self.health.committed();
                }
                let done = replies.into_iter().zip(transactions);
                for ((reply, transaction), answer) in done.zip(answers) {
                    self.answer(reply, answer, transaction);
                }
                Ok(())
            }
            Err(error) => {
                for (reply, transaction) in replies.into_iter().zip(transactions) {
                    self.answer(reply, Err(error.clone().into()), transaction);
                }
                Err(error)
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

    /// Whether a failed storage works again: a process that is taken out of traffic gets no writes to find out by. And
    /// whether there is room for the reserve again.
    fn look(&self, group: &Group<'_>) -> Result<(), Unavailable> {
        if !self.health.is_good() {
            if self.health.is_full() && !self.reserve.is_roomy() {
                return Ok(());
            }
            group.probe()?;
            self.health.committed();
        }
        if self.reserve.is_missing() {
            self.reserve.make();
        }
        Ok(())
    }

    /// A new connection, once there can be one. After a failed fsync nobody knows what of the last writes is on the disk, and
    /// a second fsync may say that all is well (the kernel reports a failure once). So nothing that the old connection
    /// remembers is used again, and what the log holds is written once more before anything is acknowledged.
    fn reopen(&self, works: &Receiver<Work>) -> Option<Connection> {
        loop {
            let connected = {
                let _pause = self.readers.pause();
                connect_anew(&self.path)
            };
            match connected {
                Ok(connection) => {
                    tracing::info!("the database was opened again after its storage failed");
                    return Some(connection);
                }
                Err(error) => {
                    self.health.failed(&error);
                    if !self.turn_away(works, &error) {
                        return None;
                    }
                }
            }
        }
    }

    /// Answers whoever comes with this error, for a while. False when nobody will come any more.
    fn turn_away(&self, works: &Receiver<Work>, error: &Error) -> bool {
        let begun = Instant::now();
        loop {
            let left = PROBE_INTERVAL.saturating_sub(begun.elapsed());
            match works.recv_timeout(left) {
                Ok(work) => self.answer(work.reply, Err(error.clone()), work.transaction),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Moves the write-ahead log into the database. If that fails the log stays and the next start reads it.
    fn rest(&self, connection: &Connection) {
        let mut merged = merge(connection, "TRUNCATE");
        if merged == Err(Unavailable::DiskFull) && self.reserve.free() {
            merged = merge(connection, "TRUNCATE");
        }
        if let Err(error) = merged {
            tracing::warn!(db.error = %error, "the write-ahead log could not be merged; the next start will do it");
        }
    }
}

fn connect_anew(path: &Path) -> Result<Connection, Error> {
    let connection = super::connect(path)?;
    // As far as no reader is in the way.
    merge(&connection, "PASSIVE")?;
    Ok(connection)
}

/// Moves the write-ahead log into the database.
fn merge(connection: &Connection, how: &'static str) -> Result<(), Unavailable> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()))
        .map_err(|error| failure::of_commit(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::reader::Snapshots;
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

    /// The writer's side of a database in this folder, and its connection.
    fn thread(folder: &tempfile::TempDir, reserve: Reserve) -> (Thread, Connection) {
        let connection = connection(folder);
        (thread_beside(&connection, folder, reserve), connection)
    }

    fn thread_beside(
        connection: &Connection,
        folder: &tempfile::TempDir,
        reserve: Reserve,
    ) -> Thread {
        let path = folder.path().join("t.db");
        let catalog = Arc::new(crate::sqlite::proof::catalog(connection, &[&[&INSERT]]).unwrap());
        let health = Arc::new(Health::new());
        let beside = (Arc::clone(&catalog), Arc::clone(&health));
        let readers = Readers::open(&path, Snapshots::Kept, beside.0, beside.1).unwrap();
        Thread {
            path,
            catalog,
            health,
            reserve: Arc::new(reserve),
            readers: Arc::new(readers),
        }
    }

    /// Commits one insert on this thread.
    fn commit(thread: &Thread, group: &mut Group<'_>, bytes: usize) -> Result<Outcome, Error> {
        let (reply, mut answer) = oneshot::channel();
        let (_queue, works) = sync_channel(1);
        let work = Work {
            transaction: insert(bytes),
            reply,
        };
        // What everybody is told is this one's answer, too.
        let _ = thread.commit(group, work, &works);
        answer.try_recv().unwrap().0
    }

    fn limit(connection: &Connection, pages: i64) {
        connection
            .execute_batch(&format!("PRAGMA max_page_count={pages}"))
            .unwrap();
    }

    fn insert(bytes: usize) -> Transaction {
        Transaction::new().one(&INSERT, params![vec![0_u8; bytes]])
    }

    #[test]
    fn a_full_disk_is_unhealthy_until_there_is_room_whatever_fits_in_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (thread, connection) = thread(&folder, Reserve::none());
        let mut group = Group::prepare(&connection, &thread.catalog).unwrap();
        limit(&connection, 10);
        let full = Error::from(Unavailable::DiskFull);
        assert_eq!(commit(&thread, &mut group, 1 << 20).unwrap_err(), full);
        assert!(!thread.health.is_good());
        commit(&thread, &mut group, 1).unwrap();
        assert!(!thread.health.is_good());
        limit(&connection, 1_000_000);
        thread.look(&group).unwrap();
        assert!(thread.health.is_good());
        assert!(commit(&thread, &mut group, 1 << 20).is_ok());
        assert_eq!(thread.health.full_times(), 1);
    }

    #[test]
    fn a_full_disk_gets_its_reserve_back_and_a_failing_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("t.db"));
        reserve.make();
        let (thread, mut connection) = thread(&folder, reserve);
        connection.commit_hook(Some(|| true)).unwrap();
        let mut group = Group::prepare(&connection, &thread.catalog).unwrap();
        let refused = commit(&thread, &mut group, 1).unwrap_err();
        assert!(
            matches!(refused, Error::Unavailable(Unavailable::Io(_))),
            "{refused}"
        );
        assert!(!thread.reserve.is_missing());
        limit(&connection, 10);
        let full = Error::from(Unavailable::DiskFull);
        assert_eq!(commit(&thread, &mut group, 1 << 20).unwrap_err(), full);
        assert!(thread.reserve.is_missing());
    }

    #[test]
    fn an_idle_writer_finds_out_that_the_storage_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let (thread, connection) = thread(&folder, Reserve::none());
        let group = Group::prepare(&connection, &thread.catalog).unwrap();
        thread.health.failed(&Unavailable::DiskFull.into());
        connection.execute_batch("PRAGMA query_only=ON").unwrap();
        assert!(thread.look(&group).is_err());
        assert!(!thread.health.is_good());
        connection.execute_batch("PRAGMA query_only=OFF").unwrap();
        thread.look(&group).unwrap();
        assert!(thread.health.is_good());
    }

    #[test]
    fn after_its_storage_failed_a_connection_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let (thread, mut connection) = thread(&folder, Reserve::none());
        // Every commit of this connection fails, and of no other.
        connection.commit_hook(Some(|| true)).unwrap();
        let mut group = Group::prepare(&connection, &thread.catalog).unwrap();
        let (queue, works) = sync_channel(1);
        let (reply, mut answer) = oneshot::channel();
        let transaction = insert(1);
        queue.send(Work { transaction, reply }).unwrap();
        assert_eq!(thread.serve(&mut group, &works), End::Failed);
        assert!(answer.try_recv().unwrap().0.is_err());
        let again = thread.reopen(&works).unwrap();
        let mut group = Group::prepare(&again, &thread.catalog).unwrap();
        commit(&thread, &mut group, 1).unwrap();
        assert!(thread.health.is_good());
    }

    #[test]
    fn while_a_database_cannot_be_opened_again_whoever_comes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (thread, connection) = thread(&folder, Reserve::none());
        drop(connection);
        std::fs::remove_file(folder.path().join("t.db")).unwrap();
        let (queue, works) = sync_channel(1);
        let (reply, mut answer) = oneshot::channel();
        let transaction = insert(1);
        queue.send(Work { transaction, reply }).unwrap();
        drop(queue);
        assert!(thread.reopen(&works).is_none());
        let refused = answer.try_recv().unwrap().0.unwrap_err();
        assert!(
            matches!(refused, Error::Unavailable(Unavailable::Io(_))),
            "{refused}"
        );
    }

    #[test]
    fn a_foreign_lock_is_overload_and_does_not_touch_health() {
        let folder = tempfile::tempdir().unwrap();
        let (thread, writer) = thread(&folder, Reserve::none());
        let mut group = Group::prepare(&writer, &thread.catalog).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        let other = connection(&folder);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(
            commit(&thread, &mut group, 1).unwrap_err(),
            Unavailable::Overloaded.into()
        );
        assert!(thread.health.is_good());
        other.execute_batch("ROLLBACK").unwrap();
        assert!(commit(&thread, &mut group, 1).is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_is_answered_at_once_and_what_was_accepted_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let held = connection(&folder);
        held.execute_batch("BEGIN IMMEDIATE").unwrap();
        let thread = thread_beside(&held, &folder, Reserve::none());
        let connection = Connection::open(&thread.path).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        let writer = Writer::start(connection, thread).unwrap();
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
