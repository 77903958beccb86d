//! The log on a real store: what is written is sequenced and signed, and whatever is done to it behind its back is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use coffer_audit::{
    Actor, ActorKind, Audit, Entry, Error, Fault, Growth, Notary, PACK_ENTRIES_MAX, Recorded,
    SCHEMA, STATEMENTS, Signature, Trust, Verdict, checkpoint_text,
    merkle::{Tree, consistent},
    read, verify,
};
use coffer_core::{
    Mode, Timestamp,
    id::{AccountId, LeafId},
};
use coffer_crypto::{Key, SigningKey};
use coffer_db::{Database, Migration, Statement, Transaction, Value, params};
use coffer_testkit::TestStore;
use proptest::prelude::*;

const MIGRATION: Migration = Migration {
    version: 1,
    name: "audit",
    sql: SCHEMA,
};

const FLIP_PUBLIC: Statement = Statement::new(
    "flip_public",
    "UPDATE audit_leaves SET public = $2 WHERE sequence = $1",
);
const FLIP_ACCOUNT: Statement = Statement::new(
    "flip_account",
    "UPDATE audit_leaves SET account = 'acct_x' WHERE sequence = $1",
);
const FLIP_TIME: Statement = Statement::new(
    "flip_time",
    "UPDATE audit_leaves SET recorded = recorded + 1 WHERE sequence = $1",
);
const FLIP_DIGEST: Statement = Statement::new(
    "flip_digest",
    "UPDATE audit_leaves SET personal_digest = $2 WHERE sequence = $1",
);
const FLIP_SEALED: Statement = Statement::new(
    "flip_sealed",
    "UPDATE audit_leaves SET sealed = $2 WHERE sequence = $1",
);
const ERASE: Statement = Statement::new(
    "erase",
    "UPDATE audit_leaves SET sealed = NULL WHERE sequence = $1",
);
const DELETE: Statement = Statement::new("delete", "DELETE FROM audit_leaves WHERE sequence = $1");
const MOVE: Statement = Statement::new(
    "move",
    "UPDATE audit_leaves SET sequence = $2 WHERE sequence = $1",
);
const INSERT: Statement = Statement::new(
    "insert",
    "INSERT INTO audit_leaves (leaf, sequence, recorded, account, public, personal_digest, sealed)
     VALUES ('leaf_new', $1, 1, '', $2, $2, NULL)",
);
const TILE: Statement = Statement::new(
    "tile",
    "UPDATE audit_tiles SET hashes = $3 WHERE level = $1 AND tile = $2",
);
const HEAD: Statement = Statement::new("head", "UPDATE audit_head SET size = $1, root = $2");
const CLEAR: Statement = Statement::new(
    "clear",
    "UPDATE audit_leaves SET sequence = NULL WHERE sequence >= $1",
);
const NO_TILES: Statement = Statement::new("no_tiles", "DELETE FROM audit_tiles WHERE level >= $1");
const NO_HEAD: Statement = Statement::new("no_head", "DELETE FROM audit_head WHERE log = $1");
const NO_CHECKPOINTS: Statement = Statement::new(
    "no_checkpoints",
    "DELETE FROM audit_checkpoints WHERE size >= $1",
);
const SIGNATURE: Statement =
    Statement::new("signature", "UPDATE audit_checkpoints SET signature = $1");
const LEAVES: Statement = Statement::new(
    "leaves",
    "SELECT account, recorded, public, sealed FROM audit_leaves ORDER BY leaf",
);
const TAMPER: &[&Statement] = &[
    &LEAVES,
    &FLIP_PUBLIC,
    &FLIP_ACCOUNT,
    &FLIP_TIME,
    &FLIP_DIGEST,
    &FLIP_SEALED,
    &ERASE,
    &DELETE,
    &MOVE,
    &INSERT,
    &TILE,
    &HEAD,
    &CLEAR,
    &NO_TILES,
    &NO_HEAD,
    &NO_CHECKPOINTS,
    &SIGNATURE,
];

/// A notary that remembers and checks, as the key server does.
struct Signer {
    key: SigningKey,
    remembered: std::sync::Mutex<Tree>,
}

impl Notary for Signer {
    type Error = Error;

    async fn remembered(&self) -> Result<u64, Error> {
        Ok(self.remembered.lock().unwrap().size)
    }

    async fn sign(&self, growth: Growth) -> Result<Signature, Error> {
        let mut remembered = self.remembered.lock().unwrap();
        assert!(consistent(&remembered, &growth.tree, &growth.consistency));
        *remembered = growth.tree;
        let bytes = self
            .key
            .sign(checkpoint_text("vault", &growth.tree).as_bytes())
            .to_vec();
        Ok(Signature {
            time: now(),
            public_key: *self.key.public().as_bytes(),
            bytes,
        })
    }
}

struct Log {
    db: Database,
    audit: Audit,
    signer: Signer,
    written: u32,
    _store: TestStore,
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_341_600_000)
}

fn entry(number: u32) -> Entry {
    Entry::new(Actor::new(ActorKind::Role, "vault-1"), "card.deposit")
        .object(number)
        .address("192.0.2.1")
}

