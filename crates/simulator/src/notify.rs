//! Notifications: after an operation the simulator tells the address that its authorization gave, signed with the
//! credential, again and again until the address answers 2xx or the tries are used up.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use coffer_core::{decline::DeclineReason, id};
use coffer_crypto::mac_bytes;
use coffer_db::{
    Error as DbError, Transaction,
    jobs::{self, Claimed},
};
use coffer_net::{
    Tasks,
    outbound::{OutboundLimits, OutboundRequest},
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Simulator,
    operation::{Operation, Status},
    store::Entry,
};

const QUEUE: &str = "notifications";
/// Jobs claimed at a time.
const BATCH: u32 = 16;
/// Longer than a batch of requests that all time out.
const LEASE_MS: i64 = 120_000;
/// How long the receiver may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of the receiver's answer is read.
const ANSWER_MAX: usize = 4 * 1024;
/// Tries of one notification; with the pauses between them about two minutes.
const TRIES_MAX: i64 = 8;
/// The first pause; each next one is twice as long.
const PAUSE_MS: i64 = 1_000;
/// How long the queue is left alone when nothing wakes it: a notification to be tried again has nobody else to say so.
const POLL: Duration = Duration::from_secs(1);

/// The kind of the ids of notifications.
enum NotificationKind {}

impl id::Kind for NotificationKind {
    const PREFIX: &'static str = "ntf";
}

/// How an operation is notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notices {
    /// Once, after the answer.
    Once,
    /// Twice, after the answer.
    Twice,
    /// Once, before the answer.
    First,
}

/// What a receiver is told.
#[derive(Serialize)]
struct Notification<'a> {
    id: &'a str,
    authorization_id: &'a str,
    idempotency_key: &'a str,
    operation: Operation,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<DeclineReason>,
}

/// A notification on its way.
#[derive(Serialize, Deserialize)]
struct Letter {
    url: String,
    body: String,
}

impl Letter {
    /// Nothing for an authorization that gave no address, or that is not decided.
    fn about(entry: &Entry) -> Option<Self> {
        let url = entry
            .notify_url
            .clone()
            .filter(|_| entry.status != Status::Challenge)?;
        let notification = Notification {
            id: &entry.id,
            authorization_id: &entry.authorization_id,
            idempotency_key: &entry.idempotency_key,
            operation: entry.operation,
            status: entry.status,
            decline_code: entry.decline_code,
        };
        let body = serde_json::to_string(&notification).ok()?;
        Some(Self { url, body })
    }
}

impl Notices {
    /// The steps that put the operation's notifications in the queue.
    pub(crate) fn enqueue(self, simulator: &Simulator, entry: &Entry) -> Transaction {
        let count = match self {
            Self::Once => 1,
            Self::Twice => 2,
            Self::First => 0,
        };
        let payload = Letter::about(entry).and_then(|letter| serde_json::to_vec(&letter).ok());
        let Some(payload) = payload else {
            return Transaction::new();
        };
        (0..count).fold(Transaction::new(), |transaction, _| {
            let id = simulator
                .settings()
                .clock
                .id::<NotificationKind>()
                .to_string();
            let now_ms = simulator.now().as_millis();
            transaction.append(jobs::enqueue(QUEUE, &id, now_ms, payload.clone()))
        })
    }

    /// Sends the notification now, once; that it was not taken is the receiver's loss, as a switch ordered it.
    pub(crate) async fn send_first(simulator: &Simulator, entry: &Entry) {
        if let Some(letter) = Letter::about(entry) {
            let taken = deliver(simulator, letter).await;
            tracing::info!(notification.taken = taken, "notified before the answer");
        }
    }
}

/// Sends what is due until the tasks are told to stop.
pub(crate) async fn run(simulator: Simulator, tasks: Tasks) {
    while !tasks.is_stopping() {
        match send_due(&simulator).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::error!(error.reason = %error, "notifications could not be sent"),
        }
        tokio::select! {
            () = tasks.stopping() => {}
            () = simulator.notifications_due() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Sends one batch; how many there were.
async fn send_due(simulator: &Simulator) -> Result<usize, Error> {
    let now_ms = simulator.now().as_millis();
    let claimed = jobs::claim(simulator.db(), QUEUE, now_ms, LEASE_MS, BATCH).await?;
    let count = claimed.len();
    for notification in claimed {
        send_one(simulator, notification).await?;
    }
    Ok(count)
}

async fn send_one(simulator: &Simulator, claimed: Claimed) -> Result<(), Error> {
    let taken = match serde_json::from_slice(&claimed.job().payload) {
        Ok(letter) => deliver(simulator, letter).await,
        Err(_) => true,
    };
    let tries = claimed.job().tries.saturating_add(1);
    let ended = if taken || tries >= TRIES_MAX {
        claimed.done()
    } else {
        let pause_ms = PAUSE_MS.saturating_mul(1 << tries.saturating_sub(1).clamp(0, TRIES_MAX));
        claimed.again(simulator.now().plus_millis(pause_ms).as_millis())
    };
    match simulator.db().transact(ended).await {
        // The lease ran out and another worker has the job: the receiver may hear it twice.
        Ok(_) | Err(DbError::Conflict(_)) => Ok(()),
        Err(error @ (DbError::Unavailable(_) | DbError::Refused(_) | DbError::Defect(_))) => {
            Err(error.into())
        }
    }
}

/// Whether the receiver took it.
async fn deliver(simulator: &Simulator, letter: Letter) -> bool {
    let request = OutboundRequest {
        method: Method::POST,
        plain_http: letter.url.starts_with("http://"),
        headers: headers(simulator, letter.body.as_bytes()),
        url: letter.url,
        body: letter.body.into_bytes().into(),
    };
    let limits = OutboundLimits {
        timeout: TIMEOUT,
        body_max: ANSWER_MAX,
    };
    let answer = simulator.settings().outbound.send(request, limits).await;
    answer.is_ok_and(|answer| answer.status.is_success())
}

fn headers(simulator: &Simulator, body: &[u8]) -> HeaderMap {
    // Exposed to key a MAC.
    let credential = simulator.settings().credential.expose();
    let signature = mac_bytes(credential, &[b"coffer/simulator/notification/v1\0", body]);
    let signature = format!("sha256={}", HEXLOWER.encode(signature.as_bytes()));
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Ok(signature) = HeaderValue::from_str(&signature) {
        headers.insert("simulator-signature", signature);
    }
    headers
}
