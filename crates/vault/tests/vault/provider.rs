//! A provider over real TLS that does what a test tells it, and remembers what it was sent.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use coffer_crypto::pki::{Authority, KeyPair, Profile};
use coffer_db::{Database, Statement, params};
use coffer_net::{
    Clock, Tasks,
    face::{self, Face, FaceSettings, PlainPolicy},
    tls::CertificateStore,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) static STATUS_OF_ATTEMPT: Statement = Statement::new(
    "test_status_of_attempt",
    "SELECT status FROM attempts WHERE attempt = $1",
);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Approve,
    Challenge,
    /// Charges, then answers 500.
    ErrorAfterCharging,
    /// Answers 500 without charging.
    ErrorBeforeCharging,
}

/// One request that arrived.
pub(crate) struct Arrived {
    pub(crate) key: String,
    pub(crate) credential: String,
    pub(crate) body: Value,
    /// How the vault's store had the attempt at that time.
    pub(crate) recorded: Option<String>,
}

#[derive(Clone)]
pub(crate) struct FakeProvider(Arc<Parts>);

struct Parts {
    db: Database,
    behaviour: Mutex<Behaviour>,
    arrived: Mutex<Vec<Arrived>>,
    charged: Mutex<HashMap<String, Value>>,
}

pub(crate) struct Listening {
    pub(crate) provider: FakeProvider,
    pub(crate) url: String,
    pub(crate) ca_pem: String,
}

impl FakeProvider {
    pub(crate) async fn start(db: Database, tasks: &Tasks) -> Listening {
        let (behaviour, arrived, charged) = (
            Mutex::new(Behaviour::Approve),
            Mutex::default(),
            Mutex::default(),
        );
        let provider = Self(Arc::new(Parts {
            db,
            behaviour,
            arrived,
            charged,
        }));
        let authority = Authority::create("provider", Clock::system().now().as_seconds()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let settings = FaceSettings::new(
            vec!["localhost".to_owned()],
            PlainPolicy::Refuse403 {
                page: "about:blank".to_owned(),
                overheard: None,
            },
        );
        let face = Face::new(certificate(&authority), provider.router(), settings);
        tasks.spawn("provider", face::serve(listener, face, tasks.clone()));
        let url = format!("https://localhost:{}", address.port());
        Listening {
            provider,
            url,
            ca_pem: authority.certificate_pem().to_owned(),
        }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.0.behaviour.lock().unwrap() = behaviour;
    }

    /// What happened to a challenged charge since.
    pub(crate) fn decide(&self, key: &str, status: &str) {
        self.0.charged.lock().unwrap().get_mut(key).unwrap()["status"] = json!(status);
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.0.arrived.lock().unwrap())
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/v1/authorizations", post(operate))
            .route("/v1/authorizations/{id}/{operation}", post(operate))
            .route("/v1/operations/{key}", get(look_up))
            .with_state(self.clone())
    }

    async fn recorded(&self, key: &str) -> Option<String> {
        let row = self
            .0
            .db
            .read_optional(&STATUS_OF_ATTEMPT, params![key])
            .await
            .unwrap();
        row.map(|row| row.text("status").unwrap().to_owned())
    }
}

async fn operate(
    State(provider): State<FakeProvider>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let (key, credential) = (text("idempotency-key"), text("authorization"));
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).unwrap()
    };
    let recorded = provider.recorded(&key).await;
    let behaviour = *provider.0.behaviour.lock().unwrap();
    provider.0.arrived.lock().unwrap().push(Arrived {
        key: key.clone(),
        credential,
        body,
        recorded,
    });
    let answer = match behaviour {
        Behaviour::ErrorBeforeCharging => return failure(),
        Behaviour::Approve | Behaviour::ErrorAfterCharging => {
            json!({"id": "sim_1", "status": "approved"})
        }
        Behaviour::Challenge => {
            json!({"id": "sim_1", "status": "challenge", "challenge_url": "https://p.test/c"})
        }
    };
    provider
        .0
        .charged
        .lock()
        .unwrap()
        .insert(key, answer.clone());
    if behaviour == Behaviour::ErrorAfterCharging {
        failure()
    } else {
        axum::Json(answer).into_response()
    }
}

async fn look_up(State(provider): State<FakeProvider>, Path(key): Path<String>) -> Response {
    match provider.0.charged.lock().unwrap().get(&key) {
        Some(answer) => axum::Json(answer.clone()).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            axum::Json(json!({"code": "not_found"})),
        )
            .into_response(),
    }
}

fn failure() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn certificate(authority: &Authority) -> Arc<CertificateStore> {
    let now_s = Clock::system().now().as_seconds();
    let key = KeyPair::generate().unwrap();
    let profile = Profile {
        spiffe: None,
        dns: vec!["localhost".to_owned()],
        ips: Vec::new(),
        client: false,
        server: true,
        not_before_s: now_s - 60,
        not_after_s: now_s + 3600,
        serial: coffer_crypto::random().unwrap(),
    };
    let chain = authority
        .issue(&key.request().unwrap(), &profile, now_s)
        .unwrap();
    let store = CertificateStore::new();
    store.load_pem(&chain, &key.pem()).unwrap();
    store
}
