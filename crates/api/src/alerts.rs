//! Alerts of the key's account and mode.

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    views::AlertView,
};

/// Shows an alert.
pub(crate) async fn alert(api: Api, call: Call) -> Outcome {
    let alert = api.engine().alert(&call.caller, call.id("alert")?).await?;
    Ok(Answer::json(200, &AlertView::of(alert)))
}

/// Lists alerts, the newest first.
pub(crate) async fn alert_list(api: Api, call: Call) -> Outcome {
    let page = call.query.page()?;
    let listed = api.engine().alert_list(&call.caller, page).await?;
    Ok(Answer::list(listed, AlertView::of))
}
