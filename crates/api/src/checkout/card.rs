//! A payer pays: the token of the card that the vault's frame took, sent by the page's own script.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use coffer_core::id::TokenId;
use http::{HeaderMap, HeaderName, header::ORIGIN};
use serde::Deserialize;

use super::{CARD, Named, origin, payer, read, refusal, standing};
use crate::{
    Api,
    layers::check_content_type,
    problems::{Code, Problem, Stop},
};

/// The largest body: a token.
const BODY_MAX: usize = 1024;
/// Says which kind of page made a browser send a request (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed<'a> {
    token: &'a str,
}

/// Pays with a token, and says how the payment stands then.
pub(super) async fn pay(
    State(api): State<Api>,
    Path((payment, secret)): Named,
    request: Request,
) -> Response {
    let origin = origin(&request, CARD);
    let id = origin.request_id;
    let (head, body) = request.into_parts();
    let charged = async {
        admit(&head.headers, &api.settings().checkout_origin)?;
        let payer = payer(&api, &payment, &secret, origin)?;
        let token = token(&read(body, BODY_MAX, "Send a token alone.").await?)?;
        Ok::<_, Stop>(api.engine().checkout_pay(payer, token).await?)
    };
    match charged.await {
        Ok(view) => standing(&view),
        Err(stop) => refusal(&api, stop, id),
    }
}

fn admit(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    check_origin(headers, own)?;
    check_content_type(headers)
}

/// Only the page itself may pay. A browser always says where a POST comes from.
fn check_origin(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let is_own = origins.next().is_some_and(|origin| origin == own) && origins.next().is_none();
    let same = headers
        .get_all(FETCH_SITE)
        .iter()
        .all(|site| site == "same-origin");
    if is_own && same {
        return Ok(());
    }
    Err(Problem::with_detail(
        Code::Refused,
        "Only the checkout page itself may send this.",
    ))
}

pub(crate) fn token(body: &[u8]) -> Result<TokenId, Problem> {
    let typed: Typed<'_> =
        serde_json::from_slice(body).map_err(|_| Problem::new(Code::JsonInvalid))?;
    typed
        .token
        .parse()
        .map_err(|malformed| Problem::malformed("token", malformed))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const OWN: &str = "https://pay.example";

    fn allowed(headers: &[(HeaderName, &'static str)]) -> bool {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, HeaderValue::from_static(value));
        }
        check_origin(&all, OWN).is_ok()
    }

    #[test]
    fn only_the_page_itself_may_pay() {
        assert!(allowed(&[(ORIGIN, OWN)]));
        assert!(allowed(&[(ORIGIN, OWN), (FETCH_SITE, "same-origin")]));
        assert!(!allowed(&[]));
        for other in [
            "null",
            "https://shop.example",
            "http://pay.example",
            "https://pay.example:8443",
            "",
        ] {
            assert!(!allowed(&[(ORIGIN, other)]), "{other}");
        }
        assert!(!allowed(&[(ORIGIN, OWN), (ORIGIN, "https://shop.example")]));
        for site in ["same-site", "cross-site", "none"] {
            assert!(!allowed(&[(ORIGIN, OWN), (FETCH_SITE, site)]), "{site}");
        }
    }

    #[test]
    fn a_body_is_one_token_and_nothing_else() {
        let good = TokenId::from_bytes([1; 16]);
        let body = format!("{{\"token\":\"{good}\"}}");
        assert_eq!(token(body.as_bytes()).ok(), Some(good));
        for bad in [
            "",
            "[]",
            "{}",
            "{\"token\":\"tok_test_approved\"}",
            "{\"token\":\"4242424242424242\"}",
            "{\"token\":1}",
        ] {
            assert!(token(bad.as_bytes()).is_err(), "{bad}");
        }
        let more = body.replace('}', ",\"amount\":1}");
        assert!(token(more.as_bytes()).is_err());
    }
}
