//! Handlers of the record of what was done.

use coffer_engine::RecordFilter;

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    query::time,
    views::AuditRecordView,
};

/// Lists what was done, read and refused, the newest first.
pub(crate) async fn audit_record_list(api: Api, call: Call) -> Outcome {
    let query = &call.query;
    let filter = RecordFilter {
        actor: query.text("actor"),
        action: query.text("action"),
        object: query.text("object"),
        outcome: query.parse("outcome")?,
        from: time(query, "created_after")?,
        to: time(query, "created_before")?,
    };
    let listed = api
        .engine()
        .record_list(call.caller.place(), &filter, query.page()?)
        .await?;
    Ok(Answer::list(listed, AuditRecordView::of))
}
