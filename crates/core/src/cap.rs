//! Money caps of an API key: how much it may capture, refund and open, by call and by day (UTC).
//!
//! What caps a kind in one currency permits that kind in no other: else a cap in euro would be passed in another money.

use std::{fmt, str::FromStr};

use crate::{Currency, Malformed, Timestamp, limits::CAPS_MAX, money::AMOUNT_MAX, time::DAY_MS};

words! {
    /// What is capped.
    pub enum CapKind {
        /// Minor units captured in a day.
        CapturedPerDay = "captured_per_day",
        /// Minor units captured by one payment.
        CapturedPerCall = "captured_per_call",
        /// Minor units refunded in a day.
        RefundedPerDay = "refunded_per_day",
        /// Minor units of one refund.
        RefundedPerCall = "refunded_per_call",
        /// Cards opened in a day: each authorization opens one.
        CardsPerDay = "cards_per_day",
    }
}

impl CapKind {
    /// Whether it is counted for a day, or looked at call by call.
    #[must_use]
    pub const fn is_per_day(self) -> bool {
        matches!(
            self,
            Self::CapturedPerDay | Self::RefundedPerDay | Self::CardsPerDay
        )
    }

    /// Whether it is about money, and so in a currency.
    #[must_use]
    pub const fn is_money(self) -> bool {
        !matches!(self, Self::CardsPerDay)
    }
}

/// One cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    kind: CapKind,
    currency: Option<Currency>,
    limit: i64,
}

impl Cap {
    /// At most `limit` of this kind: minor units of `currency`, or a number of cards.
    ///
    /// # Errors
    /// Unless there is a currency exactly where it is about money, and the limit is from 1 to [`AMOUNT_MAX`].
    pub fn new(kind: CapKind, currency: Option<Currency>, limit: i64) -> Result<Self, Malformed> {
        let sound = kind.is_money() == currency.is_some() && (1..=AMOUNT_MAX).contains(&limit);
        let cap = Self {
            kind,
            currency,
            limit,
        };
        sound.then_some(cap).ok_or(Malformed {
            expected: "a cap from 1 to 999999999999, with a currency unless it is of cards",
        })
    }

    /// What it caps.
    #[must_use]
    pub const fn kind(self) -> CapKind {
        self.kind
    }

    /// In which currency, if it is about money.
    #[must_use]
    pub const fn currency(self) -> Option<Currency> {
        self.currency
    }

    /// The most that it lets pass.
    #[must_use]
    pub const fn limit(self) -> i64 {
        self.limit
    }

    /// What no other cap of a key shares.
    fn name(self) -> (CapKind, &'static str) {
        (self.kind, code(self.currency))
    }
}

/// The code of a currency, empty for none.
#[must_use]
pub fn code(currency: Option<Currency>) -> &'static str {
    currency.map_or("", Currency::code)
}

/// As the command line takes it and the store keeps it: `captured_per_day:EUR:500000`, `cards_per_day:200`.
impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.currency {
            Some(currency) => write!(f, "{}:{currency}:{}", self.kind, self.limit),
            None => write!(f, "{}:{}", self.kind, self.limit),
        }
    }
}

impl FromStr for Cap {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "a cap such as captured_per_day:EUR:500000 or cards_per_day:200",
        };
        let (kind, rest) = text.split_once(':').ok_or(malformed)?;
        let (currency, limit) = match rest.split_once(':') {
            Some((currency, limit)) => (Some(currency.parse()?), limit),
            None => (None, rest),
        };
        Self::new(
            kind.parse()?,
            currency,
            limit.parse().map_err(|_| malformed)?,
        )
    }
}

/// All caps of a key; none means that nothing is capped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caps(Vec<Cap>);

impl Caps {
    /// These caps.
    ///
    /// # Errors
    /// When two are of the same kind and currency, or there are more than [`CAPS_MAX`].
    pub fn new(mut caps: Vec<Cap>) -> Result<Self, Malformed> {
        caps.sort_by_key(|cap| cap.name());
        let count = caps.len();
        caps.dedup_by_key(|cap| cap.name());
        if caps.len() < count || count > CAPS_MAX {
            return Err(Malformed {
                expected: "at most 50 caps, no two of the same kind and currency",
            });
        }
        Ok(Self(caps))
    }

