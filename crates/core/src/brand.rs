//! Card brands: their number ranges (ISO/IEC 7812), lengths, and the Luhn check; and finding a card number in a text
//! where none may be. No value here holds a number: that is the vault's alone.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers: single digits, and places in a run of at most 64"
)]

words! {
    /// A card scheme.
    pub enum Brand {
        /// Visa.
        Visa = "visa",
        /// Mastercard.
        Mastercard = "mastercard",
        /// American Express.
        AmericanExpress = "american_express",
        /// Discover.
        Discover = "discover",
        /// JCB.
        Jcb = "jcb",
        /// Diners Club.
        Diners = "diners",
        /// UnionPay.
        UnionPay = "unionpay",
        /// Maestro.
        Maestro = "maestro",
    }
}

/// The fewest digits of a card number.
pub const NUMBER_MIN: usize = 12;
/// The most digits of a card number (ISO/IEC 7812-1).
pub const NUMBER_MAX: usize = 19;

/// One row of the range table: first and last value of the leading digits, and the lengths issued there.
struct Range(Brand, u32, u32, &'static [usize]);

/// Narrow ranges stand before the wide ones that contain them.
const RANGES: &[Range] = &[
    Range(Brand::Visa, 4, 4, &[13, 16, 19]),
    Range(Brand::Mastercard, 51, 55, &[16]),
    Range(Brand::Mastercard, 2221, 2720, &[16]),
    Range(Brand::AmericanExpress, 34, 34, &[15]),
    Range(Brand::AmericanExpress, 37, 37, &[15]),
    Range(Brand::Discover, 6011, 6011, &[16, 17, 18, 19]),
    Range(Brand::Discover, 644, 649, &[16, 17, 18, 19]),
    Range(Brand::Discover, 65, 65, &[16, 17, 18, 19]),
    Range(Brand::Jcb, 3528, 3589, &[16, 17, 18, 19]),
    Range(Brand::Diners, 300, 305, &[14, 16, 17, 18, 19]),
    Range(Brand::Diners, 3095, 3095, &[14, 16, 17, 18, 19]),
    Range(Brand::Diners, 36, 36, &[14, 15, 16, 17, 18, 19]),
    Range(Brand::Diners, 38, 39, &[14, 16, 17, 18, 19]),
    Range(Brand::UnionPay, 62, 62, &[16, 17, 18, 19]),
    Range(Brand::UnionPay, 81, 81, &[16, 17, 18, 19]),
    Range(Brand::Maestro, 50, 50, MAESTRO_LENGTHS),
    Range(Brand::Maestro, 56, 58, MAESTRO_LENGTHS),
    Range(Brand::Maestro, 6304, 6304, MAESTRO_LENGTHS),
    Range(Brand::Maestro, 67, 67, MAESTRO_LENGTHS),
];

const MAESTRO_LENGTHS: &[usize] = &[12, 13, 14, 15, 16, 17, 18, 19];

impl Brand {
    /// The brand that issues numbers with these leading digits at this length; `digits` are values 0–9.
    #[must_use]
    pub fn of(digits: &[u8]) -> Option<Self> {
        RANGES
            .iter()
            .find(|Range(_, first, last, lengths)| {
                lengths.contains(&digits.len())
                    && (*first..=*last).contains(&leading(digits, *first))
            })
            .map(|Range(brand, ..)| *brand)
    }

    /// Digits of the security code: four for American Express, three for the others.
    #[must_use]
    pub const fn cvc_length(self) -> usize {
        match self {
            Self::AmericanExpress => 4,
            Self::Visa
            | Self::Mastercard
            | Self::Discover
            | Self::Jcb
            | Self::Diners
            | Self::UnionPay
            | Self::Maestro => 3,
        }
    }

    /// Whether every card of the brand has a security code; some Maestro cards have none.
    #[must_use]
    pub const fn cvc_required(self) -> bool {
        !matches!(self, Self::Maestro)
    }
}

/// The leading digits of a number, as many as `like` has.
fn leading(digits: &[u8], like: u32) -> u32 {
    let width = like.checked_ilog10().map_or(1, |log| log + 1);
    digits
        .iter()
        .zip(0..width)
        .fold(0, |value, (&digit, _)| value * 10 + u32::from(digit))
}

/// The Luhn check (ISO/IEC 7812-1 annex B) over digit values 0–9.
#[must_use]
pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The longest digit run that is looked at as a whole; what follows in a longer one starts a new run.
const RUN_MAX: usize = 64;

/// Whether the text holds a number that could be a card's: of a known range and length, passing Luhn, alone or grouped
/// by single separators, also in front of other digits. An international telephone number (`+` and at most 15 digits,
/// ITU-T E.164) is not one.
#[must_use]
pub fn holds_card_number(text: &str) -> bool {
    // Nearly every text has fewer digits than any card's number.
    if text.bytes().filter(u8::is_ascii_digit).count() < NUMBER_MIN {
        return false;
    }
    let mut run = Run::new();
    let mut pending_separator = false;
    let mut before = None;
    for symbol in text.chars() {
        if let Some(digit) = symbol
            .to_digit(10)
            .and_then(|digit| u8::try_from(digit).ok())
        {
            if run.is_empty() {
                run.telephone = before == Some('+');
            }
            if run.push(digit, pending_separator) && run.holds_card_number() {
                return true;
            }
            pending_separator = false;
        } else if is_separator(symbol) && !pending_separator && !run.is_empty() {
            pending_separator = true;
        } else {
            if run.holds_card_number() {
                return true;
            }
            if !run.is_empty() {
                run = Run::new();
            }
            pending_separator = false;
        }
        before = Some(symbol);
    }
    run.holds_card_number()
}

const fn is_separator(symbol: char) -> bool {
    matches!(symbol, ' ' | '-' | '.' | '_' | '/' | '\u{a0}')
}

/// Digits with the places where their groups begin.
struct Run {
    digits: [u8; RUN_MAX],
    group_starts: [bool; RUN_MAX],
    len: usize,
    telephone: bool,
}

impl Run {
    const fn new() -> Self {
        Self {
            digits: [0; RUN_MAX],
            group_starts: [false; RUN_MAX],
            len: 0,
            telephone: false,
        }
    }

    const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a digit; true when the run is full and must be looked at. A full run keeps its last digits.
    fn push(&mut self, digit: u8, after_separator: bool) -> bool {
        if self.len == RUN_MAX {
            self.digits.rotate_left(RUN_MAX / 2);
            self.group_starts.rotate_left(RUN_MAX / 2);
            self.len = RUN_MAX / 2;
        }
        if let (Some(slot), Some(start)) = (
            self.digits.get_mut(self.len),
            self.group_starts.get_mut(self.len),
        ) {
            *slot = digit;
            *start = after_separator || self.len == 0;
            self.len += 1;
        }
        self.len == RUN_MAX
    }

    fn holds_card_number(&self) -> bool {
        if self.telephone && self.len <= 15 {
            return false;
        }
        (0..self.len)
            .filter(|&start| self.starts_group(start))
            .any(|start| self.holds_card_number_at(start))
    }

    /// A number may end where a group ends; in a group too long to be one number, anywhere.
    fn holds_card_number_at(&self, start: usize) -> bool {
        let group_end = (start + 1..self.len)
            .find(|&at| self.starts_group(at))
            .unwrap_or(self.len);
        let too_long = group_end - start > NUMBER_MAX;
        (NUMBER_MIN..=NUMBER_MAX).any(|length| {
            let end = start + length;
            let ends_group = end == self.len || self.starts_group(end);
            (too_long || ends_group)
                && self
                    .digits
                    .get(start..end.min(self.len))
                    .is_some_and(is_card_number)
                && end <= self.len
        })
    }

    fn starts_group(&self, at: usize) -> bool {
        self.group_starts.get(at).copied().unwrap_or(false)
    }
}

fn is_card_number(digits: &[u8]) -> bool {
    match Brand::of(digits) {
        // Maestro's short numbers are not issued any more and look like telephone numbers.
        Some(Brand::Maestro) => digits.len() >= 16 && luhn(digits),
        Some(_) => luhn(digits),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brand(text: &str) -> Option<Brand> {
        let digits: Vec<u8> = text.bytes().map(|byte| byte - b'0').collect();
        luhn(&digits).then(|| Brand::of(&digits)).flatten()
    }

    #[test]
    fn every_brand_is_known_by_its_published_test_numbers() {
        for (number, expected) in [
            ("4242424242424242", Brand::Visa),
            ("4000000000000000006", Brand::Visa),
            ("5555555555554444", Brand::Mastercard),
            ("2223003122003222", Brand::Mastercard),
            ("378282246310005", Brand::AmericanExpress),
            ("6011111111111117", Brand::Discover),
            ("3566002020360505", Brand::Jcb),
            ("30569309025904", Brand::Diners),
            ("36227206271667", Brand::Diners),
            ("6200000000000005", Brand::UnionPay),
            ("6759649826438453", Brand::Maestro),
        ] {
            assert_eq!(brand(number), Some(expected), "{number}");
        }
    }

    #[test]
    fn a_card_number_is_found_however_it_is_written() {
        for text in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "card:4242.4242.4242.4242!",
            "2026-11-22 4242 4242 4242 4242",
            "x378282246310005y",
            "42424242424242421230123",
            "paid with 3782 822463 10005 today",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_card_number_may_be_written() {
        for text in [
            "",
            "order-1042",
            "4242424242424241",
            "1795341600123",
            "+4915112345678",
            "+4915112345670",
            "2026-11-22T10:00:00Z",
            "pay_06ajfp8e7kvq3z8m2d5t9c4xgr",
            "4242  4242  4242  4242 is spread too far",
            "9999999999999999",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
        assert!(!holds_card_number(&"1".repeat(1000)));
    }

    #[test]
    fn a_number_far_inside_a_long_text_is_found() {
        let text = format!("{} 4242 4242 4242 4242", "12 ".repeat(40));
        assert!(holds_card_number(&text));
    }
}
