//! Who manages an account's keys: a caller with a key of its own, who gives no more than that key has, or the operator.

use coffer_core::network::Networks;
use coffer_net::contract::Place;

use crate::{ApiKey, Caller, Error, KeySettings, commit::By};

/// Who manages an account's keys.
#[derive(Clone, Copy)]
pub enum Steward<'a> {
    /// A caller, in the account and mode of its key.
    Caller(&'a Caller),
    /// The operator, in any.
    Operator(Place),
}

impl<'a> Steward<'a> {
    /// The account and mode that are managed.
    #[must_use]
    pub const fn place(self) -> Place {
        match self {
            Self::Caller(caller) => caller.place(),
            Self::Operator(place) => place,
        }
    }

    pub(crate) const fn by(self) -> By<'a> {
        match self {
            Self::Caller(caller) => By::Caller(caller),
            Self::Operator(_) => By::Operator,
        }
    }

    /// Who adds a signing key where there is one, or was, signs that. Otherwise whoever stole an API key would only have to
    /// register a signing key of his own.
    pub(crate) const fn check_signs(self) -> Result<(), Error> {
        match self {
            Self::Operator(_) => Ok(()),
            Self::Caller(caller) if caller.signed_by.is_some() => Ok(()),
            Self::Caller(_) => Err(Error::Unsigned),
        }
    }

    /// What nobody said of a new key is as it is of the key that makes it: when it ends, from where, how fast. An access token says
    /// nothing for it: what would end with a token is hardly what is meant.
    pub(crate) fn complete(self, settings: &mut KeySettings) {
        let Self::Caller(caller @ Caller { token: None, .. }) = self else {
            return;
        };
        let own = caller.settings();
        settings.expires = settings.expires.or(own.expires);
        settings.rate = settings.rate.or(own.rate);
        if settings.addresses == Networks::anywhere() {
            settings.addresses = own.addresses.clone();
        }
    }

    /// A key never gives more than it has.
    pub(crate) fn check_gives(self, key: &ApiKey) -> Result<(), Error> {
        let Self::Caller(caller) = self else {
            return Ok(());
        };
        let own = caller.gives();
        let is_other = key.id != caller.api_key;
        let doubled = (is_other && key.settings.doubles(&own)).then_some("caps");
        match key.settings.beyond(&own).or(doubled) {
            None => Ok(()),
            Some(field) => Err(Error::BeyondCaller { field }),
        }
    }
}
