//! Keys that came to the API over plain HTTP: refused like everything there, but whoever owns one has to know.

use coffer_engine::CallOrigin;
use coffer_net::face::{Overheard, PlainCall};
use std::sync::Arc;

use crate::{Api, auth};

/// The way, as records name it.
const ROUTE: &str = "plain HTTP";

impl Api {
    /// Who has to be told of what comes over plain HTTP.
    #[must_use]
    pub fn overheard(&self) -> Overheard {
        let api = self.clone();
        Arc::new(move |call| {
            let api = api.clone();
            Box::pin(async move { api.note(call).await })
        })
    }

    async fn note(&self, call: PlainCall) {
        let Some(key) = auth::of_value(&call.authorization) else {
            return;
        };
        let origin = CallOrigin {
            request_id: call.request_id,
            address: call.peer.ip(),
            route: ROUTE,
        };
        if let Err(error) = self.engine().api_key_exposed(&key, origin).await {
            tracing::warn!(?error, request.id = %call.request_id, "a key that came over plain HTTP could not be marked");
        }
    }
}
