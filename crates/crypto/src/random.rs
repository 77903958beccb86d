//! Randomness from the operating system, through the cryptographic library.

use crate::{Error, Key};

/// `N` unpredictable bytes, for ids, salts and serial numbers. Secrets come from [`random_secret`].
///
/// # Errors
/// [`Error::Unavailable`] when the machine has no randomness to give.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Unavailable)?;
    Ok(bytes)
}

/// A fresh 256-bit key, filled in place.
///
/// # Errors
/// [`Error::Unavailable`] when the machine has no randomness to give.
pub fn random_secret() -> Result<Key, Error> {
    Key::try_fill(|bytes| aws_lc_rs::rand::fill(bytes).map_err(|_| Error::Unavailable))
}

#[cfg(test)]
mod tests {
    use super::{random, random_secret};

    #[test]
    fn two_draws_differ() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
        assert_ne!(
            random_secret().unwrap().expose(),
            random_secret().unwrap().expose()
        );
    }
}
