//! What answers say of rates: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), `Retry-After`, and the
//! problem of whoever exceeds one.

use std::fmt::Write as _;

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
    let (quota, burst) = (rate.per_minute(), rate.burst());
    let mut text = String::with_capacity(64);
    // Writing to a String cannot fail, and what is written is ASCII.
    let _ = write!(text, "\"{limit}\";q={quota};w={WINDOW_S};burst={burst}");
    if let Ok(policy) = HeaderValue::try_from(text.as_str()) {
        headers.insert(POLICY, policy);
    }
    text.clear();
    let _ = write!(text, "\"{limit}\";r={left};t={full_in_s}");
    if let Ok(standing) = HeaderValue::try_from(text.as_str()) {
        headers.insert(STANDING, standing);
    }
}

/// The problem of who has exceeded a limit.
pub(crate) fn problem(excess: &Excess) -> Problem {
    let Excess {
        limit,
        retry_after_s,
        ..
    } = excess;
    let detail = match limit {
        LimitName::Concurrency => {
            "Wait for the answer of a request before you send another, or use another key."
        }
        LimitName::Key => {
            "Repeat the request after the time in the Retry-After header; use another key, or give this one a higher rate, if this is regular traffic."
        }
        LimitName::Account => {
            "Repeat the request after the time in the Retry-After header; all keys of the account and mode share this limit, which the operator can raise."
        }
        LimitName::Address => {
            "Repeat the request after the time in the Retry-After header, with a key that works."
        }
    };
    Problem::with_detail(Code::RateExceeded, detail).limited(*limit, *retry_after_s)
}
