//! What is pruned is old, is on record, and leaves a log that verifies.

use coffer_audit::{Actor, ActorKind, Audit, Entry, Fault, Retention, merkle::consistent};
use coffer_core::{Timestamp, time::DAY_MS};
use coffer_db::{Transaction, params};

use crate::{fixture::*, verification::rechain};

async fn retain(log: &mut Log) -> u64 {
    let (keep, id) = (Retention::try_from(12).unwrap(), log.id());
    let pruned = log.audit.retain(&log.db, keep, log.now, id).await.unwrap();
    log.audit.sequence(&log.db, log.now).await.unwrap();
    let signed = log.audit.checkpoint(&log.db, &log.signer, log.now);
    signed.await.unwrap();
    pruned
}

fn later(log: &mut Log, days: i64) {
    log.now = log.now.plus_millis(days * DAY_MS);
}

/// A log of twice as many entries, the first half of which is pruned, with an announcement after them.
pub(crate) async fn pruned(half: u32) -> Log {
    let mut log = Log::with(&[half / 2, half - half / 2, 1]).await;
    later(&mut log, 372);
    log.grow(half - 2).await;
    later(&mut log, 1);
    assert_eq!(retain(&mut log).await, 0, "announced");
    later(&mut log, 1);
    assert_eq!(retain(&mut log).await, u64::from(half));
    log
}

#[tokio::test]
async fn what_is_too_old_goes_a_day_after_that_was_recorded_and_the_rest_verifies() {
    let mut log = Log::with(&[300, 20]).await;
    let (began, old) = (log.now, log.tree().await);
    later(&mut log, 200);
    log.grow(5).await;
    later(&mut log, 171);
    assert_eq!(retain(&mut log).await, 0, "nothing is old enough");
    assert_eq!(log.tree().await.size, 325);
    later(&mut log, 2);
    assert_eq!(retain(&mut log).await, 0);
    assert_eq!(log.tree().await.size, 326, "announced");
    assert_eq!(retain(&mut log).await, 0, "too soon");
    later(&mut log, 1);
    assert_eq!(retain(&mut log).await, 319);
    assert_eq!(retain(&mut log).await, 0);
    assert_eq!(log.leaves().await.len(), 326 - 319);
    let verdict = log.verdict().await.unwrap();
    assert_eq!((verdict.fault, verdict.pruned), (None, 319));
    assert_eq!(verdict.contents_from, Some(began));
    let proof = Audit::consistency(&log.db, old.size, 326).await.unwrap();
    assert!(consistent(&old, &log.tree().await, &proof));
    log.grow(3).await;
    assert_eq!(log.fault().await, None);
}

#[tokio::test]
async fn more_than_one_step_takes_is_pruned_in_steps() {
    let mut log = Log::with(&[1_000, 1_000, 600]).await;
    later(&mut log, 373);
    assert_eq!(retain(&mut log).await, 0);
    later(&mut log, 1);
    assert_eq!(retain(&mut log).await, 2_000);
    assert_eq!(log.fault().await, None);
    assert_eq!(retain(&mut log).await, 599);
    assert_eq!(log.fault().await, None);
    later(&mut log, 400);
    log.grow(1).await;
    assert_eq!(retain(&mut log).await, 0);
    later(&mut log, 1);
    assert_eq!(retain(&mut log).await, 1, "the announcement is left");
    assert_eq!(log.fault().await, None);
}

#[tokio::test]
async fn contents_that_nobody_announced_are_missing() {
    let log = Log::with(&[10]).await;
    for entry in 0..4_i64 {
        log.tamper(&DELETE, params![entry]).await;
    }
    assert_eq!(log.fault().await, Some(Fault::Missing { sequence: 0 }));
    log.tamper(&CLAIM, params![4_i64]).await;
    assert_eq!(log.fault().await, Some(Fault::Missing { sequence: 0 }));
    let log = pruned(10).await;
    log.tamper(&DELETE, params![10_i64]).await;
    assert_eq!(log.fault().await, Some(Fault::Missing { sequence: 10 }));
}

#[tokio::test]
async fn contents_removed_before_their_time_are_missed_whatever_was_recorded_of_it() {
    let year = |log: &Log| log.now.plus_millis(400 * DAY_MS);
    for announced in [|log: &Log| log.now, year] {
        let mut log = Log::with(&[10]).await;
        let forged = Entry::new(Actor::new(ActorKind::System, "one"), "audit.prune");
        let (id, at): (_, Timestamp) = (log.id(), announced(&log));
        let steps = log.audit.leaf(at, id, forged.object("entries=4"));
        let claim = Transaction::new().one(&CLAIM, params![4_i64]);
        let steps = steps.unwrap().append(claim);
        log.db.transact(steps).await.unwrap();
        log.grow_by_what_waits(1).await;
        for entry in 0..4_i64 {
            log.tamper(&DELETE, params![entry]).await;
        }
        assert_eq!(log.fault().await, Some(Fault::Pruned { entries: 4 }));
    }
}

#[tokio::test]
async fn what_is_left_of_a_pruned_log_is_held_by_its_hashes() {
    let log = pruned(10).await;
    log.tamper(&INSERT, params![3_i64, [1_u8]]).await;
    assert_eq!(changed(log.fault().await), Some(3));

    let log = pruned(300).await;
    log.tamper(&TILE, params![0_i64, 0_i64, vec![1_u8; 32 * 256]])
        .await;
    assert!(log.fault().await.is_some());
    assert!(log.verdict_of_a_stranger().await.fault.is_some());

    let log = pruned(10).await;
    log.tamper(&DELETE, params![19_i64]).await;
    assert_eq!(log.fault().await, Some(Fault::Missing { sequence: 19 }));

    let log = pruned(10).await;
    rechain(&log).await;
    assert!(matches!(
        log.fault().await,
        Some(Fault::Cut { size: 10, .. })
    ));
}
