//! A webhook receiver on this machine: plain HTTP is enough, because nothing sensitive comes.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use coffer_crypto::mac_bytes;
use data_encoding::BASE64;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{Receiver as Queue, Sender, channel},
};

use crate::failure::Failure;

/// Messages that wait to be looked at; further ones are told to come again.
const WAITING_MAX: usize = 1024;

/// One message, as it came.
pub(crate) struct Message {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Message {
    /// What the body says.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Whether one of its `v1` signatures (Standard Webhooks) is by this secret.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let secret = secret
            .strip_prefix("whsec_")
            .and_then(|text| BASE64.decode(text.as_bytes()).ok())
            .filter(|secret| !secret.is_empty());
        let Some(secret) = secret else {
            return false;
        };
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let message = format!("{id}.{timestamp}.{}", self.body);
        let expected = mac_bytes(&secret, &[message.as_bytes()]);
        self.header("webhook-signature")
            .split(' ')
            .filter_map(|signature| {
                BASE64
                    .decode(signature.strip_prefix("v1,")?.as_bytes())
                    .ok()
            })
            .filter_map(|bytes| coffer_crypto::Mac::from_slice(&bytes).ok())
            .any(|given| given.matches(&expected))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A receiver and what it has received.
pub(crate) struct Receiver {
    /// Where it listens.
    pub(crate) url: String,
    messages: Queue<Message>,
}

impl Receiver {
    /// Listens on a free port.
    pub(crate) async fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::doing("opening a webhook receiver", error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (sender, messages) = channel(WAITING_MAX);
        let app = Router::new().route("/", post(receive)).with_state(sender);
        coffer_net::task::spawn("webhook receiver", async move {
            axum::serve(listener, app).await
        });
        Ok(Self {
            url: format!("http://{address}/"),
            messages,
        })
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}

async fn receive(
    State(sender): State<Sender<Message>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body = String::from_utf8_lossy(&body).into_owned();
    match sender.try_send(Message { headers, body }) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn message(signatures: &str, body: &str) -> Message {
        let headers = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signatures),
        ];
        Message {
            headers: headers
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .into_iter()
                .collect(),
            body: body.to_owned(),
        }
    }

    #[test]
    fn a_message_is_verified_as_the_standard_says() {
        let (body, signature) = (
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        );
        assert!(message(signature, body).is_signed_by(SECRET));
        assert!(message(&format!("v1a,AAAA v1,AAAA {signature}"), body).is_signed_by(SECRET));
        assert!(!message(signature, r#"{"test": 2432232315}"#).is_signed_by(SECRET));
        assert!(!message(signature, body).is_signed_by("whsec_AAAA"));
        assert!(!message("", body).is_signed_by(SECRET));
        // Without a secret nothing is verified, rather than everything that is signed with nothing.
        assert!(!message(signature, body).is_signed_by(""));
    }
}
