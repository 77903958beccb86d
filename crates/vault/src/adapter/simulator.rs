//! The simulator's protocol: JSON over HTTPS, `Idempotency-Key` on every operation, look-up by that key.

use std::io::Cursor;

use coffer_core::{Expiry, Money, decline::DeclineReason, id::AttemptId, limits::URL_MAX};
use coffer_net::contract::vault::TestToken;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Ask, PlainCard, ProviderRequest, Reply, TooLong, Verdict};
use crate::{CardNumber, Error};

/// The longest request; its buffer never grows, since growing would leave a copy of the card behind.
const REQUEST_MAX: usize = 8 * 1024;
/// The longest id of an operation.
const REFERENCE_MAX: usize = 64;

#[derive(Serialize)]
struct Authorize<'a> {
    amount: i64,
    currency: &'a str,
    card: CardMessage<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
}

#[derive(Serialize)]
struct CardMessage<'a> {
    number: &'a str,
    exp_month: i64,
    exp_year: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cvc: Option<&'a str>,
}

#[derive(Serialize)]
struct Amount {
    amount: i64,
}

#[derive(Deserialize)]
struct Answer {
    id: String,
    status: String,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    challenge_url: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

pub(super) fn request(attempt: AttemptId, ask: &Ask<'_>) -> Result<ProviderRequest, TooLong> {
    let (path, body) = match ask {
        Ask::Authorize {
            money,
            card,
            return_url,
        } => (
            "/v1/authorizations".to_owned(),
            write(&authorize(*money, card, *return_url))?,
        ),
        Ask::Capture { money, reference } => (follow_up(reference, "capture"), amount(*money)?),
        // All that is still reserved.
        Ask::Void { reference } => (follow_up(reference, "void"), Zeroizing::default()),
        Ask::Refund { money, reference } => (follow_up(reference, "refund"), amount(*money)?),
    };
    Ok(ProviderRequest {
        method: Method::POST,
        path,
        idempotency_key: Some(attempt),
        body,
    })
}

pub(super) fn look_up(attempt: AttemptId) -> ProviderRequest {
    ProviderRequest {
        method: Method::GET,
        path: format!("/v1/operations/{attempt}"),
        idempotency_key: None,
        body: Zeroizing::default(),
    }
}

/// The answer to an operation.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Reply {
    match status {
        StatusCode::OK => serde_json::from_slice(body)
            .ok()
            .and_then(understand)
            .unwrap_or_else(Reply::unclear),
        // The protocol promises that nothing was done.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND
            if is_problem(body) =>
        {
            Reply::not_done()
        }
        _ => Reply::unclear(),
    }
}

/// The answer to a look-up. Only the provider's own "not found" counts, not that of something in between.
pub(super) fn read_look_up(status: StatusCode, body: &[u8]) -> Reply {
    match status {
        StatusCode::OK => read(status, body),
        StatusCode::NOT_FOUND if problem_code(body).as_deref() == Some("not_found") => Reply {
            verdict: Verdict::NotFound,
            reference: None,
        },
        _ => Reply::unclear(),
    }
}

/// The published card behind a test token (docs/testing.md). It is nobody's card.
pub(crate) fn test_card(token: TestToken) -> Result<PlainCard, Error> {
    let number = match token {
        TestToken::Approved => "4242424242424242",
        TestToken::Challenge => "4000000000003220",
        TestToken::DoNotHonor => "4000000000000002",
        TestToken::InsufficientFunds => "4000000000009995",
        TestToken::CardExpired => "4000000000000069",
        TestToken::IncorrectCvc => "4000000000000127",
        TestToken::IncorrectNumber => "4000000000000259",
        TestToken::LostCard => "4000000000009987",
        TestToken::StolenCard => "4000000000009979",
        TestToken::FraudSuspected => "4100000000000019",
        TestToken::LimitExceeded => "4000000000006975",
        TestToken::NotSupported => "4000000000000341",
        TestToken::ProcessingError => "4000000000000119",
    };
    let number = CardNumber::parse(number)
        .map_err(|_| Error::Defect("a test card has no valid number".to_owned()))?;
    Ok(PlainCard {
        number,
        expiry: Expiry::new(12, 2099)?,
        cvc: None,
    })
}

fn authorize<'a>(money: Money, card: &'a PlainCard, return_url: Option<&'a str>) -> Authorize<'a> {
    Authorize {
        amount: money.amount(),
        currency: money.currency().code(),
        card: CardMessage {
            // Exposed to be written into the provider's request, whose buffer is wiped.
            number: card.number.expose_digits(),
            exp_month: card.expiry.month(),
            exp_year: card.expiry.year(),
            // Exposed to be written there, too.
            cvc: card.cvc.as_ref().map(|cvc| cvc.expose_digits()),
        },
        return_url,
    }
}

fn amount(money: Money) -> Result<Zeroizing<Vec<u8>>, TooLong> {
    write(&Amount {
        amount: money.amount(),
    })
}

fn follow_up(reference: &str, operation: &str) -> String {
    format!("/v1/authorizations/{reference}/{operation}")
}

