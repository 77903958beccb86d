//! The tables of api.db and every statement on them, by family. Account and mode begin every table's key, so an object of
//! another account or mode is not found.

use coffer_db::{Migration, Statement};

pub(crate) mod access_tokens;
pub(crate) mod accounts;
pub(crate) mod alerts;
pub(crate) mod api_keys;
pub(crate) mod blocks;
pub(crate) mod caps;
pub(crate) mod customers;
pub(crate) mod events;
pub(crate) mod idempotency;
pub(crate) mod payments;
pub(crate) mod refunds;
pub(crate) mod signing_keys;
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
    Migration {
        version: 16,
        name: "found by key",
        sql: FOUND_BY_KEY,
    },
    Migration {
        version: 17,
        name: "revoked tokens",
        sql: access_tokens::SCHEMA,
    },
    Migration {
        version: 18,
        name: "signing keys",
        sql: signing_keys::SCHEMA,
    },
    Migration {
        version: 21,
        name: "retention of the log",
        sql: coffer_audit::RETENTION,
    },
    Migration {
        version: 22,
        name: "caps of keys",
        sql: caps::SCHEMA,
    },
    Migration {
        version: 23,
        name: "money in usage",
        sql: usage::MONEY,
    },
    Migration {
        version: 24,
        name: "detection",
        sql: blocks::SCHEMA,
    },
    Migration {
        version: 25,
        name: "clients of signing keys",
        sql: signing_keys::CLIENTS,
    },
    Migration {
        version: 26,
        name: "rotation of webhook secrets",
        sql: webhooks::ROTATION,
    },
];

/// Beside the key of a table, an index begins with what tells its rows apart, not with account and mode. PostgreSQL knows
/// nothing of what is in the tables of a new installation: an index that shared its beginning with the key was as good to
/// it, and a row of a hundred thousand was found by looking at all of them.
const FOUND_BY_KEY: &str = "
DROP INDEX payments_by_status;
CREATE INDEX payments_by_status ON payments (status, account, mode, payment);
DROP INDEX payments_by_reference;
CREATE INDEX payments_by_reference ON payments (reference, account, mode, payment) WHERE reference IS NOT NULL;
DROP INDEX payments_by_customer;
CREATE INDEX payments_by_customer ON payments (customer, account, mode, payment) WHERE customer IS NOT NULL;
DROP INDEX refunds_by_payment;
CREATE INDEX refunds_by_payment ON refunds (payment, account, mode, refund);
DROP INDEX cards_by_customer;
CREATE INDEX cards_by_customer ON cards (customer, account, mode, card);
DROP INDEX events_by_id;
CREATE UNIQUE INDEX events_by_id ON events (event, account, mode);
DROP INDEX idempotency_by_object;
CREATE INDEX idempotency_by_object ON idempotency (object, account, mode);
DROP INDEX alerts_by_subject;
CREATE UNIQUE INDEX alerts_by_subject ON alerts (subject, kind, account, mode)";

/// Every statement on api.db.
pub const STATEMENTS: &[&[&Statement]] = &[
    coffer_db::jobs::STATEMENTS,
    coffer_audit::STATEMENTS,
    accounts::STATEMENTS,
    access_tokens::STATEMENTS,
    api_keys::STATEMENTS,
    caps::STATEMENTS,
    blocks::STATEMENTS,
    payments::STATEMENTS,
    refunds::STATEMENTS,
    customers::STATEMENTS,
    events::STATEMENTS,
    webhooks::STATEMENTS,
    idempotency::STATEMENTS,
    alerts::STATEMENTS,
    usage::STATEMENTS,
    signing_keys::STATEMENTS,
];

#[cfg(test)]
mod tests {
    use coffer_db::Database;
    use coffer_testkit::TestDatabase;

    use super::*;

    /// PostgreSQL's plans are made when its tables are empty, and kept.
    #[tokio::test]
    async fn rows_are_found_by_their_keys_in_a_new_installation() {
        let Some(place) = TestDatabase::on_postgres() else {
            return;
        };
        let opened = Database::open_postgres(&place.address(), MIGRATIONS, STATEMENTS).await;
        opened.unwrap().close().await;
        assert_eq!(place.searching(STATEMENTS), Vec::<String>::new());
    }
}
