//! What payers read. Never more than a payer should know: a card that is lost, stolen or suspected is just declined.

use coffer_core::{Money, brand::Brand, decline::DeclineReason};

/// Test cards that the page offers: their names in the vault's frame, which alone has the numbers, and what they do.
pub(super) const TEST_CARDS: &[(&str, &str)] = &[
    ("approved", "Approved"),
    ("challenge", "Bank asks to confirm"),
    ("insufficient_funds", "Not enough money"),
    ("declined", "Declined"),
    ("card_expired", "Expired"),
    ("incorrect_cvc", "Wrong security code"),
    ("processing_error", "Technical error"),
];

/// What to do after a decline.
pub(super) const fn declined(reason: DeclineReason) -> &'static str {
    match reason {
        DeclineReason::DoNotHonor
        | DeclineReason::LostCard
        | DeclineReason::StolenCard
        | DeclineReason::FraudSuspected => {
            "The bank gave no reason. Use another card, or ask the bank that issued this one."
        }
        DeclineReason::InsufficientFunds => "There is not enough money on it. Use another card.",
        DeclineReason::CardExpired => "It has expired. Use another card, or check the date.",
        DeclineReason::IncorrectCvc => {
            "The security code is not right. Check it and enter the card again."
        }
        DeclineReason::IncorrectNumber => {
            "The bank does not know this number. Check it and enter the card again."
        }
        DeclineReason::LimitExceeded => {
            "It is over a limit of this card. Use another card, or ask the bank that issued it."
        }
        DeclineReason::NotSupported => "It cannot be used for this purchase. Use another card.",
        DeclineReason::AuthenticationFailed => {
            "The payment was not confirmed with the bank. Try again, or use another card."
        }
        DeclineReason::ProcessingError => {
            "There was a technical error at the bank. Try again, or use another card."
        }
    }
}

/// The card was taken, and its charge was never sent: above all, its security code was held in memory only.
pub(super) const AGAIN: &str =
    "Your card could not be charged just now. Nothing was charged. Please enter it once more.";

/// A brand as it writes itself.
pub(super) const fn brand(brand: Brand) -> &'static str {
    match brand {
        Brand::Visa => "Visa",
        Brand::Mastercard => "Mastercard",
        Brand::AmericanExpress => "American Express",
        Brand::Discover => "Discover",
        Brand::Jcb => "JCB",
        Brand::Diners => "Diners Club",
        Brand::UnionPay => "UnionPay",
        Brand::Maestro => "Maestro",
    }
}

/// An amount with its currency's code, which no two currencies share, and no line break in between.
pub(super) fn amount(money: Money) -> String {
    money.to_string().replace(' ', "\u{a0}")
}

/// The merchant's address, told which payment this was, and nothing else.
pub(super) fn with_payment(return_url: &str, payment: &str) -> String {
    let (address, fragment) = match return_url.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (return_url, None),
    };
    let joint = match address.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let mut whole = format!("{address}{joint}payment={payment}");
    if let Some(fragment) = fragment {
        whole.push('#');
        whole.push_str(fragment);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payer_is_not_told_that_a_card_is_lost_stolen_or_suspected() {
        let plain = declined(DeclineReason::DoNotHonor);
        for reason in [
            DeclineReason::LostCard,
            DeclineReason::StolenCard,
            DeclineReason::FraudSuspected,
        ] {
            assert_eq!(declined(reason), plain);
        }
        for reason in DeclineReason::ALL {
            let text = declined(*reason).to_lowercase();
            assert!(
                !["lost", "stolen", "fraud"]
                    .iter()
                    .any(|word| text.contains(word)),
                "{text}"
            );
        }
    }

    #[test]
    fn the_merchant_gets_the_payments_id_and_keeps_its_own_query_and_fragment() {
        for (url, expected) in [
            ("https://shop.test", "https://shop.test?payment=pay_1"),
            (
                "https://shop.test/done",
                "https://shop.test/done?payment=pay_1",
            ),
            (
                "https://shop.test/done?",
                "https://shop.test/done?payment=pay_1",
            ),
            (
                "https://shop.test/done?a=b",
                "https://shop.test/done?a=b&payment=pay_1",
            ),
            (
                "https://shop.test/done?a=b&",
                "https://shop.test/done?a=b&payment=pay_1",
            ),
            (
                "https://shop.test/done?a=b#top",
                "https://shop.test/done?a=b&payment=pay_1#top",
            ),
            (
                "https://shop.test/#/done?x",
                "https://shop.test/?payment=pay_1#/done?x",
            ),
        ] {
            assert_eq!(with_payment(url, "pay_1"), expected);
        }
    }

    #[test]
    fn an_amount_names_its_currency_by_the_code() {
        let shown =
            |amount_, code: &str| amount(Money::new(amount_, code.parse().unwrap()).unwrap());
        assert_eq!(shown(1999, "EUR"), "19.99\u{a0}EUR");
        assert_eq!(shown(500, "JPY"), "500\u{a0}JPY");
    }
}
