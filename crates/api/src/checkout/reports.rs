//! Takes in what browsers report about the payment page. What is kept of it is decided in `net::page`.

use axum::{
    extract::{Request, State},
    response::Response,
};
use coffer_net::page::{REPORT_MAX, Refused};
use http::{StatusCode, header::CONTENT_TYPE};

use super::{origin, read, refusal};
use crate::{
    Api,
    problems::{Code, Problem},
};

pub(super) const ROUTE: &str = "POST /reports";

pub(super) async fn report_create(State(api): State<Api>, request: Request) -> Response {
    let id = origin(&request, ROUTE).request_id;
    let (head, body) = request.into_parts();
    let taken = async {
        let (reports, now) = (api.reports(), api.settings().clock.now());
        reports.admit(now)?;
        let kind = head.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let too_large = "Send one report, or a few.";
        let body = read(body, REPORT_MAX, too_large).await?;
        reports.take(kind, &body, now)?;
        Ok::<_, Problem>(())
    };
    match taken.await {
        Ok(()) => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(problem) => refusal(&api, problem, id),
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooMany => Self::new(Code::TooManyReports),
            Refused::ContentType => Self::with_detail(
                Code::ContentTypeWrong,
                "Browsers send application/reports+json or application/csp-report.",
            ),
            Refused::Malformed => Self::new(Code::JsonInvalid),
        }
    }
}
