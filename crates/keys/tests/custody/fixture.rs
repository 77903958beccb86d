//! A key server on a database in a temporary folder, with an api and a vault that it knows.

use std::sync::Arc;

use coffer_audit::Recorded;
use coffer_core::{
    Mode, Money, Timestamp,
    id::{AccountId, AttemptId, CustomerId, PaymentId, RecordId},
    provider::Provider,
};
use coffer_crypto::{
    Key, SecretBytes, Stretch,
    pki::{self, KeyPair},
};
use coffer_db::{Database, Statement, params};
use coffer_keys::{CERTIFICATE_LIFETIME_MS, Keys, MIGRATIONS, STATEMENTS, Settings, initialise};
use coffer_net::{
    Clock,
    contract::{
        Error, Peer, Place, Refusal, Role,
        keys::{Class, GetOrderKey, Issue, KeysService, Open, Opened, Subject, WrappedKey},
        order::{Order, SignedOrder},
    },
};
use coffer_testkit::TestStore;
use data_encoding::HEXLOWER;

/// Quick on purpose: these tests are not about stretching.
pub(crate) const STRETCH: Stretch = Stretch {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};
pub(crate) const HOUR_MS: i64 = 60 * 60 * 1000;

const OPENINGS: Statement =
    Statement::new("test_openings", "SELECT COUNT(*) AS count FROM openings");
const LEAVES: Statement = Statement::new(
    "test_leaves",
    "SELECT recorded, public FROM audit_leaves ORDER BY leaf",
);
const EXTRA: &[&Statement] = &[&OPENINGS, &LEAVES];

pub(crate) fn passphrase(text: &str) -> SecretBytes {
    SecretBytes::from_vec(text.as_bytes().to_vec())
}

pub(crate) fn place() -> Place {
    Place {
        account: AccountId::from_bytes([1; 16]),
        mode: Mode::Test,
    }
}

pub(crate) fn customer() -> Subject {
    Subject::Customer(CustomerId::from_bytes([3; 16]))
}

pub(crate) fn record(number: u8) -> RecordId {
    RecordId::from_bytes([number; 16])
}

pub(crate) fn refused<T>(outcome: Result<T, Error>) -> Option<Refusal> {
    match outcome {
        Err(Error::Refused(refusal)) => Some(refusal),
        Ok(_)
        | Err(
            Error::Away | Error::Unavailable | Error::Sealed | Error::NotAllowed | Error::Defect,
        ) => None,
    }
}

