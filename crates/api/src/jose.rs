//! Encrypted answers: with `Accept: application/jose` the body comes as a JWE (RFC 7516) that only the owner of an RSA signing key
//! of the account can read. Problems too, as soon as it is known who asks.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use coffer_core::id::SigningKeyId;
use coffer_engine::{Caller, SigningKeyError, Verifier};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::BodyExt as _;

use crate::{
    Api,
    problems::{Code, Problem},
};

const JOSE: &str = "application/jose";

/// The key that an answer is to be encrypted to, if that is asked for: the one with the id in `kid`, or the newest that works.
pub(crate) async fn receiver(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Option<Arc<Verifier>>, Problem> {
    let Some(wanted) = headers.get_all(ACCEPT).iter().find_map(wanted) else {
        return Ok(None);
    };
    let found = match wanted {
        Some(Ok(id)) => api.engine().signing_key_verifier(caller.place(), id).await,
        Some(Err(_)) => Err(SigningKeyError::Unknown),
        None => {
            api.engine()
                .signing_key_newest_receiver(caller.place())
                .await
        }
    };
    match found {
        Ok(key) if key.receives() => Ok(Some(key)),
        Err(SigningKeyError::Unavailable) => Err(Problem::new(Code::Unavailable)),
        Ok(_)
        | Err(SigningKeyError::Unknown | SigningKeyError::Revoked | SigningKeyError::Expired) => {
            Err(Problem::new(Code::EncryptionKeyMissing))
        }
    }
}

/// Which key, when an encrypted answer is accepted at all.
fn wanted(accept: &HeaderValue) -> Option<Option<Result<SigningKeyId, coffer_core::Malformed>>> {
    let ranges = accept.to_str().ok()?.split(',');
    let mut range = ranges
        .map(|range| range.split(';').map(str::trim))
        .find_map(|mut parts| parts.next()?.eq_ignore_ascii_case(JOSE).then_some(parts))?;
    let key = range.find_map(|parameter| parameter.strip_prefix("kid="));
    Some(key.map(|key| key.trim_matches('"').parse()))
}

/// The answer, encrypted. One without a body stays as it is.
pub(crate) async fn encrypt(key: &Verifier, mut response: Response) -> Result<Response, Problem> {
    let unavailable = |_| Problem::new(Code::Unavailable);
    let body = std::mem::take(response.body_mut()).collect().await;
    let body = body.map_err(unavailable)?.to_bytes();
    if body.is_empty() {
        return Ok(response);
    }
    let content_type = response.headers().get(CONTENT_TYPE);
    let essence = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    let essence = essence.unwrap_or("application/octet-stream");
    // RFC 7516, 4.1.12.
    let encrypted = key.encrypt(essence.trim_start_matches("application/"), &body);
    let encrypted = encrypted.map_err(|_| Problem::new(Code::Unavailable))?;
    *response.body_mut() = Body::from(encrypted);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JOSE));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_answer_is_asked_for_by_name() {
        let id = SigningKeyId::from_bytes([7; 16]);
        let of = |accept: &str| wanted(&HeaderValue::from_str(accept).unwrap());
        for accept in [
            "application/jose",
            "application/json, Application/JOSE ; q=1",
        ] {
            assert_eq!(of(accept), Some(None), "{accept}");
        }
        for accept in [
            format!("application/jose;kid={id}"),
            format!("a/b,application/jose; kid=\"{id}\""),
        ] {
            assert_eq!(of(&accept), Some(Some(Ok(id))), "{accept}");
        }
        assert!(matches!(
            of("application/jose;kid=mine"),
            Some(Some(Err(_)))
        ));
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "application/jose+json",
        ] {
            assert_eq!(of(accept), None, "{accept}");
        }
    }
}
