//! Money: integer minor units and an ISO 4217 currency. No floats, checked arithmetic.

use std::{fmt, str::FromStr};

use crate::Malformed;

/// The largest amount of one payment, in minor units: twelve digits, as field 4 of ISO 8583.
pub const AMOUNT_MAX: i64 = 999_999_999_999;

/// An ISO 4217 currency that is legal tender somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The three-letter code, in capitals.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits after the decimal point: 2 for EUR, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl FromStr for Currency {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = Malformed {
            expected: "an ISO 4217 currency code in capitals, such as EUR",
        };
        let currency = iso_currency::Currency::from_code(text).ok_or(expected)?;
        // Codes without minor units that are no money (gold, test codes) have no exponent.
        currency.exponent().map(|_| Self(currency)).ok_or(expected)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A positive amount in minor units of one currency, at most [`AMOUNT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "(i64, Currency)", into = "(i64, Currency)")]
pub struct Money {
    amount: i64,
    currency: Currency,
}

impl Money {
    /// An amount of minor units.
    ///
    /// # Errors
    /// When the amount is not within 1 and [`AMOUNT_MAX`].
    pub fn new(amount: i64, currency: Currency) -> Result<Self, Malformed> {
        if (1..=AMOUNT_MAX).contains(&amount) {
            Ok(Self { amount, currency })
        } else {
            Err(Malformed {
                expected: "an amount in minor units between 1 and 999999999999",
            })
        }
    }

    /// Minor units, always positive.
    #[must_use]
    pub const fn amount(self) -> i64 {
        self.amount
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

impl TryFrom<(i64, Currency)> for Money {
    type Error = Malformed;

    fn try_from((amount, currency): (i64, Currency)) -> Result<Self, Malformed> {
        Self::new(amount, currency)
    }
}

impl From<Money> for (i64, Currency) {
    fn from(money: Money) -> Self {
        (money.amount, money.currency)
    }
}

/// As a person reads it: `19.99 EUR`, `500 JPY`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let unit = 10_i64.saturating_pow(exponent).max(1);
        let (whole, rest) = (self.amount.div_euclid(unit), self.amount.rem_euclid(unit));
        match usize::try_from(exponent) {
            Ok(digits) if digits > 0 => write!(f, "{whole}.{rest:0digits$} {}", self.currency),
            Ok(_) | Err(_) => write!(f, "{whole} {}", self.currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_negative_zero_or_beyond_twelve_digits_is_money() {
        let eur: Currency = "EUR".parse().unwrap();
        for amount in [i64::MIN, -1, 0, AMOUNT_MAX + 1, i64::MAX] {
            assert!(Money::new(amount, eur).is_err());
        }
        assert!(Money::new(AMOUNT_MAX, eur).is_ok());
    }

    #[test]
    fn only_iso_4217_money_is_a_currency() {
        for text in ["", "eur", "EU", "EURO", "XAU", "XTS", "XXX", "ZZZ"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_with_the_digits_of_their_currency() {
        let show = |amount, code: &str| {
            Money::new(amount, code.parse().unwrap())
                .unwrap()
                .to_string()
        };
        assert_eq!(show(1999, "EUR"), "19.99 EUR");
        assert_eq!(show(5, "EUR"), "0.05 EUR");
        assert_eq!(show(500, "JPY"), "500 JPY");
        assert_eq!(show(1234, "KWD"), "1.234 KWD");
    }
}
