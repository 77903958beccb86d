//! An engine over a real store and a scripted vault, for the tests of this crate.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use coffer_core::{
    CardSummary, Expiry, Last4, Mode, Money, Timestamp,
    api_key::KeyKind,
    brand::Brand,
    id::{AttemptId, CardId, CustomerId, RecordId, RequestId, TokenId},
    payment::CaptureMode,
    permission::Permissions,
};
use coffer_crypto::Key;
use coffer_net::{
    Clock,
    contract::{
        self, Answer, Place,
        keys::{self, Keys},
        vault::{self, Act, AttemptOutcome, Perform, Settlement, TestToken, Vault},
    },
    outbound::{AddressPolicy, Outbound, Roots},
};
use coffer_testkit::TestStore;

use crate::{
    Begun, CallOrigin, Caller, CardInput, Done, Engine, Error, Fresh, IdempotencyKey, Metadata,
    NewApiKey, NewPayment, Payment, Render, Settings, TokenRef,
};

/// What the scripted vault does with the next attempts; without a script everything succeeds.
#[derive(Clone)]
pub(crate) enum Script {
    Answer(Result<AttemptOutcome, contract::Error>),
    /// This happened at the provider, and the answer never comes.
    Silent(AttemptOutcome),
}

/// A vault that does as it is told and counts what moved.
#[derive(Default)]
pub(crate) struct FakeVault {
    pub(crate) script: Mutex<VecDeque<Script>>,
    pub(crate) ledger: Mutex<HashMap<AttemptId, (Act, AttemptOutcome)>>,
    /// Kept cards by the token that they were.
    pub(crate) kept: Mutex<HashMap<TokenId, (CardId, CustomerId)>>,
    /// The next answer about a kept card gets lost.
    pub(crate) loses_kept: AtomicBool,
}

impl FakeVault {
    pub(crate) fn next(&self, script: Script) {
        self.script.lock().unwrap().push_back(script);
    }

    /// Says this of the next attempt.
    pub(crate) fn answer(&self, answer: Result<AttemptOutcome, contract::Error>) {
        self.next(Script::Answer(answer));
    }

    /// Sums of the successful acts of one kind.
    pub(crate) fn moved(&self, of: fn(&Act) -> Option<Money>) -> (usize, i64) {
        let ledger = self.ledger.lock().unwrap();
        let amounts: Vec<i64> = ledger
            .values()
            .filter(|(_, outcome)| *outcome == AttemptOutcome::Succeeded)
            .filter_map(|(act, _)| of(act))
            .map(Money::amount)
            .collect();
        (amounts.len(), amounts.iter().sum())
    }
}

pub(crate) fn authorizations(act: &Act) -> Option<Money> {
    if let Act::Authorize { money, .. } = act {
        Some(*money)
    } else {
        None
    }
}

pub(crate) fn captures(act: &Act) -> Option<Money> {
    if let Act::Capture { money, .. } = act {
        Some(*money)
    } else {
        None
    }
}

pub(crate) fn refunds(act: &Act) -> Option<Money> {
    if let Act::Refund { money, .. } = act {
        Some(*money)
    } else {
        None
    }
}

