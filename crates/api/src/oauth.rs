//! OAuth 2.0: access tokens for API keys (RFC 6749, the client credentials grant), ended before their time (RFC 7009), looked
//! at (RFC 7662), and what there is of all that (RFC 8414). Errors have the standard's form and not that of the other routes.

use axum::response::Response;
use coffer_core::{
    Malformed,
    access_token::Lifetime,
    limits::ACCESS_TOKEN_TTL_MAX_S,
    permission::{Access, Permission, Resource},
    scope::Scope,
    words,
};
use coffer_engine::{ASSERTION_ALGORITHMS, NewAccessToken};
use http::{
    HeaderValue, StatusCode,
    header::{PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::{Call, Incoming},
    fields::{Field, KeyFound, Parameter, Required, request},
    problems::{Code, Problem},
    shape::{Shape, integer, text},
    views::{AccessTokenView, AuthorizationServerView, IntrospectionView, OAuthErrorView},
};

words! {
    /// How a client may ask for a token.
    pub enum GrantType {
        /// By what proves that it is the client (RFC 6749, 4.4).
        ClientCredentials = "client_credentials",
    }
}

words! {
    /// How a client may prove that it is one (RFC 7591, 2).
    pub enum ClientAuthentication {
        /// By its secret, with HTTP Basic.
        Basic = "client_secret_basic",
        /// By its secret, in the form.
        Post = "client_secret_post",
        /// By what a signing key signs that stands for it (RFC 7523, 2.2).
        PrivateKeyJwt = "private_key_jwt",
    }
}

request! {
    /// A token to be issued (RFC 6749, 4.4.2).
    TokenRequest {
        /// client_credentials.
        grant_type: Required<GrantType>,
        /// What the token may do, at most as much as the key: payments:read refunds:write, or for one object payments:write:pay_…. All that the key may, unless told.
        scope: Parameter<Scope>,
        /// How long it lasts, in seconds: 600 unless told. It never outlasts its key.
        expires_in: Parameter<Lifetime>,
    }
}

request! {
    /// A token to be revoked (RFC 7009, 2.1).
    RevocationRequest {
        /// The token.
        token: Required<KeyFound>,
    }
}

request! {
    /// A token to be looked at (RFC 7662, 2.1).
    IntrospectionRequest {
        /// The token.
        token: Required<KeyFound>,
    }
}

impl Field for GrantType {
    fn read(value: Value) -> Result<Self, Malformed> {
        sent(value, "client_credentials")?.parse()
    }
}

impl Shape for Scope {
    fn schema() -> RefOr<Schema> {
        let word = "[a-z_]+:(read|write)(:[a-z]+_[0-9a-hjkmnp-tv-z]{26})?";
        text().pattern(Some(format!("^{word}( {word})*$"))).into()
    }
}

impl Field for Scope {
    fn read(value: Value) -> Result<Self, Malformed> {
        sent(value, "a scope")?.parse()
    }
}

impl Shape for Lifetime {
    fn schema() -> RefOr<Schema> {
        integer(1, i64::from(ACCESS_TOKEN_TTL_MAX_S))
    }
}

impl Field for Lifetime {
    fn read(value: Value) -> Result<Self, Malformed> {
        let seconds = sent(value, "seconds")?.parse();
        Self::seconds(seconds.unwrap_or_default())
    }
}

/// A form has texts only.
fn sent(value: Value, expected: &'static str) -> Result<String, Malformed> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Malformed { expected })
        }
    }
}

/// Issues a token and shows it.
pub(crate) async fn access_token_issue(api: Api, mut call: Call) -> Outcome {
    let TokenRequest {
        grant_type: GrantType::ClientCredentials,
        scope,
        expires_in,
    } = call.body()?;
    let lifetime = expires_in.unwrap_or_default();
    let new = NewAccessToken { scope, lifetime };
    let (token, text) = api.engine().access_token_issue(&call.caller, new).await?;
    let view = AccessTokenView::of(&token, &text);
    Ok(Answer::json(200, &view).with(PRAGMA, HeaderValue::from_static("no-cache")))
}

/// Ends a token before its time. The answer is the same when there is none that works (RFC 7009, 2.2).
pub(crate) async fn access_token_revoke(api: Api, mut call: Call) -> Outcome {
    let token = call.body::<RevocationRequest>()?.token;
    api.engine()
        .access_token_revoke(&call.caller, &token.0)
        .await?;
    Ok(Answer::response(Response::default()))
}

/// Tells what a token of the account may do.
pub(crate) async fn access_token_introspect(api: Api, mut call: Call) -> Outcome {
    let token = call.body::<IntrospectionRequest>()?.token;
    let found = api.engine().access_token(&call.caller, &token.0).await?;
    let issuer = &api.settings().api_origin;
    let view = found.map_or_else(IntrospectionView::inactive, |token| {
        IntrospectionView::of(token, issuer)
    });
    Ok(Answer::json(200, &view))
}

