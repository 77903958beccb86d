//! What the vault writes into the tamper-evident log: who asked, what was done, to which objects. Never a card.

use coffer_audit::{Actor, ActorKind, Entry};
use coffer_db::Transaction;
use coffer_net::{
    contract::{Peer, Place},
    request_id,
};

use crate::{Error, Vault};

impl Vault {
    /// The steps that record an entry, for the transaction that does what it says.
    pub(crate) fn leaf(&self, place: Place, entry: Entry) -> Result<Transaction, Error> {
        let entry = entry.place(place.account, place.mode);
        let entry = match request_id::current() {
            Some(id) => entry.request(id),
            None => entry,
        };
        Ok(self
            .parts
            .audit
            .leaf(self.parts.clock.now(), self.parts.clock.id(), entry)?)
    }
}

/// Another role, by the instance that its certificate names.
pub(crate) fn role(peer: &Peer) -> Actor {
    Actor::new(
        ActorKind::Role,
        format_args!("{}/{}", peer.role, peer.instance),
    )
}

impl From<coffer_audit::Error> for Error {
    fn from(error: coffer_audit::Error) -> Self {
        match error {
            coffer_audit::Error::Store(error) => error.into(),
            coffer_audit::Error::Unavailable => Self::Away(error.to_string()),
            coffer_audit::Error::Damaged(_)
            | coffer_audit::Error::RolledBack { .. }
            | coffer_audit::Error::Refused(_) => Self::Defect(error.to_string()),
        }
    }
}
