//! The engine's own functions, each by itself, over a real store and with all that goes on in the background.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use coffer_core::{
    Mode, Money,
    api_key::{KeyKind, SignedRequests},
    cap::Caps,
    detection::Policy,
    id::{PaymentId, RequestId},
    network::Networks,
    payment::CaptureMode,
    permission::{Permission, Permissions, Resource},
    rate::Rate,
};
use coffer_crypto::random_secret;
use coffer_db::Database;
use coffer_engine::{
    CallOrigin, Called, Caller, CardInput, DetectionSettings, Engine, Fresh, KeySettings,
    LimitSettings, MIGRATIONS, Metadata, NewApiKey, NewPayment, Outcome, Presented, ReadRecords,
    Render, STATEMENTS, Settings, Steward, Taken, Text,
};
use coffer_net::{
    Clock, Tasks,
    contract::{Place, Role, keys::KeysClient, vault::VaultClient},
    outbound::{AddressPolicy, Outbound, Roots},
};
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::{
    drive::{Plan, repeat},
    machine::Watched,
    raw,
    stage::{Stage, Store},
    table::Line,
};

const ACCOUNTS: usize = 16;
const KEYS: usize = 10_000;
const PAYMENTS: usize = 1_000;
/// What is made at a time.
const MAKERS: usize = 64;
const DATABASE: &str = "steps";
/// Where no role listens: this log is none that the key server should remember.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// What takes nanoseconds is called so often in a row.
const OFTEN: (usize, usize) = (1, 1_000);
/// What waits is called by many side by side.
const SIDE_BY_SIDE: (usize, usize) = (64, 1);
/// How long to let the record be written when too much waits for it.
const PAUSE: Duration = Duration::from_millis(5);
const ROUTE: &str = "GET /v1/payments/{id}";
const OPERATION: &str = "payment";

struct Inside {
    engine: Engine,
    keys: Vec<String>,
    callers: Vec<Caller>,
    payments: Vec<PaymentId>,
    turn: Cell<usize>,
    clock: Clock,
    tasks: Tasks,
    db: Database,
    _folder: TempDir,
}

pub(super) async fn measure(stage: &Stage, plan: Plan, fsync: Duration) -> Vec<Line> {
    let inside = Inside::open(stage).await;
    let store = stage.store.as_str();
    let watched: Vec<Watched> = [Watched::this()]
        .into_iter()
        .chain(stage.roles(&[]))
        .collect();
    let line = |who: String, figures, fsync| Line {
        who,
        figures,
        fsync,
    };
    let mut lines = Vec::new();
    if stage.store == Store::Sqlite {
        lines.extend(inside.in_memory(&watched, plan).await);
    }
    let read = async || inside.read().await;
    let read = repeat(&read, inside.readers(stage), &watched, plan).await;
    lines.push(line(format!("step: read, {store}"), read, None));
    for (record, strict, how) in [("grouped", false, OFTEN), ("strict", true, SIDE_BY_SIDE)] {
        let step = async || inside.record(strict).await;
        let figures = repeat(&step, how, &watched, plan).await;
        lines.push(line(
            format!("step: record, {record}, {store}"),
            figures,
            Some(fsync),
        ));
    }
    inside.close().await;
    lines
}

impl Inside {
    async fn open(stage: &Stage) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let db = match stage.server() {
            None => Database::open_sqlite_reserved(
                &folder.path().join("steps.db"),
                MIGRATIONS,
                STATEMENTS,
            )
            .expect("a store"),
            Some(server) => raw::postgres::create(server, DATABASE).await,
        };
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let engine = Engine::open(
            db.clone(),
            Arc::new(VaultClient::new(stage.link_at(
                NOBODY,
                Role::Api,
                Role::Vault,
            ))),
            Arc::new(KeysClient::new(stage.link_at(
                NOBODY,
                Role::Api,
                Role::Keys,
            ))),
            settings(&clock),
        );
        let engine = engine.await.expect("an engine");
        engine.run(&tasks);
        let keys = keys(&engine).await;
        let mut callers = Vec::with_capacity(keys.len());
        for key in &keys {
            callers.push(caller(&engine, key).await);
        }
        let payments = side_by_side(PAYMENTS, async |_| {
            let made = engine.payment_create(&callers[0], Fresh::unkeyed(), payment());
            made.await.expect("a payment").object.id
        });
        Self {
            payments: payments.await,
            engine,
            keys,
            callers,
            turn: Cell::new(0),
            clock,
            tasks,
            db,
            _folder: folder,
        }
    }

    /// The steps that ask no store.
    async fn in_memory(&self, watched: &[Watched], plan: Plan) -> [Line; 4] {
        let key = async || {
            let key: &String = self.next(&self.keys);
            drop(caller(&self.engine, key).await);
        };
        let permission = async || {
            let needed = Permission::read(Resource::Payments);
            assert!(self.engine.allows(self.next(&self.callers), needed));
            self.engine.can_record().expect("room for a record");
        };
        let limit = async || {
            let entered = self.engine.enter(self.next(&self.callers), 1).await;
            drop(entered.expect("a request within its limits"));
        };
        let usage = async || {
            let taken = Taken {
                outcome: Outcome::Succeeded,
                latency: Duration::from_micros(50),
                bytes_in: 0,
                bytes_out: 1_000,
            };
            self.engine
                .count(self.next(&self.callers), OPERATION, &taken);
        };
        let line = |who: &str, figures| Line {
            who: format!("step: {who}"),
            figures,
            fsync: None,
        };
        [
            line("key and address", repeat(&key, OFTEN, watched, plan).await),
            line(
                "permission",
                repeat(&permission, OFTEN, watched, plan).await,
            ),
            line("limit", repeat(&limit, OFTEN, watched, plan).await),
            line("usage", repeat(&usage, OFTEN, watched, plan).await),
        ]
    }

    /// SQLite answers on this thread; PostgreSQL is asked by many side by side.
    const fn readers(&self, stage: &Stage) -> (usize, usize) {
        match stage.store {
            Store::Sqlite => OFTEN,
            Store::Postgres => SIDE_BY_SIDE,
        }
    }

    async fn read(&self) {
        let read = self
            .engine
            .payment(&self.callers[0], *self.next(&self.payments));
        read.await.map(drop).expect("a payment");
    }

    async fn record(&self, strict: bool) {
        while self.engine.can_record().is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        let called = Called {
            caller: self.next(&self.callers).clone(),
            operation: OPERATION,
            object: Called::object(&self.next(&self.payments).to_string()),
            outcome: Outcome::Succeeded,
            came: self.clock.now(),
            latency_ms: 0,
        };
        let recorded = self.engine.record_call(called, strict).await;
        recorded.expect("a record");
    }

    fn next<'a, T>(&self, all: &'a [T]) -> &'a T {
        self.turn.set(self.turn.get().wrapping_add(1));
        &all[self.turn.get() % all.len()]
    }

    async fn close(self) {
        self.tasks.stop(Duration::from_secs(10)).await;
        self.engine.write_rest().await;
        self.db.close().await;
    }
}

