//! Rules of what serves the operator: the admin socket is the role's own, health is on the loopback interface.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::post};
use coffer_net::{
    Tasks,
    admin::{AdminClient, AdminError, AdminSocket},
    contract::Role,
    metrics::{CallMetrics, registry},
    plain::{Health, serve_health},
};
use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const LONG: Duration = Duration::from_secs(20);

fn app() -> Router {
    let refusal = (
        StatusCode::CONFLICT,
        Json(json!({"detail": "It is sealed."})),
    );
    Router::new()
        .route(
            "/echo",
            post(|Json(body): Json<Value>| async { Json(body) }),
        )
        .route("/sealed", post(|| async { refusal }))
}

#[tokio::test]
async fn the_admin_socket_is_for_its_owner_and_answers_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let tasks = Tasks::new();
    let socket = AdminSocket::bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    tasks.spawn("admin", socket.serve(app(), tasks.clone()));

    let client = AdminClient::new(path.clone());
    let body = json!({"a": 1});
    assert_eq!(
        client
            .call("/echo", Method::POST, Some(&body))
            .await
            .unwrap(),
        body
    );
    let refused = client
        .call("/sealed", Method::POST, None)
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "It is sealed.");
    assert!(matches!(
        refused,
        AdminError::Refused {
            status: StatusCode::CONFLICT,
            ..
        }
    ));

    assert!(tasks.stop(LONG).await);
    let away = client.call("/echo", Method::POST, Some(&body)).await;
    assert!(matches!(away, Err(AdminError::Away(_))));
    assert!(
        AdminSocket::bind(&path).is_ok(),
        "a socket left behind is replaced"
    );
}

#[tokio::test]
async fn whoever_comes_to_a_full_admin_socket_waits_for_his_turn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let tasks = Tasks::new();
    let socket = AdminSocket::bind(&path).unwrap();
    // All that have room are here before one is answered.
    let together = Arc::new(tokio::sync::Barrier::new(16));
    let wait = post(async move || {
        together.wait().await;
        Json(json!({}))
    });
    let app = Router::new().route("/wait", wait);
    tasks.spawn("admin", socket.serve(app, tasks.clone()));
    let client = AdminClient::new(path);
    let calls = (0..64).map(|_| client.call("/wait", Method::POST, None));
    for answer in futures_util::future::join_all(calls).await {
        assert!(answer.is_ok());
    }
    assert!(tasks.stop(LONG).await);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    std::fs::write(&path, "precious").unwrap();
    assert!(AdminSocket::bind(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

fn health(ready: bool) -> Health {
    let metrics = registry();
    CallMetrics::register(&metrics).observe(Role::Api, "open", "refused", Duration::from_millis(3));
    Health {
        readiness: Arc::new(move || {
            if ready {
                Ok(())
            } else {
                Err("sealed".to_owned())
            }
        }),
        metrics,
    }
}

async fn get(listener: TcpListener, health: Health, path: &str) -> String {
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    tasks.spawn("health", serve_health(listener, health, tasks.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn health_and_metrics_stay_on_the_loopback_interface() {
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve_health(everywhere, health(true), Tasks::new()).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn readiness_says_why_not_and_metrics_count_calls() {
    let loopback = || TcpListener::bind("127.0.0.1:0");
    let answer = get(loopback().await.unwrap(), health(false), "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("sealed\n"),
        "{answer}"
    );
    let answer = get(loopback().await.unwrap(), health(true), "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = get(loopback().await.unwrap(), health(false), "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = get(loopback().await.unwrap(), health(true), "/metrics").await;
    let counted = r#"coffer_calls_total{caller="api",method="open",outcome="refused"} 1"#;
    assert!(answer.contains(counted), "{answer}");
}
