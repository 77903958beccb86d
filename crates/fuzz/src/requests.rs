//! What merchants send to the API.

use coffer_core::{
    brand::holds_card_number,
    id::{ApiKeyId, SigningKeyId, TokenId},
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header::AUTHORIZATION};
use serde_json::Value;

/// A body that is accepted has known fields only, and no card number but as an id of ours.
pub(crate) fn body(bytes: &[u8]) {
    for (fields, known) in coffer_api::fuzzing::bodies(bytes) {
        for (name, value) in fields {
            assert!(known.contains(&name), "an unknown field was accepted");
            let takes_id =
                ["payment", "customer", "card", "token", "client"].contains(&name.as_str());
            assert!(takes_id || !holds(&value), "a card number was accepted");
        }
    }
    for (name, value) in coffer_api::fuzzing::form(bytes) {
        let said = value.as_str().unwrap_or_default();
        assert!(!said.is_empty(), "{name} counts as left out");
    }
    if let Some(token) = coffer_api::fuzzing::checkout_token(bytes) {
        assert_eq!(
            token.parse::<TokenId>().map(|token| token.to_string()),
            Ok(token)
        );
    }
    if let Some(written) = std::str::from_utf8(bytes)
        .ok()
        .and_then(coffer_engine::fuzzing::stored_metadata)
    {
        assert_eq!(
            coffer_engine::fuzzing::stored_metadata(&written),
            Some(written)
        );
    }
}

fn holds(value: &Value) -> bool {
    match value {
        Value::String(text) => holds_card_number(text),
        Value::Array(items) => items.iter().any(holds),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| holds_card_number(name) || holds(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// An address that is accepted holds no key, plain or encoded.
pub(crate) fn address(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else {
        return;
    };
    if coffer_api::fuzzing::address(&uri).is_some() {
        let text = uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            !text.contains("sk_live_") && !text.contains("sk_test_"),
            "a key was accepted"
        );
    }
}

/// A key is one word of the header, or the user of Basic; an idempotency key is short and visible.
pub(crate) fn head(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value.clone());
    headers.insert(HeaderName::from_static("idempotency-key"), value);
    if let Some(key) = coffer_api::fuzzing::presented_key(&headers) {
        assert!(key.len() <= bytes.len());
    }
    if coffer_api::fuzzing::idempotency_key(&headers) {
        assert!(bytes.len() <= 255 && bytes.iter().all(u8::is_ascii_graphic));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = coffer_api::fuzzing::id_or_no_card_number(text);
    }
}

/// Three lines are the headers of a signature and of a digest; the rest is the body. What is accepted is within its limits and has
/// one spelling, and a digest is one of the body.
pub(crate) fn signature(bytes: &[u8]) {
    let mut lines = bytes.splitn(4, |&byte| byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in ["signature-input", "signature", "content-digest"] {
        let line = lines.next().unwrap_or_default();
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.insert(name, value);
        }
    }
    let body = lines.next().unwrap_or_default();
    if coffer_api::fuzzing::content_digest(&headers, body) {
        let sent = headers["content-digest"].to_str().expect("a dictionary");
        let digest = coffer_crypto::digest(&[body]).to_vec();
        let longer = coffer_crypto::digest_512(body).to_vec();
        // The last symbol has bits to spare, which a reader is not to look at (RFC 9651, 4.2.7).
        let spelled = [digest, longer].map(|digest| {
            let text = BASE64.encode(&digest);
            text.trim_end_matches('=')
                .split_at(digest.len() * 8 / 6)
                .0
                .to_owned()
        });
        assert!(spelled.iter().any(|digest| sent.contains(digest)));
    }
    let Some((components, nonce, params)) = coffer_api::fuzzing::signature(&headers) else {
        return;
    };
    assert!(components.len() <= 32 && (16..=128).contains(&nonce.len()));
    assert!((1..components.len()).all(|at| !components[..at].contains(&components[at])));
    assert!(
        params.is_ascii() && !params.contains('\n'),
        "a line of its own"
    );
    let again = HeaderValue::try_from(format!("sig={params}")).expect("visible");
    headers.insert("signature-input", again);
    headers.insert("signature", HeaderValue::from_static("sig=:AA==:"));
    let again = coffer_api::fuzzing::signature(&headers).expect("spelled well");
    assert_eq!(again, (components, nonce, params));
}

/// A client's assertion, or the header and the claims of one in two lines. What is accepted has one spelling, names two keys, and
/// counts once by a text that every store keeps.
pub(crate) fn client_assertion(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let encoded = text.split_once('\n').map(|(header, claims)| {
        let [header, claims] = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
        format!("{header}.{claims}.AAAA")
    });
    let sent = encoded.as_deref().unwrap_or(text);
    let read = coffer_engine::fuzzing::client_assertion(sent, &["https://api.example"]);
    let Some((key, client, id, signature)) = read else {
        return;
    };
    assert!(key.parse::<SigningKeyId>().is_ok() && client.parse::<ApiKeyId>().is_ok());
    assert!((16..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    let (message, _) = sent.rsplit_once('.').expect("parts");
    let again = format!("{message}.{}", BASE64URL_NOPAD.encode(&signature));
    assert_eq!(again, sent, "another spelling");
    let encoded = |part: &str| {
        BASE64URL_NOPAD.encode(&BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url"))
    };
    let parts: Vec<_> = message.split('.').map(encoded).collect();
    assert_eq!(parts.join("."), message, "another spelling");
}
