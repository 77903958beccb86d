//! What can go wrong, and how the provider's protocol says so: problem documents (RFC 9457) that never repeat a request.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use coffer_core::Malformed;

/// Why the simulator did not do what it was asked, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The credential is missing or wrong.
    #[error("the credential is missing or wrong")]
    Unauthenticated,
    /// The request is not one of the protocol.
    #[error("{0}")]
    Malformed(Malformed),
    /// No such authorization, operation or page.
    #[error("there is no such object")]
    NotFound,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A switch ordered this failure.
    #[error("a switch ordered this failure")]
    Ordered,
    /// The store cannot serve now; nothing is known of what happened.
    #[error("the simulator cannot serve now: {0}")]
    Unavailable(String),
    /// A bug, or a store that needs an operator.
    #[error("the simulator failed: {0}")]
    Defect(String),
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<coffer_db::Error> for Error {
    fn from(error: coffer_db::Error) -> Self {
        match error {
            coffer_db::Error::Unavailable(why) => Self::Unavailable(why.to_string()),
            // Expected conflicts are handled where they can happen, so one that arrives here is too much contention.
            coffer_db::Error::Conflict(why) => Self::Unavailable(why.to_string()),
            coffer_db::Error::Refused(why) | coffer_db::Error::Defect(why) => Self::Defect(why),
        }
    }
}

impl Error {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::KeyReused => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Ordered | Self::Defect(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable word for programs, and the sentence for people.
    fn public(&self) -> (&'static str, String) {
        match self {
            Self::Unauthenticated | Self::NotFound | Self::KeyReused | Self::Ordered => {
                (self.code(), self.to_string())
            }
            Self::Malformed(malformed) => (self.code(), malformed.to_string()),
            Self::Unavailable(_) => (self.code(), "try again later".to_owned()),
            Self::Defect(_) => (
                self.code(),
                "the log of the simulator tells more".to_owned(),
            ),
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Malformed(_) => "malformed",
            Self::NotFound => "not_found",
            Self::KeyReused => "idempotency_key_reused",
            Self::Ordered => "ordered_failure",
            Self::Unavailable(_) => "unavailable",
            Self::Defect(_) => "defect",
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Unavailable(why) | Self::Defect(why) = &self {
            tracing::error!(error.reason = %why, "the simulator could not answer a request");
        }
        let (code, detail) = self.public();
        let status = self.status();
        let title = status.canonical_reason().unwrap_or_default();
        let body = serde_json::json!({
            "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail,
        });
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
