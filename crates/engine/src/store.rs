//! The tables of api.db and every statement on them, by family. Account and mode begin every table's key, so an object of
//! another account or mode is not found.

use coffer_db::{Migration, Statement};

pub(crate) mod accounts;
pub(crate) mod alerts;
pub(crate) mod api_keys;
pub(crate) mod customers;
pub(crate) mod events;
pub(crate) mod idempotency;
pub(crate) mod payments;
pub(crate) mod refunds;
pub(crate) mod usage;
pub(crate) mod webhooks;

/// The tables of api.db, in their order of making.
pub const MIGRATIONS: &[Migration] = &[
    coffer_db::jobs::JOBS_MIGRATION,
    Migration {
        version: 2,
        name: "audit",
        sql: coffer_audit::SCHEMA,
    },
    Migration {
        version: 3,
        name: "accounts",
        sql: accounts::SCHEMA,
    },
    Migration {
        version: 4,
        name: "payments",
        sql: payments::SCHEMA,
    },
    Migration {
        version: 5,
        name: "refunds",
        sql: refunds::SCHEMA,
    },
    Migration {
        version: 6,
        name: "customers",
        sql: customers::SCHEMA,
    },
    Migration {
        version: 7,
        name: "events",
        sql: events::SCHEMA,
    },
    Migration {
        version: 8,
        name: "webhooks",
        sql: webhooks::SCHEMA,
    },
    Migration {
        version: 9,
        name: "idempotency",
        sql: idempotency::SCHEMA,
    },
    Migration {
        version: 10,
        name: "alerts",
        sql: alerts::SCHEMA,
    },
    Migration {
        version: 11,
        name: "exposed keys",
        sql: accounts::EXPOSURE,
    },
    Migration {
        version: 12,
        name: "rights of keys",
        sql: api_keys::RIGHTS,
    },
    Migration {
        version: 13,
        name: "rates of keys",
        sql: api_keys::RATE,
    },
    Migration {
        version: 14,
        name: "records by account",
        sql: coffer_audit::BY_ACCOUNT,
    },
    Migration {
        version: 15,
        name: "usage",
        sql: usage::SCHEMA,
    },
];

/// Every statement on api.db.
pub const STATEMENTS: &[&[&Statement]] = &[
    coffer_db::jobs::STATEMENTS,
    coffer_audit::STATEMENTS,
    accounts::STATEMENTS,
    api_keys::STATEMENTS,
    payments::STATEMENTS,
    refunds::STATEMENTS,
    customers::STATEMENTS,
    events::STATEMENTS,
    webhooks::STATEMENTS,
    idempotency::STATEMENTS,
    alerts::STATEMENTS,
    usage::STATEMENTS,
];
