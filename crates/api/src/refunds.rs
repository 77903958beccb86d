//! Handlers of refunds.

use coffer_core::{id::PaymentId, limits::REFERENCE_MAX};
use coffer_engine::{Fresh, Metadata, NewRefund, RefundFilter, Text};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Amount, Optional, Required, request},
    views::RefundView,
};

request! {
    /// What to give back.
    NewRefundRequest {
        /// The payment's id.
        payment: Required<PaymentId>,
        /// Minor units; all that is left when not said.
        amount: Optional<Amount>,
        /// Your own reference.
        reference: Optional<Text<REFERENCE_MAX>>,
        /// Your own pairs.
        metadata: Optional<Metadata>,
    }
}

impl From<NewRefundRequest> for NewRefund {
    fn from(request: NewRefundRequest) -> Self {
        let NewRefundRequest {
            payment,
            amount,
            reference,
            metadata,
        } = request;
        Self {
            payment,
            amount: amount.map(|amount| amount.0),
            reference,
            metadata: metadata.unwrap_or_default(),
        }
    }
}

/// Gives captured money back.
pub(crate) async fn refund_create(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let new = call.body::<NewRefundRequest>()?.into();
    let done = api.engine().refund_create(&call.caller, fresh, new).await?;
    Ok(Answer::done(done, RefundView::of))
}

/// Shows a refund.
pub(crate) async fn refund(api: Api, call: Call) -> Outcome {
    let refund = api
        .engine()
        .refund(&call.caller, call.id("refund")?)
        .await?;
    Ok(Answer::json(200, &RefundView::of(refund)))
}

/// Lists refunds, the newest first.
pub(crate) async fn refund_list(api: Api, call: Call) -> Outcome {
    let filter = RefundFilter {
        payment: call.query.parse("payment")?,
    };
    let listed = api
        .engine()
        .refund_list(&call.caller, filter, call.query.page()?)
        .await?;
    Ok(Answer::list(listed, RefundView::of))
}
