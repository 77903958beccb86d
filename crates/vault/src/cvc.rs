//! Security codes (CVC): in memory only, sealed, once. There is no column for one, and nothing here can write to a store.
//!
//! A code is kept by the process that took it, for as long as its token lives, and leaves by being taken (PCI DSS 3.3.1:
//! nowhere after authorization, not even encrypted).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use coffer_core::{Timestamp, brand::Brand, id::TokenId};
use coffer_crypto::{Context, Key, open, random_secret, seal};
use zeroize::Zeroize;

/// The most codes held at a time, about 40 MB. Beyond it a deposit is answered 503: none is thrown out for another.
pub(crate) const CVCS_MAX: usize = 262_144;

/// The most digits of a code.
const DIGITS_MAX: usize = 4;

/// A security code of the right length for its card's brand.
///
/// It cannot be printed, copied, compared or serialised:
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<coffer_vault::Cvc>();
/// ```
/// ```compile_fail
/// fn copyable<T: Clone>() {}
/// copyable::<coffer_vault::Cvc>();
/// ```
/// ```compile_fail
/// fn comparable<T: PartialEq>() {}
/// comparable::<coffer_vault::Cvc>();
/// ```
/// ```compile_fail
/// fn serialisable<T: serde::Serialize>() {}
/// serialisable::<coffer_vault::Cvc>();
/// ```
pub struct Cvc {
    digits: Box<[u8; DIGITS_MAX]>,
    length: usize,
}

/// A text that is not a security code of the brand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CvcFault;

impl Cvc {
    /// Reads a code: exactly as many digits as the brand prints on its cards.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str, brand: Brand) -> Result<Self, CvcFault> {
        if text.len() != brand.cvc_length() {
            return Err(CvcFault);
        }
        Self::from_digits(text.as_bytes())
    }

    fn from_digits(bytes: &[u8]) -> Result<Self, CvcFault> {
        let mut cvc = Self {
            digits: Box::new([0; DIGITS_MAX]),
            length: bytes.len(),
        };
        let slots = cvc.digits.get_mut(..bytes.len()).ok_or(CvcFault)?;
        if !bytes.iter().all(u8::is_ascii_digit) {
            return Err(CvcFault);
        }
        slots.copy_from_slice(bytes);
        Ok(cvc)
    }

    /// The digits. Only for sealing them in memory and writing a provider's request; each call says which.
    #[must_use]
    pub fn expose_digits(&self) -> &str {
        let digits = self.digits.get(..self.length).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

impl Drop for Cvc {
    fn drop(&mut self) {
        self.digits.zeroize();
    }
}

/// There is no room for another code now.
#[derive(Debug)]
pub(crate) struct Full;

/// The codes of this process, each sealed under a key that exists only in its memory.
pub(crate) struct Cvcs {
    key: Key,
    held: Mutex<HashMap<TokenId, Held>>,
    capacity: usize,
}

struct Held {
    sealed: Vec<u8>,
    expires: Timestamp,
}

impl Cvcs {
    pub(crate) fn new(capacity: usize) -> Result<Self, coffer_crypto::Error> {
        Ok(Self {
            key: random_secret()?,
            held: Mutex::default(),
            capacity,
        })
    }

    /// Keeps a code until its token expires or the code is taken.
    pub(crate) fn put(&self, token: TokenId, cvc: &Cvc, expires: Timestamp) -> Result<(), Full> {
        // Exposed to be sealed.
        let sealed =
            seal(&self.key, &context(token), cvc.expose_digits().as_bytes()).map_err(|_| Full)?;
        let mut held = self.lock();
        if held.len() >= self.capacity && !held.contains_key(&token) {
            return Err(Full);
        }
        held.insert(token, Held { sealed, expires });
        Ok(())
    }

    /// Whether a code could be taken now.
    pub(crate) fn holds(&self, token: TokenId, now: Timestamp) -> bool {
        self.lock()
            .get(&token)
            .is_some_and(|held| held.expires > now)
    }

    /// The code, for the only time.
    pub(crate) fn take(&self, token: TokenId, now: Timestamp) -> Option<Cvc> {
        let held = self
            .lock()
            .remove(&token)
            .filter(|held| held.expires > now)?;
        let digits = open(&self.key, &context(token), &held.sealed).ok()?;
        Cvc::from_digits(digits.expose()).ok()
    }

    /// Drops a code without using it.
    pub(crate) fn discard(&self, token: TokenId) {
        self.lock().remove(&token);
    }

    /// Drops the codes whose tokens are over.
    pub(crate) fn prune(&self, now: Timestamp) {
        let mut held = self.lock();
        held.retain(|_, held| held.expires > now);
        held.shrink_to(1024);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenId, Held>> {
        coffer_net::lock(&self.held)
    }
}

fn context(token: TokenId) -> Context {
    Context::new("vault/cvc/v1").bytes(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);
    const LATER: Timestamp = Timestamp::from_millis(1_795_341_700_000);

    fn token(byte: u8) -> TokenId {
        TokenId::from_bytes([byte; 16])
    }

    fn cvc() -> Cvc {
        Cvc::parse("123", Brand::Visa).unwrap_or_else(|_| panic!("a code"))
    }

    #[test]
    fn a_code_has_the_length_of_its_brand_and_only_digits() {
        for text in ["", "12", "1234", "12a", "１２３"] {
            assert!(Cvc::parse(text, Brand::Visa).is_err());
        }
        assert!(Cvc::parse("123", Brand::AmericanExpress).is_err());
        assert!(Cvc::parse("1234", Brand::AmericanExpress).is_ok());
    }

    #[test]
    fn a_code_is_taken_once_and_by_its_own_token_only() {
        let cvcs = Cvcs::new(8).unwrap();
        cvcs.put(token(1), &cvc(), LATER).unwrap();
        assert!(cvcs.take(token(2), NOW).is_none());
        assert!(cvcs.holds(token(1), NOW));
        assert_eq!(cvcs.take(token(1), NOW).unwrap().expose_digits(), "123");
        assert!(cvcs.take(token(1), NOW).is_none());
        assert!(!cvcs.holds(token(1), NOW));
    }

    #[test]
    fn a_code_is_gone_when_its_token_is_over() {
        let cvcs = Cvcs::new(8).unwrap();
        cvcs.put(token(1), &cvc(), NOW).unwrap();
        assert!(!cvcs.holds(token(1), NOW) && cvcs.take(token(1), NOW).is_none());
        cvcs.put(token(1), &cvc(), NOW).unwrap();
        cvcs.prune(NOW);
        assert!(cvcs.lock().is_empty());
    }

    #[test]
    fn a_full_memory_refuses_and_throws_out_nothing() {
        let cvcs = Cvcs::new(1).unwrap();
        cvcs.put(token(1), &cvc(), LATER).unwrap();
        assert!(cvcs.put(token(2), &cvc(), LATER).is_err());
        assert!(cvcs.holds(token(1), NOW));
    }
}
