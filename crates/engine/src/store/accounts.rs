//! Accounts, their settings per mode, their API keys, and the list of changes that other nodes must hear of.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE accounts (
    account TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created {bigint} NOT NULL,
    activated {bigint}
) {strict};
CREATE TABLE account_settings (
    account TEXT NOT NULL REFERENCES accounts (account),
    mode TEXT NOT NULL,
    version {bigint} NOT NULL,
    origins TEXT NOT NULL,
    updated {bigint} NOT NULL,
    PRIMARY KEY (account, mode)
) {strict};
CREATE TABLE api_keys (
    account TEXT NOT NULL REFERENCES accounts (account),
    mode TEXT NOT NULL,
    api_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,
    last4 TEXT NOT NULL,
    hash {bytes} NOT NULL,
    state TEXT NOT NULL,
    version {bigint} NOT NULL,
    created {bigint} NOT NULL,
    expires {bigint},
    PRIMARY KEY (account, mode, api_key)
) {strict};
CREATE UNIQUE INDEX api_keys_by_id ON api_keys (api_key);
CREATE TABLE invitations (
    hash {bytes} NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    created {bigint} NOT NULL,
    expires {bigint} NOT NULL
) {strict};
CREATE TABLE change_counter (one {bigint} NOT NULL PRIMARY KEY, last {bigint} NOT NULL) {strict};
INSERT INTO change_counter (one, last) VALUES (1, 0);
CREATE TABLE changes (
    sequence {bigint} NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    created {bigint} NOT NULL
) {strict}";

/// When and where a key was first seen where anybody could read it.
pub(crate) const EXPOSURE: &str = "
ALTER TABLE api_keys ADD COLUMN exposed {bigint};
ALTER TABLE api_keys ADD COLUMN exposed_by TEXT";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &ACCOUNT_INSERT,
    &ACCOUNT_BY_NAME,
    &ACCOUNT_FIND,
    &ACCOUNT_LIST,
    &ACCOUNT_ACTIVATE,
    &ACCOUNT_TESTED,
    &SETTINGS_INSERT,
    &SETTINGS_FIND,
    &SETTINGS_HOLD,
    &SETTINGS_UPDATE,
    &INVITATION_INSERT,
    &INVITATIONS_END,
    &CHANGE_COUNT,
    &CHANGE_INSERT,
    &CHANGES_AFTER,
    &CHANGES_LAST,
    &CHANGES_PRUNE,
];

pub(crate) static ACCOUNT_INSERT: Statement = Statement::new(
    "account_insert",
    "INSERT INTO accounts (account, name, created) VALUES ($1, $2, $3)",
);
pub(crate) static ACCOUNT_BY_NAME: Statement = Statement::new(
    "account_by_name",
    "SELECT account FROM accounts WHERE name = $1",
);
pub(crate) static ACCOUNT_FIND: Statement = Statement::new(
    "account_find",
    "SELECT name, created, activated FROM accounts WHERE account = $1",
);
pub(crate) static ACCOUNT_LIST: Statement = Statement::new(
    "account_list",
    "SELECT account, name, created, activated FROM accounts ORDER BY account",
);
pub(crate) static ACCOUNT_ACTIVATE: Statement = Statement::new(
    "account_activate",
    "UPDATE accounts SET activated = $2 WHERE account = $1 AND activated IS NULL",
);
/// Whether something was captured in test mode.
pub(crate) static ACCOUNT_TESTED: Statement = Statement::new(
    "account_tested",
    "SELECT payment FROM payments WHERE account = $1 AND mode = 'test' AND amount_captured > 0 LIMIT 1",
);
pub(crate) static SETTINGS_INSERT: Statement = Statement::new(
    "settings_insert",
    "INSERT INTO account_settings (account, mode, version, origins, updated) VALUES ($1, $2, 1, '', $3)",
);
pub(crate) static SETTINGS_FIND: Statement = Statement::new(
    "settings_find",
    "SELECT version, origins, freeze_exposed, detection, updated FROM account_settings WHERE account = $1 AND mode = $2",
);
/// Nothing that has to hold this row too commits before this transaction does.
pub(crate) static SETTINGS_HOLD: Statement = Statement::new(
    "settings_hold",
    "UPDATE account_settings SET version = version WHERE account = $1 AND mode = $2",
);
pub(crate) static SETTINGS_UPDATE: Statement = Statement::new(
    "settings_update",
    "UPDATE account_settings SET version = version + 1, origins = $4, freeze_exposed = $5, updated = $6,
        detection = $7
     WHERE account = $1 AND mode = $2 AND version = $3",
);
/// The counter's row lock makes sequence numbers appear in the order of commits.
pub(crate) static CHANGE_COUNT: Statement = Statement::new(
    "change_count",
    "UPDATE change_counter SET last = last + 1 WHERE one = 1",
);
pub(crate) static CHANGE_INSERT: Statement = Statement::new(
    "change_insert",
    "INSERT INTO changes (sequence, kind, id, created) SELECT last, $1, $2, $3 FROM change_counter WHERE one = 1",
);
pub(crate) static CHANGES_AFTER: Statement = Statement::new(
    "changes_after",
    "SELECT sequence, kind, id FROM changes WHERE sequence > $1 ORDER BY sequence LIMIT 1000",
);
pub(crate) static CHANGES_LAST: Statement = Statement::new(
    "changes_last",
    "SELECT last FROM change_counter WHERE one = 1",
);
pub(crate) static CHANGES_PRUNE: Statement =
    Statement::new("changes_prune", "DELETE FROM changes WHERE created < $1");
pub(crate) static INVITATION_INSERT: Statement = Statement::new(
    "invitation_insert",
    "INSERT INTO invitations (hash, role, created, expires) VALUES ($1, $2, $3, $4)",
);
pub(crate) static INVITATIONS_END: Statement =
    Statement::new("invitations_end", "DELETE FROM invitations WHERE role = $1");
