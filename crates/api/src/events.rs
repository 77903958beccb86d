//! Handlers of events.

use coffer_engine::EventFilter;

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    views::EventView,
};

/// Shows an event.
pub(crate) async fn event(api: Api, call: Call) -> Outcome {
    let event = api.engine().event(&call.caller, call.id("event")?).await?;
    Ok(Answer::json(200, &EventView::of(event)))
}

/// Lists events, the oldest first, so that a receiver can catch up after the last one it saw.
pub(crate) async fn event_list(api: Api, call: Call) -> Outcome {
    let filter = EventFilter {
        event_type: call.query.parse("type")?,
    };
    let listed = api
        .engine()
        .event_list(&call.caller, filter, call.query.page()?)
        .await?;
    Ok(Answer::list(listed, EventView::of))
}
