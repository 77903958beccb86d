//! An engine over a real store and a scripted vault, for the tests of this crate.

mod fake_vault;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use coffer_core::{
    Mode, Money, Timestamp,
    api_key::{KeyKind, SignedRequests},
    cap::Caps,
    id::{ApiKeyId, RequestId},
    network::Networks,
    payment::CaptureMode,
    permission::Permissions,
    rate::Rate,
};
use coffer_crypto::Key;
use coffer_db::SharedScript;
use coffer_net::{
    Clock,
    contract::{
        self, Answer, Place,
        keys::{self, Keys},
        vault::TestToken,
    },
    outbound::{AddressPolicy, Outbound, Roots},
};
use coffer_testkit::{Redis, TestStore};

pub(crate) use fake_vault::{FakeVault, Script, authorizations, captures, refunds};

use crate::{
    CallOrigin, Caller, CardInput, DetectionSettings, Done, Engine, Error, Fresh, IdempotencyKey,
    KeySettings, LimitSettings, Metadata, NewApiKey, NewPayment, NewSigningKey, Payment, Presented,
    ReadRecords, RegisteredKey, Render, Settings, SigningKey, Steward, Text, TokenRef, detection,
};

/// A key server that is away: nothing in these tests needs it.
struct NoKeys;

macro_rules! away {
    ($($method:ident($request:ident) -> $response:ident;)+) => {
        impl Keys for NoKeys {
            $(fn $method(&self, _: keys::$request) -> Answer<'_, keys::$response> {
                Box::pin(async { Err(contract::Error::Away) })
            })+
        }
    };
}

away! {
    issue(Issue) -> Issued;
    fingerprint(Fingerprint) -> Fingerprinted;
    open(Open) -> Opened;
    rewrap(Rewrap) -> WrappedKey;
    order_key(GetOrderKey) -> OrderKey;
    sign_checkpoint(SignCheckpoint) -> SignedCheckpoint;
    checkpoint(GetCheckpoint) -> RememberedCheckpoint;
    heads(GetHeads) -> SignedHeads;
    renew(Renew) -> Renewed;
    revoked(GetRevoked) -> Revoked;
    custody(GetCustody) -> Custody;
    disk(GetDisk) -> DiskHistory;
    seal(Seal) -> Custody;
    unseal(Unseal) -> Custody;
}

/// Answers for the tests: id, status and version are all they look at.
const RENDER: Render = Render {
    payment: |payment| {
        format!("{} {} {}", payment.id, payment.status, payment.version).into_bytes()
    },
    refund: |refund| format!("{} {} {}", refund.id, refund.status, refund.version).into_bytes(),
    customer: |customer| customer.id.to_string().into_bytes(),
    card: |card| card.id.to_string().into_bytes(),
    api_key: |key, _| key.id.to_string().into_bytes(),
    signing_key: |key, _| key.id.to_string().into_bytes(),
    webhook_endpoint: |endpoint| endpoint.id.to_string().into_bytes(),
    event: |event| event.id.to_string().into_bytes(),
};

