//! What was asked for, by key, operation and hour.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE usage_hours (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    hour {bigint} NOT NULL,
    api_key TEXT NOT NULL,
    operation TEXT NOT NULL,
    calls {bigint} NOT NULL,
    refused {bigint} NOT NULL,
    failed {bigint} NOT NULL,
    latency_us {bigint} NOT NULL,
    latency_most_us {bigint} NOT NULL,
    bytes_in {bigint} NOT NULL,
    bytes_out {bigint} NOT NULL,
    PRIMARY KEY (account, mode, hour, api_key, operation)
) {strict};
CREATE INDEX usage_hours_by_hour ON usage_hours (hour)";

/// What was moved by whom, beside what was asked for.
pub(crate) const MONEY: &str = "
CREATE TABLE usage_money (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    hour {bigint} NOT NULL,
    api_key TEXT NOT NULL,
    operation TEXT NOT NULL,
    currency TEXT NOT NULL,
    captured {bigint} NOT NULL,
    refunded {bigint} NOT NULL,
    PRIMARY KEY (account, mode, hour, api_key, operation, currency)
) {strict};
CREATE INDEX usage_money_by_hour ON usage_money (hour)";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &ADD,
    &ADD_MONEY,
    &LIST,
    &LIST_MONEY,
    &OF_KEY,
    &BUSY,
    &HOURS,
    &PRUNE,
    &PRUNE_MONEY,
];

pub(crate) static ADD: Statement = Statement::new(
    "usage_add",
    "INSERT INTO usage_hours (account, mode, hour, api_key, operation, calls, refused, failed, latency_us,
        latency_most_us, bytes_in, bytes_out)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
     ON CONFLICT (account, mode, hour, api_key, operation) DO UPDATE SET
        calls = usage_hours.calls + EXCLUDED.calls,
        refused = usage_hours.refused + EXCLUDED.refused,
        failed = usage_hours.failed + EXCLUDED.failed,
        latency_us = usage_hours.latency_us + EXCLUDED.latency_us,
        latency_most_us = CASE WHEN usage_hours.latency_most_us > EXCLUDED.latency_most_us
            THEN usage_hours.latency_most_us ELSE EXCLUDED.latency_most_us END,
        bytes_in = usage_hours.bytes_in + EXCLUDED.bytes_in,
        bytes_out = usage_hours.bytes_out + EXCLUDED.bytes_out",
);
pub(crate) static ADD_MONEY: Statement = Statement::new(
    "usage_add_money",
    "INSERT INTO usage_money (account, mode, hour, api_key, operation, currency, captured, refunded)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (account, mode, hour, api_key, operation, currency) DO UPDATE SET
        captured = usage_money.captured + EXCLUDED.captured,
        refunded = usage_money.refunded + EXCLUDED.refunded",
);
/// Newest hour first, on from a row that was seen. An empty key means every key.
pub(crate) static LIST: Statement = Statement::new(
    "usage_list",
    "SELECT hour, api_key, operation, calls, refused, failed, latency_us, latency_most_us, bytes_in, bytes_out
     FROM usage_hours
     WHERE account = $1 AND mode = $2 AND hour >= $3 AND hour <= $4 AND ($5 = '' OR api_key = $5)
        AND (hour < $6 OR api_key < $7 OR (api_key = $7 AND operation < $8))
     ORDER BY hour DESC, api_key DESC, operation DESC LIMIT $9",
);
/// A key's hours, for what can be learned from them.
pub(crate) static OF_KEY: Statement = Statement::new(
    "usage_of_key",
    "SELECT hour, operation, calls FROM usage_hours
     WHERE account = $1 AND mode = $2 AND api_key = $3 AND hour >= $4 ORDER BY hour DESC LIMIT 50000",
);
/// Keys that called at least so often in this hour, the busiest first.
pub(crate) static BUSY: Statement = Statement::new(
    "usage_busy",
    "SELECT account, mode, api_key, CAST(SUM(calls) AS bigint) AS calls FROM usage_hours WHERE hour = $1
     GROUP BY account, mode, api_key HAVING SUM(calls) > CAST($2 AS bigint) ORDER BY SUM(calls) DESC LIMIT $3",
);
/// What a key called, hour by hour.
pub(crate) static HOURS: Statement = Statement::new(
    "usage_hours_of_key",
    "SELECT hour, CAST(SUM(calls) AS bigint) AS calls FROM usage_hours
     WHERE account = $1 AND mode = $2 AND hour >= $3 AND hour < $4 AND api_key = $5 GROUP BY hour",
);
pub(crate) static PRUNE: Statement =
    Statement::new("usage_prune", "DELETE FROM usage_hours WHERE hour < $1");
pub(crate) static PRUNE_MONEY: Statement = Statement::new(
    "usage_prune_money",
    "DELETE FROM usage_money WHERE hour < $1",
);
/// Of the rows of usage from one to another, both included. An empty key means every key.
pub(crate) static LIST_MONEY: Statement = Statement::new(
    "usage_list_money",
    "SELECT hour, api_key, operation, currency, captured, refunded FROM usage_money
     WHERE account = $1 AND mode = $2 AND hour <= $3 AND hour >= $6 AND ($9 = '' OR api_key = $9)
        AND (hour, api_key, operation) <= ($3, $4, $5) AND (hour, api_key, operation) >= ($6, $7, $8)
     ORDER BY currency",
);
