//! Handlers of cards kept with customers.

use coffer_engine::{Fresh, TokenRef};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Required, request},
    views::CardView,
};

request! {
    /// A card to be kept with a customer.
    NewCardRequest {
        /// The token of the deposited card; it is used up.
        token: Required<TokenRef>,
    }
}

/// Keeps a token's card with a customer.
pub(crate) async fn card_keep(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let (customer, request) = (call.id("customer")?, call.body::<NewCardRequest>()?);
    let done = api
        .engine()
        .card_keep(&call.caller, fresh, customer, request.token)
        .await?;
    Ok(Answer::done(done, CardView::of))
}

/// Lists the cards kept with a customer, the newest first.
pub(crate) async fn card_list(api: Api, call: Call) -> Outcome {
    let listed = api
        .engine()
        .card_list(&call.caller, call.id("customer")?, call.query.page()?)
        .await?;
    Ok(Answer::list(listed, CardView::of))
}

/// Deletes a kept card.
pub(crate) async fn card_delete(api: Api, call: Call) -> Outcome {
    api.engine()
        .card_delete(&call.caller, call.id("card")?)
        .await?;
    Ok(Answer::empty())
}
