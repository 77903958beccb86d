//! What a ciphertext, key or code is bound to, as bytes that can be read in only one way.
//!
//! Each field carries its kind and its length, so two different lists of fields never give the same
//! bytes. A context may hold a secret (a number to be fingerprinted), so it is overwritten too.

use zeroize::Zeroizing;

const TEXT: u8 = 1;
const NUMBER: u8 = 2;
const BYTES: u8 = 3;

/// Enough for nearly every context, so that the buffer is allocated once.
const INITIAL_CAPACITY: usize = 192;

/// A label and an ordered list of fields. It is not secret by itself, but may hold something secret,
/// so it cannot be printed:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_crypto::Context>();
/// ```
pub struct Context(Zeroizing<Vec<u8>>);

impl Context {
    /// Starts a context. The label names the use ("vault/card/number") and differs between any two
    /// uses of the same key.
    #[must_use]
    pub fn new(label: &'static str) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(INITIAL_CAPACITY))).field(TEXT, label.as_bytes())
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, value: &str) -> Self {
        self.field(TEXT, value.as_bytes())
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, value: i64) -> Self {
        self.field(NUMBER, &value.to_be_bytes())
    }

    /// Adds bytes, which differ from the text of the same bytes.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        self.field(BYTES, value)
    }

    /// The unambiguous encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn field(mut self, kind: u8, value: &[u8]) -> Self {
        // No slice is longer than `isize::MAX`, so the fallback is never taken.
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes();
        self.reserve(1 + length.len() + value.len());
        self.0.push(kind);
        self.0.extend_from_slice(&length);
        self.0.extend_from_slice(value);
        self
    }

    /// Grows by hand, because `Vec` would free the old buffer without overwriting it.
    fn reserve(&mut self, additional: usize) {
        let needed = self.0.len().saturating_add(additional);
        if needed <= self.0.capacity() {
            return;
        }
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
        larger.extend_from_slice(&self.0);
        self.0 = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::Context;

    #[test]
    fn moving_a_boundary_changes_the_context() {
        let left = Context::new("test").text("a").text("bc");
        let right = Context::new("test").text("ab").text("c");
        assert_ne!(left.as_bytes(), right.as_bytes());
    }

    #[test]
    fn label_is_not_confused_with_a_field() {
        let one = Context::new("a").text("b");
        let two = Context::new("ab");
        let three = Context::new("").text("a").text("b");
        assert_ne!(one.as_bytes(), two.as_bytes());
        assert_ne!(one.as_bytes(), three.as_bytes());
    }

    #[test]
    fn kinds_of_field_differ() {
        let number = 0x3132_3334_3536_3738_i64;
        let text = Context::new("test").text("12345678");
        let bytes = Context::new("test").bytes(b"12345678");
        let as_number = Context::new("test").number(number);
        assert_ne!(text.as_bytes(), bytes.as_bytes());
        assert_ne!(text.as_bytes(), as_number.as_bytes());
        assert_ne!(bytes.as_bytes(), as_number.as_bytes());
    }

    #[test]
    fn empty_field_counts() {
        assert_ne!(
            Context::new("test").as_bytes(),
            Context::new("test").text("").as_bytes()
        );
    }

    #[test]
    fn order_and_sign_count() {
        assert_ne!(
            Context::new("test").number(1).number(2).as_bytes(),
            Context::new("test").number(2).number(1).as_bytes()
        );
        assert_ne!(
            Context::new("test").number(1).as_bytes(),
            Context::new("test").number(-1).as_bytes()
        );
    }

    #[test]
    fn growing_keeps_what_was_there() {
        let long = "x".repeat(1000);
        let context = Context::new("test").text("first").text(&long).number(7);
        let start = Context::new("test").text("first");
        assert!(context.as_bytes().starts_with(start.as_bytes()));
        assert_eq!(context.as_bytes().len(), 13 + 14 + 1009 + 17);
    }
}
