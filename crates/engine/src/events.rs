//! Events: written in the transaction that caused them, numbered without gaps, delivered by jobs of the same transaction.

use coffer_core::{
    event::{Event, EventObject, EventType},
    id::EventId,
};
use coffer_db::{Row, Transaction, params};
use coffer_net::contract::Place;

use crate::{
    Caller, Engine, Error, Listed, Page, Payment, error::corrupt, idempotency::key_of,
    store::events as sql,
};

/// Which events to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFilter {
    /// Only of this type.
    pub event_type: Option<EventType>,
}

/// What a change did, before its event has an id and a time.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) event: EventType,
    pub(crate) object: EventObject,
}

impl Happened {
    /// To the payment that is being changed; its version is not known yet.
    pub(crate) fn to_payment(event: EventType) -> Self {
        Self {
            event,
            object: EventObject {
                kind: "payment",
                id: String::new(),
                version: 0,
            },
        }
    }

    /// With the payment's id and new version, if it happened to the payment.
    pub(crate) fn of_payment(mut self, payment: &Payment) -> Self {
        if self.object.kind == "payment" {
            self.object.id = payment.id.to_string();
            self.object.version = payment.version;
        }
        self
    }
}

impl Engine {
    /// The steps that enqueue the deliveries of events and write them. They come last in a transaction: from the first
    /// number on, every other change of this account and mode waits for the commit.
    pub(crate) fn tell(&self, place: Place, happened: &[Happened]) -> Transaction {
        let now = self.now().as_millis();
        let [account, mode] = key_of(place);
        let key = || vec![account.clone(), mode.clone()];
        let (mut deliveries, mut events) = (Transaction::new(), Transaction::new());
        for what in happened {
            let id: EventId = self.0.clock.id();
            let (id, event) = (id.to_string(), what.event.as_str());
            let mut delivery = key();
            delivery.extend(params![id.as_str(), now, id.as_bytes(), event]);
            deliveries = deliveries.any(&sql::DELIVERIES_ENQUEUE, delivery);
            let mut row = key();
            row.extend(params![
                id.as_str(),
                event,
                what.object.kind,
                what.object.id.as_str(),
                what.object.version,
                now,
            ]);
            events = events.one(&sql::COUNT, key()).one(&sql::EVENT_INSERT, row);
        }
        deliveries.append(events)
    }

    /// One event.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn event(&self, caller: &Caller, id: EventId) -> Result<Event, Error> {
        self.event_in(caller.place, id)
            .await?
            .ok_or(Error::NotFound { object: "event" })
    }

    pub(crate) async fn event_in(&self, place: Place, id: EventId) -> Result<Option<Event>, Error> {
        let [account, mode] = key_of(place);
        let row = self
            .db()
            .read_optional(&sql::EVENT_FIND, params![account, mode, id.to_string()])
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Events after the given one, the oldest first. Numbers have no gaps and appear in order, so a receiver that
    /// continues after the last event it saw misses none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that names no event.
    pub async fn event_list(
        &self,
        caller: &Caller,
        filter: EventFilter,
        page: Page,
    ) -> Result<Listed<Event>, Error> {
        let [account, mode] = key_of(caller.place);
        let after = match page.after::<EventId>()? {
            None => 0,
            Some(id) => {
                let row = params![account.clone(), mode.clone(), id.to_string()];
                let row = self.db().read_optional(&sql::EVENT_FIND, row).await?;
                row.ok_or(Error::Invalid {
                    field: "after",
                    expected: "the id of an event",
                })?
                .integer("sequence")?
            }
        };
        let rows = match filter.event_type {
            None => {
                self.db()
                    .read(
                        &sql::EVENT_LIST,
                        params![account, mode, after, page.fetch()],
                    )
                    .await?
            }
            Some(event) => {
                let row = params![account, mode, after, page.fetch(), event.as_str()];
                self.db().read(&sql::EVENT_LIST_BY_TYPE, row).await?
            }
        };
        let events: Result<Vec<_>, _> = rows.iter().map(read).collect();
        Ok(page.cut(events?))
    }
}

fn read(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        id: row.text("event")?.parse().map_err(corrupt)?,
        event_type: row.text("event_type")?.parse().map_err(corrupt)?,
        mode: row.text("mode")?.parse().map_err(corrupt)?,
        created: coffer_core::Timestamp::from_millis(row.integer("created")?),
        object: EventObject {
            kind: object_kind(row.text("object_type")?)?,
            id: row.text("object")?.to_owned(),
            version: row.integer("object_version")?,
        },
    })
}

fn object_kind(text: &str) -> Result<&'static str, Error> {
    [
        "payment",
        "refund",
        "customer",
        "card",
        "api_key",
        "webhook_endpoint",
        "alert",
    ]
    .into_iter()
    .find(|kind| *kind == text)
    .ok_or_else(|| {
        corrupt(coffer_core::Malformed {
            expected: "a type of object",
        })
    })
}
