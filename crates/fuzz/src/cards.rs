//! Card numbers: where they may be, and where they may not; and what providers say about them.

use std::collections::BTreeMap;

use coffer_core::{
    Timestamp,
    brand::{Brand, holds_card_number, luhn},
};
use http::StatusCode;
use serde::de::IgnoredAny;

/// Before the end of any card.
const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

/// A number that stands in a text between other things than digits is found, whatever else the text holds.
pub(crate) fn scan(bytes: &[u8]) {
    let Some((digits, rest)) = bytes.split_first_chunk::<15>() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    let found = holds_card_number(&text);
    for word in text.split(|symbol: char| !symbol.is_ascii_alphanumeric()) {
        let alone = text.len() == word.len();
        assert!(
            found || !alone || !is_number(word),
            "a number was let through"
        );
    }
    let start: Vec<u8> = digits.iter().map(|digit| digit % 10).collect();
    let number = (0..10).map(|last| [start.as_slice(), &[last]].concat());
    let Some(number) = number.into_iter().find(|number| luhn(number)) else {
        return;
    };
    // Short Maestro numbers apart, which have fewer digits than these.
    if Brand::of(&number).is_none() {
        return;
    }
    let spelled: String = number
        .iter()
        .map(|digit| char::from(b'0' + digit))
        .collect();
    let (front, back) = spelled.split_at(8);
    for number in [
        spelled.clone(),
        format!("{front} {back}"),
        format!("{front}-{back}"),
    ] {
        assert!(
            holds_card_number(&format!("{text}|{number}|{text}")),
            "a number was hidden"
        );
    }
}

fn is_number(word: &str) -> bool {
    let digits: Vec<u8> = word.bytes().map(|byte| byte.wrapping_sub(b'0')).collect();
    digits.len() == 16
        && digits.iter().all(|&digit| digit < 10)
        && luhn(&digits)
        && Brand::of(&digits).is_some()
}

/// What is accepted as a deposit is an object of the five known fields with a proven number.
pub(crate) fn deposit(bytes: &[u8]) {
    let Some(number) = coffer_vault::fuzzing::deposit(bytes, NOW) else {
        return;
    };
    let digits: Vec<u8> = number
        .expose_digits()
        .bytes()
        .map(|byte| byte - b'0')
        .collect();
    assert!(luhn(&digits) && Brand::of(&digits) == Some(number.brand()));
    let again = coffer_vault::CardNumber::parse(number.expose_digits());
    assert!(again.is_ok_and(|again| again.expose_digits() == number.expose_digits()));
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let known = ["number", "exp_month", "exp_year", "cvc", "name"];
    // What a name holds is not looked at; a list of the five values in their order is as good.
    let fields = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text).unwrap_or_default();
    assert!(fields.keys().all(|key| known.contains(&key.as_str())));
}

/// Money was moved only when the provider said so with 200 and an id; what it gives is safe to use in a path and a page.
pub(crate) fn provider_answer(bytes: &[u8]) {
    let Some((&[choice], body)) = bytes.split_first_chunk::<1>() else {
        return;
    };
    let status = [200, 201, 400, 401, 404, 409, 500, 503][usize::from(choice % 8)];
    let status = StatusCode::from_u16(status).expect("a status");
    let answer = coffer_vault::fuzzing::answer(choice >= 128, status, body);
    assert!(!answer.succeeded || (status == StatusCode::OK && answer.reference.is_some()));
    assert!(!answer.not_done || status.as_u16() <= 404);
    if let Some(reference) = &answer.reference {
        assert!(
            reference
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        );
    }
    if let Some(address) = &answer.address {
        assert!(
            address.starts_with("https://") && address.bytes().all(|byte| byte.is_ascii_graphic())
        );
    }
}
