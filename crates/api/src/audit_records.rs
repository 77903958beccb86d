//! Handlers of the record of what was done, and the files that it is exported as.

use axum::{body::Body, response::Response};
use coffer_core::words;
use coffer_engine::{AuditRecord, RecordFilter};
use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, LINK},
};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    csv,
    problems::Problem,
    query::{Query, time},
    views::{AuditRecordView, json},
};

words! {
    /// How records are exported.
    pub enum ExportFormat {
        /// An object in each line.
        JsonLines = "jsonl",
        /// Comma-separated values (RFC 4180), the names of the columns in the first line.
        Csv = "csv",
    }
}

/// Lists what was done, read and refused, the newest first.
pub(crate) async fn audit_record_list(api: Api, call: Call) -> Outcome {
    let (filter, page) = (filter(&call.query)?, call.query.page()?);
    let part = api
        .engine()
        .record_list(call.caller.place(), &filter, page)
        .await?;
    let data = part.items.into_iter().map(AuditRecordView::of).collect();
    Ok(Answer::part(data, part.next))
}

/// The same as a file; where it does not end, the address of the next one.
pub(crate) async fn audit_record_export(api: Api, call: Call) -> Outcome {
    let query = &call.query;
    let (filter, format) = (filter(query)?, query.parse("format")?);
    let format = format.unwrap_or(ExportFormat::JsonLines);
    let (of, after) = (Some(call.caller.place()), query.parse("after")?);
    let part = api.engine().record_export(of, &filter, after).await?;
    let next = part.next.map(|next| {
        let (path, query) = (
            "/v1/audit_records/export",
            query.with("after", &next.to_string()),
        );
        format!(
            "<{}{path}?{query}>; rel=\"next\"",
            api.settings().api_origin
        )
    });
    let mut response = Response::new(Body::from(export(format, part.items, true)));
    let (media_type, file) = format.media_type();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(file));
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
        headers.insert(LINK, next);
    }
    Ok(Answer::response(response))
}

fn filter(query: &Query) -> Result<RecordFilter, Problem> {
    Ok(RecordFilter {
        actor: query.text("actor"),
        action: query.text("action"),
        object: query.text("object"),
        outcome: query.parse("outcome")?,
        from: time(query, "created_after")?,
        to: time(query, "created_before")?,
    })
}

impl ExportFormat {
    /// The type of the answer, and what a browser does with it.
    #[must_use]
    pub const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::JsonLines => (
                "application/jsonl",
                "attachment; filename=\"audit_records.jsonl\"",
            ),
            Self::Csv => (
                "text/csv; charset=utf-8; header=present",
                "attachment; filename=\"audit_records.csv\"",
            ),
        }
    }
}

/// The records as a file, with the names of the columns where a format has them and `headed` says so.
#[must_use]
pub fn export(format: ExportFormat, records: Vec<AuditRecord>, headed: bool) -> String {
    let views = records.into_iter().map(AuditRecordView::of);
    match format {
        ExportFormat::JsonLines => views
            .map(|view| {
                let mut line = String::from_utf8(json(&view)).unwrap_or_default();
                line.push('\n');
                line
            })
            .collect(),
        ExportFormat::Csv => {
            let head = headed.then(|| csv::line(AuditRecordView::COLUMNS));
            let lines = views.map(|view| csv::line(&view.cells()));
            head.into_iter().chain(lines).collect()
        }
    }
}
