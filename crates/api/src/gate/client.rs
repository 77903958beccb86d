//! The way into the endpoints of OAuth: a form, then the client that sends it (RFC 6749, 2.3.1 and 3.2), and only then the
//! handler.

use axum::extract::Request;
use bytes::Bytes;
use coffer_core::api_key::KeyKind;
use coffer_engine::CallOrigin;
use data_encoding::BASE64;
use http::{HeaderMap, header::AUTHORIZATION};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Seen, limit, read_body, run};
use crate::{
    Api,
    answer::Outcome,
    auth::{self, Rights},
    call::{Call, Incoming},
    card_numbers,
    fields::Fields,
    layers,
    problems::{Code, Problem},
    query::{self, Query},
    room::Seat,
    routes::{RouteRow, Work},
};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
/// The parameters of a client that does not use HTTP Basic.
pub(crate) const CLIENT_ID: &str = "client_id";
pub(crate) const CLIENT_SECRET: &str = "client_secret";
/// Those of a client that sends no secret (RFC 7521, 4.2).
pub(crate) const CLIENT_ASSERTION: &str = "client_assertion";
pub(crate) const CLIENT_ASSERTION_TYPE: &str = "client_assertion_type";
/// The type of assertion that there is (RFC 7523, 2.2).
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const CLIENTS: Rights = Rights {
    kinds: &[KeyKind::Secret],
    permission: None,
};

/// How a client says that it is one.
pub(crate) enum Credentials {
    /// By an API key's id, and the whole key.
    Secret(String, Zeroizing<String>),
    /// By what a signing key signed; beside it may be the client's id.
    Assertion(Option<Zeroizing<String>>, Zeroizing<String>),
}

/// A handler of such an endpoint.
type Handler = fn(Api, Call) -> Work;

pub(super) async fn enter(
    api: &Api,
    (from, row, seat): (CallOrigin, &'static RouteRow, Seat),
    request: &mut Request,
    handler: Handler,
    seen: &mut Seen,
) -> Outcome {
    let query = Query::read(request.uri(), row.query())?;
    let body = read_body(std::mem::take(request.body_mut())).await?;
    seen.bytes_in = body.len();
    let headers = request.headers();
    let mut fields = read_form(headers, &body)?;
    let credentials = credentials(headers, &mut fields)?;
    let (caller, proof) = auth::identify_client(api, headers, from, &credentials).await?;
    seen.caller = Some(caller.clone());
    auth::permit(api.engine(), &caller, CLIENTS)?;
    api.engine().can_record()?;
    let passage = limit(api, row, &caller, seen).await?;
    let caller = match proof {
        Some(proof) => auth::count_assertion(api.engine(), caller, proof).await?,
        None => caller,
    };
    seen.caller = Some(caller.clone());
    if card_numbers::in_body(&fields) {
        return Err(Problem::new(Code::CardNumberNotAllowed).into());
    }
    let known = row.request().map(|takes| (takes.object)().properties);
    fields.retain(|name, _| known.as_ref().is_some_and(|known| known.contains_key(name)));
    let incoming = Incoming {
        query,
        name: String::new(),
        from,
        origin: None,
        fields,
    };
    let work = handler(api.clone(), Call { caller, incoming });
    run(request.method(), work, (seat, passage)).await
}

/// The parameters of a form. One without a value counts as left out, and none may come twice (RFC 6749, 3.2).
pub(crate) fn read_form(headers: &HeaderMap, body: &Bytes) -> Result<Fields, Problem> {
    let mut fields = Fields::new();
    if body.is_empty() {
        return Ok(fields);
    }
    if !layers::is_plain(headers, FORM) {
        let detail = "Send the header Content-Type: application/x-www-form-urlencoded.";
        return Err(Problem::with_detail(Code::ContentTypeWrong, detail));
    }
    for pair in body.split(|&byte| byte == b'&') {
        let mut parts = pair.splitn(2, |&byte| byte == b'=');
        let (Some(name), Some(value)) = (decoded(parts.next()), decoded(parts.next())) else {
            let detail = "Send parameters as name=value, percent-encoded.";
            return Err(Problem::with_detail(Code::FieldInvalid, detail));
        };
        if value.is_empty() {
            continue;
        }
        if fields.contains_key(name.as_str()) {
            let detail = "Send each parameter once.";
            return Err(Problem::with_detail(Code::FieldInvalid, detail));
        }
        fields.insert(name, Value::String(value));
    }
    Ok(fields)
}

/// A name or a value with its encoding undone; what is not there is empty.
fn decoded(part: Option<&[u8]>) -> Option<String> {
    let text = std::str::from_utf8(part.unwrap_or_default()).ok()?;
    let bytes = query::decoded(&text.replace('+', " ")).into_owned();
    String::from_utf8(bytes).ok()
}

/// How a client says that it is one, in one way: its id and secret by HTTP Basic, each encoded as in a form, or as parameters; or an
/// assertion.
fn credentials(headers: &HeaderMap, fields: &mut Fields) -> Result<Credentials, Problem> {
    let mut taken = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Some(Zeroizing::new(text)),
        Some(_) | None => None,
    };
    let (id, secret) = (taken(CLIENT_ID), taken(CLIENT_SECRET));
    let asserted = (taken(CLIENT_ASSERTION), taken(CLIENT_ASSERTION_TYPE));
    if let (Some(_), _) | (_, Some(_)) = asserted {
        let is_only = secret.is_none() && !headers.contains_key(AUTHORIZATION);
        return Ok(Credentials::Assertion(id, assertion(asserted, is_only)?));
    }
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (id, secret) = match (sent.next(), id, secret) {
        (None, Some(id), Some(secret)) => (id, secret),
        (None, ..) => {
            let detail = "Send a key's id and the whole key by HTTP Basic, or as client_id and client_secret; or a client_assertion.";
            return Err(Problem::with_detail(Code::KeyMissing, detail));
        }
        (Some(_), _, Some(_)) => {
            let expected = "nothing beside an Authorization header";
            return Err(Problem::field_invalid(CLIENT_SECRET, expected));
        }
        (Some(value), named, None) => {
            let basic = value.to_str().ok().and_then(of_basic);
            let fits = |(id, _): &(Zeroizing<String>, _)| named.is_none_or(|named| named == *id);
            let only = sent.next().is_none();
            basic.filter(fits).filter(|_| only).ok_or_else(|| {
                let detail =
                    "Send one Authorization header: Basic, with a key's id and the whole key.";
                Problem::with_detail(Code::KeyMalformed, detail)
            })?
        }
    };
    Ok(Credentials::Secret(id.to_string(), secret))
}

