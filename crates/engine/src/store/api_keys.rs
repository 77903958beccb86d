//! API keys, and what they were used for. Stored of a key's secrets is a keyed hash each, never the text.

use coffer_db::Statement;

/// What came to API keys after their table was made (`accounts::SCHEMA`).
pub(crate) const RIGHTS: &str = "
ALTER TABLE api_keys ADD COLUMN addresses TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN origins TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN observed_permissions TEXT;
ALTER TABLE api_keys ADD COLUMN observed_addresses TEXT;
ALTER TABLE api_keys ADD COLUMN canary {bigint} NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN secret {bigint} NOT NULL DEFAULT 1;
ALTER TABLE api_keys ADD COLUMN rotated {bigint};
ALTER TABLE api_keys ADD COLUMN old_hash {bytes};
ALTER TABLE api_keys ADD COLUMN old_last4 TEXT;
ALTER TABLE api_keys ADD COLUMN old_closes {bigint};
ALTER TABLE api_keys ADD COLUMN days_told {bigint};
ALTER TABLE api_keys ADD COLUMN updated {bigint} NOT NULL DEFAULT 0;
UPDATE api_keys SET updated = created;
CREATE INDEX api_keys_rotating ON api_keys (old_closes) WHERE old_closes IS NOT NULL;
CREATE INDEX api_keys_expiring ON api_keys (expires) WHERE expires IS NOT NULL;
CREATE TABLE api_key_last_uses (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    api_key TEXT NOT NULL,
    last {bigint} NOT NULL,
    route TEXT NOT NULL,
    address TEXT,
    tls TEXT NOT NULL,
    client TEXT,
    PRIMARY KEY (account, mode, api_key)
) {strict};
CREATE TABLE api_key_uses (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    api_key TEXT NOT NULL,
    secret {bigint} NOT NULL,
    what TEXT NOT NULL,
    value TEXT NOT NULL,
    calls {bigint} NOT NULL,
    last {bigint} NOT NULL,
    PRIMARY KEY (account, mode, api_key, secret, what, value)
) {strict};
CREATE INDEX api_key_uses_by_last ON api_key_uses (last);
ALTER TABLE account_settings ADD COLUMN freeze_exposed {bigint} NOT NULL DEFAULT 0";

/// How many requests a key may make.
pub(crate) const RATE: &str = "
ALTER TABLE api_keys ADD COLUMN per_minute {bigint};
ALTER TABLE api_keys ADD COLUMN burst {bigint}";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &INSERT,
    &FIND,
    &LIST,
    &ROOM,
    &UPDATE,
    &ROTATIONS_DUE,
    &EXPIRIES_DUE,
    &USE_COUNT,
    &USE_LAST,
    &USES,
    &NETWORKS,
    &USES_PRUNE,
    &LAST_USES,
    &SECRET_LAST_USE,
];

