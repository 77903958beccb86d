//! The merchant's webhook receiver in the demo: remembers its secret and all that came.

use std::time::Duration;

use serde_json::Value;

use crate::{
    failure::Failure,
    receiver::{Message, Receiver},
};

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// A receiver, its secret, and what it has received.
pub(super) struct Hook {
    receiver: Receiver,
    pub(super) secret: String,
    pub(super) received: Vec<String>,
}

impl Hook {
    /// Listens on a free port.
    pub(super) async fn listen() -> Result<Self, Failure> {
        Ok(Self {
            receiver: Receiver::listen().await?,
            secret: String::new(),
            received: Vec::new(),
        })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &str {
        &self.receiver.url
    }

    /// The next message of this type about this object; others are kept for the record.
    pub(super) async fn next(&mut self, event: &str, object: &str) -> Option<Message> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.receiver.next())
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
