//! The one way in which a caller's change reaches the store: with its record in the same transaction.

use coffer_audit::{Actor, ActorKind, Entry};
use coffer_core::Timestamp;
use coffer_db::{Outcome, Statement, Transaction};
use coffer_net::contract::Place;

use crate::{CallOrigin, Caller, Engine, Error, Payer};

/// Who changes something, for the record.
pub(crate) enum By<'a> {
    /// A caller with an API key.
    Caller(&'a Caller),
    /// A payer at a checkout page.
    Payer(&'a Payer),
    /// The operator, by the admin socket or the command line.
    Operator,
    /// The engine itself.
    System,
    /// The engine itself, because of what somebody sent.
    Overheard(&'a CallOrigin),
}

/// What a caller asks to be changed, and what it means when a statement of it finds its row otherwise than expected.
pub(crate) struct Intent {
    action: &'static str,
    object: String,
    steps: Transaction,
    refusals: Vec<(&'static Statement, Error)>,
}

impl Intent {
    /// These steps, on record as this action on this object.
    pub(crate) fn new(action: &'static str, object: impl ToString, steps: Transaction) -> Self {
        Self {
            action,
            object: object.to_string(),
            steps,
            refusals: Vec::new(),
        }
    }

    /// Refused like this when the statement is in conflict.
    pub(crate) fn or(mut self, statement: &'static Statement, refusal: Error) -> Self {
        self.refusals.push((statement, refusal));
        self
    }
}

impl Engine {
    /// Commits what a caller asks for, or says what a conflict means.
    pub(crate) async fn intend(&self, caller: &Caller, intent: Intent) -> Result<Outcome, Error> {
        let Intent {
            action,
            object,
            steps,
            refusals,
        } = intent;
        let by = By::Caller(caller);
        let error = match self.commit(by, caller.place, action, &object, steps).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let refusal = refusals
            .into_iter()
            .find(|(statement, _)| error.is_conflict_at(statement));
        Err(refusal.map_or_else(|| error.into(), |(_, refusal)| refusal))
    }

    /// Commits a change and its record. Nothing a caller asked for is stored by another way.
    ///
    /// The record comes first: what a change locks, its events' counter above all, is held until the commit.
    pub(crate) async fn commit(
        &self,
        by: By<'_>,
        place: impl Into<Option<Place>>,
        action: &'static str,
        object: &str,
        change: Transaction,
    ) -> Result<Outcome, coffer_db::Error> {
        let record = self.record(by, place.into(), action, object, self.now())?;
        self.db().transact(record.append(change)).await
    }

    /// The steps that record an act, for a transaction that is put together elsewhere.
    pub(crate) fn record(
        &self,
        by: By<'_>,
        place: Option<Place>,
        action: &'static str,
        object: &str,
        now: Timestamp,
    ) -> Result<Transaction, coffer_db::Error> {
        let actor = match &by {
            By::Caller(caller) => Actor::new(ActorKind::ApiKey, caller.api_key),
            By::Payer(payer) => Actor::new(ActorKind::Payer, payer.payment),
            By::Operator => Actor::new(ActorKind::Operator, "local"),
            By::System | By::Overheard(_) => Actor::new(ActorKind::System, &self.0.instance),
        };
        let mut entry = Entry::new(actor, action).object(object);
        if let Some(place) = place {
            entry = entry.place(place.account, place.mode);
        }
        if let By::Caller(caller) = by {
            entry = caller.proofs().fold(entry, Entry::object);
        }
        let origin = match by {
            By::Caller(caller) => Some(&caller.origin),
            By::Payer(payer) => Some(&payer.origin),
            By::Overheard(origin) => Some(origin),
            By::Operator | By::System => None,
        };
        if let Some(origin) = origin {
            entry = entry
                .route(origin.route)
                .request(origin.request_id)
                .address(origin.address)
                .tls(origin.tls_version);
        }
        self.0
            .audit
            .leaf(now, self.0.clock.id(), entry)
            .map_err(unrecorded)
    }
}

/// An act that cannot be recorded is not done.
fn unrecorded(error: coffer_audit::Error) -> coffer_db::Error {
    use coffer_audit::Error::{Damaged, Refused, RolledBack, Store, Unavailable};
    match error {
        Store(error) => error,
        Damaged(_) | RolledBack { .. } | Refused(_) | Unavailable => {
            coffer_db::Error::Defect(format!("an act cannot be recorded: {error}"))
        }
    }
}
