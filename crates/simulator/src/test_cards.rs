//! The published test cards and what becomes of a charge on each. `docs/testing.md` shows the same table.

use coffer_core::decline::DeclineReason;

/// What the simulator answers to an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardOutcome {
    /// Approved at once.
    Approved,
    /// The payer must pass a challenge first.
    Challenge,
    /// Declined.
    Declined(DeclineReason),
}

/// A card that exists only in test mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestCard {
    /// Its number. No issuer has it, so it is no secret.
    pub number: &'static str,
    /// What becomes of a charge.
    pub outcome: CardOutcome,
}

impl TestCard {
    const fn new(number: &'static str, outcome: CardOutcome) -> Self {
        Self { number, outcome }
    }

    const fn declined(number: &'static str, reason: DeclineReason) -> Self {
        Self::new(number, CardOutcome::Declined(reason))
    }
}

/// Every published test card.
pub const TEST_CARDS: &[TestCard] = &[
    TestCard::new("4242424242424242", CardOutcome::Approved),
    TestCard::new("5555555555554444", CardOutcome::Approved),
    TestCard::new("378282246310005", CardOutcome::Approved),
    TestCard::new("4000000000003220", CardOutcome::Challenge),
    TestCard::declined("4000000000000002", DeclineReason::DoNotHonor),
    TestCard::declined("4000000000009995", DeclineReason::InsufficientFunds),
    TestCard::declined("4000000000000069", DeclineReason::CardExpired),
    TestCard::declined("4000000000000127", DeclineReason::IncorrectCvc),
    TestCard::declined("4000000000000259", DeclineReason::IncorrectNumber),
    TestCard::declined("4000000000009987", DeclineReason::LostCard),
    TestCard::declined("4000000000009979", DeclineReason::StolenCard),
    TestCard::declined("4100000000000019", DeclineReason::FraudSuspected),
    TestCard::declined("4000000000006975", DeclineReason::LimitExceeded),
    TestCard::declined("4000000000000341", DeclineReason::NotSupported),
    TestCard::declined("4000000000003246", DeclineReason::AuthenticationFailed),
    TestCard::declined("4000000000000119", DeclineReason::ProcessingError),
];

/// Every other number that begins so is approved too, for tests that need many different cards.
pub const APPROVED_PREFIX: &str = "424242";

/// What becomes of a charge on this number. A number that is not published does not exist here: a real card, typed
/// into test mode by mistake, must not look paid.
pub(crate) fn outcome_of(number: &[u8]) -> CardOutcome {
    let published = TEST_CARDS
        .iter()
        .find(|card| card.number.as_bytes() == number);
    match published {
        Some(card) => card.outcome,
        None if number.starts_with(APPROVED_PREFIX.as_bytes()) => CardOutcome::Approved,
        None => CardOutcome::Declined(DeclineReason::IncorrectNumber),
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::brand::{Brand, luhn};

    use super::*;

    #[test]
    fn every_test_card_passes_luhn_and_has_a_brand() {
        for card in TEST_CARDS {
            let digits: Vec<u8> = card.number.bytes().map(|byte| byte - b'0').collect();
            assert!(luhn(&digits), "{}", card.number);
            assert!(Brand::of(&digits).is_some(), "{}", card.number);
        }
    }

    #[test]
    fn every_decline_reason_has_a_test_card() {
        for &reason in DeclineReason::ALL {
            let outcome = CardOutcome::Declined(reason);
            assert!(
                TEST_CARDS.iter().any(|card| card.outcome == outcome),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_number_that_is_not_published_is_declined() {
        let unknown = CardOutcome::Declined(DeclineReason::IncorrectNumber);
        assert_eq!(outcome_of(b"4111111111111111"), unknown);
        assert_eq!(outcome_of(b"4242420000000000"), CardOutcome::Approved);
    }

    #[test]
    fn the_published_table_lists_every_test_card() {
        let page = include_str!("../../../docs/testing.md");
        for card in TEST_CARDS {
            assert!(page.contains(card.number), "{}", card.number);
        }
    }
}
