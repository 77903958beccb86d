//! Who is slowed or blocked: an account's, or the operator's, whose account and mode are empty. A row is gone when it is lifted.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE blocks (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    block TEXT NOT NULL,
    subject TEXT NOT NULL,
    signal TEXT NOT NULL,
    policy TEXT NOT NULL,
    score {bigint} NOT NULL,
    reason TEXT NOT NULL,
    created {bigint} NOT NULL,
    until {bigint} NOT NULL,
    PRIMARY KEY (account, mode, block)
) {strict};
CREATE INDEX blocks_by_until ON blocks (until);
ALTER TABLE alerts ADD COLUMN score {bigint};
ALTER TABLE alerts ADD COLUMN detail TEXT;
ALTER TABLE account_settings ADD COLUMN detection TEXT;
ALTER TABLE api_key_uses ADD COLUMN first {bigint} NOT NULL DEFAULT 0";

pub(crate) const STATEMENTS: &[&Statement] = &[&INSERT, &FIND, &LIST, &HOLDING, &LIFT, &PRUNE];

pub(crate) static INSERT: Statement = Statement::new(
    "block_insert",
    "INSERT INTO blocks (account, mode, block, subject, signal, policy, score, reason, created, until)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
);
macro_rules! select_blocks {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, block, subject, signal, policy, score, reason, created, until FROM blocks ",
            $rest
        )
    };
}
pub(crate) static FIND: Statement = Statement::new(
    "block_find",
    select_blocks!("WHERE account = $1 AND mode = $2 AND block = $3 AND until > $4"),
);
pub(crate) static LIST: Statement = Statement::new(
    "block_list",
    select_blocks!(
        "WHERE account = $1 AND mode = $2 AND block < $3 AND until > $5 ORDER BY block DESC LIMIT $4"
    ),
);
/// Everybody's that hold.
pub(crate) static HOLDING: Statement = Statement::new(
    "blocks_holding",
    select_blocks!("WHERE until > $1 ORDER BY until DESC LIMIT $2"),
);
pub(crate) static LIFT: Statement = Statement::new(
    "block_lift",
    "DELETE FROM blocks WHERE account = $1 AND mode = $2 AND block = $3",
);
pub(crate) static PRUNE: Statement =
    Statement::new("blocks_prune", "DELETE FROM blocks WHERE until <= $1");
