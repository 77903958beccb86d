//! Whatever is done to a log is found, and the first bad entry is named.

use crate::fixture::*;
use coffer_audit::{Audit, Error, Fault, Trust, merkle::consistent, verify};
use coffer_crypto::Key;
use coffer_db::params;
use proptest::prelude::*;

#[tokio::test]
async fn a_changed_entry_is_named() {
    let log = Log::with(&[300, 20]).await;
    log.tamper(&FLIP_PUBLIC, params![257_i64, [1_u8]]).await;
    assert_eq!(changed(log.fault().await), Some(257));
    assert_eq!(changed(log.verdict_of_a_stranger().await.fault), Some(257));
}

#[tokio::test]
async fn a_deleted_and_an_inserted_entry_are_named() {
    let log = Log::with(&[10]).await;
    log.tamper(&INSERT, params![10_i64, [1_u8]]).await;
    assert_eq!(log.fault().await, Some(Fault::Outside { sequence: 10 }));
    log.tamper(&DELETE, params![10_i64]).await;
    log.tamper(&DELETE, params![4_i64]).await;
    assert_eq!(log.fault().await, Some(Fault::Missing { sequence: 4 }));
    log.tamper(&INSERT, params![4_i64, [1_u8]]).await;
    assert_eq!(changed(log.fault().await), Some(4));
}

#[tokio::test]
async fn two_swapped_entries_are_found() {
    let log = Log::with(&[10]).await;
    for (from, to) in [(3_i64, -1_i64), (8, 3), (-1, 8)] {
        log.tamper(&MOVE, params![from, to]).await;
    }
    assert_eq!(changed(log.fault().await), Some(3));
}

#[tokio::test]
async fn a_cut_tail_is_found() {
    let log = Log::with(&[10]).await;
    log.tamper(&DELETE, params![9_i64]).await;
    assert_eq!(log.fault().await, Some(Fault::Missing { sequence: 9 }));
}

#[tokio::test]
async fn a_log_chained_anew_contradicts_its_checkpoint() {
    let log = Log::with(&[5, 5]).await;
    log.tamper(&FLIP_PUBLIC, params![7_i64, [1_u8]]).await;
    rechain(&log).await;
    assert_eq!(
        log.fault().await,
        Some(Fault::Contradicted { size: 10, after: 5 })
    );
    log.tamper(&NO_CHECKPOINTS, params![10_i64]).await;
    assert_eq!(
        log.fault().await,
        Some(Fault::Contradicted { size: 10, after: 5 }),
        "the notary remembers"
    );
}

#[tokio::test]
async fn a_log_rolled_back_is_found() {
    let log = Log::with(&[5, 5]).await;
    log.tamper(&DELETE, params![9_i64]).await;
    rechain(&log).await;
    assert_eq!(
        log.fault().await,
        Some(Fault::Cut {
            size: 9,
            signed: 10
        })
    );
    log.tamper(&NO_CHECKPOINTS, params![10_i64]).await;
    assert_eq!(
        log.verdict_of_a_stranger().await.fault,
        None,
        "only the notary can know"
    );
    assert_eq!(
        log.fault().await,
        Some(Fault::Cut {
            size: 9,
            signed: 10
        })
    );
    let refused = log.audit.checkpoint(&log.db, &log.signer, now()).await;
    assert_eq!(
        refused.unwrap_err(),
        Error::RolledBack {
            size: 9,
            remembered: 10
        }
    );
}

/// Makes tiles and head agree with the leaves as they are, as a thief of the whole database can.
pub(crate) async fn rechain(log: &Log) {
    log.tamper(&CLEAR, params![0_i64]).await;
    log.tamper(&NO_TILES, params![0_i64]).await;
    log.tamper(&NO_HEAD, params![1_i64]).await;
    log.audit.sequence(&log.db, now()).await.unwrap();
}

#[tokio::test]
async fn a_forged_checkpoint_is_found() {
    let log = Log::with(&[5]).await;
    log.tamper(&SIGNATURE, params![[0_u8; 64]]).await;
    assert_eq!(log.fault().await, Some(Fault::Forged { size: 5 }));
}

#[tokio::test]
async fn a_checkpoint_of_another_role_is_forged() {
    let log = Log::with(&[5]).await;
    let public_key = Some(log.signer.key.public());
    let trust = Trust {
        role: "api",
        public_key,
        remembered: None,
        audit: None,
        now: log.now,
    };
    assert_eq!(
        verify(&log.db, &trust).await.unwrap().fault,
        Some(Fault::Forged { size: 5 })
    );
}

#[tokio::test]
async fn changed_tiles_and_heads_are_found() {
    let log = Log::with(&[300]).await;
    log.tamper(&TILE, params![1_i64, 0_i64, [1_u8; 32]]).await;
    assert_eq!(log.fault().await, Some(Fault::Tile { level: 1, index: 0 }));
    let log = Log::with(&[300]).await;
    log.tamper(&TILE, params![0_i64, 1_i64, vec![1_u8; 44 * 32]])
        .await;
    assert_eq!(log.fault().await, Some(Fault::Tile { level: 0, index: 1 }));
    let log = Log::with(&[300]).await;
    log.tamper(&HEAD, params![300_i64, [1_u8; 32]]).await;
    assert_eq!(log.fault().await, Some(Fault::Head { size: 300 }));
}

