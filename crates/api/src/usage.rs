//! Handlers of usage.

use coffer_engine::UsageFilter;

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    query::time,
    views::UsageView,
};

/// Lists usage by key, endpoint and hour, the newest hour first.
pub(crate) async fn usage_list(api: Api, call: Call) -> Outcome {
    let filter = UsageFilter {
        key: call.query.parse("api_key")?,
        from: time(&call.query, "created_after")?,
        to: time(&call.query, "created_before")?,
    };
    let (place, page) = (call.caller.place(), call.query.page()?);
    let listed = api.engine().usage_list(place, filter, page).await?;
    Ok(Answer::list(listed, UsageView::of))
}
