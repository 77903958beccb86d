//! Handlers of the caller's account.

use coffer_core::detection::Policy;
use coffer_engine::AccountChange;

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Origins, Replace, request},
    views::AccountView,
};

request! {
    /// What to change of the account. What is left out stays.
    AccountChangeRequest {
        /// The web origins that may hold card fields and use a publishable key, in place of all the old ones.
        origins: Replace<Origins>,
        /// Whether a key that was seen where anybody could read it is frozen at once.
        freeze_exposed_keys: Replace<bool>,
        /// What is done about what looks hostile: watch (the usual in test mode), slow (in live mode) or block.
        detection: Replace<Policy>,
    }
}

/// Shows the caller's account.
pub(crate) async fn account(api: Api, call: Call) -> Outcome {
    let account = api.engine().account(&call.caller).await?;
    Ok(Answer::json(200, &AccountView::of(account, &call.caller)))
}

/// Changes the caller's account.
pub(crate) async fn account_update(api: Api, mut call: Call) -> Outcome {
    let AccountChangeRequest {
        origins,
        freeze_exposed_keys,
        detection,
    } = call.body()?;
    let change = AccountChange {
        origins: origins.map(|origins| origins.0),
        freeze_exposed_keys,
        detection,
    };
    let account = api.engine().account_update(&call.caller, change).await?;
    Ok(Answer::json(200, &AccountView::of(account, &call.caller)))
}
