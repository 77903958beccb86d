//! One vault with everything around it, and the steps that most tests share.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use coffer_core::{
    Mode, Money, Timestamp,
    id::{AccountId, AttemptId, PaymentId, RecordId, TokenId},
    provider::Provider,
};
use coffer_crypto::{Key, SecretBytes};
use coffer_db::{Database, Statement, params};
use coffer_net::{
    Clock, Tasks,
    contract::{
        Error, Peer, Place, Role,
        order::{Order, SignedOrder},
        vault::{
            Act, AttemptOutcome, CardSource, MintIntake, Perform, ResolveToken, ResolvedToken,
            Settle, Settlement, VaultService as _,
        },
    },
    outbound::{AddressPolicy, Outbound, Roots},
};
use coffer_testkit::TestStore;
use coffer_vault::{Adapter, MIGRATIONS, ProviderSettings, STATEMENTS, Settings, Vault};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{
    custody::{FakeKeys, ORDER_KEY_ID},
    provider::{FakeProvider, Listening, STATUS_OF_ATTEMPT},
};

pub(crate) const ORIGIN: &str = "https://fields.coffer.localhost:8446";
/// Of the page that holds the frame.
pub(crate) const SHOP_ORIGIN: &str = "https://shop.example";
pub(crate) const PAYMENT: PaymentId = PaymentId::from_bytes([5; 16]);
pub(crate) const CARD: &str =
    r#"{"number":"4242 4242 4242 4242","exp_month":12,"exp_year":2030,"cvc":"123"}"#;
pub(crate) const OTHER_CARD: &str =
    r#"{"number":"5555555555554444","exp_month":12,"exp_year":2030,"cvc":"123"}"#;

pub(crate) static ROWS: Statement = Statement::new(
    "test_rows",
    "SELECT (SELECT count(*) FROM records) AS records, (SELECT count(*) FROM tokens) AS tokens,
       (SELECT count(*) FROM intakes) AS intakes, (SELECT count(*) FROM attempts) AS attempts,
       (SELECT count(*) FROM audit_leaves) AS leaves",
);
/// Exchanges the sealed numbers of two records of an account, in whatever order they are found.
pub(crate) static SWAP_NUMBERS: Statement = Statement::new(
    "test_swap_numbers",
    "UPDATE records SET number = other.number FROM records AS other
     WHERE other.record <> records.record AND records.account = $1",
);
pub(crate) static SWAP_KEYS: Statement = Statement::new(
    "test_swap_keys",
    "UPDATE records SET wrapped_key = other.wrapped_key FROM records AS other
     WHERE other.record <> records.record AND records.account = $1",
);

const OWN: &[&Statement] = &[
    &STATUS_OF_ATTEMPT,
    &ROWS,
    &SWAP_NUMBERS,
    &SWAP_KEYS,
    &MARK_SENDING,
];

/// As a process leaves it that died after recording an attempt.
pub(crate) static MARK_SENDING: Statement = Statement::new(
    "test_mark_sending",
    "UPDATE attempts SET status = 'sending' WHERE attempt = $1",
);

pub(crate) struct Shop {
    pub(crate) vault: Vault,
    pub(crate) keys: Arc<FakeKeys>,
    pub(crate) provider: FakeProvider,
    pub(crate) clock: Clock,
    pub(crate) db: Database,
    store: TestStore,
    url: String,
    ca_pem: String,
    _tasks: Tasks,
}