/// So many, some at a time.
async fn side_by_side<T>(count: usize, make: impl AsyncFn(usize) -> T) -> Vec<T> {
    let make_some = async |first: usize| {
        let mut made = Vec::new();
        for place in (first..count).step_by(MAKERS) {
            made.push(make(place).await);
        }
        made
    };
    let made = join_all((0..MAKERS).map(make_some)).await;
    made.into_iter().flatten().collect()
}

/// Keys of some accounts in turn, so that no account's rate ends a measurement.
async fn keys(engine: &Engine) -> Vec<String> {
    let accounts = side_by_side(ACCOUNTS, async |place| {
        let made = engine.account_create(&format!("steps {place}")).await;
        made.expect("an account")
    });
    let accounts = accounts.await;
    let make = async |place: usize| {
        let place = Place {
            account: accounts[place % ACCOUNTS],
            mode: Mode::Test,
        };
        let made = engine.api_key_create(Steward::Operator(place), Fresh::unkeyed(), new_key());
        let (_, text) = made.await.expect("an API key").object;
        String::from_utf8(text.expose().to_vec()).expect("a text")
    };
    side_by_side(KEYS, make).await
}

fn new_key() -> NewApiKey {
    NewApiKey {
        kind: KeyKind::Secret,
        name: Text::parse("steps".to_owned()).expect("a name"),
        settings: KeySettings {
            permissions: Permissions::full(),
            addresses: Networks::anywhere(),
            origins: Vec::new(),
            expires: None,
            rate: None,
            caps: Caps::default(),
            signed_requests: SignedRequests::None,
        },
        canary: false,
    }
}

async fn caller(engine: &Engine, key: &str) -> Caller {
    let presented = Presented {
        text: key,
        client: Some("bench/1"),
        by_browser: false,
    };
    let origin = CallOrigin {
        request_id: RequestId::from_bytes([1; 16]),
        address: NOBODY.ip(),
        route: ROUTE,
        tls_version: "1.3",
    };
    let caller = engine.authenticate(presented, origin).await;
    caller.expect("a key that works")
}

fn payment() -> NewPayment {
    NewPayment {
        money: Money::new(1999, "EUR".parse().expect("a currency")).expect("an amount"),
        card: CardInput::AtCheckout,
        capture: CaptureMode::Automatic,
        customer: None,
        reference: None,
        description: None,
        metadata: Metadata::default(),
        return_url: None,
    }
}

/// As an installation has them, with limits that are counted and never reached.
fn settings(clock: &Clock) -> Settings {
    let most = Rate::new(10_000_000, 10_000_000).expect("a rate");
    Settings {
        clock: clock.clone(),
        service_key: random_secret().expect("a key"),
        instance: "steps".to_owned(),
        checkout_origin: "https://pay.example".to_owned(),
        fields_origin: "https://fields.example".to_owned(),
        development: true,
        limits: LimitSettings {
            key: most,
            account: most,
            failures: most,
            concurrent: 1_000,
        },
        shared: None,
        reads: ReadRecords::Grouped,
        detection: detection(most),
        retention: Default::default(),
        anchor: None,
        webhooks: Outbound::new(AddressPolicy::public_only(), Roots::public()),
        live_provider: None,
        render: RENDER,
    }
}

fn detection(slow: Rate) -> DetectionSettings {
    const MINUTE_MS: i64 = 60_000;
    DetectionSettings {
        strangers: Policy::Watch,
        window_ms: 10 * MINUTE_MS,
        scanning_misses: 60,
        stuffing_keys: 20,
        testing_declines: 20,
        testing_share: 50,
        testing_small: 200,
        rate_factor: 4,
        rate_floor: 600,
        learning_ms: 14 * 24 * 60 * MINUTE_MS,
        slow,
        slow_ms: MINUTE_MS,
        block_ms: MINUTE_MS,
    }
}

/// Nobody reads these answers.
const RENDER: Render = Render {
    payment: |_| Vec::new(),
    refund: |_| Vec::new(),
    customer: |_| Vec::new(),
    card: |_| Vec::new(),
    api_key: |_, _| Vec::new(),
    signing_key: |_, _| Vec::new(),
    webhook_endpoint: |_| Vec::new(),
    event: |_| Vec::new(),
};
