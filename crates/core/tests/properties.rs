//! Rules of money, payments and texts that must hold for every input.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use coffer_core::{
    Currency, Mode, Money, Timestamp,
    api_key::{KeyKind, KeyText, compose},
    brand::{Brand, holds_card_number, luhn},
    id::{ApiKeyId, PaymentId},
    payment::{AttemptFact, AttemptStatus, Closing, Operation, PaymentStatus, Terms, standing},
};
use proptest::{collection::vec, prelude::*, sample::select};

fn facts() -> impl Strategy<Value = Vec<AttemptFact>> {
    let fact = (
        select(Operation::ALL),
        select(AttemptStatus::ALL),
        1_i64..1_000_000,
        any::<(bool, bool)>(),
    );
    let fact = fact.prop_map(
        |(operation, status, amount, (challenged, taken_back))| AttemptFact {
            operation,
            status,
            amount,
            challenged,
            withdrawn: taken_back && status == AttemptStatus::Failed,
        },
    );
    vec(fact, 0..8)
}

fn terms() -> impl Strategy<Value = Terms> {
    (select(Closing::ALL), any::<bool>(), 1_usize..5).prop_map(
        |(closing, at_checkout, tries_max)| Terms {
            closing,
            at_checkout,
            tries_max,
        },
    )
}

/// Digits of a number of this brand's first range that passes Luhn.
fn card_number() -> impl Strategy<Value = String> {
    let prefix = select(&["4", "51", "34", "6011", "3528", "36", "62"][..]);
    (prefix, vec(0_u8..10, 15)).prop_map(|(prefix, rest)| {
        let length = if prefix == "34" { 15 } else { 16 };
        let mut digits: Vec<u8> = prefix.bytes().map(|byte| byte - b'0').collect();
        digits.extend(rest);
        digits.truncate(length - 1);
        for check in 0..10 {
            let whole = [&digits[..], &[check]].concat();
            if luhn(&whole) {
                return whole.iter().map(|digit| char::from(b'0' + digit)).collect();
            }
        }
        String::new()
    })
}

