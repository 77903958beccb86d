//! Who calls: the only file that turns a presented API key into a [`Caller`], and the only one that reads the key.
//!
//! A caller is made for one route: its kind of key and its permission are checked before the caller exists for anyone.

use coffer_core::{api_key::KeyKind, permission::Permission};
use coffer_engine::{
    AssertionError, AuthenticationError, CallOrigin, Caller, Engine, Presented, SigningKeyError,
    VerifiedSignature,
};
use data_encoding::BASE64;
use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, ORIGIN, USER_AGENT},
};
use zeroize::Zeroizing;

use crate::{
    Api,
    call::Incoming,
    gate::client::Credentials,
    oauth,
    problems::{self, Code, Problem},
    routes::{About, RouteRow},
};

/// Headers that browsers send and nobody else (Fetch Metadata; scripts cannot remove them). Not `Sec-Fetch-Mode`, which Node's
/// `fetch` sends too.
const BROWSERS: [HeaderName; 2] = [ORIGIN, HeaderName::from_static("sec-fetch-site")];

/// What a route asks of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    /// The kinds of key that may call it.
    pub(crate) kinds: &'static [KeyKind],
    /// The permission that the key needs; none means that any key of these kinds will do.
    pub(crate) permission: Option<Permission>,
}

/// The caller who presents a key in these headers, whatever it may do.
pub(crate) async fn identify(
    engine: &Engine,
    headers: &HeaderMap,
    origin: CallOrigin,
) -> Result<Caller, Problem> {
    let key = presented(headers)?;
    let caller = engine.authenticate(sent(&key, headers), origin).await;
    caller.map_err(problem)
}

/// The caller who presents a key as the secret of an OAuth client (RFC 6749, 2.3.1), with these headers; or an assertion (RFC 7523),
/// which is yet to be counted.
pub(crate) async fn identify_client(
    api: &Api,
    headers: &HeaderMap,
    origin: CallOrigin,
    credentials: &Credentials,
) -> Result<(Caller, Option<VerifiedSignature>), Problem> {
    let engine = api.engine();
    let identified = match credentials {
        Credentials::Secret(client, key) => {
            let presented = sent(key, headers);
            let caller = engine.authenticate_client(client, presented, origin).await;
            caller.map(|caller| (caller, None))
        }
        Credentials::Assertion(named, assertion) => {
            let named = named.as_ref().map(|named| named.as_str());
            let presented = (sent(assertion, headers), named);
            let [issuer, endpoint] = oauth::audiences(&api.settings().api_origin);
            let audiences = [issuer.as_str(), &endpoint];
            let verifying = engine.authenticate_assertion(presented, &audiences, origin);
            let verified = Box::pin(verifying).await;
            verified.map(|(caller, proof)| (caller, Some(proof)))
        }
    };
    identified.map_err(problem)
}

/// The caller whose assertion counts from here on, if it does for the first time.
pub(crate) async fn count_assertion(
    engine: &Engine,
    caller: Caller,
    proof: VerifiedSignature,
) -> Result<Caller, Problem> {
    engine.assertion_count(caller, proof).await.map_err(problem)
}

fn sent<'a>(text: &'a str, headers: &'a HeaderMap) -> Presented<'a> {
    Presented {
        text,
        client: headers.get(USER_AGENT).and_then(|name| name.to_str().ok()),
        by_browser: BROWSERS.iter().any(|name| headers.contains_key(name)),
    }
}

/// Whether the caller's key may enter a route.
pub(crate) fn permit(engine: &Engine, caller: &Caller, rights: Rights) -> Result<(), Problem> {
    if !rights.kinds.contains(&caller.kind()) {
        return Err(Problem::new(Code::KeyKindWrong));
    }
    match rights.permission {
        Some(needed) if !engine.allows(caller, needed) => Err(if caller.by_token() {
            Problem::scope_missing(needed)
        } else {
            Problem::permission_missing(needed)
        }),
        Some(_) | None => Ok(()),
    }
}

/// Whether a request names the only object that its caller's access token is good for, if that is for one. Another object is
/// answered as what never was.
pub(crate) fn reach(caller: &Caller, row: &RouteRow, incoming: &Incoming) -> Result<(), Problem> {
    let Some(only) = caller.only_object() else {
        return Ok(());
    };
    let only = only.to_string();
    let (named, object) = match row.about() {
        About::Path(object) => (Some(incoming.name.clone()), object),
        About::Field(field) => (incoming.named(field), field),
        About::Nothing if row.permission().is_none() => return Ok(()),
        About::Nothing => (None, ""),
    };
    match named {
        Some(named) if named == only => Ok(()),
        Some(_) => Err(Problem::not_found(object)),
        None => Err(Problem::new(Code::OneObjectOnly)),
    }
}

