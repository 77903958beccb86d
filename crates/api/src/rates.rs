//! What answers say of rates: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), `Retry-After`, and the
//! problem of whoever exceeds one.

use coffer_core::rate::WINDOW_S;
use coffer_engine::{Allowance, Excess, LimitName};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::problems::{Code, Problem};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Tells how a rate stands.
pub(crate) fn tell(headers: &mut HeaderMap, allowance: &Allowance) {
    let Allowance {
        limit,
        rate,
        left,
        full_in_s,
    } = allowance;
    let name = limit.as_str();
    let policy = Text::quoted(name)
        .number(";q=", rate.per_minute())
        .number(";w=", WINDOW_S)
        .number(";burst=", rate.burst());
    if let Ok(policy) = HeaderValue::try_from(policy.0) {
        headers.insert(POLICY, policy);
    }
    let standing = Text::quoted(name)
        .number(";r=", *left)
        .number(";t=", *full_in_s);
    if let Ok(standing) = HeaderValue::try_from(standing.0) {
        headers.insert(STANDING, standing);
    }
}

/// The text of a header. It is written for every answer, and `format!` would take several times as long.
struct Text(Vec<u8>);

impl Text {
    fn quoted(word: &str) -> Self {
        let mut text = Vec::with_capacity(64);
        text.push(b'"');
        text.extend_from_slice(word.as_bytes());
        text.push(b'"');
        Self(text)
    }

    /// With a number and what stands before it.
    fn number(mut self, before: &str, number: i64) -> Self {
        self.0.extend_from_slice(before.as_bytes());
        let mut digits = itoa::Buffer::new();
        self.0.extend_from_slice(digits.format(number).as_bytes());
        self
    }
}

/// The problem of who has exceeded a limit.
pub(crate) fn problem(excess: &Excess) -> Problem {
    let Excess {
        limit,
        retry_after_s,
        ..
    } = excess;
    Problem::with_detail(Code::RateExceeded, advice(*limit)).limited(*limit, *retry_after_s)
}

/// What to do about it.
pub(crate) const fn advice(limit: LimitName) -> &'static str {
    match limit {
        LimitName::Concurrency => {
            "Wait for the answer of a request before you send another, or use another key."
        }
        LimitName::Key => {
            "Repeat the request after the time in the Retry-After header; use another key, or give this one a higher rate, if this is regular traffic."
        }
        LimitName::Account => {
            "Repeat the request after the time in the Retry-After header; all keys of the account and mode share this limit, which the operator can raise."
        }
        LimitName::Detection => {
            "Repeat the request after the time in the Retry-After header. What came before looked hostile: GET /v1/blocks says why."
        }
        LimitName::Address => {
            "Repeat the request after the time in the Retry-After header, with a key that works."
        }
    }
}
