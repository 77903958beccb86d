//! A refund.

use coffer_core::{
    Currency, Mode,
    decline::DeclineReason,
    id::{PaymentId, RefundId},
    payment::RefundStatus,
};
use coffer_engine::Refund;

use super::owned;
use crate::shape::{ObjectType, Pairs, Time, object};

object! {
    /// Money on its way back.
    pub(crate) struct RefundView as "Refund" {
        /// Its id.
        id: RefundId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Mode,
        /// The payment's id.
        payment: PaymentId,
        /// Minor units.
        amount: i64,
        /// ISO 4217.
        currency: Currency,
        /// How it stands.
        status: RefundStatus,
        /// Why it failed.
        decline_reason: Option<DeclineReason>,
        /// Your own reference.
        reference: Option<String>,
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

impl RefundView {
    /// A refund as its merchant sees it.
    pub(crate) fn of(refund: Refund) -> Self {
        let Refund {
            id,
            place,
            payment,
            amount,
            currency,
            status,
            decline_reason,
            reference,
            metadata,
            version,
            created,
            updated,
        } = refund;
        Self {
            id,
            r#type: ObjectType::Refund,
            mode: place.mode,
            payment,
            amount,
            currency,
            status,
            decline_reason,
            reference: owned(reference),
            metadata: Pairs(metadata),
            version,
            created: Time(created),
            updated: Time(updated),
        }
    }
}