pub(crate) static INSERT: Statement = Statement::new(
    "api_key_insert",
    "INSERT INTO api_keys (account, mode, api_key, kind, name, permissions, addresses, origins, observed_permissions,
        observed_addresses, canary, secret, hash, last4, state, expires, days_told, version, created, updated,
        per_minute, burst, caps, signed_requests)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, 'active', $14, $15, 1, $16, $16, $17, $18, $19,
        $20)",
);
macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, api_key, kind, name, permissions, addresses, origins, observed_permissions,
                observed_addresses, canary, secret, rotated, hash, last4, old_hash, old_last4, old_closes AS closes, state, expires,
                days_told, exposed, exposed_by, version, created, updated, per_minute, burst, caps,
                signed_requests
             FROM api_keys WHERE ",
            $rest
        )
    };
}
/// By its id alone: the caller's account is what this finds out.
pub(crate) static FIND: Statement = Statement::new("api_key_find", select_keys!("api_key = $1"));
pub(crate) static LIST: Statement = Statement::new(
    "api_key_list",
    select_keys!("account = $1 AND mode = $2 AND api_key < $3 ORDER BY api_key DESC LIMIT $4"),
);
/// Whether there are fewer than that.
pub(crate) static ROOM: Statement = Statement::new(
    "api_key_room",
    "SELECT COUNT(*) AS found FROM api_keys WHERE account = $1 AND mode = $2 AND state <> 'revoked' HAVING COUNT(*) < $3",
);
/// Everything that can change, on the version that the change was decided on.
pub(crate) static UPDATE: Statement = Statement::new(
    "api_key_update",
    "UPDATE api_keys SET name = $5, permissions = $6, addresses = $7, origins = $8, observed_permissions = $9,
        observed_addresses = $10, secret = $11, rotated = $12, hash = $13, last4 = $14, old_hash = $15, old_last4 = $16,
        old_closes = $17, state = $18, expires = $19, days_told = $20, exposed = $21, exposed_by = $22, updated = $23,
        per_minute = $24, burst = $25, caps = $26, signed_requests = $27,
        version = version + 1
     WHERE account = $1 AND mode = $2 AND api_key = $3 AND version = $4",
);
/// Old secrets whose time is over, or which may have fallen silent.
pub(crate) static ROTATIONS_DUE: Statement = Statement::new(
    "api_key_rotations_due",
    "SELECT api_key FROM api_keys WHERE old_closes IS NOT NULL AND (old_closes <= $1 OR rotated <= $2)
     ORDER BY old_closes LIMIT 100",
);
/// Keys that end within a time for which nobody was told yet.
pub(crate) static EXPIRIES_DUE: Statement = Statement::new(
    "api_key_expiries_due",
    "SELECT api_key FROM api_keys
     WHERE expires IS NOT NULL AND expires <= $1 AND state <> 'revoked' AND (days_told IS NULL OR days_told > $2)
     ORDER BY expires LIMIT 100",
);
pub(crate) static USE_COUNT: Statement = Statement::new(
    "api_key_use_count",
    "INSERT INTO api_key_uses (account, mode, api_key, secret, what, value, calls, last, first)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
     ON CONFLICT (account, mode, api_key, secret, what, value)
     DO UPDATE SET calls = api_key_uses.calls + EXCLUDED.calls, last = EXCLUDED.last",
);
pub(crate) static USE_LAST: Statement = Statement::new(
    "api_key_use_last",
    "INSERT INTO api_key_last_uses (account, mode, api_key, last, route, address, tls, client)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (account, mode, api_key)
     DO UPDATE SET last = EXCLUDED.last, route = EXCLUDED.route, address = EXCLUDED.address, tls = EXCLUDED.tls,
        client = EXCLUDED.client WHERE api_key_last_uses.last <= EXCLUDED.last",
);
pub(crate) static USES: Statement = Statement::new(
    "api_key_uses",
    "SELECT secret, what, value, calls, last FROM api_key_uses
     WHERE account = $1 AND mode = $2 AND api_key = $3 ORDER BY last DESC, what, value LIMIT 200",
);
/// From where a key was used, and since when.
pub(crate) static NETWORKS: Statement = Statement::new(
    "api_key_networks",
    "SELECT value, first FROM api_key_uses
     WHERE account = $1 AND mode = $2 AND api_key = $3 AND what = 'address' ORDER BY last DESC LIMIT 200",
);
pub(crate) static USES_PRUNE: Statement = Statement::new(
    "api_key_uses_prune",
    "DELETE FROM api_key_uses WHERE last < $1",
);
/// Of one page of a list, by its first and last id.
pub(crate) static LAST_USES: Statement = Statement::new(
    "api_key_last_uses",
    "SELECT api_key, last, route, address, tls, client FROM api_key_last_uses
     WHERE account = $1 AND mode = $2 AND api_key >= $3 AND api_key <= $4",
);
pub(crate) static SECRET_LAST_USE: Statement = Statement::new(
    "api_key_secret_last_use",
    "SELECT MAX(last) AS last FROM api_key_uses
     WHERE account = $1 AND mode = $2 AND api_key = $3 AND secret = $4",
);
