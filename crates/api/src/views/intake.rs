//! An intake: the permission to deposit one card.

use coffer_core::id::IntakeId;
use coffer_engine::IntakeGrant;

use crate::shape::{ObjectType, Time, object};

object! {
    /// The permission to deposit one card.
    pub(crate) struct IntakeView as "Intake" {
        /// Its id.
        id: IntakeId,
        /// The kind of object.
        r#type: ObjectType,
        /// What the card is deposited with; it can do nothing else.
        ticket: String,
        /// The address of the card fields, for an iframe.
        fields_url: String,
        /// Until when the ticket can be used.
        expires: Time,
    }
}

impl IntakeView {
    /// An intake as its page sees it.
    pub(crate) fn of(grant: IntakeGrant) -> Self {
        let IntakeGrant {
            id,
            ticket,
            fields_url,
            expires,
        } = grant;
        Self {
            id,
            r#type: ObjectType::Intake,
            ticket,
            fields_url,
            expires: Time(expires),
        }
    }
}
