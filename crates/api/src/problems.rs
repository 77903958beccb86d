//! Errors as callers see them: RFC 9457 problem documents with a stable code and advice on what to do next.
//!
//! A problem never holds a value of the request, beyond the name of a field, nor anything about how the server is built.

mod example;
pub mod page;
pub mod table;

use std::borrow::Cow;

use axum::{body::Body, response::Response};
use coffer_core::{Malformed, id::RequestId, permission::Permission};
use coffer_engine::{CapExcess, Error, Failure, Held, LimitName, StoredAnswer};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

pub use table::Code;

use crate::{rates::advice, shape::object, views::CapView};

/// What a signature should be like.
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");
/// The longest name of an unknown field that is repeated to its sender.
const FIELD_NAME_MAX: usize = 64;

/// Something that went wrong, on its way to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: Option<Cow<'static, str>>,
    field: Option<String>,
    required_permission: Option<Permission>,
    amount_left: Option<i64>,
    exceeded: Option<Box<CapExcess>>,
    limited: Option<(LimitName, i64)>,
    /// What a signature should be like (`Accept-Signature`).
    signature: Option<String>,
}

object! {
    /// An error, as RFC 9457 describes it.
    pub(crate) struct ProblemView as "Problem" {
        /// The address of the code's page.
        r#type: String,
        /// What happened.
        title: &'static str,
        /// The HTTP status.
        status: i64,
        /// The word to branch on.
        code: &'static str,
        /// What to do next.
        detail: Cow<'static, str>,
        /// The field or query parameter that it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        /// The permission that the key lacks.
        #[serde(skip_serializing_if = "Option::is_none")]
        required_permission: Option<String>,
        /// Minor units that are left.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount_left: Option<i64>,
        /// The cap of the key that was exceeded.
        #[serde(skip_serializing_if = "Option::is_none")]
        cap: Option<CapView>,
        /// Which limit was exceeded.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<LimitName>,
        /// The request's id, also in the header Coffer-Request-Id.
        request_id: RequestId,
    }
}

impl Problem {
    /// A problem with the table's advice.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            field: None,
            required_permission: None,
            amount_left: None,
            exceeded: None,
            limited: None,
            signature: None,
        }
    }

    /// A problem with advice of its own.
    #[must_use]
    pub fn with_detail(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(code)
        }
    }

    /// The key lacks this permission.
    #[must_use]
    pub fn permission_missing(permission: Permission) -> Self {
        let detail = format!("Give the key {permission}, or use another key.");
        Self {
            required_permission: Some(permission),
            ..Self::with_detail(Code::PermissionMissing, detail)
        }
    }

    /// The scope of the access token, or its key, lacks this permission.
    #[must_use]
    pub fn scope_missing(permission: Permission) -> Self {
        let detail = format!(
            "Ask for an access token with {permission} in its scope, of a key that has it."
        );
        Self {
            required_permission: Some(permission),
            ..Self::with_detail(Code::PermissionMissing, detail)
        }
    }

    /// A required field was not sent.
    #[must_use]
    pub fn field_missing(field: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::with_detail(Code::FieldMissing, format!("Add the field {field}."))
        }
    }

    /// A field is not what it should be.
    #[must_use]
    pub fn field_invalid(field: &str, expected: &str) -> Self {
        let detail = format!("Send {expected} as {field}.");
        Self {
            field: Some(field.to_owned()),
            ..Self::with_detail(Code::FieldInvalid, detail)
        }
    }

    /// A field that nobody knows. Its name is the sender's, so it is repeated only when it looks like a name.
    #[must_use]
    pub fn field_unknown(field: &str) -> Self {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let named = (1..=FIELD_NAME_MAX).contains(&field.len()) && field.bytes().all(is_name);
        Self {
            field: named.then(|| field.to_owned()),
            ..Self::new(Code::FieldUnknown)
        }
    }

    /// No such object.
    #[must_use]
    pub fn not_found(object: &str) -> Self {
        let object = object.replace('_', " ");
        let detail = format!(
            "Check the {object}'s id, and that it was made with a key of the same account and mode."
        );
        Self::with_detail(Code::NotFound, detail)
    }

    /// It is about this limit, and could succeed after so many seconds.
    pub(crate) fn limited(self, limit: LimitName, retry_after_s: i64) -> Self {
        Self {
            limited: Some((limit, retry_after_s)),
            ..self
        }
    }

    /// It asks for a signature like this (`Accept-Signature`, RFC 9421, 5.1).
    pub(crate) fn with_signature(self, wanted: String) -> Self {
        Self {
            signature: Some(wanted),
            ..self
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What to do next.
    #[must_use]
    pub fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.code.row().advice)
    }

    /// Seconds after which a repetition may succeed, if it is to be told.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        let told = self.limited.map(|(_, seconds)| HeaderValue::from(seconds));
        let usual = || retry_after(self.code).map(HeaderValue::from_static);
        told.or_else(usual)
    }

    /// The field that it is about.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The body of the answer to the request with this id, at the API of this origin.
    fn view(self, api_origin: &str, request_id: RequestId) -> ProblemView {
        let row = self.code.row();
        ProblemView {
            r#type: page::address(api_origin, self.code),
            title: row.title,
            status: i64::from(row.status),
            code: row.name,
            detail: self.detail.unwrap_or(Cow::Borrowed(row.advice)),
            field: self.field,
            required_permission: self
                .required_permission
                .map(|permission| permission.to_string()),
            amount_left: self.amount_left,
            cap: self.exceeded.map(|excess| CapView::exceeded(*excess)),
            limit: self.limited.map(|(limit, _)| limit),
            request_id,
        }
    }

    /// The answer to the request with this id, at the API of this origin.
    pub(crate) fn answer(mut self, api_origin: &str, request_id: RequestId) -> Response {
        let (code, row, lacking) = (self.code, self.code.row(), self.required_permission);
        let retry_after = self.retry_after();
        let signature = self.signature.take();
        let view = self.view(api_origin, request_id);
        let mut response = Response::new(Body::from(serde_json::to_vec(&view).unwrap_or_default()));
        *response.status_mut() =
            StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(challenge) = challenge(code, lacking) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(Ok(wanted)) = signature.map(HeaderValue::try_from) {
            headers.insert(ACCEPT_SIGNATURE, wanted);
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds);
        }
        response
    }
}

