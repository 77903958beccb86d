//! An event: what happened to which object, and nothing else.

use coffer_core::{
    Mode,
    event::{Event, EventObject, EventType},
    id::EventId,
};

use crate::shape::{Time, object};

object! {
    /// Something that happened to an object.
    pub(crate) struct EventView as "Event" {
        /// Its id, the same on every repeat.
        id: EventId,
        /// What happened.
        r#type: EventType,
        /// Test or live.
        mode: Mode,
        /// When.
        created: Time,
        /// To which object.
        object: EventObjectView,
    }
}

object! {
    /// The object that an event is about.
    pub(crate) struct EventObjectView as "EventObject" {
        /// Its type.
        r#type: &'static str,
        /// Its id.
        id: String,
        /// Its version right after what happened.
        version: i64,
    }
}

impl EventView {
    /// An event as everyone may see it.
    pub(crate) fn of(event: Event) -> Self {
        let Event {
            id,
            event_type,
            mode,
            created,
            object:
                EventObject {
                    kind,
                    id: object,
                    version,
                },
        } = event;
        Self {
            id,
            r#type: event_type,
            mode,
            created: Time(created),
            object: EventObjectView {
                r#type: kind,
                id: object,
                version,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{Timestamp, id::WebhookEndpointId, limits::WEBHOOK_BODY_MAX};

    use super::*;

    #[test]
    fn every_event_fits_in_a_webhook() {
        for &event_type in EventType::ALL {
            let object = EventObject {
                kind: event_type.object_type(),
                id: WebhookEndpointId::from_bytes([7; 16]).to_string(),
                version: i64::MAX,
            };
            let event = Event {
                id: EventId::from_bytes([7; 16]),
                event_type,
                mode: Mode::Live,
                created: Timestamp::from_millis(1_795_341_600_123),
                object,
            };
            assert!((crate::RENDER.event)(&event).len() <= WEBHOOK_BODY_MAX);
        }
    }
}
