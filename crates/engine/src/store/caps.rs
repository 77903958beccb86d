//! What keys have used of their caps, a row for each key, day, kind and currency; the currency is empty for cards.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
ALTER TABLE api_keys ADD COLUMN caps TEXT NOT NULL DEFAULT '';
ALTER TABLE payments ADD COLUMN api_key TEXT;
ALTER TABLE attempts ADD COLUMN reserved TEXT;
CREATE TABLE api_key_cap_uses (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    api_key TEXT NOT NULL,
    day {bigint} NOT NULL,
    kind TEXT NOT NULL,
    currency TEXT NOT NULL,
    used {bigint} NOT NULL,
    told {bigint} NOT NULL,
    PRIMARY KEY (account, mode, api_key, day, kind, currency)
) {strict};
CREATE INDEX api_key_cap_uses_by_day ON api_key_cap_uses (day)";

pub(crate) const STATEMENTS: &[&Statement] = &[&COUNT, &TOLD, &USED, &PRUNE];

/// Adds `$7` as long as no more than `$8` is used then: the guard of a cap. What is given back is added as less than nothing, by
/// the same statement, so that all transactions lock these rows in one order.
pub(crate) static COUNT: Statement = Statement::new(
    "cap_count",
    "INSERT INTO api_key_cap_uses (account, mode, api_key, day, kind, currency, used, told)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
     ON CONFLICT (account, mode, api_key, day, kind, currency)
     DO UPDATE SET used = api_key_cap_uses.used + EXCLUDED.used
        WHERE api_key_cap_uses.used + EXCLUDED.used <= $8
     RETURNING kind, currency, used, told",
);
/// Of those who want to tell that a cap is nearly reached, one does.
pub(crate) static TOLD: Statement = Statement::new(
    "cap_told",
    "UPDATE api_key_cap_uses SET told = 1
     WHERE account = $1 AND mode = $2 AND api_key = $3 AND day = $4 AND kind = $5 AND currency = $6 AND told = 0",
);
/// Of one page of a list of keys, by its first and last id.
pub(crate) static USED: Statement = Statement::new(
    "cap_uses",
    "SELECT api_key, kind, currency, used FROM api_key_cap_uses
     WHERE account = $1 AND mode = $2 AND api_key >= $3 AND api_key <= $4 AND day = $5",
);
pub(crate) static PRUNE: Statement = Statement::new(
    "cap_uses_prune",
    "DELETE FROM api_key_cap_uses WHERE day < $1",
);