/// What a request would need to be let in (RFC 6750, 3).
fn challenge(code: Code, lacking: Option<Permission>) -> Option<HeaderValue> {
    let unauthorized = code.row().status == StatusCode::UNAUTHORIZED.as_u16();
    match (code, lacking) {
        (Code::KeyMissing, _) => Some(HeaderValue::from_static("Bearer")),
        (_, Some(lacking)) => {
            let value = format!("Bearer error=\"insufficient_scope\", scope=\"{lacking}\"");
            HeaderValue::try_from(value).ok()
        }
        (_, None) => {
            unauthorized.then(|| HeaderValue::from_static("Bearer error=\"invalid_token\""))
        }
    }
}

/// Seconds after which a repetition may succeed.
fn retry_after(code: Code) -> Option<&'static str> {
    match (code, code.row().status) {
        (Code::IdempotencyRunning, _) => Some("1"),
        (Code::KeysSealed, _) => Some("5"),
        (Code::BudgetExhausted, _) => Some("60"),
        (_, 429 | 503) => Some("1"),
        (_, _) => None,
    }
}

/// Why a handler answers with something else than its object.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A problem.
    Problem(Problem),
    /// A twin with the same idempotency key was faster; this is its answer.
    Answered(StoredAnswer),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Failure for Stop {
    fn is_refusal(&self) -> bool {
        !matches!(self, Self::Problem(problem) if problem.code().row().status >= 500)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let problem = match error {
            Error::Answered(answer) => return Self::Answered(answer),
            Error::NotFound { object } => Problem::not_found(object),
            Error::Invalid { field, expected } => Problem::field_invalid(field, expected),
            Error::State {
                object,
                status,
                needed,
            } => state_conflict(object, status, needed),
            Error::AmountTooLarge { left, currency } => amount_too_large(left, currency),
            Error::LimitReached { what, limit } => Problem::with_detail(
                Code::LimitReached,
                format!("There can be at most {limit} {what}. Delete one first."),
            ),
            Error::Held(held) => held_back(held),
            Error::TooManyFailures { retry_after_s } => too_many_failures(retry_after_s),
            Error::CapExceeded(excess) => cap_exceeded(excess),
            Error::BeyondCaller { field } => beyond_own_key(field),
            Error::Refused(why) => Problem::with_detail(Code::Refused, why),
            Error::Unsigned => Problem::new(Code::SignatureRequired),
            Error::TokenUsed => Problem::new(Code::TokenUsed),
            Error::TokenExpired => Problem::new(Code::TokenExpired),
            Error::TokenUnknown => Problem::new(Code::TokenUnknown),
            Error::CvcLost => Problem::new(Code::CvcLost),
            Error::ProviderMissing => Problem::new(Code::ProviderMissing),
            Error::IdempotencyMismatch => Problem::new(Code::IdempotencyMismatch),
            Error::IdempotencyRunning => Problem::new(Code::IdempotencyRunning),
            Error::BudgetExhausted => Problem::new(Code::BudgetExhausted),
            Error::Sealed => Problem::new(Code::KeysSealed),
            Error::Unavailable => Problem::new(Code::Unavailable),
            Error::Defect => Problem::new(Code::Internal),
        };
        Self::Problem(problem)
    }
}

