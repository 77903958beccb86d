//! Plain HTTP for the operator, on the loopback interface alone: liveness, readiness, metrics. Nothing secret is here.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;

use crate::{
    Tasks,
    accept::{self, Accepted, Acceptor},
    metrics::{self, SharedRegistry},
};

const CONNECTIONS_MAX: usize = 32;
const HEADER_READ_MAX: Duration = Duration::from_secs(10);
const HEADERS_MAX: usize = 8 * 1024;
/// OpenMetrics 1.0, which Prometheus asks for.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the process is.
#[derive(Clone)]
pub struct Health {
    /// Whether it can do its work now, and if not, why (shown by `/readyz`).
    pub readiness: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// What `/metrics` shows.
    pub metrics: SharedRegistry,
}

/// Serves `/livez`, `/readyz` and `/metrics` until the process stops.
///
/// # Errors
/// When the listener is not on the loopback interface.
pub async fn serve_health(listener: TcpListener, health: Health, tasks: Tasks) -> io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "health and metrics are served on the loopback interface only",
        ));
    }
    let app = router(health);
    let acceptor = Acceptor::new(listener, CONNECTIONS_MAX, tasks.clone());
    while let Some(Accepted { stream, _room, .. }) = acceptor.next().await {
        let (app, stopping) = (app.clone(), tasks.stopping());
        tasks.spawn("health connection", async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_READ_MAX)
                .max_header_size(HEADERS_MAX)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
            if let Err(error) = accept::serve(connection, stopping).await {
                tracing::debug!(%error, "a connection for health ended");
            }
            drop(_room);
        });
    }
    Ok(())
}

fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(shown))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> Response {
    match (health.readiness)() {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn shown(State(health): State<Health>) -> Response {
    let mut text = String::new();
    match metrics::encode(&health.metrics, &mut text) {
        Ok(()) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
