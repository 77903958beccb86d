//! Packing: openings that arrive while others are on their way to the store are recorded together, by one transaction and
//! one leaf of the log. The first goes at once, so that nobody waits for company; nobody is answered before the commit.
//!
//! What can be refused without the store was refused before. When the store refuses a pack, each of its openings is
//! recorded by itself, so that one that is refused is no other's misfortune.

use std::collections::{BTreeSet, HashSet};

use coffer_audit::{Actor, Entry};
use coffer_core::{
    Mode, Timestamp,
    id::{AccountId, AttemptId},
};
use coffer_db::{Transaction, Value, params};
use coffer_net::{
    Gather, Missed,
    contract::{Place, Refusal, keys::Subject, order::Order},
};
use futures_util::future::join_all;

use crate::{
    Error, Keys,
    authority::still_valid,
    budget::Purpose,
    hierarchy::{live, place_params, used},
    opening::opening_entry,
    store::{CERTIFICATE_LIVE, OPENING_INSERT},
};

/// Openings recorded by one transaction.
const PACK_MAX: usize = 128;
/// Openings that may wait; one more is told to come again.
const WAITING_MAX: usize = 4_096;

/// An opening to be recorded.
pub(crate) struct Opening {
    pub(super) actor: Actor,
    pub(super) order: Order,
    /// The api certificate whose key signed the order.
    pub(super) serial: String,
    /// Under whose key, of which version, the record's key is wrapped.
    pub(super) parent: (Subject, i64),
}

/// Where openings meet that are recorded together.
pub(crate) struct Recording(Gather<Opening, Result<(), Error>>);

impl Default for Recording {
    fn default() -> Self {
        Self(Gather::new(PACK_MAX, WAITING_MAX))
    }
}

impl Keys {
    /// Puts an opening on record, durably, together with those that wait at the same time.
    pub(super) async fn record(&self, opening: Opening) -> Result<(), Error> {
        let keys = self.clone();
        let work = move |pack: Vec<Opening>| {
            let keys = keys.clone();
            async move { keys.record_pack(&pack).await }
        };
        match self.recording().0.join(opening, work).await {
            Ok(recorded) => recorded,
            Err(Missed::Full) => Err(Error::Unavailable(
                "too many openings wait to be recorded".to_owned(),
            )),
            Err(Missed::Lost) => Err(Error::Defect("an opening was lost on its way".to_owned())),
        }
    }

    /// The outcome of each, in their order.
    async fn record_pack(&self, pack: &[Opening]) -> Vec<Result<(), Error>> {
        if pack.len() > 1 {
            match self.commit_openings(pack).await {
                Ok(()) => return pack.iter().map(|_| Ok(())).collect(),
                Err(coffer_db::Error::Conflict(_)) => {}
                Err(error) => {
                    let error = Error::from(error);
                    return pack.iter().map(|_| Err(error.clone())).collect();
                }
            }
        }
        join_all(pack.iter().map(|opening| self.record_alone(opening))).await
    }

    async fn record_alone(&self, opening: &Opening) -> Result<(), Error> {
        let committed = self.commit_openings(std::slice::from_ref(opening)).await;
        let Err(error) = committed else { return Ok(()) };
        if matches!(error, coffer_db::Error::Conflict(_)) {
            self.budget()
                .give_back(opening.order.place, Purpose::Open, self.clock().now())
                .await;
        }
        Err(if error.is_conflict_at(&OPENING_INSERT) {
            Refusal::OrderUsed.into()
        } else if error.is_conflict_at(&CERTIFICATE_LIVE) {
            Refusal::OrderInvalid.into()
        } else {
            used(error)
        })
    }

    async fn commit_openings(&self, pack: &[Opening]) -> Result<(), coffer_db::Error> {
        let clock = self.clock();
        let now = clock.now();
        let entries = pack.iter().map(|opening| (now, opening.entry())).collect();
        let leaves = self.audit().pack(now, || clock.id(), entries);
        // An entry made here is short and not personal, so only a machine without memory refuses it.
        let leaves = leaves.map_err(|error| coffer_db::Error::Defect(error.to_string()))?;
        let steps = leaves.append(inserts(pack, now)).append(still(pack));
        self.db().transact(steps).await.map(|_| ())
    }
}

impl Opening {
    fn entry(&self) -> Entry {
        opening_entry(self.actor.clone(), &self.order)
    }

    /// What no second row has.
    fn key(&self) -> (AccountId, Mode, AttemptId) {
        let Order { place, attempt, .. } = self.order;
        (place.account, place.mode, attempt)
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let order = &self.order;
        let mut row = place_params(order.place);
        row.extend(params![
            order.destination.as_str(),
            &self.serial,
            now.as_millis(),
            order.attempt.to_string(),
            order.record.to_string(),
            order.payment.to_string(),
            order.expires.as_millis(),
        ]);
        row
    }
}

/// The rows that make each attempt open one record, once.
fn inserts(pack: &[Opening], now: Timestamp) -> Transaction {
    let mut openings: Vec<&Opening> = pack.iter().collect();
    // Always in the same order, so that two key servers with the same orders do not wait for each other.
    openings.sort_by_key(|opening| opening.key());
    openings.iter().fold(Transaction::new(), |steps, opening| {
        steps.one(&OPENING_INSERT, opening.row(now))
    })
}

/// What must still be so at the commit, whatever was remembered before: the certificates count, and the keys live.
fn still(pack: &[Opening]) -> Transaction {
    let serials: BTreeSet<&str> = pack.iter().map(|opening| opening.serial.as_str()).collect();
    let parents: HashSet<(Place, Subject, i64)> = pack
        .iter()
        .map(|Opening { order, parent, .. }| (order.place, parent.0, parent.1))
        .collect();
    let steps = serials
        .into_iter()
        .fold(Transaction::new(), |steps, serial| {
            steps.append(still_valid(serial))
        });
    parents
        .into_iter()
        .fold(steps, |steps, (place, subject, version)| {
            steps.append(live(place, subject, version))
        })
}