/// What the fields face answered.
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let store = TestStore::open(MIGRATIONS, &[STATEMENTS, &[OWN]].concat()).await;
        let db = store.db.clone();
        let tasks = Tasks::new();
        let Listening {
            provider,
            url,
            ca_pem,
        } = FakeProvider::start(db.clone(), &tasks).await;
        let clock = Clock::fixed("2026-11-22T10:00:00Z".parse().unwrap());
        let keys = Arc::new(FakeKeys::new());
        let given = Some("provider-credential");
        let vault = vault(&db, &keys, &clock, (&url, &ca_pem), given).await;
        Self {
            vault,
            keys,
            provider,
            clock,
            db,
            store,
            url,
            ca_pem,
            _tasks: tasks,
        }
    }

    /// A new process on the same store: everything in memory is gone, and the credential is only in the store.
    pub(crate) async fn restart(&mut self) {
        self.vault = vault(
            &self.db,
            &self.keys,
            &self.clock,
            (&self.url, &self.ca_pem),
            None,
        )
        .await;
    }

    /// A ticket of a merchant's own page.
    pub(crate) async fn ticket(&self) -> String {
        self.ticket_for(SHOP_ORIGIN, None).await
    }

    /// A ticket of the page at this origin: the checkout page of a payment, if there is one.
    pub(crate) async fn ticket_for(&self, origin: &str, payment: Option<PaymentId>) -> String {
        let request = MintIntake {
            place: place(),
            origin: origin.to_owned(),
            payment,
        };
        self.vault
            .mint_intake(&peer(), request)
            .await
            .unwrap()
            .ticket
    }

    pub(crate) async fn post(&self, ticket: &str, card: &str, origin: &str) -> Said {
        let request = Request::post("/v1/tokens")
            .header("content-type", "application/json")
            .header("origin", origin)
            .header("coffer-intake", ticket)
            .body(Body::from(card.to_owned()));
        self.send(request.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Said {
        let request = Request::get(path).body(Body::empty());
        self.send(request.unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Said {
        let response = self.vault.fields().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 100_000).await.unwrap().to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Said {
            status: head.status,
            headers: head.headers,
            text,
            json,
        }
    }

    /// A token for a card, entered on a merchant's own page.
    pub(crate) async fn token(&self, card: &str) -> TokenId {
        self.token_with(&self.ticket().await, card).await
    }

    /// A token for a card, entered on the checkout page of a payment.
    pub(crate) async fn token_of(&self, payment: PaymentId) -> TokenId {
        let ticket = self.ticket_for(SHOP_ORIGIN, Some(payment)).await;
        self.token_with(&ticket, CARD).await
    }

    async fn token_with(&self, ticket: &str, card: &str) -> TokenId {
        let said = self.post(ticket, card, ORIGIN).await;
        assert_eq!(said.status, StatusCode::CREATED, "{}", said.text);
        said.json["id"].as_str().unwrap().parse().unwrap()
    }

    /// As a merchant's call asks.
    pub(crate) async fn resolve(&self, token: TokenId) -> Result<ResolvedToken, Error> {
        self.resolve_for(token, None).await
    }

    /// As the checkout page of a payment asks.
    pub(crate) async fn resolve_for(
        &self,
        token: TokenId,
        payment: Option<PaymentId>,
    ) -> Result<ResolvedToken, Error> {
        self.vault
            .resolve_token(
                &peer(),
                ResolveToken {
                    place: place(),
                    token,
                    payment,
                },
            )
            .await
    }

    /// An authorization of a token, ordered as `api` would.
    pub(crate) async fn charge(&self, token: TokenId) -> Perform {
        let resolved = self.resolve_for(token, Some(PAYMENT)).await;
        self.charge_for(PAYMENT, token, resolved.unwrap().record)
    }

    /// The same for any payment and record.
    pub(crate) fn charge_for(
        &self,
        payment: PaymentId,
        token: TokenId,
        record: RecordId,
    ) -> Perform {
        let mut perform = self.perform_of(Act::Void {
            authorize: self.clock.id(),
        });
        perform.payment = payment;
        let order = self.order(&perform, record);
        let source = CardSource::Token { token, order };
        perform.act = Act::Authorize {
            money: money(),
            source,
            return_url: None,
        };
        perform
    }

    pub(crate) fn order(&self, perform: &Perform, record: RecordId) -> SignedOrder {
        let order = Order {
            place: perform.place,
            payment: perform.payment,
            attempt: perform.attempt,
            record,
            money: money(),
            destination: perform.provider.clone(),
            expires: perform.deadline,
        };
        order.sign(ORDER_KEY_ID.to_owned(), &self.keys.order_key())
    }

    pub(crate) fn perform_of(&self, act: Act) -> Perform {
        Perform {
            place: place(),
            payment: PAYMENT,
            attempt: self.clock.id(),
            provider: Provider::simulator(),
            deadline: self.in_ms(20_000),
            act,
        }
    }

    pub(crate) async fn perform(&self, request: &Perform) -> Result<AttemptOutcome, Error> {
        self.vault.perform(&peer(), request.clone()).await
    }

    pub(crate) async fn settle(&self, attempt: AttemptId) -> Settlement {
        self.vault
            .settle(
                &peer(),
                Settle {
                    place: place(),
                    attempt,
                },
            )
            .await
            .unwrap()
    }

    pub(crate) fn in_ms(&self, ms: i64) -> Timestamp {
        self.clock.now().plus_millis(ms)
    }

    /// Rows of records, tokens, intakes and attempts.
    pub(crate) async fn rows(&self) -> [i64; 4] {
        let row = self
            .db
            .read_optional(&ROWS, params![])
            .await
            .unwrap()
            .unwrap();
        ["records", "tokens", "intakes", "attempts"].map(|column| row.integer(column).unwrap())
    }

    /// Everything that is on disk.
    pub(crate) fn disk(&self) -> Vec<u8> {
        self.store.contents()
    }
}

async fn vault(
    db: &Database,
    keys: &Arc<FakeKeys>,
    clock: &Clock,
    (url, ca_pem): (&str, &str),
    credential: Option<&str>,
) -> Vault {
    let provider = |mode| ProviderSettings {
        name: Provider::simulator(),
        mode,
        adapter: Adapter::Simulator,
        url: url.to_owned(),
        credential: credential.map(|text| SecretBytes::from_vec(text.as_bytes().to_vec())),
        extra_ca_pem: Some(ca_pem.to_owned()),
    };
    let settings = Settings {
        instance: "vault-1".to_owned(),
        clock: clock.clone(),
        fields_origin: ORIGIN.to_owned(),
        service_key: Key::from_array([3; 32]),
        providers: vec![provider(Mode::Test), provider(Mode::Live)],
        allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        outside: Outbound::new(AddressPolicy::public_only(), Roots::public()),
        retention: coffer_audit::Retention::default(),
    };
    Vault::open(db.clone(), Arc::clone(keys) as _, settings)
        .await
        .unwrap()
}

pub(crate) fn place() -> Place {
    Place {
        account: AccountId::from_bytes([1; 16]),
        mode: Mode::Test,
    }
}

pub(crate) fn peer() -> Peer {
    Peer {
        role: Role::Api,
        instance: "api-1".to_owned(),
        serial: ORDER_KEY_ID.to_owned(),
    }
}

pub(crate) fn money() -> Money {
    Money::new(1999, "EUR".parse().unwrap()).unwrap()
}
