//! Work to do later: a row written by the transaction that caused it, claimed by lease, deleted by the one that did it.
//!
//! At least once: a worker that dies keeps its lease until it runs out, then another claims the job. So a job's
//! effect belongs in the same transaction as [`Claimed::done`], which conflicts when the lease went to another.

use std::fmt;

use crate::{Database, Error, Migration, Row, Statement, Transaction, params};

/// The table, always a role's first migration; its own start at version 2.
pub const JOBS_MIGRATION: Migration = Migration {
    version: 1,
    name: "jobs",
    sql: "CREATE TABLE jobs (
            queue TEXT NOT NULL,
            job TEXT NOT NULL,
            run_at {bigint} NOT NULL,
            lease_until {bigint},
            tries {bigint} NOT NULL,
            payload {bytes} NOT NULL,
            PRIMARY KEY (queue, job)
          ) {strict};
          CREATE INDEX jobs_by_run_at ON jobs (queue, run_at)",
};

/// The statements of this module; every database with the table registers them.
pub const STATEMENTS: &[&Statement] = &[&JOB_ENQUEUE, &JOB_DUE, &JOB_CLAIM, &JOB_DONE, &JOB_AGAIN];

/// The most jobs one claim takes, whatever its caller asks for.
pub const CLAIM_MAX: u32 = 256;

const JOB_ENQUEUE: Statement = Statement::new(
    "job_enqueue",
    "INSERT INTO jobs (queue, job, run_at, lease_until, tries, payload) VALUES ($1, $2, $3, NULL, 0, $4)",
);

const JOB_DUE: Statement = Statement::new(
    "job_due",
    "SELECT job FROM jobs WHERE queue = $1 AND run_at <= $2 AND (lease_until IS NULL OR lease_until < $2) LIMIT 1",
);

/// The lease is checked outside the inner query too: under PostgreSQL two claims may choose the same rows, and the
/// second then looks again at the outer condition only, and leaves out what the first has taken.
/// A lease that ran out counts as a try, so a job that kills its worker does not look fresh for ever.
const JOB_CLAIM: Statement = Statement::new(
    "job_claim",
    "UPDATE jobs SET lease_until = $3, tries = tries + CASE WHEN lease_until IS NULL THEN 0 ELSE 1 END
     WHERE queue = $1 AND (lease_until IS NULL OR lease_until < $2) AND job IN (
       SELECT job FROM jobs WHERE queue = $1 AND run_at <= $2 AND (lease_until IS NULL OR lease_until < $2)
       ORDER BY run_at, job LIMIT $4)
     RETURNING job, run_at, tries, payload",
);

const JOB_DONE: Statement = Statement::new(
    "job_done",
    "DELETE FROM jobs WHERE queue = $1 AND job = $2 AND lease_until = $3 AND tries = $4",
);

const JOB_AGAIN: Statement = Statement::new(
    "job_again",
    "UPDATE jobs SET run_at = $5, lease_until = NULL, tries = tries + 1
     WHERE queue = $1 AND job = $2 AND lease_until = $3 AND tries = $4",
);

/// A piece of work.
pub struct Job {
    /// The queue it waits in.
    pub queue: String,
    /// Its id, unique in the queue.
    pub id: String,
    /// When it may first run, in milliseconds since 1970.
    pub run_at_ms: i64,
    /// How many tries failed or never came back before this one.
    pub tries: i64,
    /// What to do, in the queue's own format.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("queue", &self.queue)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Proof that this worker holds the job's lease. It is used up by saying how the job ended.
#[derive(Debug)]
#[must_use = "a claimed job is done or tried again; dropped, it waits until its lease runs out"]
pub struct Claimed {
    job: Job,
    lease_until_ms: i64,
}

impl Claimed {
    /// The job.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Deletes the job; a conflict if the lease has gone to another worker.
    pub fn done(self) -> Transaction {
        let Job {
            queue, id, tries, ..
        } = self.job;
        Transaction::new().one(&JOB_DONE, params![queue, id, self.lease_until_ms, tries])
    }

    /// Puts the job back, to run at `run_at_ms`; a conflict if the lease has gone to another worker.
    pub fn again(self, run_at_ms: i64) -> Transaction {
        let Job {
            queue, id, tries, ..
        } = self.job;
        Transaction::new().one(
            &JOB_AGAIN,
            params![queue, id, self.lease_until_ms, tries, run_at_ms],
        )
    }
}

/// The step that adds a job, to be appended to the transaction that causes it.
/// A job of this id that still waits makes the transaction a `Unique` conflict.
pub fn enqueue(queue: &str, id: &str, run_at_ms: i64, payload: Vec<u8>) -> Transaction {
    Transaction::new().one(&JOB_ENQUEUE, params![queue, id, run_at_ms, payload])
}

/// Claims up to `limit` due jobs, the longest waiting first, each for `lease_ms`.
///
/// # Errors
/// As [`Database::transact`].
pub async fn claim(
    database: &Database,
    queue: &str,
    now_ms: i64,
    lease_ms: i64,
    limit: u32,
) -> Result<Vec<Claimed>, Error> {
    let lease_until_ms = now_ms.saturating_add(lease_ms);
    // Most polls find nothing: a read tells without troubling the writer.
    while is_due(database, queue, now_ms).await? {
        let params = params![queue, now_ms, lease_until_ms, limit.min(CLAIM_MAX)];
        let claim = Transaction::new().any(&JOB_CLAIM, params);
        let outcome = database.transact(claim).await?;
        let claimed = outcome.rows(&JOB_CLAIM).map(|row| {
            Ok(Claimed {
                job: job(queue, row)?,
                lease_until_ms,
            })
        });
        let mut claimed = claimed.collect::<Result<Vec<_>, Error>>()?;
        // None when another worker took the same ones first: there may be others.
        if !claimed.is_empty() || limit == 0 {
            // RETURNING promises no order.
            claimed.sort_by(|a, b| (a.job.run_at_ms, &a.job.id).cmp(&(b.job.run_at_ms, &b.job.id)));
            return Ok(claimed);
        }
    }
    Ok(Vec::new())
}

async fn is_due(database: &Database, queue: &str, now_ms: i64) -> Result<bool, Error> {
    let due = database.read_optional(&JOB_DUE, params![queue, now_ms]);
    Ok(due.await?.is_some())
}

fn job(queue: &str, row: &Row) -> Result<Job, Error> {
    Ok(Job {
        queue: queue.to_owned(),
        id: row.text("job")?.to_owned(),
        run_at_ms: row.integer("run_at")?,
        tries: row.integer("tries")?,
        payload: row.bytes("payload")?.to_vec(),
    })
}