proptest! {
    #[test]
    fn amounts_of_a_payment_are_what_succeeded(terms in terms(), facts in facts()) {
        let sum = |operation| -> i64 {
            let done = |fact: &&AttemptFact| fact.operation == operation && fact.status == AttemptStatus::Succeeded;
            facts.iter().filter(done).map(|fact| fact.amount).sum()
        };
        let standing = standing(terms, &facts);
        prop_assert_eq!(standing.captured, sum(Operation::Capture));
        prop_assert_eq!(standing.refunded, sum(Operation::Refund));
    }

    #[test]
    fn money_taken_is_never_shown_as_not_taken(terms in terms(), facts in facts()) {
        let standing = standing(terms, &facts);
        let taken = [PaymentStatus::Captured, PaymentStatus::PartiallyRefunded, PaymentStatus::Refunded];
        prop_assert_eq!(standing.captured > 0, taken.contains(&standing.status));
        if standing.status == PaymentStatus::Refunded {
            prop_assert!(standing.refunded >= standing.captured);
        }
    }

    #[test]
    fn an_open_authorization_is_neither_a_decline_nor_a_success(terms in terms(), facts in facts()) {
        let last = facts.iter().rev().find(|fact| fact.operation == Operation::Authorize);
        let open = last.is_some_and(|fact| matches!(fact.status, AttemptStatus::Sending | AttemptStatus::Unknown));
        let standing = standing(terms, &facts);
        if open && standing.captured == 0 {
            prop_assert!(matches!(standing.status, PaymentStatus::Processing | PaymentStatus::RequiresAction));
        }
    }

    #[test]
    fn money_reads_back_as_it_was_made(amount in 1_i64..=999_999_999_999, code in select(&["EUR", "JPY", "KWD"][..])) {
        let currency: Currency = code.parse().unwrap();
        let money = Money::new(amount, currency).unwrap();
        let shown = money.to_string();
        let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
        prop_assert_eq!(digits.parse::<i64>().unwrap(), amount);
        prop_assert!(shown.ends_with(code));
    }

    #[test]
    fn ids_read_back(bytes in any::<[u8; 16]>(), millis in 0_i64..(1 << 47), random in any::<[u8; 10]>()) {
        for id in [PaymentId::from_bytes(bytes), PaymentId::from_parts(Timestamp::from_millis(millis), random)] {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        let _ = text.parse::<PaymentId>();
        let _ = KeyText::parse(&text);
        let _ = text.parse::<Timestamp>();
        let _ = holds_card_number(&text);
    }

    #[test]
    fn keys_read_back_and_no_changed_digit_passes(
        id in any::<[u8; 16]>(), secret in any::<[u8; 32]>(), at in 8_usize..79, digit in 0_u8..10,
    ) {
        let text = compose(KeyKind::Secret, Mode::Live, ApiKeyId::from_bytes(id), &secret);
        prop_assert_eq!(KeyText::parse(&text).unwrap().id, ApiKeyId::from_bytes(id));
        let mut changed = text.clone().into_bytes();
        changed[at] = b'0' + digit;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert_eq!(KeyText::parse(&changed).is_ok(), changed == text);
    }

    #[test]
    fn a_card_number_is_found_in_any_sentence(
        number in card_number(), separator in select(&["", " ", "-", "."][..]), group in 3_usize..6,
        before in "[a-z ,:]{0,20}", after in "[a-z ,!]{0,20}",
    ) {
        prop_assume!(!number.is_empty());
        prop_assert!(Brand::of(&number.bytes().map(|byte| byte - b'0').collect::<Vec<_>>()).is_some());
        let groups: Vec<&str> = number.as_bytes().chunks(group).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
        let text = format!("{before}{}{after}", groups.join(separator));
        prop_assert!(holds_card_number(&text), "{}", text);
    }
}

/// The check that `docs/authentication.md` publishes for scanners, run as its reader would.
#[test]
fn the_published_check_knows_every_key_and_nothing_else() {
    use coffer_core::{Mode, api_key::*, id::ApiKeyId};
    let document = include_str!("../../../docs/authentication.md");
    let programs = document.split("```python");
    let mut programs = programs.map(|program| program.split("```").next().unwrap());
    let program = programs
        .find(|program| program.contains("def is_key"))
        .unwrap();
    let mut keys = Vec::new();
    for byte in 0..=u8::MAX {
        for &kind in KeyKind::ALL {
            let id = ApiKeyId::from_bytes([byte; 16]);
            keys.push(compose(kind, Mode::Live, id, &[byte.wrapping_mul(7); 32]));
        }
    }
    let mistyped: Vec<_> = keys
        .iter()
        .map(|key| key.replacen("live", "test", 1))
        .collect();
    let asks = "\nimport sys\nprint(*(int(is_key(text)) for text in sys.argv[1:]), sep='')";
    let answers = |texts: &[String]| {
        let python = std::process::Command::new("python3")
            .args(["-c", &format!("{program}{asks}")])
            .args(texts)
            .output()
            .unwrap();
        String::from_utf8(python.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(answers(&keys), "1".repeat(keys.len()));
    assert_eq!(answers(&mistyped), "0".repeat(keys.len()));
}

proptest! {
    /// The same decisions as the crate `governor`, request by request, for rates that divide a minute evenly.
    #[test]
    fn rates_decide_as_governor_does(
        per_minute in proptest::sample::select(vec![1_i64, 6, 60, 100, 600, 6_000]),
        burst in 1_i64..50,
        pauses_ms in proptest::collection::vec(0_u64..3_000, 1..300),
    ) {
        use governor::{Quota, RateLimiter, clock::FakeRelativeClock};
        use coffer_core::rate::{Rate, Verdict};
        use std::{num::NonZeroU32, time::Duration};
        let number = |number: i64| NonZeroU32::new(u32::try_from(number).unwrap()).unwrap();
        let quota = Quota::per_minute(number(per_minute)).allow_burst(number(burst));
        let clock = FakeRelativeClock::default();
        let theirs = RateLimiter::direct_with_clock(quota, clock.clone());
        let ours = Rate::new(per_minute, burst).unwrap();
        // Their clock begins at zero, when a cell of theirs is full; ours is full at any time.
        let (mut earned_us, mut now_us) = (0, 0);
        for pause in pauses_ms {
            clock.advance(Duration::from_millis(pause));
            now_us += i64::try_from(pause).unwrap() * 1_000;
            let passed = match ours.decide(earned_us, now_us, 1) {
                Verdict::Passed(left) => {
                    earned_us = left.earned_us;
                    true
                }
                Verdict::Refused { .. } => false,
            };
            prop_assert_eq!(passed, theirs.check().is_ok(), "at {} us", now_us);
        }
    }
}