/// Tells clients what there is (RFC 8414).
pub(crate) async fn authorization_server(api: Api, _incoming: Incoming) -> Outcome {
    let view = AuthorizationServerView::at(&api.settings().api_origin);
    Ok(Answer::json(200, &view))
}

/// Whom a client's assertion may be made for (RFC 7523, 3): the issuer, or its token endpoint.
pub(crate) fn audiences(api_origin: &str) -> [String; 2] {
    [api_origin.to_owned(), format!("{api_origin}/oauth/token")]
}

/// How a client's assertion may be signed.
pub(crate) fn assertion_algorithms() -> Vec<&'static str> {
    ASSERTION_ALGORITHMS.iter().map(|(name, _)| *name).collect()
}

/// Every right that a scope can name.
pub(crate) fn scopes() -> Vec<String> {
    let both = [Access::Read, Access::Write];
    let rights = Resource::ALL
        .iter()
        .flat_map(|&resource| both.map(|access| Permission { resource, access }.to_string()));
    rights.collect()
}

/// The answer to a client that something is wrong (RFC 6749, 5.2).
pub(crate) fn refusal(problem: Problem, api_origin: &str) -> Response {
    let (_, status) = error_of(&problem);
    let retry_after = problem.retry_after();
    let view = refusal_view(&problem, api_origin);
    let mut response = Answer::json(status, &view)
        .with(PRAGMA, HeaderValue::from_static("no-cache"))
        .into_response(None);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED.as_u16() {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"oauth\""),
        );
    }
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds);
    }
    response
}

/// What that answer says.
pub(crate) fn refusal_view(problem: &Problem, api_origin: &str) -> OAuthErrorView {
    OAuthErrorView {
        error: error_of(problem).0,
        error_uri: crate::problems::page::address(api_origin, problem.code()),
        // An answer of OAuth has no further members that could name the setting.
        error_description: if problem.code() == Code::BeyondOwnKey {
            "A scope gives no more than the key has; ask for less.".to_owned()
        } else {
            described(problem.detail())
        },
    }
}

/// The standard's word for a problem, and its status. For having to come back later it has none at this endpoint, so that of
/// the authorization endpoint is used.
fn error_of(problem: &Problem) -> (&'static str, u16) {
    let status = problem.code().row().status;
    match (problem.code(), problem.field(), status) {
        (Code::BeyondOwnKey, ..) | (Code::FieldInvalid, Some("scope"), _) => ("invalid_scope", 400),
        (Code::FieldInvalid, Some("grant_type"), _) => ("unsupported_grant_type", 400),
        (Code::KeyKindWrong | Code::Refused, ..) => ("unauthorized_client", 400),
        (Code::AddressNotAllowed | Code::KeyInBrowser, ..) | (_, _, 401) => ("invalid_client", 401),
        (_, _, 429 | 503) => ("temporarily_unavailable", status),
        (_, _, 500..) => ("server_error", status),
        (_, _, _) => ("invalid_request", 400),
    }
}

/// A text in the letters that a description may have (RFC 6749, 5.2).
fn described(text: &str) -> String {
    let mut described = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '…' => described.push_str("..."),
            '"' | '\\' => described.push('\''),
            ' '..='~' => described.push(symbol),
            _ => described.push('-'),
        }
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_word_and_a_text_that_the_standard_permits() {
        for &code in Code::ALL {
            let problem = Problem::new(code);
            let (error, status) = error_of(&problem);
            let expected = match error {
                "invalid_client" => 401,
                "temporarily_unavailable" | "server_error" => code.row().status,
                _ => 400,
            };
            assert_eq!(status, expected, "{code:?}");
            let text = described(problem.detail());
            let permitted = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
            assert!(!text.is_empty() && text.bytes().all(permitted), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_parameter_is_told_by_its_own_word() {
        let word = |field: &str| error_of(&Problem::field_invalid(field, "x")).0;
        assert_eq!(word("scope"), "invalid_scope");
        assert_eq!(word("grant_type"), "unsupported_grant_type");
        assert_eq!(word("expires_in"), "invalid_request");
        assert_eq!(
            error_of(&Problem::field_missing("grant_type")).0,
            "invalid_request"
        );
    }

    #[test]
    fn a_form_s_texts_become_what_they_mean() {
        let text = |text: &str| Value::String(text.to_owned());
        assert!(GrantType::read(text("client_credentials")).is_ok());
        assert!(GrantType::read(text("authorization_code")).is_err());
        assert_eq!(Lifetime::read(text("60")), Lifetime::seconds(60));
        for wrong in ["0", "3601", "1.5", "-1", "ten", "99999999999999999999"] {
            assert!(Lifetime::read(text(wrong)).is_err(), "{wrong}");
        }
    }
}
