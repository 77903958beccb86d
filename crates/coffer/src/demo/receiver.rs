//! The merchant's webhook receiver: plain HTTP is enough, because nothing sensitive comes.

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use coffer_crypto::mac_bytes;
use data_encoding::BASE64;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::stage::system;
use crate::failure::Failure;

/// One message.
pub(super) struct Message {
    id: String,
    timestamp: String,
    signatures: String,
    pub(super) body: String,
}

impl Message {
    /// What the body says.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Whether one of its `v1` signatures (Standard Webhooks) is by this secret.
    pub(super) fn is_signed_by(&self, secret: &str) -> bool {
        let secret = secret
            .strip_prefix("whsec_")
            .and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let message = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let expected = mac_bytes(&secret.unwrap_or_default(), &[message.as_bytes()]);
        self.signatures
            .split(' ')
            .filter_map(|signature| {
                BASE64
                    .decode(signature.strip_prefix("v1,")?.as_bytes())
                    .ok()
            })
            .filter_map(|bytes| coffer_crypto::Mac::from_slice(&bytes).ok())
            .any(|given| given.matches(&expected))
    }
}

/// A receiver, its secret, and what it has received.
pub(super) struct Hook {
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) received: Vec<String>,
    messages: UnboundedReceiver<Message>,
}

impl Hook {
    /// Listens on a free port.
    pub(super) async fn listen() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(system("a webhook receiver"))?;
        let address = listener
            .local_addr()
            .map_err(system("a webhook receiver"))?;
        let (sender, messages) = unbounded_channel();
        let app = Router::new().route("/", post(receive)).with_state(sender);
        coffer_net::task::spawn("webhook receiver", async move {
            axum::serve(listener, app).await
        });
        Ok(Self {
            url: format!("http://{address}/"),
            secret: String::new(),
            received: Vec::new(),
            messages,
        })
    }

    /// The next message of this type about this object; others are kept for the record.
    pub(super) async fn next(&mut self, event: &str, object: &str) -> Option<Message> {
        loop {
            let message =
                tokio::time::timeout(std::time::Duration::from_secs(15), self.messages.recv())
                    .await
                    .ok()??;
            self.received.push(message.body.clone());
            let json = message.json();
            let of = |pointer| json.pointer(pointer).and_then(Value::as_str);
            if of("/type") == Some(event) && of("/object/id") == Some(object) {
                return Some(message);
            }
        }
    }
}

async fn receive(State(sender): State<UnboundedSender<Message>>, headers: HeaderMap, body: Bytes) {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let message = Message {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signatures: header("webhook-signature"),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let _ = sender.send(message);
}
