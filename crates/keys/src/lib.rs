//! Role: custody of keys.
//!
//! Holds the root key, in memory only and only while unsealed; everything below it is stored wrapped. Issues data keys,
//! opens one for one order within a budget, signs checkpoints of the roles' logs, and is the internal certificate
//! authority. It never sees a card number, and has no way out but its database.

mod authority;
mod budget;
mod checkpoint;
mod custody;
mod data_key;
mod error;
mod fingerprint;
mod hierarchy;
mod opening;
mod root;
mod service;
mod settings;
mod store;

pub use authority::CERTIFICATE_LIFETIME_MS;
pub use checkpoint::{checkpoint_key, remembered};
pub use custody::Keys;
pub use error::Error;
pub use root::{Initialised, initialise};
pub use settings::Settings;
pub use store::{MIGRATIONS, STATEMENTS};
