//! What an entry of the log says: who did what, by which way, to which objects, with what outcome.
//!
//! Its public part is readable by everyone who may read the log. Its personal part (address, names) is sealed apart, so
//! that it can be erased without breaking the log. Neither may ever hold a secret or a card number.

use std::borrow::Cow;

use coffer_core::{
    Mode,
    id::{AccountId, RequestId},
    words,
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest public part of an entry, encoded.
pub(crate) const PUBLIC_MAX_BYTES: usize = 4096;
/// The longest personal part of an entry, encoded.
const PERSONAL_MAX_BYTES: usize = 1024;
/// The format of the public part of a single entry; that of a pack is another.
pub(crate) const PUBLIC_VERSION: u8 = 3;
/// The same without the version of TLS, as it was first.
pub(crate) const PUBLIC_VERSION_FIRST: u8 = 1;

words! {
    /// What kind of actor did it.
    pub enum ActorKind {
        /// A merchant's server, by its API key.
        ApiKey = "api_key",
        /// A member of the account's staff.
        Member = "member",
        /// A payer at the checkout page or in the card fields.
        Payer = "payer",
        /// Another process of this Coffer.
        Role = "role",
        /// The operator, at the command line.
        Operator = "operator",
        /// This process by itself: a sweeper, a schedule.
        System = "system",
        /// Whoever could not prove who he is.
        Unknown = "unknown",
    }
}

words! {
    /// How it ended.
    pub enum Outcome {
        /// It was done.
        Succeeded = "succeeded",
        /// It was not allowed or not possible, and nothing was done.
        Refused = "refused",
        /// It was tried and failed.
        Failed = "failed",
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Its id: an API key's, a member's, a role's instance. Never a name or a secret.
    pub id: String,
}

impl Actor {
    /// An actor of this kind and id.
    #[must_use]
    pub fn new(kind: ActorKind, id: impl std::fmt::Display) -> Self {
        Self {
            kind,
            id: id.to_string(),
        }
    }
}

/// What everyone who may read the log can read of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Public {
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Cow<'static, str>,
    /// By which route.
    pub route: Cow<'static, str>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it concerned.
    pub objects: Vec<String>,
    /// In which mode, where there is one.
    pub mode: Option<Mode>,
    /// In the course of which request.
    pub request: Option<RequestId>,
    /// How long it took.
    pub latency_ms: i64,
    /// The version of TLS that it came by; empty when there was none, or it is not known.
    pub tls: Cow<'static, str>,
}

impl Public {
    /// The canonical bytes: one version byte, then postcard, which has one encoding per value.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let bytes = postcard::to_extend(self, vec![PUBLIC_VERSION])
            .map_err(|_| Error::Refused("it cannot be encoded"))?;
        if bytes.len() > PUBLIC_MAX_BYTES {
            return Err(Error::Refused("its public part is too long"));
        }
        Ok(bytes)
    }
}

/// The part of an entry that says something about a person. No Debug, since logs are kept longer than this may be.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Personal {
    pub(crate) address: String,
    pub(crate) names: Vec<String>,
}

impl Personal {
    fn is_empty(&self) -> bool {
        self.address.is_empty() && self.names.is_empty()
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let bytes =
            postcard::to_allocvec(self).map_err(|_| Error::Refused("it cannot be encoded"))?;
        if bytes.len() > PERSONAL_MAX_BYTES {
            return Err(Error::Refused("its personal part is too long"));
        }
        Ok(bytes)
    }
}

/// An entry on its way into the log.
#[derive(Clone)]
pub struct Entry {
    pub(crate) account: Option<AccountId>,
    pub(crate) public: Public,
    personal: Personal,
}

