//! Keys that came to the API in a way in which anybody could read them: refused like everything that comes so, but whoever
//! owns one has to know.

use coffer_core::id::RequestId;
use coffer_engine::CallOrigin;
use coffer_net::{
    face::{ConnectionInfo, Overheard, PlainCall},
    task,
};
use http::Uri;
use std::sync::Arc;

use crate::{Api, auth, query};

/// The ways, as records name them.
const PLAIN: &str = "plain HTTP";
const ADDRESS: &str = "an address";

impl Api {
    /// Who has to be told of what comes over plain HTTP.
    #[must_use]
    pub fn overheard(&self) -> Overheard {
        let api = self.clone();
        Arc::new(move |call| {
            let api = api.clone();
            Box::pin(async move { api.note_plain(call).await })
        })
    }

    async fn note_plain(&self, call: PlainCall) {
        let Some(key) = auth::of_value(&call.authorization) else {
            return;
        };
        let origin = CallOrigin {
            request_id: call.request_id,
            address: call.peer.ip(),
            route: PLAIN,
            tls_version: "",
        };
        self.note(&key, origin).await;
    }

    /// Looks at the keys in an address, in a task of its own: the answer is the same whatever they are.
    pub(crate) fn note_address(&self, request_id: RequestId, uri: &Uri, came: ConnectionInfo) {
        let origin = CallOrigin {
            request_id,
            address: came.peer.ip(),
            route: ADDRESS,
            tls_version: came.tls_version,
        };
        let (api, keys) = (self.clone(), query::keys_in(uri));
        if !keys.is_empty() {
            drop(task::spawn("exposed key", async move {
                for key in keys {
                    api.note(&key, origin).await;
                }
            }));
        }
    }

    async fn note(&self, key: &str, origin: CallOrigin) {
        if let Err(error) = self.engine().api_key_exposed(key, origin).await {
            tracing::warn!(?error, request.id = %origin.request_id, way = origin.route, "an exposed key could not be marked");
        }
    }
}
