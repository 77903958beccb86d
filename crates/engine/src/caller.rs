//! Who asks: a value that only a verified API key yields.

use std::net::IpAddr;

use coffer_core::{
    api_key::KeyKind,
    id::{ApiKeyId, RequestId},
    permission::Permissions,
};
use coffer_net::contract::Place;

/// Where a call comes from and what it is.
#[derive(Debug, Clone)]
pub struct CallOrigin {
    /// The request's id, on every answer and in every record.
    pub request_id: RequestId,
    /// The client's address.
    pub address: IpAddr,
    /// Method and route as declared, such as `POST /v1/payments`; never the values in it.
    pub route: &'static str,
}

/// A caller whose API key was verified. There is no other way to make one than [`crate::Engine::authenticate`].
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) place: Place,
    pub(crate) kind: KeyKind,
    pub(crate) api_key: ApiKeyId,
    pub(crate) permissions: Permissions,
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
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Which key.
    #[must_use]
    pub const fn api_key(&self) -> ApiKeyId {
        self.api_key
    }

    /// What the key may do.
    #[must_use]
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The request's id.
    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.origin.request_id
    }
}
