//! The only crate that names a cipher, and the home of secret types.
//!
//! Callers say what they want (seal this for that place, derive a key for that purpose, issue this
//! certificate) and never choose an algorithm, a nonce or an encoding. Nothing here does I/O or
//! reads a clock; the only thing taken from the machine is randomness.

mod aead;
mod context;
mod error;
mod jwe;
mod key;
mod mac;
pub mod pki;
pub mod public_key;
mod random;
mod scrub;
mod signing;
mod stream;
mod stretch;

pub use aead::{open, seal, unwrap, wrap};
pub use context::Context;
pub use error::Error;
pub use jwe::{JweHeader, jwe_encrypt};
pub use key::{Key, SecretBytes};
pub use mac::{Mac, MacKey, digest, digest_384, digest_512, mac, mac_bytes};
pub use random::{random, random_secret};
pub use scrub::scrubbed;
pub use signing::{SigningKey, VerifyingKey};
pub use stream::{StreamOpener, StreamSealer};
pub use stretch::{Stretch, stretch};