fn write(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, TooLong> {
    let mut buffer = Zeroizing::new(vec![0; REQUEST_MAX]);
    let mut cursor = Cursor::new(buffer.as_mut_slice());
    serde_json::to_writer(&mut cursor, message).map_err(|_| TooLong)?;
    let length = usize::try_from(cursor.position()).map_err(|_| TooLong)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// `None` for an answer that contradicts the protocol.
fn understand(answer: Answer) -> Option<Reply> {
    let Answer {
        id,
        status,
        decline_code,
        challenge_url,
    } = answer;
    let verdict = match status.as_str() {
        "approved" | "succeeded" => Verdict::Succeeded,
        // A reason that is none of our words is still a decline.
        "declined" | "failed" => Verdict::Failed(
            decline_code
                .and_then(|code| code.parse().ok())
                .unwrap_or(DeclineReason::ProcessingError),
        ),
        "challenge" => Verdict::Challenged(challenge_url.filter(|url| is_address(url))?),
        _ => return None,
    };
    is_reference(&id).then_some(Reply {
        verdict,
        reference: Some(id),
    })
}

fn is_reference(text: &str) -> bool {
    let shape = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=REFERENCE_MAX).contains(&text.len()) && text.bytes().all(shape)
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://")
        && text.len() <= URL_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_problem(body: &[u8]) -> bool {
    problem_code(body).is_some()
}

fn problem_code(body: &[u8]) -> Option<String> {
    serde_json::from_slice(body)
        .ok()
        .map(|Problem { code }| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        read(StatusCode::from_u16(status).unwrap(), body.as_bytes()).verdict
    }

    #[test]
    fn what_cannot_be_relied_on_is_unclear_and_never_a_decline() {
        for (status, body) in [
            (200, ""),
            (200, "garbage"),
            (200, r#"{"id":"sim_1","status":"paid"}"#),
            (200, r#"{"id":"../x","status":"approved"}"#),
            (200, r#"{"id":"sim_1","status":"challenge"}"#),
            (
                200,
                r#"{"id":"sim_1","status":"challenge","challenge_url":"http://a/"}"#,
            ),
            (201, r#"{"id":"sim_1","status":"approved"}"#),
            (404, "<html>not found</html>"),
            (409, r#"{"code":"idempotency_key_reused"}"#),
            (500, r#"{"code":"ordered_failure"}"#),
            (503, r#"{"code":"unavailable"}"#),
        ] {
            assert_eq!(verdict(status, body), Verdict::Unclear, "{status} {body}");
        }
    }

    #[test]
    fn answers_of_the_protocol_are_understood() {
        assert_eq!(
            verdict(200, r#"{"id":"sim_1","status":"approved"}"#),
            Verdict::Succeeded
        );
        assert_eq!(
            verdict(200, r#"{"id":"sim_1","status":"succeeded"}"#),
            Verdict::Succeeded
        );
        let declined = r#"{"id":"sim_1","status":"declined","decline_code":"lost_card"}"#;
        assert_eq!(
            verdict(200, declined),
            Verdict::Failed(DeclineReason::LostCard)
        );
        let challenge = r#"{"id":"sim_1","status":"challenge","challenge_url":"https://p/c"}"#;
        assert_eq!(
            verdict(200, challenge),
            Verdict::Challenged("https://p/c".to_owned())
        );
        assert_eq!(
            verdict(401, r#"{"code":"unauthenticated"}"#),
            Verdict::Failed(DeclineReason::ProcessingError)
        );
    }

    #[test]
    fn only_the_providers_own_not_found_counts() {
        let look_up = |body: &str| read_look_up(StatusCode::NOT_FOUND, body.as_bytes()).verdict;
        assert_eq!(look_up(r#"{"code":"not_found"}"#), Verdict::NotFound);
        assert_eq!(look_up("<html></html>"), Verdict::Unclear);
        assert_eq!(look_up(r#"{"code":"gone"}"#), Verdict::Unclear);
    }

    #[test]
    fn every_test_token_has_a_card_and_the_request_names_it() {
        for &token in TestToken::ALL {
            let card = test_card(token).ok().unwrap();
            let shown = coffer_core::Last4::from_digits(token.last4());
            assert_eq!(Ok(card.number.last4()), shown, "{token}");
        }
        let card = test_card(TestToken::Approved).ok().unwrap();
        let money = Money::new(1999, "EUR".parse().unwrap()).unwrap();
        let ask = Ask::Authorize {
            money,
            card,
            return_url: None,
        };
        let request = request(AttemptId::from_bytes([1; 16]), &ask).unwrap();
        let expected = r#"{"amount":1999,"currency":"EUR","card":{"number":"4242424242424242","exp_month":12,"exp_year":2099}}"#;
        assert_eq!(std::str::from_utf8(&request.body).unwrap(), expected);
    }

    #[test]
    fn a_request_that_does_not_fit_is_not_made() {
        let card = test_card(TestToken::Approved).ok().unwrap();
        let money = Money::new(1, "EUR".parse().unwrap()).unwrap();
        let long = "x".repeat(REQUEST_MAX);
        let ask = Ask::Authorize {
            money,
            card,
            return_url: Some(&long),
        };
        assert!(request(AttemptId::from_bytes([1; 16]), &ask).is_err());
    }
}