/// An engine, its vault, its clock and one merchant.
pub(crate) struct Shop {
    pub(crate) engine: Engine,
    pub(crate) vault: Arc<FakeVault>,
    pub(crate) clock: Clock,
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) store: TestStore,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::watched_by(detection::tests::settings()).await
    }

    /// With this detection.
    pub(crate) async fn watched_by(detection: DetectionSettings) -> Self {
        let store = TestStore::open(crate::MIGRATIONS, crate::STATEMENTS).await;
        let (vault, clock) = (
            Arc::new(FakeVault::default()),
            Clock::fixed(Timestamp::from_millis(1_795_341_600_000)),
        );
        coffer_net::tls::install_provider();
        let settings = Settings {
            detection,
            ..settings(&clock, "test")
        };
        let engine = Engine::open(store.db.clone(), vault.clone(), Arc::new(NoKeys), settings)
            .await
            .unwrap();
        let (place, key) = merchant(&engine, "shop").await;
        Self {
            engine,
            vault,
            clock,
            key,
            place,
            store,
        }
    }

    /// Another node of the same installation, with connections of its own to the store.
    pub(crate) async fn another_node(&self) -> Engine {
        let (db, settings) = (self.store.another().await, settings(&self.clock, "other"));
        Engine::open(db, self.vault.clone(), Arc::new(NoKeys), settings)
            .await
            .unwrap()
    }

    /// Another node, by a clock of its own, that shares its rates with others by this server.
    pub(crate) async fn sharing_node(&self, clock: &Clock, redis: &Redis) -> Engine {
        let script = SharedScript::new(&redis.address(), crate::SHARED_SCRIPT).unwrap();
        let settings = Settings {
            shared: Some(script),
            ..settings(clock, "sharing")
        };
        let db = self.store.another().await;
        Engine::open(db, self.vault.clone(), Arc::new(NoKeys), settings)
            .await
            .unwrap()
    }

    /// A node of the same installation as if its profile were production, with somebody who takes live payments.
    pub(crate) async fn in_production(&self) -> Engine {
        let settings = Settings {
            development: false,
            live_provider: Some("acme".to_owned().try_into().unwrap()),
            ..settings(&self.clock, "production")
        };
        let db = self.store.another().await;
        Engine::open(db, self.vault.clone(), Arc::new(NoKeys), settings)
            .await
            .unwrap()
    }

    /// One pass of the sweeper, to its end, of a process that began nothing of what it finds.
    pub(crate) async fn sweep(&self) {
        self.engine.0.settling.forget();
        for begun in self.engine.sweep().await.unwrap() {
            begun.await.unwrap();
        }
    }

    /// As [`Shop::sweep`], so many milliseconds later.
    pub(crate) async fn sweep_after(&self, pause_ms: i64) {
        self.clock.advance(pause_ms);
        self.sweep().await;
    }

    pub(crate) async fn caller(&self, route: &'static str) -> Caller {
        self.engine
            .authenticate(presented(&self.key), origin(route))
            .await
            .unwrap()
    }

    /// Another key of the shop, made by the operator: its id and its text.
    pub(crate) async fn make_key(
        &self,
        kind: KeyKind,
        permissions: Permissions,
    ) -> (ApiKeyId, String) {
        make_key(&self.engine, self.place, new_key(kind, permissions)).await
    }

    /// Revokes a key, as the operator.
    pub(crate) async fn revoke(&self, id: ApiKeyId) {
        let steward = Steward::Operator(self.place);
        let revoked = self.engine.api_key_revoke(steward, Fresh::unkeyed(), id);
        revoked.await.unwrap();
    }

    pub(crate) async fn pay(&self, capture: CaptureMode) -> Result<Done<Payment>, Error> {
        let caller = self.caller("POST /v1/payments").await;
        self.engine
            .payment_create(&caller, Fresh::unkeyed(), payment(capture))
            .await
    }

    /// A request with this idempotency key.
    pub(crate) fn fresh(&self, caller: &Caller, key: &str) -> Fresh {
        let key = IdempotencyKey::parse(key).unwrap();
        self.engine.fresh(caller, key, b"same")
    }

    /// As the api does it with this idempotency key, in a process that does not remember it.
    pub(crate) async fn once<T, F: Future<Output = Result<T, Error>>>(
        &self,
        caller: &Caller,
        key: &str,
        act: impl FnOnce(Fresh) -> F,
    ) -> Result<T, Error> {
        self.engine.0.lately.forget();
        self.engine.once(self.fresh(caller, key), act).await
    }

    /// A payment with an idempotency key, as the api makes it.
    pub(crate) async fn pay_once(&self, key: &str) -> Result<Vec<u8>, Error> {
        let caller = self.caller("POST /v1/payments").await;
        let fresh = self.fresh(&caller, key);
        let new = payment(CaptureMode::Automatic);
        let pay = |fresh| self.engine.payment_create(&caller, fresh, new);
        match self.engine.once(fresh, pay).await {
            Ok(done) => Ok((RENDER.payment)(&done.object)),
            Err(Error::Answered(answer)) => Ok(answer.body),
            Err(error) => Err(error),
        }
    }
}

