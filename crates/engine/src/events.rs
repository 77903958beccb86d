//! Events: written in the transaction that caused them, numbered without gaps, delivered by jobs of the same transaction.

use coffer_core::{
    event::{Event, EventObject, EventType},
    id::EventId,
};
use coffer_db::{Row, Transaction, params};
use coffer_net::contract::Place;

use crate::{
    Caller, Engine, Error, Listed, Page,
    rows::{self, key_of},
    store::events as sql,
};

/// Which events to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFilter {
    /// Only of this type.
    pub event_type: Option<EventType>,
}

/// What a change did to which object, before its event has an id and a time.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    event: EventType,
    object: String,
    version: i64,
}

impl Happened {
    /// To the object with this id, which has this version now.
    pub(crate) fn to(object: impl ToString, version: i64, event: EventType) -> Self {
        Self {
            event,
            object: object.to_string(),
            version,
        }
    }
}

impl Engine {
    /// The steps that enqueue the deliveries of events and, at the close of the transaction, write them: from the first number
    /// on, every other change of this account and mode waits for the commit.
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
                what.event.object_type(),
                what.object.as_str(),
                what.version,
                now,
            ]);
            events = events.one(&sql::COUNT, key()).one(&sql::EVENT_INSERT, row);
        }
        if happened.is_empty() {
            return deliveries;
        }
        deliveries.closing(events)
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
        page.read(&rows, read)
    }
}

fn read(row: &Row) -> Result<Event, Error> {
    let event_type: EventType = rows::word(row, "event_type")?;
    Ok(Event {
        id: rows::word(row, "event")?,
        event_type,
        mode: rows::word(row, "mode")?,
        created: rows::time(row, "created")?,
        object: EventObject {
            kind: event_type.object_type(),
            id: row.text("object")?.to_owned(),
            version: row.integer("object_version")?,
        },
    })
}
