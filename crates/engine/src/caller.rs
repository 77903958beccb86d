//! Who asks: a value that only a verified API key, or an access token of one, yields.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use coffer_core::{
    access_token::Claims,
    api_key::KeyKind,
    id::{ApiKeyId, RequestId, SigningKeyId},
    permission::{Permission, Permissions},
    scope::ObjectId,
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

/// A caller whose API key, or whose access token, was verified. There is no other way to make one than [`crate::Engine::authenticate`].
#[derive(Clone)]
pub struct Caller {
    pub(crate) place: Place,
    pub(crate) api_key: ApiKeyId,
    pub(crate) known: Arc<Known>,
    /// Which of the key's secrets was presented.
    pub(crate) secret: i64,
    /// The access token that was presented in the key's place.
    pub(crate) token: Option<Arc<Claims>>,
    pub(crate) origin: CallOrigin,
    /// By which signing key the request was signed, or what was sent in the key's place, when it was and that counted.
    pub(crate) signed_by: Option<SigningKeyId>,
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

    /// Whether an access token was presented in the key's place.
    #[must_use]
    pub const fn by_token(&self) -> bool {
        self.token.is_some()
    }

    /// The only object that the caller's access token is good for, if it is for one.
    #[must_use]
    pub fn only_object(&self) -> Option<ObjectId> {
        self.token.as_ref()?.scope.object
    }

    /// Whether this is within the key's rights and, for an access token, within its scope too.
    pub(crate) fn allows(&self, needed: Permission) -> bool {
        self.settings().permissions.allow(needed)
            && self
                .token
                .as_ref()
                .is_none_or(|token| token.scope.permissions.allow(needed))
    }

    /// What the caller can give to a key at most: no more than it has itself. What outlasts an access token is beyond it.
    pub(crate) fn gives(&self) -> Cow<'_, KeySettings> {
        let own = self.settings();
        let Some(token) = &self.token else {
            return Cow::Borrowed(own);
        };
        let ends = token.expires();
        let permissions = match token.scope.object {
            Some(_) => Permissions::none(),
            None => own.permissions.both(&token.scope.permissions),
        };
        Cow::Owned(KeySettings {
            permissions,
            expires: Some(own.expires.map_or(ends, |expires| expires.min(ends))),
            ..own.clone()
        })
    }

    /// What stood for the key or beside it, for the record: an access token, the signing key.
    pub(crate) fn proofs(&self) -> impl Iterator<Item = String> {
        let token = self.token.as_ref().map(|token| token.id.to_string());
        let signed_by = self.signed_by.map(|key| key.to_string());
        token.into_iter().chain(signed_by)
    }

    /// The request's id.
    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.origin.request_id
    }
}