pub(crate) struct Fixture {
    pub(crate) keys: Keys,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) db: Database,
    pub(crate) api: Peer,
    pub(crate) vault: Peer,
    order_key: Option<(String, Key)>,
    attempts: std::sync::atomic::AtomicU8,
    store: TestStore,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let clock = Clock::fixed(Timestamp::from_millis(1_795_341_600_000));
        let mut settings = Settings::new("keys-1", clock.clone());
        change(&mut settings);
        let store = TestStore::open(MIGRATIONS, &[STATEMENTS, &[EXTRA]].concat()).await;
        let db = store.db.clone();
        initialise(&db, &passphrase("correct"), clock.now(), STRETCH)
            .await
            .unwrap();
        let keys = Keys::open(db.clone(), settings.clone()).await.unwrap();
        keys.unseal(&passphrase("correct")).await.unwrap();
        let api = enrol(&keys, Role::Api, "api-1").await;
        let vault = enrol(&keys, Role::Vault, "vault-1").await;
        let order_key = keys
            .service()
            .order_key(&api, GetOrderKey {})
            .await
            .unwrap();
        let order_key = Some((order_key.key_id, order_key.key.into_key()));
        let attempts = std::sync::atomic::AtomicU8::new(0);
        Self {
            keys,
            settings,
            clock,
            db,
            api,
            vault,
            order_key,
            attempts,
            store,
        }
    }

    /// Another key server on the same database, with connections of its own.
    pub(crate) async fn another_node(&self) -> Keys {
        let (db, settings) = (self.store.another().await, self.settings.clone());
        let other = Keys::open(db, settings).await.unwrap();
        other.unseal(&passphrase("correct")).await.unwrap();
        other
    }

    /// The same database, opened by a new process.
    pub(crate) async fn restart(mut self) -> Self {
        self.store.reopen().await;
        self.db = self.store.db.clone();
        self.keys = Keys::open(self.db.clone(), self.settings.clone())
            .await
            .unwrap();
        self.keys.unseal(&passphrase("correct")).await.unwrap();
        self
    }

    pub(crate) async fn issue(&self, subject: Subject, record: RecordId) -> (Key, WrappedKey) {
        let request = Issue {
            place: place(),
            subject,
            class: Class::Card,
            records: vec![record],
        };
        let issued = self
            .keys
            .service()
            .issue(&self.vault, request)
            .await
            .unwrap();
        let issued = issued.keys.into_iter().next().unwrap();
        (issued.key.into_key(), issued.wrapped)
    }

    /// An order for a new attempt.
    pub(crate) fn order(&self, record: RecordId) -> Order {
        let attempt = self
            .attempts
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Order {
            place: place(),
            payment: PaymentId::from_bytes([4; 16]),
            attempt: AttemptId::from_bytes([attempt; 16]),
            record,
            money: Money::new(1999, "EUR".parse().unwrap()).unwrap(),
            destination: Provider::simulator(),
            expires: self.clock.now().plus_millis(20_000),
        }
    }

    pub(crate) fn signed(&self, order: Order) -> SignedOrder {
        let (key_id, key) = self.order_key.as_ref().unwrap();
        order.sign(key_id.clone(), key)
    }

    pub(crate) async fn open(
        &self,
        order: SignedOrder,
        wrapped: &WrappedKey,
    ) -> Result<Opened, Error> {
        self.open_as(Subject::Account, order, wrapped).await
    }

    pub(crate) async fn open_as(
        &self,
        subject: Subject,
        order: SignedOrder,
        wrapped: &WrappedKey,
    ) -> Result<Opened, Error> {
        let request = Open {
            subject,
            class: Class::Card,
            wrapped: wrapped.clone(),
            order,
        };
        self.keys.service().open(&self.vault, request).await
    }

    pub(crate) async fn openings(&self) -> i64 {
        self.db.read(&OPENINGS, params![]).await.unwrap()[0]
            .integer("count")
            .unwrap()
    }

    /// How many entries of the log name this actor, action or outcome.
    pub(crate) async fn recorded(&self, word: &str) -> usize {
        let names = |entry: &&Recorded| {
            [&*entry.actor.id, &*entry.action, entry.outcome.as_str()].contains(&word)
        };
        let leaves = self.leaves().await;
        leaves.iter().flatten().filter(names).count()
    }

    /// The entries of each leaf of the log.
    pub(crate) async fn leaves(&self) -> Vec<Vec<Recorded>> {
        let rows = self.db.read(&LEAVES, params![]).await.unwrap();
        let entries = |row: &coffer_db::Row| {
            let recorded = Timestamp::from_millis(row.integer("recorded").unwrap());
            coffer_audit::read(recorded, row.bytes("public").unwrap()).unwrap()
        };
        rows.iter().map(entries).collect()
    }
}

/// Names the contract's methods where the key server has others of the same name.
pub(crate) trait Service {
    fn service(&self) -> Arc<dyn KeysService>;
}

impl Service for Keys {
    fn service(&self) -> Arc<dyn KeysService> {
        Arc::new(self.clone())
    }
}

pub(crate) async fn enrol(keys: &Keys, role: Role, instance: &str) -> Peer {
    let request = KeyPair::generate().unwrap().request().unwrap();
    let names = ["vault.example".to_owned(), "192.0.2.7".to_owned()];
    let chain = keys
        .issue_certificate(role, instance, &names, &request, CERTIFICATE_LIFETIME_MS)
        .await
        .unwrap();
    Peer {
        role,
        instance: instance.to_owned(),
        serial: serial(&chain),
    }
}

pub(crate) fn leaf(chain_pem: &str) -> pki::Certificate {
    pki::inspect(&pki::pem_to_der(chain_pem).unwrap()[0]).unwrap()
}

pub(crate) fn serial(chain_pem: &str) -> String {
    HEXLOWER.encode(&leaf(chain_pem).serial)
}
