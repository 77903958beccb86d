//! The card of an authorization request, checked as a provider would. Its number goes no further than this crate's
//! memory: what is stored is brand, last four digits and nothing else.

use coffer_core::{
    CardSummary, Expiry, Last4, Malformed, Timestamp,
    brand::{Brand, luhn},
    decline::DeclineReason,
};
use coffer_crypto::SecretBytes;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::test_cards::{CardOutcome, outcome_of};

const NUMBER: Malformed = Malformed {
    expected: "a card number",
};
const CVC: Malformed = Malformed {
    expected: "a security code of three or four digits",
};

/// A card number as ASCII digits: of a known brand, passing Luhn.
pub(crate) struct CardNumber {
    digits: SecretBytes,
    brand: Brand,
    last4: Last4,
}

impl CardNumber {
    fn parse(text: SecretBytes) -> Result<Self, Malformed> {
        // Exposed to be checked, in a buffer that is overwritten too.
        let value = |byte: &u8| byte.is_ascii_digit().then(|| byte.wrapping_sub(b'0'));
        let values = text.expose().iter().map(value).collect::<Option<Vec<_>>>();
        let values = SecretBytes::from_vec(values.ok_or(NUMBER)?);
        if !luhn(values.expose()) {
            return Err(NUMBER);
        }
        let last4 = values.expose().last_chunk().ok_or(NUMBER)?;
        Ok(Self {
            brand: Brand::of(values.expose()).ok_or(NUMBER)?,
            last4: Last4::from_digits(*last4)?,
            digits: text,
        })
    }
}

impl<'de> Deserialize<'de> for CardNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SecretBytes::from_vec(String::deserialize(deserializer)?.into_bytes());
        Self::parse(text).map_err(D::Error::custom)
    }
}

/// A security code. Any is right; it is looked at for its form and forgotten.
struct Cvc;

impl<'de> Deserialize<'de> for Cvc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SecretBytes::from_vec(String::deserialize(deserializer)?.into_bytes());
        let fits = matches!(text.len(), 3 | 4) && text.expose().iter().all(u8::is_ascii_digit);
        fits.then_some(Self).ok_or_else(|| D::Error::custom(CVC))
    }
}

/// The card as it is sent.
#[derive(Deserialize)]
struct CardMessage {
    number: CardNumber,
    exp_month: i64,
    exp_year: i64,
    #[serde(default, rename = "cvc")]
    _cvc: Option<Cvc>,
}

/// A card to charge.
#[derive(Deserialize)]
#[serde(try_from = "CardMessage")]
pub(crate) struct Card {
    number: CardNumber,
    expiry: Expiry,
}

impl TryFrom<CardMessage> for Card {
    type Error = Malformed;

    fn try_from(message: CardMessage) -> Result<Self, Malformed> {
        Ok(Self {
            expiry: Expiry::new(message.exp_month, message.exp_year)?,
            number: message.number,
        })
    }
}

impl Card {
    /// What may be stored of it.
    pub(crate) fn summary(&self) -> CardSummary {
        CardSummary {
            brand: self.number.brand,
            last4: self.number.last4,
            expiry: self.expiry,
        }
    }

    /// What becomes of a charge at `now`.
    pub(crate) fn outcome(&self, now: Timestamp) -> CardOutcome {
        if self.expiry.is_past(now) {
            return CardOutcome::Declined(DeclineReason::CardExpired);
        }
        // Exposed to be compared with the published test cards.
        outcome_of(self.number.digits.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Card, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_card_that_cannot_exist_is_refused_and_not_repeated() {
        for number in [
            "",
            "4242",
            "4242424242424241",
            "9999999999999995",
            "424242424242424２",
        ] {
            let json = format!(r#"{{"number":"{number}","exp_month":12,"exp_year":2030}}"#);
            let error = parse(&json).err().unwrap();
            assert!(error.contains("expected a card number"), "{error}");
        }
        let number = r#""number":"4242424242424242""#;
        assert!(parse(&format!(r#"{{{number},"exp_month":13,"exp_year":2030}}"#)).is_err());
        assert!(
            parse(&format!(
                r#"{{{number},"exp_month":1,"exp_year":2030,"cvc":"12"}}"#
            ))
            .is_err()
        );
    }

    #[test]
    fn a_card_past_its_expiry_is_declined_as_expired() {
        let json = r#"{"number":"4242424242424242","exp_month":10,"exp_year":2026,"cvc":"123"}"#;
        let card = parse(json).unwrap();
        let before = "2026-10-31T00:00:00Z".parse().unwrap();
        let after = "2026-11-22T00:00:00Z".parse().unwrap();
        let expired = CardOutcome::Declined(DeclineReason::CardExpired);
        assert_eq!(card.outcome(before), CardOutcome::Approved);
        assert_eq!(card.outcome(after), expired);
        assert_eq!(card.summary().last4.to_string(), "4242");
    }
}