impl Log {
    async fn new() -> Self {
        let store = TestStore::open(&[MIGRATION], &[STATEMENTS, TAMPER]).await;
        let signer = Signer {
            key: SigningKey::generate().unwrap(),
            remembered: std::sync::Mutex::new(Tree::empty()),
        };
        Self {
            db: store.db.clone(),
            audit: Audit::new(Key::from_array([7; 32]), "one"),
            signer,
            written: 0,
            _store: store,
        }
    }

    async fn write(&mut self, count: u32) {
        let mut steps = Transaction::new();
        for _ in 0..count {
            self.written += 1;
            let id = LeafId::from_bytes((u128::from(self.written) << 8).to_be_bytes());
            steps = steps.append(self.audit.leaf(now(), id, entry(self.written)).unwrap());
        }
        self.db.transact(steps).await.unwrap();
    }

    /// Writes, sequences and signs.
    async fn grow(&mut self, count: u32) {
        self.write(count).await;
        self.grow_by_what_waits(count).await;
    }

    async fn grow_by_what_waits(&self, count: u32) {
        assert_eq!(
            self.audit.sequence(&self.db, now()).await.unwrap(),
            u64::from(count)
        );
        self.audit
            .checkpoint(&self.db, &self.signer, now())
            .await
            .unwrap()
            .unwrap();
    }

    async fn with(counts: &[u32]) -> Self {
        let mut log = Self::new().await;
        for count in counts {
            log.grow(*count).await;
        }
        log
    }

    /// Writes these entries as packs.
    async fn pack(&mut self, entries: Vec<(Timestamp, Entry)>) {
        let written = &mut self.written;
        let id = || {
            *written += 1;
            LeafId::from_bytes((u128::from(*written) << 8).to_be_bytes())
        };
        let steps = self.audit.pack(now(), id, entries).unwrap();
        self.db.transact(steps).await.unwrap();
    }

    /// What is in each leaf, and of which account it is.
    async fn leaves(&self) -> Vec<(String, Vec<Recorded>)> {
        let rows = self.db.read(&LEAVES, params![]).await.unwrap();
        let leaf = |row: &coffer_db::Row| {
            let recorded = Timestamp::from_millis(row.integer("recorded").unwrap());
            let entries = read(recorded, row.bytes("public").unwrap()).unwrap();
            (row.text("account").unwrap().to_owned(), entries)
        };
        rows.iter().map(leaf).collect()
    }

    async fn tamper(&self, statement: &'static Statement, values: Vec<Value>) {
        self.db
            .transact(Transaction::new().any(statement, values))
            .await
            .unwrap();
    }

    async fn verdict(&self) -> Result<Verdict, Error> {
        let remembered = Some(*self.signer.remembered.lock().unwrap());
        let public_key = Some(self.signer.key.public());
        verify(
            &self.db,
            &Trust {
                role: "vault",
                public_key,
                remembered,
                audit: Some(&self.audit),
            },
        )
        .await
    }

    /// As by someone who has the database only.
    async fn verdict_of_a_stranger(&self) -> Verdict {
        verify(
            &self.db,
            &Trust {
                role: "vault",
                public_key: None,
                remembered: None,
                audit: None,
            },
        )
        .await
        .unwrap()
    }

    async fn fault(&self) -> Option<Fault> {
        self.verdict().await.unwrap().fault
    }

    async fn tree(&self) -> Tree {
        Audit::head(&self.db).await.unwrap().tree
    }
}

fn changed(fault: Option<Fault>) -> Option<u64> {
    match fault {
        Some(Fault::Changed { sequence, .. }) => Some(sequence),
        _ => None,
    }
}

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
async fn rechain(log: &Log) {
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
enum Mutation {
    Public(i64),
    Account(i64),
    Time(i64),
    Digest(i64),
    Delete(i64),
    Swap(i64, i64),
    Outside(i64),
    Head(i64),
}

fn mutation(size: i64) -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (0..size).prop_map(Mutation::Public),
        (0..size).prop_map(Mutation::Account),
        (0..size).prop_map(Mutation::Time),
        (0..size).prop_map(Mutation::Digest),
        (0..size).prop_map(Mutation::Delete),
        (0..size - 1)
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
    fn no_mutation_goes_unseen((size, mutation) in (2..40_i64).prop_flat_map(|size| (Just(size), mutation(size)))) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let log = Log::with(&[u32::try_from(size).unwrap()]).await;
            assert_eq!(log.fault().await, None);
            mutate(&log, &mutation).await;
            assert!(log.verdict().await.is_ok_and(|verdict| verdict.fault.is_some()), "{mutation:?} of {size}");
            assert!(log.verdict_of_a_stranger().await.fault.is_some(), "{mutation:?} of {size}");
        });
    }
}

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
            actor: Actor::new(ActorKind::ApiKey, "key_1"),
            action: "payment.read".to_owned(),
            route: "GET /v1/payments/{id}".to_owned(),
            outcome: coffer_audit::Outcome::Succeeded,
            objects: vec![format!("pay_{number}")],
            mode: Some(Mode::Test),
            request: None,
            latency_ms: if number == 2 { 9 } else { 0 },
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
