//! Takes in what browsers report about the fields page. What is kept of it is decided in `net::page`.

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
};
use coffer_net::page::{REPORT_MAX, Refused};

use super::{
    body,
    problem::{Code, Problem},
};
use crate::Vault;

pub(super) async fn report_create(
    State(vault): State<Vault>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (reports, now) = (&vault.parts.fields.reports, vault.parts.clock.now());
    reports.admit(now)?;
    let (head, body) = request.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let bytes = body::read(body, REPORT_MAX).await?;
    reports.take(kind, &bytes, now)?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::new(match refused {
            Refused::TooMany => Code::TooManyReports,
            Refused::ContentType => Code::ContentTypeNotSupported,
            Refused::Malformed => Code::RequestMalformed,
        })
    }
}