impl Entry {
    /// An entry that says: `actor` did `action` (a dotted word such as `payment.create`), and it succeeded.
    #[must_use]
    pub fn new(actor: Actor, action: &'static str) -> Self {
        let public = Public {
            actor,
            action: action.into(),
            route: Cow::default(),
            outcome: Outcome::Succeeded,
            objects: Vec::new(),
            mode: None,
            request: None,
            latency_ms: 0,
            tls: Cow::default(),
        };
        Self {
            account: None,
            public,
            personal: Personal::default(),
        }
    }

    /// In which account and mode.
    #[must_use]
    pub fn place(mut self, account: AccountId, mode: Mode) -> Self {
        self.account = Some(account);
        self.public.mode = Some(mode);
        self
    }

    /// In which account, where there is no mode.
    #[must_use]
    pub const fn account(mut self, account: AccountId) -> Self {
        self.account = Some(account);
        self
    }

    /// By which route (`POST /v1/payments`, or a method between roles), as a template without values.
    #[must_use]
    pub fn route(mut self, route: &'static str) -> Self {
        self.public.route = route.into();
        self
    }

    /// With another outcome than success.
    #[must_use]
    pub const fn outcome(mut self, outcome: Outcome) -> Self {
        self.public.outcome = outcome;
        self
    }

    /// Concerning this object too: an id, or a `name=number` of what was counted.
    #[must_use]
    pub fn object(mut self, object: impl std::fmt::Display) -> Self {
        self.public.objects.push(object.to_string());
        self
    }

    /// In the course of this request.
    #[must_use]
    pub const fn request(mut self, request: RequestId) -> Self {
        self.public.request = Some(request);
        self
    }

    /// How long it took.
    #[must_use]
    pub const fn latency_ms(mut self, latency_ms: i64) -> Self {
        self.public.latency_ms = latency_ms;
        self
    }

    /// Over this version of TLS.
    #[must_use]
    pub fn tls(mut self, version: &'static str) -> Self {
        self.public.tls = version.into();
        self
    }

    /// From this network address; personal, so sealed.
    #[must_use]
    pub fn address(mut self, address: impl std::fmt::Display) -> Self {
        self.personal.address = address.to_string();
        self
    }

    /// Naming this person; personal, so sealed.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.personal.names.push(name.to_owned());
        self
    }

    /// The personal part, if it says anything.
    pub(crate) fn personal(&self) -> Option<&Personal> {
        (!self.personal.is_empty()).then_some(&self.personal)
    }

    /// How long the public part is, when neither part is too long for an entry.
    pub(crate) fn checked_size(&self) -> Result<usize, Error> {
        if let Some(personal) = self.personal() {
            personal.encode()?;
        }
        let size =
            postcard::serialize_with_flavor(&self.public, postcard::ser_flavors::Size::default());
        let size = size.map_err(|_| Error::Refused("it cannot be encoded"))?;
        if size >= PUBLIC_MAX_BYTES {
            return Err(Error::Refused("its public part is too long"));
        }
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new(Actor::new(ActorKind::Operator, "local"), "custody.unseal")
    }

    #[test]
    fn an_entry_over_its_limits_is_refused() {
        let mut long = entry();
        long.public.route = "r".repeat(PUBLIC_MAX_BYTES).into();
        assert!(matches!(long.public.encode(), Err(Error::Refused(_))));
        let long = entry().name(&"n".repeat(PERSONAL_MAX_BYTES));
        assert!(matches!(
            long.personal().unwrap().encode(),
            Err(Error::Refused(_))
        ));
    }

    #[test]
    fn only_an_address_or_a_name_is_personal() {
        assert!(entry().object("x").route("y").personal().is_none());
        assert!(entry().address("192.0.2.1").personal().is_some());
    }

    #[test]
    fn the_public_part_reads_back() {
        let public = entry()
            .object("pay_1")
            .outcome(Outcome::Failed)
            .latency_ms(7)
            .public;
        let bytes = public.encode().unwrap();
        let (version, body) = bytes.split_first().unwrap();
        assert_eq!(*version, PUBLIC_VERSION);
        assert_eq!(postcard::from_bytes::<Public>(body).unwrap(), public);
    }
}
