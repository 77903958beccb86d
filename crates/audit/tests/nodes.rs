//! Two nodes on one log: whoever is first, it stays one log, and the notary is never shown two.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use coffer_audit::{
    Actor, ActorKind, Audit, Entry, Error, Growth, Notary, RETENTION, SCHEMA, STATEMENTS,
    Signature, Trust, checkpoint_text, merkle::Tree, verify,
};
use coffer_core::{Timestamp, id::LeafId};
use coffer_crypto::{Key, SigningKey};
use coffer_db::{Database, Migration, Transaction};
use coffer_testkit::TestStore;

const ROUNDS: u8 = 10;
const MIGRATIONS: [Migration; 2] = [
    Migration {
        version: 1,
        name: "audit",
        sql: SCHEMA,
    },
    Migration {
        version: 2,
        name: "retention",
        sql: RETENTION,
    },
];

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_341_600_000)
}

fn node(name: &str) -> Audit {
    Audit::new(Key::from_array([7; 32]), name)
}

/// Leaves of a round, later ids first: they need not come in their order.
async fn write(audit: &Audit, db: &Database, round: u8) {
    for number in (0_u8..5).rev() {
        let id = LeafId::from_bytes([round * 5 + number; 16]);
        let entry = Entry::new(Actor::new(ActorKind::System, "test"), "test.write");
        let leaf: Transaction = audit.leaf(now(), id, entry).unwrap();
        db.transact(leaf).await.unwrap();
    }
}

/// A notary that refuses whatever does not begin where it stands, as the key server does.
struct Signer {
    key: SigningKey,
    remembered: std::sync::Mutex<Tree>,
}

impl Notary for Signer {
    type Error = Error;

    async fn remembered(&self) -> Result<u64, Error> {
        let size = self.remembered.lock().unwrap().size;
        tokio::task::yield_now().await;
        Ok(size)
    }

    async fn sign(&self, growth: Growth) -> Result<Signature, Error> {
        let mut remembered = self.remembered.lock().unwrap();
        assert_eq!(remembered.size, growth.from_size);
        *remembered = growth.tree;
        let text = checkpoint_text("vault", &growth.tree);
        Ok(Signature {
            time: now(),
            public_key: *self.key.public().as_bytes(),
            bytes: self.key.sign(text.as_bytes()).to_vec(),
        })
    }
}

async fn verified(db: &Database, signer: &Signer, audit: &Audit) {
    let trust = Trust {
        role: "vault",
        public_key: Some(signer.key.public()),
        remembered: Some(*signer.remembered.lock().unwrap()),
        audit: Some(audit),
        now: now(),
    };
    let verdict = verify(db, &trust).await.unwrap();
    assert_eq!(verdict.fault, None);
    let found = (verdict.tree.size, verdict.unsequenced);
    assert_eq!(found, (u64::from(ROUNDS) * 5, 0));
}

/// `names` are those that the nodes take the lease by.
async fn keep_log(names: [&str; 2], sign: bool) {
    let store = TestStore::open(&MIGRATIONS, &[STATEMENTS]).await;
    let (one, two) = (node(names[0]), node(names[1]));
    let (db, other) = (store.db.clone(), store.another().await);
    let signer = Signer {
        key: SigningKey::generate().unwrap(),
        remembered: std::sync::Mutex::new(Tree::empty()),
    };
    for round in 0..ROUNDS {
        let ((), first, second) = tokio::join!(
            write(&one, &db, round),
            one.sequence(&db, now()),
            two.sequence(&other, now())
        );
        first.unwrap();
        second.unwrap();
        let ended = tokio::join!(one.sequence(&db, now()), two.sequence(&other, now()));
        assert!(ended.0.is_ok() && ended.1.is_ok(), "{ended:?}");
        if sign {
            let signed = tokio::join!(
                one.checkpoint(&db, &signer, now()),
                two.checkpoint(&other, &signer, now())
            );
            assert!(signed.0.is_ok() && signed.1.is_ok(), "{signed:?}");
        }
    }
    verified(&db, &signer, &one).await;
}

#[tokio::test]
async fn of_two_nodes_one_has_the_head_signed() {
    keep_log(["one", "two"], true).await;
}

#[tokio::test]
async fn two_sequencers_that_the_lease_does_not_part_keep_one_log() {
    keep_log(["one", "one"], false).await;
}
