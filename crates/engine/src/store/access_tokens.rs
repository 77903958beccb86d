//! Access tokens that were revoked, as long as they would work otherwise. Those that were issued are stored nowhere.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE revoked_tokens (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    token TEXT NOT NULL,
    expires {bigint} NOT NULL,
    PRIMARY KEY (account, mode, token)
) {strict};
CREATE INDEX revoked_tokens_by_end ON revoked_tokens (expires)";

pub(crate) const STATEMENTS: &[&Statement] = &[&REVOKE, &FIND, &PRUNE];

/// Twice is as good as once.
pub(crate) static REVOKE: Statement = Statement::new(
    "access_token_revoke",
    "INSERT INTO revoked_tokens (account, mode, token, expires) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account, mode, token) DO NOTHING",
);
pub(crate) static FIND: Statement = Statement::new(
    "access_token_revoked",
    "SELECT expires FROM revoked_tokens WHERE account = $1 AND mode = $2 AND token = $3",
);
pub(crate) static PRUNE: Statement = Statement::new(
    "access_tokens_prune",
    "DELETE FROM revoked_tokens WHERE expires < $1",
);
