//! Handlers of the caller's account.

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Origins, Required, request},
    views::AccountView,
};

request! {
    /// What to change of the account.
    AccountChangeRequest {
        /// The web origins that may hold card fields and use a publishable key, in place of all the old ones.
        origins: Required<Origins>,
    }
}

/// Shows the caller's account.
pub(crate) async fn account(api: Api, call: Call) -> Outcome {
    let account = api.engine().account(&call.caller).await?;
    Ok(Answer::json(200, &AccountView::of(account, &call.caller)))
}

/// Changes the caller's account.
pub(crate) async fn account_update(api: Api, mut call: Call) -> Outcome {
    let origins = call.body::<AccountChangeRequest>()?.origins;
    let account = api.engine().account_update(&call.caller, origins.0).await?;
    Ok(Answer::json(200, &AccountView::of(account, &call.caller)))
}
