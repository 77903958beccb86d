//! `coffer listen` at a running Coffer: shows what happens, sends it on, and leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{process::Stdio, time::Duration};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use coffer_testkit::{Answer, Coffer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

type Forwarded = (HeaderMap, Bytes);

/// A merchant's own receiver, to which messages are sent on.
async fn shop_receiver() -> (String, UnboundedReceiver<Forwarded>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = unbounded_channel();
    let keep = async |State(sender): State<UnboundedSender<Forwarded>>,
                      headers: HeaderMap,
                      body: Bytes| {
        sender.send((headers, body)).unwrap();
    };
    let app = Router::new().route("/hook", post(keep)).with_state(sender);
    coffer_net::task::spawn("receiver", async move { axum::serve(listener, app).await });
    (url, received)
}

struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    async fn start(coffer: &Coffer, forward: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coffer"))
            .args(["listen", "--forward", forward, "--dir"])
            .arg(coffer.directory())
            .env_clear()
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listening = Self { child, lines };
        listening.line("listening to").await;
        listening
    }

    /// The next line that begins with this, whatever its indentation.
    async fn line(&mut self, start: &str) -> String {
        let search = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it ended");
                if line.trim_start().starts_with(start) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|_| panic!("no line {start}"))
    }

    async fn stop(mut self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        let ended = timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("it stops").unwrap().success());
    }
}

async fn call(coffer: &Coffer, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let bearer = format!("Bearer {}", coffer.demo()["secret_key"].as_str().unwrap());
    let url = format!("https://localhost:{}{path}", coffer.address("api").port());
    coffer
        .client()
        .send(method, &url, &[("authorization", &bearer)], body)
        .await
}

#[tokio::test]
async fn listening_shows_each_event_and_leaves_nothing_behind() {
    let coffer = Coffer::start(env!("CARGO_BIN_EXE_coffer")).await;
    let (url, mut received) = shop_receiver().await;
    let mut listening = Listening::start(&coffer, &url).await;

    let order = json!({"amount": 1999, "currency": "EUR", "token": "tok_test_approved"});
    let paid = call(&coffer, "POST", "/v1/payments", Some(&order))
        .await
        .expect(201);
    listening.line("payment.captured · evt_").await;
    let message = listening.line("message").await;
    assert!(
        message.contains(&paid.id()) && !message.contains("1999"),
        "{message}"
    );
    assert!(listening.line("signature").await.ends_with("v1 verified"));
    let forwarded = listening.line("forwarded").await;
    assert!(
        forwarded.ends_with(&format!("POST {url} → 200")),
        "{forwarded}"
    );
    let object = listening.line("object").await;
    assert!(
        object.ends_with(&format!("GET /v1/payments/{} → 200", paid.id())),
        "{object}"
    );
    let object: Value = serde_json::from_str(listening.line("{").await.trim()).unwrap();
    assert_eq!(object, paid.json);

    let captured = async {
        loop {
            let (headers, body) = received.recv().await.unwrap();
            let event: Value = serde_json::from_slice(&body).unwrap();
            if event["type"] == "payment.captured" {
                return headers;
            }
        }
    };
    let headers = timeout(PATIENCE, captured).await.unwrap();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(headers.contains_key(name), "{name}");
    }

    listening.stop().await;
    let endpoints = call(&coffer, "GET", "/v1/webhook_endpoints", None).await;
    assert!(endpoints.ids().is_empty());
    let revoked = call(&coffer, "GET", "/v1/events?type=api_key.revoked", None).await;
    assert_eq!(revoked.ids().len(), 1);
}
