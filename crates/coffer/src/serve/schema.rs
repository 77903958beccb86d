//! Which tables each role has, and every statement on them: for whoever opens a store that is not its own process's.

use coffer_db::{Migration, Statement};

use crate::directory::Role;

/// The tables of a role's store.
#[derive(Clone, Copy)]
pub(crate) struct Schema {
    /// What makes them.
    pub(crate) migrations: &'static [Migration],
    /// What is done with them.
    pub(crate) statements: &'static [&'static [&'static Statement]],
}

impl Schema {
    /// Those of this role.
    pub(crate) const fn of(role: Role) -> Self {
        let (migrations, statements) = match role {
            Role::Api => (coffer_engine::MIGRATIONS, coffer_engine::STATEMENTS),
            Role::Vault => (coffer_vault::MIGRATIONS, coffer_vault::STATEMENTS),
            Role::Keys => (coffer_keys::MIGRATIONS, coffer_keys::STATEMENTS),
            Role::Simulator => (coffer_simulator::MIGRATIONS, coffer_simulator::STATEMENTS),
        };
        Self {
            migrations,
            statements,
        }
    }
}
