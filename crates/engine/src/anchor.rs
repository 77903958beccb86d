//! The signed heads of all logs, sent to an address elsewhere that keeps them: whoever sets all stores back together cannot set
//! that back. A failure raises an alert and stops nothing.

use std::{sync::Mutex, time::Duration};

use coffer_audit::{Anchor, Checkpoint, Signature, merkle::Tree};
use coffer_core::alert::AlertKind;
use coffer_net::{
    contract::{
        Role,
        keys::{GetHeads, SignedHead},
    },
    outbound::{
        HeaderMap, HeaderName, HeaderValue, Method, Outbound, OutboundLimits, OutboundRequest,
    },
};

use crate::{Engine, Error};

/// How long the address may take, and how much it may answer.
const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(10),
    body_max: 4096,
};

/// Where signed heads are sent, and by which way.
pub struct AnchorSink {
    /// An address that takes lines of JSON by POST.
    pub url: String,
    /// How often it is told, when there is something new.
    pub every: Duration,
    /// The way, which decides what can be reached.
    pub way: Outbound,
}

/// The sink, and what it has.
pub(crate) struct Anchoring {
    sink: AnchorSink,
    sent: Mutex<Vec<(Role, u64)>>,
}

impl Anchoring {
    pub(crate) const fn new(sink: AnchorSink) -> Self {
        Self {
            sink,
            sent: Mutex::new(Vec::new()),
        }
    }

    pub(crate) const fn every(&self) -> Duration {
        self.sink.every
    }

    async fn send(&self, heads: Vec<SignedHead>) -> Result<(), String> {
        let request = OutboundRequest {
            method: Method::POST,
            url: self.sink.url.clone(),
            // Only where the settings permit it. Nothing of this is secret, and all of it is signed.
            plain_http: self.sink.url.starts_with("http://"),
            headers: HeaderMap::from_iter([(
                HeaderName::from_static("content-type"),
                HeaderValue::from_static("application/jsonl"),
            )]),
            body: heads
                .into_iter()
                .map(line)
                .collect::<String>()
                .into_bytes()
                .into(),
        };
        match self.sink.way.send(request, LIMITS).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("{} answered {}", self.sink.url, answer.status)),
            Err(error) => Err(format!("{}: {error}", self.sink.url)),
        }
    }
}

fn line(head: SignedHead) -> String {
    let SignedHead { log, head, signed } = head;
    let checkpoint = Checkpoint {
        tree: Tree {
            size: head.size,
            root: head.root,
        },
        signature: Signature {
            time: signed.time,
            public_key: signed.public_key,
            bytes: signed.signature,
        },
    };
    Anchor::of(log.as_str(), &checkpoint).line()
}

impl Engine {
    /// Sends the heads of all logs if one has grown since they were sent.
    pub(crate) async fn send_heads(&self) -> Result<(), Error> {
        let Some(anchoring) = &self.0.anchoring else {
            return Ok(());
        };
        let heads = match self.0.keys.heads(GetHeads {}).await.map_err(Error::from) {
            Ok(signed) => signed.heads,
            // That is told by others.
            Err(Error::Sealed | Error::Unavailable) => return Ok(()),
            Err(error) => return Err(error),
        };
        let sizes: Vec<_> = heads
            .iter()
            .map(|head| (head.log, head.head.size))
            .collect();
        let sent = || coffer_net::lock(&anchoring.sent);
        if *sent() == sizes {
            return Ok(());
        }
        match anchoring.send(heads).await {
            Ok(()) => {
                *sent() = sizes;
                Ok(())
            }
            Err(why) => self.alert_raise(None, AlertKind::AnchorFailed, &why).await,
        }
    }
}
