//! A card kept with a customer.

use coffer_core::{
    Mode,
    id::{CardId, CustomerId},
};
use coffer_engine::Card;

use super::payment::CardSummaryView;
use crate::shape::{ObjectType, Time, object};

object! {
    /// A card kept with a customer.
    pub(crate) struct CardView as "Card" {
        /// Its id, with which payments can be made.
        id: CardId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Mode,
        /// The customer's id.
        customer: CustomerId,
        /// What may be known of it.
        card: CardSummaryView,
        /// Grows with every change.
        version: i64,
        /// When it was kept.
        created: Time,
    }
}

impl CardView {
    /// A kept card as its merchant sees it.
    pub(crate) const fn of(card: Card) -> Self {
        let Card {
            id,
            place,
            customer,
            card,
            version,
            created,
        } = card;
        Self {
            id,
            r#type: ObjectType::Card,
            mode: place.mode,
            customer,
            card: CardSummaryView::of(card),
            version,
            created: Time(created),
        }
    }
}