    /// Whether nothing is capped.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in one order.
    pub fn iter(&self) -> impl Iterator<Item = Cap> + '_ {
        self.0.iter().copied()
    }

    /// The most of this kind in this currency: nothing where only others are listed, and `None` where the kind has no cap.
    #[must_use]
    pub fn limit(&self, kind: CapKind, currency: Option<Currency>) -> Option<i64> {
        let mut of_kind = self.iter().filter(|cap| cap.kind == kind).peekable();
        of_kind.peek()?;
        let found = of_kind.find(|cap| cap.currency == currency);
        Some(found.map_or(0, Cap::limit))
    }

    /// Whether nothing passes here that would not pass `own`.
    #[must_use]
    pub fn within(&self, own: &Self) -> bool {
        own.iter().all(|cap| {
            let mut of_kind = self.iter().filter(|one| one.kind == cap.kind).peekable();
            of_kind.peek().is_some()
                && of_kind.all(|one| Some(one.limit) <= own.limit(one.kind, one.currency))
        })
    }
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, cap) in self.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{cap}")?;
        }
        Ok(())
    }
}

impl FromStr for Caps {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let caps = text.split_ascii_whitespace().map(Cap::from_str);
        Self::new(caps.collect::<Result<_, _>>()?)
    }
}

/// The day (UTC) of an instant, counted from 1970.
#[must_use]
pub const fn day_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(DAY_MS)
}

/// When the caps of that day begin anew.
#[must_use]
pub const fn resets(day: i64) -> Timestamp {
    Timestamp::from_millis(day.saturating_add(1).saturating_mul(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> Caps {
        text.parse().unwrap()
    }

    #[test]
    fn caps_read_back_and_nothing_else_is_one() {
        let text = "captured_per_day:EUR:500000 captured_per_day:USD:1 cards_per_day:200";
        assert_eq!(caps(text).to_string(), text);
        assert!(caps("").is_empty());
        for wrong in [
            "captured_per_day:500000",
            "cards_per_day:EUR:200",
            "cards_per_day:0",
            "cards_per_day:1000000000000",
            "captured_per_day:EUR:-1",
            "captured_per_day:XAU:1",
            "captured:EUR:1",
            "cards_per_day:1 cards_per_day:2",
        ] {
            assert!(wrong.parse::<Caps>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_kind_that_is_capped_in_one_currency_permits_no_other() {
        let (eur, usd) = ("EUR".parse().ok(), "USD".parse().ok());
        let caps = caps("captured_per_day:EUR:500");
        let limit = |kind, currency| caps.limit(kind, currency);
        assert_eq!(limit(CapKind::CapturedPerDay, eur), Some(500));
        assert_eq!(limit(CapKind::CapturedPerDay, usd), Some(0));
        assert_eq!(limit(CapKind::RefundedPerDay, usd), None);
        assert_eq!(limit(CapKind::CardsPerDay, None), None);
    }

    #[test]
    fn what_is_within_caps_is_capped_as_tightly_in_no_further_currency() {
        let own = caps("captured_per_day:EUR:500 cards_per_day:10");
        for (text, within) in [
            ("captured_per_day:EUR:500 cards_per_day:10", true),
            (
                "captured_per_day:EUR:499 cards_per_day:1 refunded_per_call:USD:1",
                true,
            ),
            ("captured_per_day:EUR:501 cards_per_day:10", false),
            (
                "captured_per_day:EUR:1 captured_per_day:USD:1 cards_per_day:10",
                false,
            ),
            ("captured_per_day:USD:1 cards_per_day:10", false),
            ("captured_per_day:EUR:500", false),
            ("", false),
        ] {
            assert_eq!(caps(text).within(&own), within, "{text}");
            assert!(caps(text).within(&Caps::default()));
        }
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let day = day_of(at("2026-11-22T23:59:59.999Z"));
        assert_eq!(resets(day), at("2026-11-23T00:00:00Z"));
        assert_eq!(day_of(resets(day)), day + 1);
    }
}
