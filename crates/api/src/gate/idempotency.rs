//! `Idempotency-Key`: whether a POST is the first of its kind.

use bytes::Bytes;
use coffer_engine::{Begun, Caller, Fresh, IdempotencyKey};
use http::{HeaderMap, HeaderName, Uri};

use crate::{
    Api, card_numbers,
    problems::{Code, Problem, Stop},
};

/// The header with the caller's name for what it wants to happen once.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Finds out whether a POST is the first of its kind. The address belongs to what was asked, beside the body.
pub(super) async fn begin(
    api: &Api,
    caller: &Caller,
    (headers, uri): (&HeaderMap, &Uri),
    body: &Bytes,
) -> Result<Begun, Stop> {
    let Some(key) = idempotency_key(headers)? else {
        return Ok(Begun::Fresh(Fresh::unkeyed()));
    };
    let asked = [uri.path().as_bytes(), b"\n", body].concat();
    Ok(api.engine().begin(caller, key, &asked).await?)
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if card_numbers::in_idempotency_key(text) {
        return Err(Problem::new(Code::CardNumberNotAllowed));
    }
    match (IdempotencyKey::parse(text), values.next()) {
        (Ok(key), None) => Ok(Some(key)),
        (Ok(_) | Err(_), _) => Err(Problem::new(Code::IdempotencyKeyInvalid)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_idempotency_key_is_one_short_visible_text_without_a_card_number() {
        let of = |values: &[&[u8]]| {
            let values = values
                .iter()
                .map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap()));
            let mut headers = HeaderMap::new();
            values.for_each(|(name, value)| {
                headers.append(name, value);
            });
            idempotency_key(&headers)
                .map(|key| key.is_some())
                .map_err(|problem| problem.code())
        };
        assert_eq!(of(&[]), Ok(false));
        assert_eq!(of(&[b"order-1042"]), Ok(true));
        assert_eq!(of(&[&[b'a'; 255]]), Ok(true));
        for wrong in [&[b'a'; 256][..], b"", b"two words", b"\xc3\xa4"] {
            assert_eq!(of(&[wrong]), Err(Code::IdempotencyKeyInvalid));
        }
        assert_eq!(of(&[b"one", b"two"]), Err(Code::IdempotencyKeyInvalid));
        assert_eq!(of(&[b"4242424242424242"]), Err(Code::CardNumberNotAllowed));
    }
}
