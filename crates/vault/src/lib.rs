//! The vault: the only product crate that can spell a card number.
//!
//! It takes cards at the fields face, keeps them sealed, and opens one only for an order that `keys` accepts, only to
//! send it to a payment provider. Security codes stay in memory. It has no other way out than the configured providers.

#![warn(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod adapter;
mod attempt;
mod background;
mod card_number;
mod cvc;
mod deposit;
mod egress;
mod error;
mod fields;
#[doc(hidden)]
pub mod fuzzing;
mod intake;
mod journal;
mod keep;
mod pool;
mod provider;
mod record;
mod service;
mod settings;
mod store;
mod token;
mod tries;

use std::sync::Arc;

use coffer_audit::{Audit, Retention};
use coffer_db::Database;
use coffer_net::{Clock, contract::keys::Keys, outbound::Outbound};

pub use adapter::Adapter;
pub use card_number::{CardNumber, NumberFault};
pub use cvc::{Cvc, CvcFault};
pub use error::Error;
pub use settings::{ProviderSettings, Settings};
pub use store::{MIGRATIONS, STATEMENTS};

use crate::{
    attempt::Running, cvc::Cvcs, fields::Fields, journal::Recording, pool::Pool,
    provider::Providers, settings::ServiceKeys, tries::Tries,
};

/// The vault's role in this process; clones are the same vault.
#[derive(Clone)]
pub struct Vault {
    parts: Arc<Parts>,
}

/// What every part of the vault works with.
pub(crate) struct Parts {
    pub(crate) db: Database,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) clock: Clock,
    pub(crate) instance: String,
    pub(crate) fields_origin: String,
    pub(crate) service_keys: ServiceKeys,
    pub(crate) audit: Audit,
    pub(crate) cvcs: Cvcs,
    pub(crate) pool: Pool,
    pub(crate) providers: Providers,
    pub(crate) running: Running,
    pub(crate) recording: Recording,
    pub(crate) tries: Tries,
    pub(crate) fields: Fields,
    pub(crate) outside: Outbound,
    pub(crate) retention: Retention,
}

impl Vault {
    /// Opens the vault on its database, which was opened with [`MIGRATIONS`] and [`STATEMENTS`].
    ///
    /// # Errors
    /// `Unfit` when an operator must change the settings or the store; `Away` when the store cannot serve.
    pub async fn open(
        db: Database,
        keys: Arc<dyn Keys>,
        settings: Settings,
    ) -> Result<Self, Error> {
        settings.check()?;
        let service_keys = ServiceKeys::derive(&settings.service_key);
        let now = settings.clock.now();
        let providers = Providers::open(
            &db,
            &service_keys.credentials,
            settings.providers,
            &settings.allow_networks,
            now,
        )
        .await?;
        let parts = Parts {
            audit: Audit::new(service_keys.audit.duplicate(), &settings.instance),
            pool: Pool::new(Arc::clone(&keys), settings.clock.clone()),
            cvcs: Cvcs::new(cvc::CVCS_MAX)?,
            running: Running::default(),
            recording: Recording::default(),
            tries: Tries::new(),
            fields: Fields::new(),
            outside: settings.outside,
            retention: settings.retention,
            providers,
            service_keys,
            db,
            keys,
            clock: settings.clock,
            instance: settings.instance,
            fields_origin: settings.fields_origin,
        };
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    /// Whether the vault can serve: `Err` says why not.
    ///
    /// # Errors
    /// When its store failed and has not recovered.
    pub fn ready(&self) -> Result<(), String> {
        if self.parts.db.healthy() {
            Ok(())
        } else {
            Err("the vault's store does not accept writes".to_owned())
        }
    }
}
