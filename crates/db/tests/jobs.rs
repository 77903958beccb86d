//! A job is done once: by whoever holds its lease.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use coffer_db::jobs::{self, Claimed, enqueue};
use coffer_db::{ConflictKind, Database, Error, JOBS_MIGRATION, Transaction};
use coffer_testkit::TestStore;

const QUEUE: &str = "webhooks";
const LEASE: i64 = 1_000;

struct Fixture {
    db: Database,
    _store: TestStore,
}

/// A database with jobs due at the given times, named `job_0`, `job_1` and so on.
async fn with_jobs(run_at: &[i64]) -> Fixture {
    let store = TestStore::open(&[JOBS_MIGRATION], &[jobs::STATEMENTS]).await;
    let db = store.db.clone();
    for (number, run_at) in run_at.iter().enumerate() {
        db.transact(enqueue(QUEUE, &format!("job_{number}"), *run_at, vec![7]))
            .await
            .unwrap();
    }
    Fixture { db, _store: store }
}

impl Fixture {
    async fn claim(&self, now: i64, limit: u32) -> Vec<Claimed> {
        jobs::claim(&self.db, QUEUE, now, LEASE, limit)
            .await
            .unwrap()
    }

    async fn claim_one(&self, now: i64) -> Claimed {
        self.claim(now, 10).await.pop().expect("a job")
    }

    async fn is_conflict(&self, transaction: Transaction) -> bool {
        let answer = self.db.transact(transaction).await;
        matches!(answer, Err(Error::Conflict(conflict)) if conflict.kind == ConflictKind::Rows { expected: 1, touched: 0 })
    }
}

fn ids(claimed: &[Claimed]) -> Vec<&str> {
    claimed
        .iter()
        .map(|claimed| claimed.job().id.as_str())
        .collect()
}

#[tokio::test]
async fn a_leased_job_is_not_claimed_twice() {
    let t = with_jobs(&[0]).await;
    let _held = t.claim_one(10).await;
    assert!(t.claim(10, 10).await.is_empty());
    assert!(
        t.claim(10 + LEASE, 10).await.is_empty(),
        "a lease holds through its last millisecond"
    );
}

#[tokio::test]
async fn an_expired_lease_lets_another_claim_and_the_first_can_no_longer_end_it() {
    let t = with_jobs(&[0]).await;
    let dead = t.claim_one(10).await;
    let later = 11 + LEASE;
    let second = t.claim_one(later).await;
    assert_eq!(second.job().tries, 1, "a lease that ran out was a try");
    assert!(t.is_conflict(dead.done()).await);
    t.db.transact(second.done()).await.unwrap();
    assert!(t.claim(later + 10 * LEASE, 10).await.is_empty());
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_put_the_job_back() {
    let t = with_jobs(&[0]).await;
    let dead = t.claim_one(10).await;
    let second = t.claim_one(11 + LEASE).await;
    assert!(t.is_conflict(dead.again(0)).await);
    t.db.transact(second.done()).await.unwrap();
}

#[tokio::test]
async fn an_effect_of_a_lost_lease_is_rolled_back_with_it() {
    let t = with_jobs(&[0]).await;
    let dead = t.claim_one(10).await;
    let _second = t.claim_one(11 + LEASE).await;
    let effect = enqueue("other", "effect", 0, Vec::new());
    assert!(t.is_conflict(effect.append(dead.done())).await);
    assert!(
        jobs::claim(&t.db, "other", 10, LEASE, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_waiting_job_of_the_same_id_is_a_unique_conflict() {
    let t = with_jobs(&[0]).await;
    let twin = t.db.transact(enqueue(QUEUE, "job_0", 5, Vec::new())).await;
    assert!(
        matches!(twin, Err(Error::Conflict(conflict)) if conflict.kind == ConflictKind::Unique)
    );
    t.db.transact(enqueue("other", "job_0", 5, Vec::new()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_job_is_not_claimed_before_its_time_nor_from_another_queue() {
    let t = with_jobs(&[100]).await;
    assert!(t.claim(99, 10).await.is_empty());
    assert!(
        jobs::claim(&t.db, "other", 100, LEASE, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(ids(&t.claim(100, 10).await), ["job_0"]);
}

#[tokio::test]
async fn the_longest_waiting_are_claimed_first_and_no_more_than_asked_for() {
    let t = with_jobs(&[30, 10, 20]).await;
    assert_eq!(ids(&t.claim(50, 2).await), ["job_1", "job_2"]);
    assert_eq!(ids(&t.claim(50, 2).await), ["job_0"]);
}

#[tokio::test]
async fn again_counts_the_try_and_waits() {
    let t = with_jobs(&[0]).await;
    let first = t.claim_one(10).await;
    assert_eq!(
        (first.job().tries, first.job().payload.as_slice()),
        (0, [7].as_slice())
    );
    t.db.transact(first.again(500)).await.unwrap();
    assert!(t.claim(499, 10).await.is_empty());
    let second = t.claim_one(500).await;
    assert_eq!((second.job().tries, second.job().run_at_ms), (1, 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_at_once_share_the_jobs_without_overlap() {
    let t = with_jobs(&[0; 40]).await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let db = t.db.clone();
        workers.spawn(async move { jobs::claim(&db, QUEUE, 10, LEASE, 5).await.unwrap() });
    }
    let mut claimed: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    // On PostgreSQL a claim that chose the same jobs as another one gets those that are left, or none.
    while claimed.len() < 40 {
        let left = t.claim(10, 5).await;
        assert!(!left.is_empty(), "{} of 40", claimed.len());
        claimed.extend(left);
    }
    let mut unique = ids(&claimed);
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((unique.len(), claimed.len()), (40, 40));
}
