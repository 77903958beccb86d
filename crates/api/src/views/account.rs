//! The caller's account.

use coffer_core::{
    Mode,
    detection::Policy,
    id::{AccountId, ApiKeyId},
};
use coffer_engine::AccountView as Account;

use crate::shape::{ObjectType, Time, object};

object! {
    /// The account of the key that asks.
    pub(crate) struct AccountView as "Account" {
        /// Its id.
        id: AccountId,
        /// The kind of object.
        r#type: ObjectType,
        /// The mode of the key.
        mode: Mode,
        /// Its name, shown to payers.
        name: String,
        /// The web origins that may hold card fields and use a publishable key.
        origins: Vec<String>,
        /// Whether a key that was seen where anybody could read it is frozen at once.
        freeze_exposed_keys: bool,
        /// What is done about what looks hostile, beside telling of it: nothing (watch), or for a while little (slow) or nothing
        /// (block) of what it asks for.
        detection: Policy,
        /// Since when live payments are possible, if they are.
        activated: Option<Time>,
        /// The id of the key that asks.
        api_key: ApiKeyId,
        /// The permissions of the key that asks, such as payments:read.
        permissions: Vec<String>,
        /// Grows with every change of the settings.
        version: i64,
        /// When the account was made.
        created: Time,
        /// When the settings changed last.
        updated: Time,
    }
}

impl AccountView {
    /// An account as this key sees it.
    pub(crate) fn of(account: Account, caller: &coffer_engine::Caller) -> Self {
        let Account {
            id,
            name,
            mode,
            origins,
            freeze_exposed_keys,
            detection,
            activated,
            version,
            created,
            updated,
        } = account;
        let permissions = caller.settings().permissions.to_string();
        Self {
            id,
            r#type: ObjectType::Account,
            mode,
            name,
            origins,
            freeze_exposed_keys,
            detection,
            activated: activated.map(Time),
            api_key: caller.api_key(),
            permissions: permissions
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
            version,
            created: Time(created),
            updated: Time(updated),
        }
    }
}