fn state_conflict(object: &str, status: &str, needed: &str) -> Problem {
    Problem::with_detail(
        Code::StateConflict,
        format!("The {object} is {status}; this needs {needed}."),
    )
}

/// Too many keys from the caller's address did not work.
pub(crate) fn too_many_failures(retry_after_s: i64) -> Problem {
    Problem::new(Code::RateExceeded).limited(LimitName::Address, retry_after_s)
}

/// Whoever asks looks hostile.
pub(crate) fn held_back(held: Held) -> Problem {
    match held {
        Held::Slowed { retry_after_s } => {
            let limit = LimitName::Detection;
            Problem::with_detail(Code::RateExceeded, advice(limit)).limited(limit, retry_after_s)
        }
        Held::Blocked { until } => Problem::with_detail(
            Code::Blocked,
            format!("Come back at {until}, or have the block lifted."),
        ),
    }
}

fn beyond_own_key(field: &'static str) -> Problem {
    Problem {
        field: Some(field.to_owned()),
        ..Problem::new(Code::BeyondOwnKey)
    }
}

fn cap_exceeded(excess: CapExcess) -> Problem {
    let unit = match excess.currency {
        Some(currency) => format!("minor units of {currency}"),
        None => "cards".to_owned(),
    };
    let (kind, left) = (excess.kind, excess.left);
    let mut detail = format!("Of the key's cap {kind}, {left} {unit} are left");
    match excess.resets {
        Some(resets) => detail.push_str(&format!("; it begins anew at {resets}.")),
        None => detail.push_str("; send no more than that."),
    }
    Problem {
        exceeded: Some(Box::new(excess)),
        ..Problem::with_detail(Code::CapExceeded, detail)
    }
}

fn amount_too_large(left: i64, currency: coffer_core::Currency) -> Problem {
    let detail = format!("Send at most {left} minor units of {currency}.");
    Problem {
        amount_left: Some(left),
        ..Problem::with_detail(Code::AmountTooLarge, detail)
    }
}

impl Problem {
    /// A malformed value of this field.
    pub(crate) fn malformed(field: &str, malformed: Malformed) -> Self {
        Self::field_invalid(field, malformed.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RequestId {
        RequestId::from_bytes([3; 16])
    }

    async fn body(response: Response) -> serde_json::Value {
        let bytes = axum::body::to_bytes(response.into_body(), 65_536)
            .await
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn every_problem_says_what_happened_what_to_do_and_which_request_it_was() {
        for &code in Code::ALL {
            let response = Problem::new(code).answer("https://localhost:8443", id());
            assert_eq!(response.status().as_u16(), code.row().status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let body = body(response).await;
            assert_eq!(
                body["type"],
                format!("https://localhost:8443/docs/errors/{}", code.row().name)
            );
            assert_eq!(body["code"], code.row().name);
            assert_eq!(body["request_id"], id().to_string());
            assert!(!body["detail"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn codes_are_distinct_snake_case_words_and_texts_are_sentences() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.row().name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for row in Code::ALL.iter().map(|code| code.row()) {
            assert!(
                row.name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{}",
                row.name
            );
            assert!(
                !row.title.ends_with('.')
                    && row.advice.ends_with('.')
                    && row.explanation.ends_with('.')
            );
        }
    }

    #[test]
    fn only_401_asks_for_a_key_and_every_503_and_429_says_when_to_come_back() {
        for &code in Code::ALL {
            let response = Problem::new(code).answer("https://localhost:8443", id());
            let status = response.status().as_u16();
            assert_eq!(
                response.headers().contains_key(WWW_AUTHENTICATE),
                status == 401,
                "{code:?}"
            );
            if matches!(status, 429 | 503) {
                assert!(response.headers().contains_key(RETRY_AFTER), "{code:?}");
            }
        }
    }

    #[test]
    fn a_name_that_is_none_is_not_repeated() {
        assert_eq!(
            Problem::field_unknown("amonut").field.as_deref(),
            Some("amonut")
        );
        for field in ["", "<script>", "two words", &"x".repeat(FIELD_NAME_MAX + 1)] {
            assert_eq!(Problem::field_unknown(field).field, None);
        }
    }
}
