//! Encrypted answers: with `Accept: application/jose` the body comes as a JWE (RFC 7516) that only the owner of an RSA signing key
//! of the account can read. Problems too, as soon as it is known who asks.

use axum::{body::Body, response::Response};
use coffer_core::id::SigningKeyId;
use coffer_engine::{Caller, Recipient, RecipientError, SigningKeyError};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE},
};
use http_body_util::BodyExt as _;

use crate::{
    Api,
    problems::{Code, Problem},
};

const JOSE: &str = "application/jose";

/// The key that an answer is to be encrypted to, if that is asked for: the one with the id in `kid`, or the newest that works.
pub(crate) async fn recipient(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Option<Recipient>, Problem> {
    let Some(wanted) = headers.get_all(ACCEPT).iter().find_map(wanted) else {
        return Ok(None);
    };
    let found = match wanted {
        Some(Ok(id)) => api.engine().recipient(caller.place(), id).await,
        Some(Err(_)) => Err(RecipientError::Key(SigningKeyError::Unknown)),
        None => api.engine().newest_recipient(caller.place()).await,
    };
    found.map(Some).map_err(|error| {
        Problem::new(match error {
            RecipientError::Key(SigningKeyError::Unavailable) => Code::Unavailable,
            RecipientError::Key(
                SigningKeyError::Unknown | SigningKeyError::Revoked | SigningKeyError::Expired,
            )
            | RecipientError::OnlySigns => Code::EncryptionKeyMissing,
        })
    })
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

/// The answer, encrypted. One without a body stays as it is: not everybody opens a message in which nothing is.
pub(crate) async fn encrypt(key: &Recipient, mut response: Response) -> Result<Response, Problem> {
    let unavailable = || Problem::new(Code::Unavailable);
    let body = std::mem::take(response.body_mut()).collect().await;
    let body = body.map_err(|_| unavailable())?.to_bytes();
    if body.is_empty() {
        return Ok(response);
    }
    let media_type = response.headers().get(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or("application/octet-stream");
    let sealed = key.seal(media_type, &body).map_err(|_| unavailable())?;
    *response.body_mut() = Body::from(sealed);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JOSE));
    if let Some(name) = headers.get(CONTENT_DISPOSITION).and_then(sealed_name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// A file does not have the name of what is sealed in it.
fn sealed_name(disposition: &HeaderValue) -> Option<HeaderValue> {
    let named = disposition.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::try_from(format!("{named}.jwe\"")).ok()
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
