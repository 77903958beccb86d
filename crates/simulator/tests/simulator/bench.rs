//! A simulator on a fresh database, and a receiver of its notifications.

use std::{net::SocketAddr, path::PathBuf};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
    response::Response,
    routing::post,
};
use coffer_core::Timestamp;
use coffer_crypto::SecretBytes;
use coffer_db::Database;
use coffer_net::{
    Clock, Tasks,
    outbound::{AddressPolicy, Outbound, Roots},
    task,
};
use coffer_simulator::{MIGRATIONS, STATEMENTS, Settings, Simulator, Switches};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use tower::ServiceExt as _;

pub(crate) const CREDENTIAL: &str = "sim-credential-for-tests";
pub(crate) const APPROVED: &str = "4242424242424242";
pub(crate) const CHALLENGE: &str = "4000000000003220";

pub(crate) struct Bench {
    pub(crate) simulator: Simulator,
    pub(crate) db: Database,
    pub(crate) db_path: PathBuf,
    dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    /// The same database, in a simulator that remembers nothing else.
    pub(crate) async fn restart(self) -> Self {
        self.db.close().await;
        Self::over(self.dir)
    }

    fn over(dir: tempfile::TempDir) -> Self {
        let db_path = dir.path().join("simulator.db");
        let db = Database::open_sqlite(&db_path, MIGRATIONS, STATEMENTS).unwrap();
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let settings = Settings {
            clock: Clock::fixed(now),
            public_url: "https://localhost:8449/".to_owned(),
            credential: SecretBytes::from_vec(CREDENTIAL.into()),
            switches: Switches::default(),
            outbound: outbound(),
        };
        let simulator = Simulator::open(db.clone(), settings).unwrap();
        Self {
            simulator,
            db,
            db_path,
            dir,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        self.simulator.router().oneshot(request).await.unwrap()
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        read(
            self.send(request("POST", path, key, body.to_string()))
                .await,
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.send(request("GET", path, "", String::new())).await).await
    }

    pub(crate) async fn authorize(&self, key: &str, number: &str) -> Value {
        let (status, answer) = self
            .post(key, "/v1/authorizations", &authorization(number))
            .await;
        assert_eq!(status, StatusCode::OK);
        answer
    }

    pub(crate) async fn follow_up(
        &self,
        key: &str,
        id: &Value,
        operation: &str,
        amount: i64,
    ) -> Value {
        let path = format!("/v1/authorizations/{}/{operation}", id.as_str().unwrap());
        let (status, answer) = self.post(key, &path, &json!({"amount": amount})).await;
        assert_eq!(status, StatusCode::OK);
        answer
    }

    /// Idempotency key, operation, amount and status of every operation.
    pub(crate) async fn ledger(&self) -> Vec<(String, String, i64, String)> {
        let (_, ledger) = self.get("/v1/ledger").await;
        let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        let lines = ledger["operations"].as_array().unwrap().iter();
        let mut lines: Vec<_> = lines
            .map(|line| {
                let amount = line["amount"].as_i64().unwrap();
                (
                    text(line, "idempotency_key"),
                    text(line, "operation"),
                    amount,
                    text(line, "status"),
                )
            })
            .collect();
        // Ids of one instant of the fixed clock sort at random.
        lines.sort();
        lines
    }

    pub(crate) async fn switch(&self, switch: Value) {
        let (status, _) = self.post("", "/v1/switches", &switch).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
}

pub(crate) fn authorization(number: &str) -> Value {
    let card = json!({"number": number, "exp_month": 12, "exp_year": 2030, "cvc": "1234"});
    json!({"amount": 1999, "currency": "EUR", "card": card})
}

pub(crate) fn request(method: &str, path: &str, key: &str, body: String) -> Request<Body> {
    let authorization = format!("Bearer {CREDENTIAL}");
    let request = Request::builder().method(method).uri(path);
    let request = request
        .header("authorization", authorization)
        .header("idempotency-key", key);
    request.body(Body::from(body)).unwrap()
}

pub(crate) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Takes notifications until it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    taken: mpsc::UnboundedReceiver<Value>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let (sender, taken) = mpsc::unbounded_channel();
        let take = |State(sender): State<mpsc::UnboundedSender<Value>>, body: String| async move {
            sender.send(serde_json::from_str(&body).unwrap()).unwrap();
        };
        let address = serve(
            Router::new()
                .route("/notify", post(take))
                .with_state(sender),
        )
        .await;
        let url = format!("http://{address}/notify");
        Self { url, taken }
    }

    pub(crate) async fn next(&mut self) -> Value {
        self.taken.recv().await.unwrap()
    }

    pub(crate) fn taken_already(&mut self) -> Option<Value> {
        self.taken.try_recv().ok()
    }
}

pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    task::spawn(
        "test server",
        async move { axum::serve(listener, router).await },
    );
    address
}

pub(crate) fn tasks(simulator: &Simulator) -> Tasks {
    let tasks = Tasks::new();
    simulator.run(&tasks);
    tasks
}

fn outbound() -> Outbound {
    let this_machine = "127.0.0.0/8".parse().unwrap();
    Outbound::new(AddressPolicy::new(vec![this_machine]), Roots::public())
}
