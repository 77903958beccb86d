//! What may be known about a card outside the vault: brand, last four digits, expiry (R15).

#![expect(
    clippy::arithmetic_side_effects,
    reason = "months and years that the constructor has bounded"
)]

use std::{fmt, str::FromStr};

use crate::{Malformed, Timestamp, brand::Brand};

/// The last four digits of a card number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Last4([u8; 4]);

impl Last4 {
    /// From four digit values, each 0–9.
    ///
    /// # Errors
    /// When one is not a digit.
    pub fn from_digits(digits: [u8; 4]) -> Result<Self, Malformed> {
        let expected = Malformed {
            expected: "four digits",
        };
        if digits.iter().all(|&digit| digit <= 9) {
            Ok(Self(digits))
        } else {
            Err(expected)
        }
    }
}

impl FromStr for Last4 {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = Malformed {
            expected: "four digits",
        };
        let bytes: [u8; 4] = text.as_bytes().try_into().map_err(|_| expected)?;
        Self::from_digits(bytes.map(|byte| byte.wrapping_sub(b'0')))
    }
}

impl TryFrom<String> for Last4 {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Last4> for String {
    fn from(last4: Last4) -> Self {
        last4.to_string()
    }
}

impl fmt::Display for Last4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.map(|digit| digit | b'0');
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// The month after whose end a card is no longer valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "(i64, i64)", into = "(i64, i64)")]
pub struct Expiry {
    month: i64,
    year: i64,
}

impl Expiry {
    /// A month 1–12 of a year 2000–2099.
    ///
    /// # Errors
    /// When month or year is out of range.
    pub fn new(month: i64, year: i64) -> Result<Self, Malformed> {
        if (1..=12).contains(&month) && (2000..=2099).contains(&year) {
            Ok(Self { month, year })
        } else {
            Err(Malformed {
                expected: "a month from 1 to 12 and a year with four digits",
            })
        }
    }

    /// 1–12.
    #[must_use]
    pub const fn month(self) -> i64 {
        self.month
    }

    /// Four digits.
    #[must_use]
    pub const fn year(self) -> i64 {
        self.year
    }

    /// Whether the month is over everywhere on earth (UTC−12 is the last place) at `now`.
    #[must_use]
    pub fn is_past(self, now: Timestamp) -> bool {
        let (next_year, next_month) = if self.month == 12 {
            (self.year + 1, 1)
        } else {
            (self.year, self.month + 1)
        };
        let end: Result<Timestamp, _> =
            format!("{next_year:04}-{next_month:02}-01T12:00:00Z").parse();
        end.is_ok_and(|end| now >= end)
    }
}

impl TryFrom<(i64, i64)> for Expiry {
    type Error = Malformed;

    fn try_from((month, year): (i64, i64)) -> Result<Self, Malformed> {
        Self::new(month, year)
    }
}

impl From<Expiry> for (i64, i64) {
    fn from(expiry: Expiry) -> Self {
        (expiry.month, expiry.year)
    }
}

/// What a merchant may know and store about a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct CardSummary {
    /// The scheme.
    pub brand: Brand,
    /// The last four digits.
    pub last4: Last4,
    /// Valid through the end of this month.
    pub expiry: Expiry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_valid_until_its_month_has_ended_everywhere() {
        let expiry = Expiry::new(11, 2026).unwrap();
        assert!(!expiry.is_past("2026-11-30T23:59:59Z".parse().unwrap()));
        assert!(!expiry.is_past("2026-12-01T11:59:59Z".parse().unwrap()));
        assert!(expiry.is_past("2026-12-01T12:00:00Z".parse().unwrap()));
        assert!(
            Expiry::new(12, 2026)
                .unwrap()
                .is_past("2027-01-02T00:00:00Z".parse().unwrap())
        );
    }

    #[test]
    fn thirteen_is_no_month_and_a_letter_no_digit() {
        assert!(
            Expiry::new(0, 2030).is_err()
                && Expiry::new(13, 2030).is_err()
                && Expiry::new(1, 30).is_err()
        );
        assert!(
            "12a4".parse::<Last4>().is_err()
                && "123".parse::<Last4>().is_err()
                && "１２３４".parse::<Last4>().is_err()
        );
        assert_eq!("0042".parse::<Last4>().unwrap().to_string(), "0042");
    }
}
