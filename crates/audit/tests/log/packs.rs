//! Many entries in one leaf.

use crate::fixture::*;
use coffer_audit::{
    Actor, ActorKind, Entry, Error, Fault, PACK_ENTRIES_MAX, Public, Recorded, read,
};
use coffer_core::{
    Mode, Timestamp,
    id::{AccountId, LeafId},
};
use coffer_db::params;

fn account(number: u8) -> AccountId {
    AccountId::from_bytes([number; 16])
}

/// Reads of an account, one a millisecond.
fn reads(of: AccountId, count: i64) -> Vec<(Timestamp, Entry)> {
    let one = |number: i64| {
        let entry = Entry::new(Actor::new(ActorKind::ApiKey, "key_1"), "payment.read")
            .place(of, Mode::Test)
            .route("GET /v1/payments/{id}")
            .object(format!("pay_{number}"))
            .address("192.0.2.1");
        (now().plus_millis(number), entry)
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn a_pack_is_one_leaf_that_says_all_of_each_entry() {
    let mut log = Log::new().await;
    let mut entries = reads(account(1), 3);
    entries[2].1 = entries[2].1.clone().latency_ms(9).name("Ada");
    log.pack(entries).await;
    let leaves = log.leaves().await;
    let [(of, packed)] = leaves.as_slice() else {
        panic!("{leaves:?}")
    };
    assert_eq!(*of, account(1).to_string());
    for (number, recorded) in (0..).zip(packed) {
        let expected = Recorded {
            time: now().plus_millis(number),
            public: Public {
                actor: Actor::new(ActorKind::ApiKey, "key_1"),
                action: "payment.read".into(),
                route: "GET /v1/payments/{id}".into(),
                outcome: coffer_audit::Outcome::Succeeded,
                objects: vec![format!("pay_{number}")],
                mode: Some(Mode::Test),
                request: None,
                latency_ms: if number == 2 { 9 } else { 0 },
                tls: "".into(),
            },
        };
        assert_eq!(*recorded, expected);
    }
    assert_eq!(packed.len(), 3);
}

#[tokio::test]
async fn accounts_never_share_a_leaf() {
    let mut log = Log::new().await;
    let (one, other) = (reads(account(1), 3), reads(account(2), 2));
    let (rest, last) = (one[2].clone(), other[1].clone());
    log.pack(vec![
        one[0].clone(),
        other[0].clone(),
        one[1].clone(),
        last,
        rest,
    ])
    .await;
    let counts: Vec<_> = log.leaves().await;
    let counts: Vec<_> = counts
        .iter()
        .map(|(of, packed)| (of.clone(), packed.len()))
        .collect();
    assert_eq!(
        counts,
        [(account(1).to_string(), 3), (account(2).to_string(), 2)]
    );
}

#[tokio::test]
async fn an_entry_alone_is_no_pack_and_keeps_its_time() {
    let mut log = Log::new().await;
    let (time, entry) = reads(account(1), 5).remove(4);
    log.pack(vec![(time, entry.clone())]).await;
    let id = LeafId::from_bytes([9; 16]);
    log.db
        .transact(log.audit.leaf(time, id, entry).unwrap())
        .await
        .unwrap();
    let leaves = log.leaves().await;
    assert_eq!(leaves[0], leaves[1]);
    assert_eq!(leaves[0].1[0].time, time);
}

#[tokio::test]
async fn a_pack_is_bounded_and_nothing_is_left_out() {
    let mut log = Log::new().await;
    let most = i64::try_from(PACK_ENTRIES_MAX).unwrap();
    log.pack(reads(account(1), most + 1)).await;
    let count = |leaves: Vec<(String, Vec<Recorded>)>| -> Vec<usize> {
        leaves.iter().map(|(_, packed)| packed.len()).collect()
    };
    assert_eq!(count(log.leaves().await), [PACK_ENTRIES_MAX, 1]);

    let mut log = Log::new().await;
    let long = |(time, entry): (Timestamp, Entry)| (time, entry.object("x".repeat(3_900)));
    log.pack(reads(account(1), 20).into_iter().map(long).collect())
        .await;
    assert_eq!(count(log.leaves().await), [16, 4]);
}

#[tokio::test]
async fn an_entry_that_is_too_long_for_a_leaf_is_too_long_for_a_pack() {
    let log = Log::new().await;
    let too_long = [
        |entry: Entry| entry.object("x".repeat(4_096)),
        |entry: Entry| entry.name(&"n".repeat(1_024)),
    ];
    for lengthen in too_long {
        let mut entries = reads(account(1), 2);
        entries[1].1 = lengthen(entries[1].1.clone());
        let packed = log
            .audit
            .pack(now(), || LeafId::from_bytes([1; 16]), entries);
        assert!(matches!(packed, Err(Error::Refused(_))));
    }
}

#[tokio::test]
async fn packs_are_chained_signed_and_verified_like_any_leaf() {
    let mut log = Log::with(&[5]).await;
    log.pack([reads(account(1), 30), reads(account(2), 30)].concat())
        .await;
    log.grow_by_what_waits(2).await;
    log.grow(1).await;
    assert_eq!(log.fault().await, None);
    log.tamper(&FLIP_PUBLIC, params![6_i64, [2_u8]]).await;
    assert_eq!(changed(log.fault().await), Some(6));
}

#[tokio::test]
async fn personal_values_of_a_pack_are_sealed_and_can_be_erased_but_not_changed() {
    let mut log = Log::new().await;
    log.pack(reads(account(1), 30)).await;
    log.pack(reads(account(2), 30)).await;
    log.grow_by_what_waits(2).await;
    let rows = log.db.read(&LEAVES, params![]).await.unwrap();
    for row in &rows {
        let stored = [row.bytes("public").unwrap(), row.bytes("sealed").unwrap()].concat();
        assert!(!stored.windows(7).any(|window| window == b"192.0.2"));
    }
    log.tamper(&ERASE, params![0_i64]).await;
    assert_eq!(log.fault().await, None);
    assert_eq!(
        log.leaves().await[0].1.len(),
        30,
        "the rest still says it all"
    );
    log.tamper(&FLIP_SEALED, params![1_i64, [1_u8; 40]]).await;
    assert!(matches!(
        log.fault().await,
        Some(Fault::Personal { sequence: 1, .. })
    ));
}

#[tokio::test]
async fn what_is_neither_an_entry_nor_a_pack_is_damaged() {
    for public in [&[][..], &[1], &[2, 200], &[3, 1, 2]] {
        assert!(matches!(read(now(), public), Err(Error::Damaged(_))));
    }
}