fn settings(clock: &Clock, instance: &str) -> Settings {
    Settings {
        clock: clock.clone(),
        service_key: Key::from_array([9; 32]),
        instance: instance.to_owned(),
        checkout_origin: "https://pay.example".to_owned(),
        fields_origin: "https://fields.example".to_owned(),
        development: true,
        limits: LimitSettings {
            key: Rate::new(6_000, 600).unwrap(),
            account: Rate::new(60_000, 3_000).unwrap(),
            failures: Rate::new(60, 30).unwrap(),
            concurrent: 100,
        },
        shared: None,
        reads: ReadRecords::Grouped,
        detection: detection::tests::settings(),
        retention: coffer_audit::Retention::default(),
        anchor: None,
        webhooks: Outbound::new(AddressPolicy::public_only(), Roots::public()),
        live_provider: None,
        render: RENDER,
    }
}

/// An account with a secret test key.
pub(crate) async fn merchant(engine: &Engine, name: &str) -> (Place, String) {
    let place = Place {
        account: engine.account_create(name).await.unwrap(),
        mode: Mode::Test,
    };
    let new = new_key(KeyKind::Secret, Permissions::full());
    let (_, key) = make_key(engine, place, new).await;
    (place, key)
}

/// A key without an end, from anywhere.
pub(crate) fn new_key(kind: KeyKind, permissions: Permissions) -> NewApiKey {
    NewApiKey {
        kind,
        name: Text::parse("test".to_owned()).unwrap(),
        settings: KeySettings {
            permissions,
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

/// Made by the operator: its id and its text.
pub(crate) async fn make_key(engine: &Engine, place: Place, new: NewApiKey) -> (ApiKeyId, String) {
    let steward = Steward::Operator(place);
    let made = engine.api_key_create(steward, Fresh::unkeyed(), new);
    let (key, text) = made.await.unwrap().object;
    (key.id, String::from_utf8(text.expose().to_vec()).unwrap())
}

/// Registers the public half of this key, which may stand for an API key.
pub(crate) async fn register(
    engine: &Engine,
    steward: Steward<'_>,
    private: &coffer_crypto::SigningKey,
    client: Option<ApiKeyId>,
) -> Result<SigningKey, Error> {
    let jwk = serde_json::json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": data_encoding::BASE64URL_NOPAD.encode(private.public().as_bytes()),
    });
    let public = RegisteredKey::from_text(&jwk.to_string());
    let new = NewSigningKey::Registered(public.unwrap_or_else(|_| panic!()));
    let named = (Text::parse("key".to_owned()).unwrap(), client);
    let made = engine.signing_key_create(steward, Fresh::unkeyed(), named, new);
    Ok(made.await?.object.0)
}

/// A key as a server sends it.
pub(crate) fn presented(text: &str) -> Presented<'_> {
    Presented {
        text,
        client: Some("tests/1"),
        by_browser: false,
    }
}

pub(crate) fn origin(route: &'static str) -> CallOrigin {
    CallOrigin {
        request_id: RequestId::from_bytes([1; 16]),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        route,
        tls_version: "1.3",
    }
}

pub(crate) fn payment(capture: CaptureMode) -> NewPayment {
    NewPayment {
        money: Money::new(1999, "EUR".parse().unwrap()).unwrap(),
        card: CardInput::Token(TokenRef::Test(TestToken::Approved)),
        capture,
        customer: None,
        reference: None,
        description: None,
        metadata: Metadata::default(),
        return_url: None,
    }
}
