//! A log in a real store, a notary for it, and the hands of a thief.

use coffer_audit::{
    Actor, ActorKind, Audit, Entry, Error, Fault, Growth, Notary, RETENTION, Recorded, SCHEMA,
    STATEMENTS, Signature, Trust, Verdict, checkpoint_text,
    merkle::{Tree, consistent},
    read, verify,
};
use coffer_core::{Timestamp, id::LeafId};
use coffer_crypto::{Key, SigningKey};
use coffer_db::{Database, Migration, Statement, Transaction, Value, params};
use coffer_testkit::TestStore;

pub(crate) const MIGRATIONS: [Migration; 2] = [
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

pub(crate) const FLIP_PUBLIC: Statement = Statement::new(
    "flip_public",
    "UPDATE audit_leaves SET public = $2 WHERE sequence = $1",
);
pub(crate) const FLIP_ACCOUNT: Statement = Statement::new(
    "flip_account",
    "UPDATE audit_leaves SET account = 'acct_x' WHERE sequence = $1",
);
pub(crate) const FLIP_TIME: Statement = Statement::new(
    "flip_time",
    "UPDATE audit_leaves SET recorded = recorded + 1 WHERE sequence = $1",
);
pub(crate) const FLIP_DIGEST: Statement = Statement::new(
    "flip_digest",
    "UPDATE audit_leaves SET personal_digest = $2 WHERE sequence = $1",
);
pub(crate) const FLIP_SEALED: Statement = Statement::new(
    "flip_sealed",
    "UPDATE audit_leaves SET sealed = $2 WHERE sequence = $1",
);
pub(crate) const ERASE: Statement = Statement::new(
    "erase",
    "UPDATE audit_leaves SET sealed = NULL WHERE sequence = $1",
);
pub(crate) const DELETE: Statement =
    Statement::new("delete", "DELETE FROM audit_leaves WHERE sequence = $1");
pub(crate) const MOVE: Statement = Statement::new(
    "move",
    "UPDATE audit_leaves SET sequence = $2 WHERE sequence = $1",
);
pub(crate) const INSERT: Statement = Statement::new(
    "insert",
    "INSERT INTO audit_leaves (leaf, sequence, recorded, account, public, personal_digest, sealed)
     VALUES ('leaf_new', $1, 1, '', $2, $2, NULL)",
);
pub(crate) const TILE: Statement = Statement::new(
    "tile",
    "UPDATE audit_tiles SET hashes = $3 WHERE level = $1 AND tile = $2",
);
pub(crate) const HEAD: Statement =
    Statement::new("head", "UPDATE audit_head SET size = $1, root = $2");
pub(crate) const CLEAR: Statement = Statement::new(
    "clear",
    "UPDATE audit_leaves SET sequence = NULL WHERE sequence >= $1",
);
pub(crate) const NO_TILES: Statement =
    Statement::new("no_tiles", "DELETE FROM audit_tiles WHERE level >= $1");
pub(crate) const NO_HEAD: Statement =
    Statement::new("no_head", "DELETE FROM audit_head WHERE log = $1");
pub(crate) const NO_CHECKPOINTS: Statement = Statement::new(
    "no_checkpoints",
    "DELETE FROM audit_checkpoints WHERE size >= $1",
);
pub(crate) const SIGNATURE: Statement =
    Statement::new("signature", "UPDATE audit_checkpoints SET signature = $1");
pub(crate) const CLAIM: Statement = Statement::new(
    "claim",
    "INSERT INTO audit_retention (log, entries, leaf, announced) VALUES (1, $1, 'leaf_1', 0)",
);

pub(crate) const LEAVES: Statement = Statement::new(
    "leaves",
    "SELECT account, recorded, public, sealed FROM audit_leaves ORDER BY leaf",
);
pub(crate) const TAMPER: &[&Statement] = &[
    &LEAVES,
    &CLAIM,
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
pub(crate) struct Signer {
    pub(crate) key: SigningKey,
    pub(crate) remembered: std::sync::Mutex<Tree>,
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

pub(crate) struct Log {
    pub(crate) db: Database,
    pub(crate) audit: Audit,
    pub(crate) signer: Signer,
    pub(crate) written: u32,
    pub(crate) now: Timestamp,
    pub(crate) _store: TestStore,
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_795_341_600_000)
}

pub(crate) fn entry(number: u32) -> Entry {
    Entry::new(Actor::new(ActorKind::Role, "vault-1"), "card.deposit")
        .object(number)
        .address("192.0.2.1")
}

impl Log {
    pub(crate) async fn new() -> Self {
        let store = TestStore::open(&MIGRATIONS, &[STATEMENTS, TAMPER]).await;
        let signer = Signer {
            key: SigningKey::generate().unwrap(),
            remembered: std::sync::Mutex::new(Tree::empty()),
        };
        Self {
            db: store.db.clone(),
            audit: Audit::new(Key::from_array([7; 32]), "one"),
            signer,
            written: 0,
            now: now(),
            _store: store,
        }
    }

    /// Later ones are greater.
    pub(crate) fn id(&mut self) -> LeafId {
        self.written += 1;
        let mut random = [0; 10];
        random[6..].copy_from_slice(&self.written.to_be_bytes());
        LeafId::from_parts(self.now, random)
    }

    pub(crate) async fn write(&mut self, count: u32) {
        let mut steps = Transaction::new();
        for _ in 0..count {
            let id = self.id();
            steps = steps.append(self.audit.leaf(self.now, id, entry(self.written)).unwrap());
        }
        self.db.transact(steps).await.unwrap();
    }

    /// Writes, sequences and signs.
    pub(crate) async fn grow(&mut self, count: u32) {
        self.write(count).await;
        self.grow_by_what_waits(count).await;
    }

    pub(crate) async fn grow_by_what_waits(&self, count: u32) {
        assert_eq!(
            self.audit.sequence(&self.db, self.now).await.unwrap(),
            u64::from(count)
        );
        self.audit
            .checkpoint(&self.db, &self.signer, self.now)
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn with(counts: &[u32]) -> Self {
        let mut log = Self::new().await;
        for count in counts {
            log.grow(*count).await;
        }
        log
    }

    /// Writes these entries as packs.
    pub(crate) async fn pack(&mut self, entries: Vec<(Timestamp, Entry)>) {
        let mut ids: Vec<_> = entries.iter().map(|_| self.id()).collect();
        ids.reverse();
        let id = || ids.pop().unwrap();
        let steps = self.audit.pack(self.now, id, entries).unwrap();
        self.db.transact(steps).await.unwrap();
    }

    /// What is in each leaf, and of which account it is.
    pub(crate) async fn leaves(&self) -> Vec<(String, Vec<Recorded>)> {
        let rows = self.db.read(&LEAVES, params![]).await.unwrap();
        let leaf = |row: &coffer_db::Row| {
            let recorded = Timestamp::from_millis(row.integer("recorded").unwrap());
            let entries = read(recorded, row.bytes("public").unwrap()).unwrap();
            (row.text("account").unwrap().to_owned(), entries)
        };
        rows.iter().map(leaf).collect()
    }

    pub(crate) async fn tamper(&self, statement: &'static Statement, values: Vec<Value>) {
        self.db
            .transact(Transaction::new().any(statement, values))
            .await
            .unwrap();
    }

    pub(crate) async fn verdict(&self) -> Result<Verdict, Error> {
        let remembered = Some(*self.signer.remembered.lock().unwrap());
        let public_key = Some(self.signer.key.public());
        verify(
            &self.db,
            &Trust {
                role: "vault",
                public_key,
                remembered,
                audit: Some(&self.audit),
                now: self.now,
            },
        )
        .await
    }

    /// As by someone who has the database only.
    pub(crate) async fn verdict_of_a_stranger(&self) -> Verdict {
        verify(
            &self.db,
            &Trust {
                role: "vault",
                public_key: None,
                remembered: None,
                audit: None,
                now: self.now,
            },
        )
        .await
        .unwrap()
    }

    pub(crate) async fn fault(&self) -> Option<Fault> {
        self.verdict().await.unwrap().fault
    }

    pub(crate) async fn tree(&self) -> Tree {
        Audit::head(&self.db).await.unwrap().tree
    }
}

pub(crate) fn changed(fault: Option<Fault>) -> Option<u64> {
    match fault {
        Some(Fault::Changed { sequence, .. }) => Some(sequence),
        _ => None,
    }
}
