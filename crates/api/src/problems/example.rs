//! What an answer with a code looks like, made by the code that answers.

use std::fmt::Write as _;

use coffer_core::{
    id::RequestId,
    permission::{Permission, Resource},
};
use coffer_engine::LimitName;

use super::{Code, Problem, beyond_own_key, state_conflict};
use crate::oauth;

/// The id of the request.
const REQUEST: [u8; 16] = [
    0x01, 0x9a, 0xb3, 0x5c, 0x8e, 0x7d, 0x7f, 0x01, 0x8f, 0x42, 0x6d, 0x15, 0x2a, 0x93, 0xc4, 0x5b,
];

/// Problems that say more than their code does.
const SAYING_MORE: &[fn() -> Problem] = &[
    || Problem::permission_missing(Permission::write(Resource::Refunds)),
    || Problem::field_missing("amount"),
    || Problem::field_unknown("amonut"),
    || {
        Problem::field_invalid(
            "currency",
            "an ISO 4217 currency code in capitals, such as EUR",
        )
    },
    || Problem::not_found("payment"),
    || state_conflict("payment", "captured", "authorized"),
    || beyond_own_key("permissions"),
    || Problem::new(Code::RateExceeded).limited(LimitName::Key, 3),
    || signed(Problem::new(Code::SignatureRequired)),
    || {
        signed(Problem::with_detail(
            Code::SignatureInvalid,
            "The signature has expired: sign the request anew.",
        ))
    },
    || {
        Problem::with_detail(
            Code::ClientAssertionInvalid,
            "exp is more than 300 seconds away.",
        )
    },
    || Problem {
        amount_left: Some(500),
        ..Problem::with_detail(Code::AmountTooLarge, "Send at most 500 minor units of EUR.")
    },
];

fn signed(problem: Problem) -> Problem {
    let wanted = r#"sig=("@method" "@target-uri" "authorization" "content-digest" "idempotency-key");created"#;
    problem.with_signature(wanted.to_owned())
}

/// The only code that comes with a success.
const SHOWN: &str = r#"HTTP/1.1 200 OK
content-type: application/json
idempotent-replayed: true

{
  "id": "we_06aj6pwefng3fdy2dmam50wrep",
  "type": "webhook_endpoint",
  "secret": null,
  "code": "secret_already_shown"
}"#;

/// An answer with this code, as HTTP, without the headers that every answer has.
pub(super) fn example(code: Code, api_origin: &str) -> String {
    if code == Code::SecretAlreadyShown {
        return SHOWN.to_owned();
    }
    let mut saying_more = SAYING_MORE.iter().map(|made| made());
    let problem = saying_more
        .find(|problem| problem.code == code)
        .unwrap_or_else(|| Problem::new(code));
    let id = RequestId::from_bytes(REQUEST);
    let (response, body) = if code == Code::ClientAssertionInvalid {
        // Only OAuth's endpoints answer with it, in their own form.
        let body = serde_json::to_string_pretty(&oauth::refusal_view(&problem, api_origin));
        (oauth::refusal(problem, api_origin), body)
    } else {
        let body = serde_json::to_string_pretty(&problem.clone().view(api_origin, id));
        (problem.answer(api_origin, id), body)
    };
    let mut text = format!("HTTP/1.1 {}\n", response.status());
    for (name, value) in response.headers() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", value.to_str().unwrap_or_default());
    }
    let _ = write!(text, "\n{}", body.unwrap_or_default());
    text
}
