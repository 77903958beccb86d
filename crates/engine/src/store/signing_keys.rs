//! Signing keys, of which only the public half is stored.

use coffer_db::Statement;

/// A key that was registered once never comes back: not after its revocation, and not under another name.
pub(crate) const SCHEMA: &str = "
CREATE TABLE signing_keys (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    signing_key TEXT NOT NULL,
    name TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    generated {bigint} NOT NULL,
    state TEXT NOT NULL,
    successor TEXT,
    rotated {bigint},
    closes {bigint},
    last_use {bigint},
    version {bigint} NOT NULL,
    created {bigint} NOT NULL,
    updated {bigint} NOT NULL,
    PRIMARY KEY (account, mode, signing_key)
) {strict};
CREATE UNIQUE INDEX signing_keys_by_id ON signing_keys (signing_key, account, mode);
CREATE UNIQUE INDEX signing_keys_by_fingerprint ON signing_keys (fingerprint, account, mode);
CREATE INDEX signing_keys_rotating ON signing_keys (closes) WHERE closes IS NOT NULL AND state = 'active';
CREATE TABLE signature_nonces (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    signing_key TEXT NOT NULL,
    nonce TEXT NOT NULL,
    until {bigint} NOT NULL,
    PRIMARY KEY (account, mode, signing_key, nonce)
) {strict};
CREATE INDEX signature_nonces_by_until ON signature_nonces (until);
ALTER TABLE api_keys ADD COLUMN signed_requests TEXT NOT NULL DEFAULT 'none'";

/// The API key that a signing key may stand for, and which of that key's secrets was the present one when it was told so.
pub(crate) const CLIENTS: &str = "
ALTER TABLE signing_keys ADD COLUMN client TEXT;
ALTER TABLE signing_keys ADD COLUMN secret {bigint}";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &INSERT,
    &FIND,
    &LIST,
    &COUNT,
    &ROOM,
    &UPDATE,
    &ROTATIONS_DUE,
    &NEWEST_RSA,
    &NONCE_CLAIM,
    &NONCES_PRUNE,
    &LAST_USE,
];

pub(crate) static INSERT: Statement = Statement::new(
    "signing_key_insert",
    "INSERT INTO signing_keys (account, mode, signing_key, name, algorithm, public_key, fingerprint, generated, state, version,
        created, updated, client, secret)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', 1, $9, $9, $10, $11)",
);
macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, signing_key, name, algorithm, public_key, fingerprint, generated, state, successor, rotated,
                closes, last_use, version, created, updated, client, secret
             FROM signing_keys WHERE ",
            $rest
        )
    };
}
/// By its id alone, as the operator names it.
pub(crate) static FIND: Statement =
    Statement::new("signing_key_find", select_keys!("signing_key = $1"));
pub(crate) static LIST: Statement = Statement::new(
    "signing_key_list",
    select_keys!(
        "account = $1 AND mode = $2 AND signing_key < $3 ORDER BY signing_key DESC LIMIT $4"
    ),
);
pub(crate) static COUNT: Statement = Statement::new(
    "signing_key_count",
    "SELECT COUNT(*) AS ever FROM signing_keys WHERE account = $1 AND mode = $2",
);
/// Whether fewer than that work.
pub(crate) static ROOM: Statement = Statement::new(
    "signing_key_room",
    "SELECT COUNT(*) AS found FROM signing_keys WHERE account = $1 AND mode = $2 AND state = 'active' HAVING COUNT(*) < $3",
);
/// What works and can be encrypted to.
pub(crate) static NEWEST_RSA: Statement = Statement::new(
    "signing_key_newest_rsa",
    "SELECT signing_key FROM signing_keys
     WHERE account = $1 AND mode = $2 AND algorithm = 'rsa-pss-sha512' AND state = 'active' AND (closes IS NULL OR closes > $3)
     ORDER BY signing_key DESC LIMIT 1",
);
pub(crate) static UPDATE: Statement = Statement::new(
    "signing_key_update",
    "UPDATE signing_keys SET version = $4 + 1, state = $5, successor = $6, rotated = $7, closes = $8, updated = $9
     WHERE account = $1 AND mode = $2 AND signing_key = $3 AND version = $4",
);
/// Of every account: their time is over, or nobody has used them for a day.
pub(crate) static ROTATIONS_DUE: Statement = Statement::new(
    "signing_key_rotations_due",
    select_keys!(
        "closes IS NOT NULL AND state = 'active' AND (closes <= $1 OR rotated <= $2 AND (last_use IS NULL OR last_use <= $2)) ORDER BY closes LIMIT 100"
    ),
);
/// Whoever comes second with a nonce finds its row.
pub(crate) static NONCE_CLAIM: Statement = Statement::new(
    "signature_nonce_claim",
    "INSERT INTO signature_nonces (account, mode, signing_key, nonce, until) VALUES ($1, $2, $3, $4, $5)",
)
.on_own_rows();
pub(crate) static NONCES_PRUNE: Statement = Statement::new(
    "signature_nonces_prune",
    "DELETE FROM signature_nonces WHERE (account, mode, signing_key, nonce) IN (
        SELECT account, mode, signing_key, nonce FROM signature_nonces WHERE until < $1 ORDER BY until LIMIT $2)",
);
pub(crate) static LAST_USE: Statement = Statement::new(
    "signing_key_last_use",
    "UPDATE signing_keys SET last_use = $4 WHERE account = $1 AND mode = $2 AND signing_key = $3",
)
.on_own_rows();
