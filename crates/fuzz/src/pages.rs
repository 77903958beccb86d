//! What payers' browsers send.

use coffer_core::{
    Mode, Timestamp,
    brand::holds_card_number,
    id::{AccountId, PaymentId},
};
use coffer_crypto::Key;
use coffer_net::{
    contract::Place,
    page::{PageName, Reports},
};

const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

/// A secret opens its payment in one spelling, and there is no other.
pub(crate) fn checkout_secret(bytes: &[u8]) {
    let (key, payment) = (Key::from_array([7; 32]), PaymentId::from_bytes([2; 16]));
    let own = |mode| {
        let account = AccountId::from_bytes([1; 16]);
        coffer_engine::fuzzing::checkout_url(&key, Place { account, mode }, payment)
    };
    // Also as changes to the right one, since nobody guesses a MAC.
    let mut changed = own(Mode::Test).into_bytes();
    for change in bytes.chunks_exact(2) {
        let place = usize::from(change[0]) % changed.len();
        changed[place] ^= change[1] & 0x7f;
    }
    for text in [bytes, changed.as_slice()] {
        let Ok(text) = std::str::from_utf8(text) else {
            continue;
        };
        let secret = text.rsplit('/').next().unwrap_or_default();
        if let Some(place) = coffer_engine::fuzzing::checkout_secret(&key, payment, secret) {
            let url = coffer_engine::fuzzing::checkout_url(&key, place, payment);
            assert_eq!(url.rsplit('/').next(), Some(secret), "a second spelling");
        }
    }
}

/// Nobody writes a ticket but the vault; an origin that may be minted for is safe in a header.
pub(crate) fn ticket(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    assert!(coffer_vault::fuzzing::ticket(&Key::from_array([9; 32]), text, NOW).is_none());
    if coffer_vault::fuzzing::origin(text) {
        assert!(text.starts_with("http") && text.len() <= 255);
        assert!(
            !text
                .bytes()
                .any(|byte| b" ;,'\"/\\\r\n".contains(&byte) && byte != b'/')
        );
    }
}

/// What is kept of a report is short, plain and no card number.
pub(crate) fn report(bytes: &[u8]) {
    for kind in ["application/csp-report", "application/reports+json"] {
        let reports = Reports::new(PageName::Checkout);
        let _ = reports.take(kind, bytes, NOW);
        let kept = reports.recent(NOW);
        assert!(kept.len() <= 32);
        for violation in kept {
            for text in [&violation.blocked, &violation.source] {
                assert!(text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic()));
                assert!(!text.contains(['?', '#', '@']) && !holds_card_number(text));
            }
        }
    }
}

/// An answer to plain HTTP is one redirect to the right host, whatever was asked.
pub(crate) fn plain_http(bytes: &[u8]) {
    let answer = coffer_net::fuzzing::plain_http("pay.example", bytes);
    let lines: Vec<&str> = answer.split("\r\n").collect();
    assert_eq!(lines.len(), 7, "{answer}");
    let paths: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("location: https://pay.example/"))
        .collect();
    // A second slash would begin the name of another host wherever the first part is left out.
    assert!(
        matches!(paths.as_slice(), [path] if !path.starts_with('/')),
        "{answer}"
    );
    assert!(!answer.contains(['?', '@']), "{answer}");
}