fn problem(error: AuthenticationError) -> Problem {
    Problem::new(match error {
        AuthenticationError::TooManyFailures { retry_after_s } => {
            return problems::too_many_failures(retry_after_s);
        }
        AuthenticationError::Malformed => Code::KeyMalformed,
        AuthenticationError::Unknown => Code::KeyUnknown,
        AuthenticationError::Revoked => Code::KeyRevoked,
        AuthenticationError::Frozen => Code::KeyFrozen,
        AuthenticationError::Expired => Code::KeyExpired,
        AuthenticationError::AddressNotAllowed => Code::AddressNotAllowed,
        AuthenticationError::InBrowser => Code::KeyInBrowser,
        AuthenticationError::TokenUnknown => Code::AccessTokenUnknown,
        AuthenticationError::TokenExpired => Code::AccessTokenExpired,
        AuthenticationError::TokenRevoked => Code::AccessTokenRevoked,
        AuthenticationError::Assertion(error) => {
            return Problem::with_detail(Code::ClientAssertionInvalid, advice(error));
        }
        AuthenticationError::Unavailable => Code::Unavailable,
    })
}

/// What to do about an assertion that does not count. Who has proven nothing is told the same of every client and key.
const fn advice(error: AssertionError) -> &'static str {
    match error {
        AssertionError::Malformed(wrong) => wrong,
        AssertionError::Mismatch => {
            "It is not the signature of this client by this signing key: sub names an API key, kid a signing key that was registered for it, alg how that signs."
        }
        AssertionError::OtherClient => {
            "The signing key does not stand for this API key: register one with it as the client."
        }
        AssertionError::Key(SigningKeyError::Expired) => {
            "The signing key has a successor, and its time is over: sign with that one."
        }
        AssertionError::Key(
            SigningKeyError::Revoked | SigningKeyError::Unknown | SigningKeyError::Unavailable,
        ) => "The signing key was revoked: sign with another one.",
        AssertionError::SecretRotated => {
            "The API key's secret was rotated after the signing key was registered for it: rotate the signing key, or register another one."
        }
        AssertionError::Expired => "exp has come: sign an assertion for each request.",
        AssertionError::EndsLate => "exp is more than 300 seconds away.",
        AssertionError::TooOld => {
            "iat is more than 300 seconds ago: sign an assertion for each request, and look at the clock."
        }
        AssertionError::Ahead => "iat or nbf is in time to come: look at the clock.",
        AssertionError::Used => {
            "The jti was used before: sign an assertion for each request, a repetition too."
        }
    }
}

/// The key as it stands in `Authorization`: Bearer (RFC 6750), or Basic (RFC 7617) with an empty password.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Zeroizing<String>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Problem::new(Code::KeyMissing))?;
    if values.next().is_some() {
        return Err(Problem::with_detail(
            Code::KeyMalformed,
            "Send one Authorization header only.",
        ));
    }
    let malformed = || {
        Problem::with_detail(
            Code::KeyMalformed,
            "Send the key as Authorization: Bearer KEY.",
        )
    };
    value.to_str().ok().and_then(of_value).ok_or_else(malformed)
}

/// The key in the value of an `Authorization`.
pub(crate) fn of_value(value: &str) -> Option<Zeroizing<String>> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(Zeroizing::new(rest.to_owned()))
    } else if scheme.eq_ignore_ascii_case("basic") {
        from_basic(rest)
    } else {
        None
    }
}

fn from_basic(encoded: &str) -> Option<Zeroizing<String>> {
    let decoded = Zeroizing::new(BASE64.decode(encoded.as_bytes()).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    password.is_empty().then(|| Zeroizing::new(user.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Result<String, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        presented(&headers)
            .map(|key| key.to_string())
            .map_err(|problem| problem.code())
    }

    #[test]
    fn no_key_is_told_from_one_that_is_written_wrongly() {
        assert_eq!(of(&[]), Err(Code::KeyMissing));
        for wrong in [
            "",
            "Bearer",
            "sk_test_1",
            "Digest a",
            "Basic !!",
            "Basic YTpi",
            "Basic c2s=",
        ] {
            assert_eq!(of(&[wrong]), Err(Code::KeyMalformed), "{wrong}");
        }
        assert_eq!(of(&["Bearer a", "Bearer b"]), Err(Code::KeyMalformed));
    }

    #[test]
    fn bearer_and_basic_with_an_empty_password_carry_a_key() {
        assert_eq!(of(&["Bearer sk_test_1"]), Ok("sk_test_1".to_owned()));
        assert_eq!(of(&["bearer  sk_test_1"]), Ok("sk_test_1".to_owned()));
        assert_eq!(of(&["Basic c2tfdGVzdF8xOg=="]), Ok("sk_test_1".to_owned()));
    }
}