#[tokio::test]
async fn a_damaged_tree_is_not_continued() {
    let mut log = Log::with(&[5]).await;
    log.tamper(&TILE, params![0_i64, 0_i64, vec![1_u8; 5 * 32]])
        .await;
    log.write(1).await;
    assert!(matches!(
        log.audit.sequence(&log.db, now()).await,
        Err(Error::Damaged(_))
    ));
}

#[tokio::test]
async fn personal_values_can_be_erased_but_not_changed() {
    let log = Log::with(&[5]).await;
    log.tamper(&ERASE, params![2_i64]).await;
    assert_eq!(log.fault().await, None);
    log.tamper(&FLIP_SEALED, params![3_i64, [1_u8; 40]]).await;
    assert!(matches!(
        log.fault().await,
        Some(Fault::Personal { sequence: 3, .. })
    ));
}

#[tokio::test]
async fn the_unsequenced_tail_is_counted() {
    let mut log = Log::with(&[5]).await;
    log.write(3).await;
    let verdict = log.verdict().await.unwrap();
    assert_eq!(
        (
            verdict.tree.size,
            verdict.unsequenced,
            verdict.checkpoints,
            verdict.fault
        ),
        (5, 3, 1, None)
    );
}

#[tokio::test]
async fn another_node_waits_for_the_lease() {
    let mut log = Log::with(&[5]).await;
    log.write(1).await;
    let other = Audit::new(Key::from_array([7; 32]), "two");
    assert_eq!(other.sequence(&log.db, now()).await.unwrap(), 0);
    assert_eq!(
        other
            .sequence(&log.db, now().plus_millis(5_001))
            .await
            .unwrap(),
        1
    );
    assert_eq!(log.fault().await, None);
}

#[tokio::test]
async fn a_head_is_signed_once() {
    let log = Log::with(&[5]).await;
    assert_eq!(
        log.audit
            .checkpoint(&log.db, &log.signer, now())
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_log_over_many_tiles_verifies_and_proves_its_growth() {
    let mut log = Log::with(&[1, 255, 1]).await;
    let old = log.tree().await;
    log.write(2_300).await;
    assert_eq!(log.audit.sequence(&log.db, now()).await.unwrap(), 2_300);
    let new = log.tree().await;
    let proof = Audit::consistency(&log.db, old.size, new.size)
        .await
        .unwrap();
    assert!(consistent(&old, &new, &proof));
    assert_eq!(log.fault().await, None);
    assert!(matches!(
        Audit::consistency(&log.db, 9, 8).await,
        Err(Error::Damaged(_))
    ));
}

#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Public(i64),
    Account(i64),
    Time(i64),
    Digest(i64),
    Delete(i64),
    Swap(i64, i64),
    Outside(i64),
    Head(i64),
}

fn mutation(first: i64, size: i64) -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (first..size).prop_map(Mutation::Public),
        (first..size).prop_map(Mutation::Account),
        (first..size).prop_map(Mutation::Time),
        (first..size).prop_map(Mutation::Digest),
        (first..size).prop_map(Mutation::Delete),
        (first..size - 1)
            .prop_flat_map(move |one| (Just(one), one + 1..size))
            .prop_map(|(one, two)| Mutation::Swap(one, two)),
        (size..2 * size).prop_map(Mutation::Outside),
        (1..2 * size).prop_map(Mutation::Head),
    ]
}

async fn mutate(log: &Log, mutation: &Mutation) {
    match mutation {
        Mutation::Public(at) => log.tamper(&FLIP_PUBLIC, params![*at, [9_u8]]).await,
        Mutation::Account(at) => log.tamper(&FLIP_ACCOUNT, params![*at]).await,
        Mutation::Time(at) => log.tamper(&FLIP_TIME, params![*at]).await,
        Mutation::Digest(at) => log.tamper(&FLIP_DIGEST, params![*at, [9_u8; 32]]).await,
        Mutation::Delete(at) => log.tamper(&DELETE, params![*at]).await,
        Mutation::Swap(one, two) => {
            for (from, to) in [(*one, -1_i64), (*two, *one), (-1, *two)] {
                log.tamper(&MOVE, params![from, to]).await;
            }
        }
        Mutation::Outside(at) => log.tamper(&INSERT, params![*at, [9_u8]]).await,
        Mutation::Head(size) => log.tamper(&HEAD, params![*size, [9_u8; 32]]).await,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_goes_unseen((size, mutation) in (2..40_i64).prop_flat_map(|size| (Just(size), mutation(0, size)))) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            seen(&Log::with(&[u32::try_from(size).unwrap()]).await, &mutation).await;
        });
    }

    #[test]
    fn no_mutation_goes_unseen_when_half_of_the_log_is_pruned(
        (size, mutation) in (5..40_i64).prop_flat_map(|half| (Just(2 * half), mutation(half, 2 * half)))
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            seen(&crate::retention::pruned(u32::try_from(size / 2).unwrap()).await, &mutation).await;
        });
    }
}

async fn seen(log: &Log, mutation: &Mutation) {
    assert_eq!(log.fault().await, None);
    mutate(log, mutation).await;
    assert!(
        log.verdict()
            .await
            .is_ok_and(|verdict| verdict.fault.is_some()),
        "{mutation:?}"
    );
    assert!(
        log.verdict_of_a_stranger().await.fault.is_some(),
        "{mutation:?}"
    );
}