/// The assertion, when nothing else says who the client is.
fn assertion(
    (assertion, kind): (Option<Zeroizing<String>>, Option<Zeroizing<String>>),
    is_only: bool,
) -> Result<Zeroizing<String>, Problem> {
    let assertion = assertion.ok_or(Problem::field_missing(CLIENT_ASSERTION))?;
    let kind = kind.ok_or(Problem::field_missing(CLIENT_ASSERTION_TYPE))?;
    if *kind != JWT_BEARER {
        return Err(Problem::field_invalid(CLIENT_ASSERTION_TYPE, JWT_BEARER));
    }
    if !is_only {
        let expected = "nothing beside an Authorization header or client_secret";
        return Err(Problem::field_invalid(CLIENT_ASSERTION, expected));
    }
    Ok(assertion)
}

fn of_basic(value: &str) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64.decode(encoded.trim_matches(' ').as_bytes()).ok()?;
    let bytes = Zeroizing::new(bytes);
    let (id, secret) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    let plain = |part: &str| decoded(Some(part.as_bytes())).map(Zeroizing::new);
    Some((plain(id)?, plain(secret)?))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONTENT_TYPE};

    use super::*;

    fn form(body: &'static str) -> Result<Fields, Code> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(FORM))]);
        read_form(&headers, &Bytes::from_static(body.as_bytes())).map_err(|problem| problem.code())
    }

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let fields = form("scope=payments%3Aread+refunds:read&grant_type=&a=b=c&&x").unwrap();
        let seen: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        assert_eq!(seen.len(), 2);
        assert_eq!(fields["scope"], "payments:read refunds:read");
        assert_eq!(fields["a"], "b=c");
        assert_eq!(form(""), Ok(Fields::new()));
        for wrong in ["a=1&a=1", "a=1&b=2&a=3", "a=%ff"] {
            assert_eq!(form(wrong), Err(Code::FieldInvalid), "{wrong}");
        }
        let other = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        assert!(read_form(&other, &Bytes::from_static(b"a=1")).is_err());
    }

    fn client(authorization: &[&str], body: &'static str) -> Result<(String, String), Code> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let mut fields = form(body).unwrap();
        let found = credentials(&headers, &mut fields);
        assert!(!fields.contains_key(CLIENT_SECRET));
        assert!(!fields.contains_key(CLIENT_ASSERTION));
        found
            .map(|found| match found {
                Credentials::Secret(id, secret) => (id, secret.to_string()),
                Credentials::Assertion(id, assertion) => (
                    id.map(|id| id.to_string()).unwrap_or_default(),
                    assertion.to_string(),
                ),
            })
            .map_err(|problem| problem.code())
    }

    const JWT: &str =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    const ASSERTION: &str = "client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    const BOTH: &str = "client_id=key_1&client_secret=sk_1&client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    #[test]
    fn a_client_says_who_it_is_in_one_way() {
        let (basic, other) = ("Basic a2V5XzE6c2slNUYx", "client_id=key_2");
        let known = Ok(("key_1".to_owned(), "sk_1".to_owned()));
        assert_eq!(client(&[basic], ""), known);
        assert_eq!(client(&[basic], "client_id=key_1"), known);
        assert_eq!(client(&[], "client_id=key_1&client_secret=sk_1"), known);
        let asserted = Ok((String::new(), "a.b.c".to_owned()));
        assert_eq!(client(&[], ASSERTION), asserted);
        for (authorization, body, code) in [
            (&[][..], "", Code::KeyMissing),
            (&[], "client_id=key_1", Code::KeyMissing),
            (&[], "client_secret=sk_1", Code::KeyMissing),
            (&[basic], "client_secret=sk_1", Code::FieldInvalid),
            (&[basic], other, Code::KeyMalformed),
            (&[basic, basic], "", Code::KeyMalformed),
            (&["Bearer sk_1"], "", Code::KeyMalformed),
            (&["Basic !"], "", Code::KeyMalformed),
            (&["Basic a2V5"], "", Code::KeyMalformed),
            (&[], "client_assertion=a.b.c", Code::FieldMissing),
            (&[], JWT, Code::FieldMissing),
            (
                &[],
                "client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
                Code::FieldInvalid,
            ),
            (&[basic], ASSERTION, Code::FieldInvalid),
            (&["Bearer sk_1"], ASSERTION, Code::FieldInvalid),
            (&[], BOTH, Code::FieldInvalid),
        ] {
            assert_eq!(
                client(authorization, body),
                Err(code),
                "{authorization:?} {body}"
            );
        }
    }
}
