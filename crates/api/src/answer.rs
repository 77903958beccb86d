//! What a handler answers with.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use coffer_engine::{Done, Listed, StoredAnswer};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use serde::{Deserialize, Serialize};

use crate::{
    problems::{Code, Stop},
    views::json,
};

/// What a handler yields.
pub(crate) type Outcome = Result<Answer, Stop>;

/// Says that the answer is the one that was given to the first request with the same idempotency key.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Room for the headers that an answer gets on its way out, made at once.
const HEADERS: usize = 9;

/// A page of a list.
#[derive(Serialize)]
struct ListView<T> {
    data: Vec<T>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// An answer on its way out.
pub(crate) struct Answer {
    response: Response,
    /// The id of what was made.
    made: Option<String>,
}

impl Answer {
    /// An object.
    pub(crate) fn json(status: u16, view: &impl Serialize) -> Self {
        Self::bytes(status, json(view).into())
    }

    /// What an operation did, as `view` shows it.
    pub(crate) fn done<T, V: Serialize>(done: Done<T>, view: impl FnOnce(T) -> V) -> Self {
        Self::json(done.status, &view(done.object))
    }

    /// A page of a list.
    pub(crate) fn list<T, V: Serialize>(listed: Listed<T>, view: impl FnMut(T) -> V) -> Self {
        let data = listed.items.into_iter().map(view).collect();
        let has_more = listed.has_more;
        Self::json(
            200,
            &ListView {
                data,
                has_more,
                next: None,
            },
        )
    }

    /// A page of a list of which only parts are looked at at a time, and where the next one begins.
    pub(crate) fn part<V: Serialize>(data: Vec<V>, next: Option<impl ToString>) -> Self {
        let next = next.map(|next| next.to_string());
        Self::json(
            200,
            &ListView {
                data,
                has_more: next.is_some(),
                next,
            },
        )
    }

    /// Nothing to say.
    pub(crate) fn empty() -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Self::response(response)
    }

    /// JSON that was written before.
    pub(crate) fn bytes(status: u16, body: Bytes) -> Self {
        let made = (status == StatusCode::CREATED.as_u16())
            .then(|| serde_json::from_slice::<Identified>(&body).ok());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            response,
            made: made.flatten().map(|made| made.id),
        }
    }

    /// Something that is no JSON.
    pub(crate) const fn response(response: Response) -> Self {
        Self {
            response,
            made: None,
        }
    }

    /// The answer of an earlier request. `had_secret` tells that the first answer showed one, which is not stored.
    pub(crate) fn replay(stored: StoredAnswer, had_secret: bool) -> Self {
        let body = if had_secret {
            secret_withheld(stored.body)
        } else {
            stored.body
        };
        Self::bytes(stored.status, body.into()).with(REPLAYED, HeaderValue::from_static("true"))
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }

    /// The response; what was made has its address under `prefix`.
    pub(crate) fn into_response(mut self, prefix: Option<&str>) -> Response {
        if let (Some(prefix), Some(id)) = (prefix, self.made)
            && let Ok(address) = HeaderValue::try_from(format!("{prefix}/{id}"))
        {
            self.response.headers_mut().insert(LOCATION, address);
        }
        self.response
    }
}

/// Only the id of an object.
#[derive(Deserialize)]
struct Identified {
    id: String,
}

fn secret_withheld(body: Vec<u8>) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut object)) = serde_json::from_slice(&body) else {
        return body;
    };
    // A signing key that was registered has no secret of ours.
    if object.get("generated") != Some(&serde_json::Value::Bool(false)) {
        let code = Code::SecretAlreadyShown.row().name;
        object.insert("code".to_owned(), code.into());
    }
    serde_json::to_vec(&object).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replay_says_so_and_shows_no_secret() {
        let body = br#"{"id":"we_1","secret":null}"#.to_vec();
        let answer = Answer::replay(StoredAnswer { status: 201, body }, true)
            .into_response(Some("/v1/webhook_endpoints"));
        assert_eq!(answer.headers()[REPLAYED], "true");
        assert_eq!(answer.headers()[LOCATION], "/v1/webhook_endpoints/we_1");
        let body = axum::body::to_bytes(answer.into_body(), 1024)
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "secret_already_shown");
        assert!(body["secret"].is_null());
    }

    #[test]
    fn only_what_was_made_has_an_address() {
        let answer = Answer::bytes(200, Bytes::from_static(br#"{"id":"pay_1"}"#));
        assert!(
            !answer
                .into_response(Some("/v1/payments"))
                .headers()
                .contains_key(LOCATION)
        );
    }
}
