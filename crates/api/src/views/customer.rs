//! A customer.

use coffer_core::{Mode, id::CustomerId};
use coffer_engine::Customer;

use super::owned;
use crate::shape::{ObjectType, Pairs, Time, object};

object! {
    /// One of your customers.
    pub(crate) struct CustomerView as "Customer" {
        /// Its id.
        id: CustomerId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Mode,
        /// Your own reference.
        reference: Option<String>,
        /// Your own words.
        description: Option<String>,
        /// Your own pairs.
        metadata: Pairs,
        /// Grows with every change.
        version: i64,
        /// When it was made.
        created: Time,
        /// When it changed last.
        updated: Time,
    }
}

impl CustomerView {
    /// A customer as its merchant sees it.
    pub(crate) fn of(customer: Customer) -> Self {
        let Customer {
            id,
            place,
            reference,
            description,
            metadata,
            version,
            created,
            updated,
        } = customer;
        Self {
            id,
            r#type: ObjectType::Customer,
            mode: place.mode,
            reference: owned(reference),
            description: owned(description),
            metadata: Pairs(metadata),
            version,
            created: Time(created),
            updated: Time(updated),
        }
    }
}
