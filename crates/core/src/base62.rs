//! Numbers in base62, always with the same number of digits: how the texts of keys and access tokens are written, so that
//! a double click selects them whole and a scanner finds them.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers: single digits, bytes and their carries"
)]

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// What fits into 64 bits whatever the digits: numbers of that size are much faster to calculate with.
const REGISTER_DIGITS: usize = 10;
/// What 256 bits need.
const DIGITS_MAX: usize = 43;

/// Big-endian bytes as exactly `width` base62 digits.
pub(crate) fn encode(bytes: &[u8], width: usize, text: &mut String) {
    let mut number = [0_u8; 32];
    let used = number.len().min(bytes.len());
    if let (Some(to), Some(from)) = (number.get_mut(..used), bytes.get(..used)) {
        to.copy_from_slice(from);
    }
    let mut digits = [b'0'; DIGITS_MAX];
    for digit in digits.iter_mut().take(width).rev() {
        let mut remainder = 0_u32;
        for byte in number.iter_mut().take(used) {
            let value = remainder * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or_default();
            remainder = value % 62;
        }
        *digit = usize::try_from(remainder)
            .ok()
            .and_then(|at| BASE62.get(at))
            .copied()
            .unwrap_or(b'0');
    }
    text.extend(digits.iter().take(width).copied().map(char::from));
    number.fill(0);
    digits.fill(0);
}

/// The reverse of [`encode`]; `None` for a foreign digit or more than 128 bits.
pub(crate) fn number(digits: &str) -> Option<u128> {
    let mut groups = digits.as_bytes().chunks(REGISTER_DIGITS);
    groups.try_fold(0_u128, |number, group| {
        let (mut low, mut scale) = (0_u64, 1_u64);
        for digit in group {
            low = low * 62 + u64::from(value(*digit)?);
            scale *= 62;
        }
        number.checked_mul(scale.into())?.checked_add(low.into())
    })
}

/// The value of a digit: its place in [`BASE62`].
fn value(digit: u8) -> Option<u8> {
    VALUES.get(usize::from(digit)).copied().flatten()
}

/// The value of each byte. A table, because nothing tells beforehand which of the three kinds the next digit is.
#[expect(
    clippy::indexing_slicing,
    reason = "made by the compiler, which refuses a place outside the table"
)]
const VALUES: [Option<u8>; 256] = {
    let mut table = [None; 256];
    let (mut place, mut byte) = (0, 0_u8);
    while place < table.len() {
        table[place] = match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'A'..=b'Z' => Some(byte - b'A' + 10),
            b'a'..=b'z' => Some(byte - b'a' + 36),
            _ => None,
        };
        (place, byte) = (place + 1, byte.wrapping_add(1));
    }
    table
};

/// Whether it is one of the digits.
pub(crate) fn is_digit(digit: u8) -> bool {
    value(digit).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_stands_for_its_place_and_nothing_else_is_a_digit() {
        for byte in 0..=u8::MAX {
            let place = BASE62.iter().position(|digit| *digit == byte);
            assert_eq!(value(byte).map(usize::from), place, "{byte}");
        }
        assert_eq!(number("10"), Some(62));
        assert_eq!(number(&"z".repeat(22)), None, "more than 128 bits");
        assert_eq!(number("1-"), None);
    }
}
