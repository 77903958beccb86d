//! Who asks: a value that only a verified API key yields.

use std::{net::IpAddr, sync::Arc};

use coffer_core::{
    api_key::KeyKind,
    id::{ApiKeyId, RequestId},
};
use coffer_net::contract::Place;

use crate::api_keys::{KeySettings, Known};

/// Where a call comes from and what it is.
#[derive(Debug, Clone, Copy)]
pub struct CallOrigin {
    /// The request's id, on every answer and in every record.
    pub request_id: RequestId,
    /// The client's address.
    pub address: IpAddr,
    /// Method and route as declared, such as `POST /v1/payments`; never the values in it.
    pub route: &'static str,
    /// The version of TLS that it came by, `1.2` or `1.3`; empty without TLS.
    pub tls_version: &'static str,
}

/// A caller whose API key was verified. There is no other way to make one than [`crate::Engine::authenticate`].
#[derive(Clone)]
pub struct Caller {
    pub(crate) place: Place,
    pub(crate) api_key: ApiKeyId,
    pub(crate) known: Arc<Known>,
    /// Which of the key's secrets was presented.
    pub(crate) secret: i64,
    pub(crate) origin: CallOrigin,
}

impl Caller {
    /// The account and mode that the key belongs to: all that the caller can reach.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Publishable or secret.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.known.key().kind
    }

    /// Which key.
    #[must_use]
    pub const fn api_key(&self) -> ApiKeyId {
        self.api_key
    }

    /// What the key may do, and from where.
    #[must_use]
    pub fn settings(&self) -> &KeySettings {
        &self.known.key().settings
    }

    /// The request's id.
    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.origin.request_id
    }
}
