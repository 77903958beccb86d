//! Turns a passphrase into a key (Argon2id, RFC 9106), slowly on purpose.
//!
//! It blocks for as long as the cost says: callers run it on a bounded pool, never on the runtime.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::{Error, Key, SecretBytes};

/// What one guess costs. Stored beside the salt, so that it can be raised later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes, which could be computed in parallel.
    pub lanes: u32,
}

impl Stretch {
    /// For the passphrase that opens the root key: 64 MiB, three passes.
    pub const ROOT: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// For the development profile only: OWASP's minimum of 19 MiB and two passes.
    pub const QUICK: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
}

/// Derives a key from a passphrase.
///
/// # Errors
/// [`Error::Malformed`] for a cost that Argon2 does not allow; [`Error::Unavailable`] when the
/// machine has not that much memory.
pub fn stretch(passphrase: &SecretBytes, salt: &[u8; 16], cost: Stretch) -> Result<Key, Error> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| Error::Malformed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Key::try_fill(|key| {
        argon2
            .hash_password_into(passphrase.expose(), salt, key)
            .map_err(|_| Error::Unavailable)
    })
}

#[cfg(test)]
mod tests {
    use super::{Stretch, stretch};
    use crate::{Error, SecretBytes};

    const CHEAP: Stretch = Stretch {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn passphrase(text: &str) -> SecretBytes {
        SecretBytes::from_vec(text.as_bytes().to_vec())
    }

    #[test]
    fn cost_that_argon2_forbids_is_malformed() {
        for cost in [
            Stretch {
                memory_kib: 7,
                ..CHEAP
            },
            Stretch { passes: 0, ..CHEAP },
            Stretch { lanes: 0, ..CHEAP },
        ] {
            let outcome = stretch(&passphrase("a"), &[0; 16], cost);
            assert_eq!(outcome.err(), Some(Error::Malformed));
        }
    }

    #[test]
    fn key_depends_on_passphrase_salt_and_cost() {
        let base = stretch(&passphrase("a"), &[0; 16], CHEAP).unwrap();
        let dearer = Stretch { passes: 2, ..CHEAP };
        for other in [
            stretch(&passphrase("b"), &[0; 16], CHEAP),
            stretch(&passphrase("a"), &[1; 16], CHEAP),
            stretch(&passphrase("a"), &[0; 16], dearer),
        ] {
            assert_ne!(base.expose(), other.unwrap().expose());
        }
        let again = stretch(&passphrase("a"), &[0; 16], CHEAP).unwrap();
        assert_eq!(base.expose(), again.expose());
    }
}
