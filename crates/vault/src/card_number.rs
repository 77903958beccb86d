//! The one product type that holds a card number (PAN), and the proof that it is one: digits, Luhn and a known brand.
//!
//! It lives in a fixed buffer that is wiped when dropped, and it can be neither printed, copied, compared nor serialised.
//! Everything that needs the digits asks for them by name: [`CardNumber::expose_digits`].

use coffer_core::{
    Last4,
    brand::{Brand, NUMBER_MAX, NUMBER_MIN, luhn},
};
use coffer_crypto::{Context, Key, Mac, mac, scrubbed};
use zeroize::{Zeroize, Zeroizing};

/// A card number whose digits, check digit and brand are right.
///
/// It works:
/// ```
/// let number = coffer_vault::CardNumber::parse("4242 4242 4242 4242").ok().unwrap();
/// assert_eq!(number.last4().to_string(), "4242");
/// ```
/// It cannot be printed, copied, compared or serialised:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_vault::CardNumber>();
/// ```
/// ```compile_fail
/// fn showable<T: std::fmt::Display>() {}
/// showable::<coffer_vault::CardNumber>();
/// ```
/// ```compile_fail
/// fn copyable<T: Clone>() {}
/// copyable::<coffer_vault::CardNumber>();
/// ```
/// ```compile_fail
/// fn comparable<T: PartialEq>() {}
/// comparable::<coffer_vault::CardNumber>();
/// ```
/// ```compile_fail
/// fn serialisable<T: serde::Serialize>() {}
/// serialisable::<coffer_vault::CardNumber>();
/// ```
pub struct CardNumber {
    digits: Digits,
    brand: Brand,
    last4: Last4,
}

/// Why a text is not a card number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberFault {
    /// Digits are missing at the end.
    Incomplete,
    /// Something else than digits, too many of them, or a wrong check digit.
    Invalid,
    /// No brand that is known here issues such numbers.
    BrandNotSupported,
}

impl CardNumber {
    /// Reads a number as people type it: digits, with spaces or dashes between them.
    ///
    /// # Errors
    /// What the payer has to correct.
    pub fn parse(text: &str) -> Result<Self, NumberFault> {
        let digits = Digits::collect(text)?;
        let brand = digits.prove()?;
        let last4 = digits.last4()?;
        Ok(Self {
            digits,
            brand,
            last4,
        })
    }

    /// The scheme.
    #[must_use]
    pub const fn brand(&self) -> Brand {
        self.brand
    }

    /// The last four digits, which a merchant may know (R15).
    #[must_use]
    pub const fn last4(&self) -> Last4 {
        self.last4
    }

    /// The digits. Only for sealing the number, fingerprinting it and writing a provider's request; each call says which.
    #[must_use]
    pub fn expose_digits(&self) -> &str {
        self.digits.as_str()
    }

    /// The inner half of the fingerprint. Without the outer half, which `keys` adds, it must never be stored: whoever
    /// steals this machine could try all numbers against it.
    #[must_use]
    pub(crate) fn inner_fingerprint(&self, key: &Key) -> Mac {
        // Exposed to be fingerprinted; the context is wiped when dropped.
        let context = Context::new("vault/fingerprint/v1").text(self.expose_digits());
        scrubbed(|| mac(key, &context))
    }
}

/// ASCII digits; behind `length` there are zero bytes. Boxed, so that a move leaves no copy on the stack.
struct Digits {
    bytes: Box<[u8; NUMBER_MAX]>,
    length: usize,
}

impl Digits {
    fn collect(text: &str) -> Result<Self, NumberFault> {
        let mut digits = Self {
            bytes: Box::new([0; NUMBER_MAX]),
            length: 0,
        };
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' => digits.push(byte)?,
                b' ' | b'-' => {}
                _ => return Err(NumberFault::Invalid),
            }
        }
        Ok(digits)
    }

    fn push(&mut self, digit: u8) -> Result<(), NumberFault> {
        let slot = self
            .bytes
            .get_mut(self.length)
            .ok_or(NumberFault::Invalid)?;
        *slot = digit;
        self.length = self.length.saturating_add(1);
        Ok(())
    }

    fn prove(&self) -> Result<Brand, NumberFault> {
        let values = self.values();
        let present = values.get(..self.length).unwrap_or_default();
        match Brand::of(present) {
            Some(brand) if luhn(present) => Ok(brand),
            Some(_) => Err(NumberFault::Invalid),
            None if self.length < NUMBER_MIN || self.may_continue(&values) => {
                Err(NumberFault::Incomplete)
            }
            None if luhn(present) => Err(NumberFault::BrandNotSupported),
            None => Err(NumberFault::Invalid),
        }
    }

    /// Whether more digits would make a number of a known brand; `values` has zeros behind the length.
    fn may_continue(&self, values: &[u8; NUMBER_MAX]) -> bool {
        (self.length..=NUMBER_MAX)
            .filter_map(|length| values.get(..length))
            .any(|longer| Brand::of(longer).is_some())
    }

    fn last4(&self) -> Result<Last4, NumberFault> {
        let values = self.values();
        let last = values
            .get(..self.length)
            .and_then(<[u8]>::last_chunk::<4>)
            .ok_or(NumberFault::Incomplete)?;
        Last4::from_digits(*last).map_err(|_| NumberFault::Invalid)
    }

    fn values(&self) -> Zeroizing<[u8; NUMBER_MAX]> {
        let mut values = Zeroizing::new([0; NUMBER_MAX]);
        for (value, digit) in values.iter_mut().zip(self.bytes.iter()) {
            *value = digit.saturating_sub(b'0');
        }
        values
    }

    fn as_str(&self) -> &str {
        let digits = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

impl Drop for Digits {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> NumberFault {
        CardNumber::parse(text).err().expect("refused")
    }

    #[test]
    fn what_is_not_a_card_number_is_refused_with_what_to_correct() {
        for text in ["", "4", "4242 4242 4242 424", "42424242424"] {
            assert_eq!(fault(text), NumberFault::Incomplete, "{} bytes", text.len());
        }
        for text in [
            "4242424242424241",
            "4242a42424242424",
            "４２４２４２４２４２４２４２４２",
            "42424242424242424242",
            "4242.4242.4242.4242",
        ] {
            assert_eq!(fault(text), NumberFault::Invalid, "{} bytes", text.len());
        }
        assert_eq!(fault("9999999999999995"), NumberFault::BrandNotSupported);
    }

    #[test]
    fn a_number_is_the_same_however_it_was_typed() {
        for text in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            " 4242424242424242 ",
        ] {
            let number = CardNumber::parse(text).ok().unwrap();
            assert_eq!(number.expose_digits(), "4242424242424242");
            assert_eq!(
                (number.brand(), number.last4().to_string().as_str()),
                (Brand::Visa, "4242")
            );
        }
    }

    #[test]
    fn the_fingerprint_depends_on_key_and_number() {
        let print = |key: u8, number: &str| {
            *CardNumber::parse(number)
                .ok()
                .unwrap()
                .inner_fingerprint(&Key::from_array([key; 32]))
                .as_bytes()
        };
        assert_eq!(
            print(1, "4242424242424242"),
            print(1, "4242 4242 4242 4242")
        );
        assert_ne!(print(1, "4242424242424242"), print(2, "4242424242424242"));
        assert_ne!(print(1, "4242424242424242"), print(1, "5555555555554444"));
    }
}
