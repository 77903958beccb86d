//! `Idempotency-Key`: what makes a POST one that is done once.

use bytes::Bytes;
use coffer_engine::{Caller, Fresh, IdempotencyKey};
use http::{HeaderMap, HeaderName, Uri};

use crate::{
    Api,
    call::Call,
    card_numbers,
    problems::{Code, Problem},
    routes::{Post, Work},
};

/// The header with the caller's name for what it wants to happen once.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a POST counts as the first with. The address belongs to what was asked, beside the body.
pub(super) fn fresh(
    api: &Api,
    caller: &Caller,
    (headers, uri): (&HeaderMap, &Uri),
    body: &Bytes,
) -> Result<Fresh, Problem> {
    let Some(key) = idempotency_key(headers)? else {
        return Ok(Fresh::unkeyed());
    };
    let asked = [uri.path().as_bytes(), b"\n", body].concat();
    Ok(api.engine().fresh(caller, key, &asked))
}

/// The work that a POST asks for, or the answer that it got before.
pub(super) fn once(api: &Api, fresh: Fresh, call: Call, handler: Post) -> Work {
    let api = api.clone();
    Box::pin(async move {
        let act = |fresh| handler(api.clone(), call, fresh);
        api.engine().once(fresh, act).await
    })
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
