//! What the vault writes into the tamper-evident log: who asked, what was done, to which objects. Never a card.
//!
//! What happens for every payment is recorded in packs: what is to be committed while a commit is under way is committed next,
//! by one transaction and with one leaf for each account.

use coffer_audit::{Actor, ActorKind, Entry};
use coffer_db::Transaction;
use coffer_net::{
    Gather, Missed,
    contract::{Peer, Place},
    request_id,
};
use futures_util::future::join_all;

use crate::{Error, Vault};

/// Deeds committed by one transaction.
const PACK_MAX: usize = 64;
/// Deeds that may wait for it; one more is told to come again.
const WAITING_MAX: usize = 4_096;

/// What is done, and the entry that says so.
#[derive(Clone)]
pub(crate) struct Deed {
    steps: Transaction,
    entry: Entry,
}

/// Where deeds meet that are committed together.
pub(crate) struct Recording(Gather<Deed, Result<(), coffer_db::Error>>);

impl Default for Recording {
    fn default() -> Self {
        Self(Gather::new(PACK_MAX, WAITING_MAX))
    }
}

impl Vault {
    /// The steps that record an entry, for the transaction that does what it says.
    pub(crate) fn leaf(&self, place: Place, entry: Entry) -> Result<Transaction, Error> {
        let (now, id) = (self.parts.clock.now(), self.parts.clock.id());
        Ok(self.parts.audit.leaf(now, id, placed(place, entry))?)
    }

    /// Commits the steps and the entry that says what they do, together with those that wait at the same time. A conflict is
    /// that of these steps, never another's.
    pub(crate) async fn commit(
        &self,
        place: Place,
        entry: Entry,
        steps: Transaction,
    ) -> Result<(), coffer_db::Error> {
        let entry = placed(place, entry);
        let vault = self.clone();
        let work = move |pack: Vec<Deed>| {
            let vault = vault.clone();
            async move { vault.record_pack(pack).await }
        };
        let recorded = self.parts.recording.0.join(Deed { steps, entry }, work);
        recorded.await.unwrap_or_else(|missed| {
            Err(match missed {
                Missed::Full => coffer_db::Unavailable::Overloaded.into(),
                Missed::Lost => coffer_db::Error::Defect("a deed was lost on its way".to_owned()),
            })
        })
    }

    /// The outcome of each, in their order.
    async fn record_pack(&self, pack: Vec<Deed>) -> Vec<Result<(), coffer_db::Error>> {
        if let [_] = pack.as_slice() {
            return vec![self.commit_pack(pack).await];
        }
        match self.commit_pack(pack.clone()).await {
            Err(coffer_db::Error::Conflict(_)) => {
                join_all(pack.into_iter().map(|deed| self.commit_pack(vec![deed]))).await
            }
            all => pack.iter().map(|_| all.clone()).collect(),
        }
    }

    async fn commit_pack(&self, pack: Vec<Deed>) -> Result<(), coffer_db::Error> {
        let clock = &self.parts.clock;
        let now = clock.now();
        let (steps, entries) = pack
            .into_iter()
            .map(|deed| (deed.steps, (now, deed.entry)))
            .unzip();
        let leaves = self.parts.audit.pack(now, || clock.id(), entries);
        // An entry made here fits, so only a machine without randomness or memory refuses it.
        let leaves = leaves.map_err(|error| coffer_db::Error::Defect(error.to_string()))?;
        self.parts
            .db
            .transact(Transaction::of_all(steps).append(leaves))
            .await
            .map(|_| ())
    }
}

fn placed(place: Place, entry: Entry) -> Entry {
    let entry = entry.place(place.account, place.mode);
    match request_id::current() {
        Some(id) => entry.request(id),
        None => entry,
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