impl Vault for FakeVault {
    fn perform(&self, request: Perform) -> Answer<'_, AttemptOutcome> {
        let script = self.script.lock().unwrap().pop_front();
        Box::pin(async move {
            let (outcome, silent) = match script {
                None => (Ok(AttemptOutcome::Succeeded), false),
                Some(Script::Answer(outcome)) => (outcome, false),
                Some(Script::Silent(outcome)) => (Ok(outcome), true),
            };
            if let Ok(outcome) = &outcome {
                self.ledger
                    .lock()
                    .unwrap()
                    .insert(request.attempt, (request.act, outcome.clone()));
            }
            if silent {
                std::future::pending().await
            } else {
                outcome
            }
        })
    }

    fn settle(&self, request: vault::Settle) -> Answer<'_, Settlement> {
        let known = self
            .ledger
            .lock()
            .unwrap()
            .get(&request.attempt)
            .map(|(_, outcome)| outcome.clone());
        Box::pin(async move { Ok(known.map_or(Settlement::NotRecorded, Settlement::Known)) })
    }

    fn mint_intake(&self, _: vault::MintIntake) -> Answer<'_, vault::Intake> {
        Box::pin(async { Err(contract::Error::Away) })
    }

    fn resolve_token(&self, _: vault::ResolveToken) -> Answer<'_, vault::ResolvedToken> {
        Box::pin(async { Err(contract::Error::Refused(contract::Refusal::TokenUnknown)) })
    }

    fn keep_card(&self, request: vault::KeepCard) -> Answer<'_, vault::KeptCard> {
        let by = (request.card, request.customer);
        let kept = *self.kept.lock().unwrap().entry(request.token).or_insert(by);
        let lost = self.loses_kept.swap(false, Ordering::SeqCst);
        Box::pin(async move {
            if lost {
                return Err(contract::Error::Away);
            }
            if kept != by {
                return Err(contract::Error::Refused(contract::Refusal::TokenUsed));
            }
            Ok(vault::KeptCard {
                record: RecordId::from_bytes([4; 16]),
                card: CardSummary {
                    brand: Brand::Visa,
                    last4: Last4::from_digits([4, 2, 4, 2]).unwrap(),
                    expiry: Expiry::new(12, 2030).unwrap(),
                },
            })
        })
    }

    fn delete_record(&self, _: vault::DeleteRecord) -> Answer<'_, vault::Deleted> {
        Box::pin(async { Ok(vault::Deleted {}) })
    }

    fn inspect_fields(&self, _: vault::InspectFields) -> Answer<'_, vault::FieldsFindings> {
        Box::pin(async { Ok(vault::FieldsFindings::default()) })
    }
}

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
    renew(Renew) -> Renewed;
    revoked(GetRevoked) -> Revoked;
    custody(GetCustody) -> Custody;
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
        let store = TestStore::open(crate::MIGRATIONS, crate::STATEMENTS).await;
        let (vault, clock) = (
            Arc::new(FakeVault::default()),
            Clock::fixed(Timestamp::from_millis(1_795_341_600_000)),
        );
        coffer_net::tls::install_provider();
        let settings = settings(&clock, "test");
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
            .authenticate(&self.key, origin(route))
            .await
            .unwrap()
    }

    pub(crate) async fn pay(&self, capture: CaptureMode) -> Result<Done<Payment>, Error> {
        let caller = self.caller("POST /v1/payments").await;
        self.engine
            .payment_create(&caller, Fresh::unkeyed(), payment(capture))
            .await
    }

    /// A first request with this idempotency key, however often it is asked before one is done.
    pub(crate) async fn fresh(&self, caller: &Caller, key: &str) -> Fresh {
        let key = IdempotencyKey::parse(key).unwrap();
        match self.engine.begin(caller, key, b"same").await.unwrap() {
            Begun::Fresh(fresh) => fresh,
            Begun::Replay(_) => panic!("it was answered before"),
        }
    }

    /// A payment with an idempotency key, as the api makes it.
    pub(crate) async fn pay_once(&self, key: &str) -> Result<Vec<u8>, Error> {
        let caller = self.caller("POST /v1/payments").await;
        match self
            .engine
            .begin(&caller, IdempotencyKey::parse(key).unwrap(), b"same")
            .await?
        {
            Begun::Replay(answer) => Ok(answer.body),
            Begun::Fresh(fresh) => match self
                .engine
                .payment_create(&caller, fresh, payment(CaptureMode::Automatic))
                .await
            {
                Ok(done) => Ok((RENDER.payment)(&done.object)),
                Err(Error::Answered(answer)) => Ok(answer.body),
                Err(error) => Err(error),
            },
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
    let new = NewApiKey {
        kind: KeyKind::Secret,
        name: "test".to_owned(),
        permissions: Permissions::full(),
        expires: None,
    };
    let made = engine.api_key_create(place, new).await.unwrap();
    (
        place,
        String::from_utf8(made.text.expose().to_vec()).unwrap(),
    )
}

pub(crate) fn origin(route: &'static str) -> CallOrigin {
    CallOrigin {
        request_id: RequestId::from_bytes([1; 16]),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        route,
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
