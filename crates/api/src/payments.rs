//! Handlers of payments.

use coffer_core::{
    Currency, Money,
    id::{CardId, CustomerId},
    limits::{DESCRIPTION_MAX, REFERENCE_MAX},
    payment::CaptureMode,
};
use coffer_engine::{CardInput, Fresh, Metadata, NewPayment, PaymentFilter, Text, TokenRef};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Amount, Optional, Required, WebAddress, request},
    problems::Problem,
    query,
    views::PaymentView,
};

request! {
    /// What to be paid.
    NewPaymentRequest {
        /// Minor units to pay: 1999 for 19.99 EUR.
        amount: Required<Amount>,
        /// ISO 4217, in capitals.
        currency: Required<Currency>,
        /// The token of a deposited card, or in test mode one such as tok_test_approved.
        token: Optional<TokenRef>,
        /// A card kept with the customer. Without token and card, the payer enters one at checkout_url.
        card: Optional<CardId>,
        /// When money is taken: automatic when not said.
        capture: Optional<CaptureMode>,
        /// The customer's id.
        customer: Optional<CustomerId>,
        /// Your own reference.
        reference: Optional<Text<REFERENCE_MAX>>,
        /// What it is for, shown to the payer.
        description: Optional<Text<DESCRIPTION_MAX>>,
        /// Your own pairs.
        metadata: Optional<Metadata>,
        /// Where the payer goes afterwards.
        return_url: Optional<WebAddress>,
    }
}

request! {
    /// How much to take of an authorized payment.
    CaptureRequest {
        /// Minor units; all that was authorized when not said. The rest is released.
        amount: Optional<Amount>,
    }
}

impl NewPaymentRequest {
    fn parse(self) -> Result<NewPayment, Problem> {
        let Self {
            amount,
            currency,
            token,
            card,
            capture,
            customer,
            reference,
            description,
            metadata,
            return_url,
        } = self;
        let card = match (token, card) {
            (Some(token), None) => CardInput::Token(token),
            (None, Some(card)) => CardInput::Card(card),
            (None, None) => CardInput::AtCheckout,
            (Some(_), Some(_)) => {
                return Err(Problem::field_invalid(
                    "card",
                    "either token or card, and nothing",
                ));
            }
        };
        Ok(NewPayment {
            money: Money::new(amount.0, currency)
                .map_err(|malformed| Problem::malformed("amount", malformed))?,
            card,
            capture: capture.unwrap_or(CaptureMode::Automatic),
            customer,
            reference,
            description,
            metadata: metadata.unwrap_or_default(),
            return_url: return_url.map(|address| address.0),
        })
    }
}

/// Makes a payment.
pub(crate) async fn payment_create(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let new = call.body::<NewPaymentRequest>()?.parse()?;
    let done = api
        .engine()
        .payment_create(&call.caller, fresh, new)
        .await?;
    Ok(Answer::done(done, PaymentView::of))
}

/// Shows a payment.
pub(crate) async fn payment(api: Api, call: Call) -> Outcome {
    let payment = api
        .engine()
        .payment(&call.caller, call.id("payment")?)
        .await?;
    Ok(Answer::json(200, &PaymentView::of(payment)))
}

/// Lists payments, the newest first.
pub(crate) async fn payment_list(api: Api, call: Call) -> Outcome {
    let reference = call
        .query
        .text("reference")
        .map(Text::<REFERENCE_MAX>::parse);
    let reference = reference.transpose();
    let reference = reference.map_err(|malformed| Problem::malformed("reference", malformed))?;
    let filter = PaymentFilter {
        status: call.query.parse("status")?,
        reference: reference.map(|text| text.to_string()),
        customer: call.query.parse("customer")?,
        created_after: query::time(&call.query, "created_after")?,
        created_before: query::time(&call.query, "created_before")?,
    };
    let listed = api
        .engine()
        .payment_list(&call.caller, filter, call.query.page()?)
        .await?;
    Ok(Answer::list(listed, PaymentView::of))
}

/// Takes the money of an authorized payment.
pub(crate) async fn payment_capture(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let (id, request) = (call.id("payment")?, call.body::<CaptureRequest>()?);
    let amount = request.amount.map(|amount| amount.0);
    let done = api
        .engine()
        .payment_capture(&call.caller, fresh, id, amount)
        .await?;
    Ok(Answer::done(done, PaymentView::of))
}

/// Gives a payment up, or its authorization.
pub(crate) async fn payment_cancel(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let done = api
        .engine()
        .payment_cancel(&call.caller, fresh, call.id("payment")?)
        .await?;
    Ok(Answer::done(done, PaymentView::of))
}
