//! Idempotency keys and the answers of the requests that used them first. An answer's body is here as ciphertext only,
//! bound to its row: it may hold the address of a checkout page, and whoever has that may pay.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE idempotency (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    route TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    digest {bytes} NOT NULL,
    object TEXT NOT NULL,
    answer_status {bigint},
    answer_body {bytes},
    created {bigint} NOT NULL,
    PRIMARY KEY (account, mode, route, idempotency_key)
) {strict};
CREATE INDEX idempotency_by_object ON idempotency (account, mode, object);
CREATE INDEX idempotency_by_age ON idempotency (created)";

pub(crate) const STATEMENTS: &[&Statement] = &[&CLAIM, &FIND, &ANSWER, &RELEASE, &PRUNE];

/// With its answer, when that is known already.
pub(crate) static CLAIM: Statement = Statement::new(
    "idempotency_claim",
    "INSERT INTO idempotency (account, mode, route, idempotency_key, digest, object, created, answer_status, answer_body)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);
pub(crate) static FIND: Statement = Statement::new(
    "idempotency_find",
    "SELECT digest, object, answer_status, answer_body FROM idempotency
     WHERE account = $1 AND mode = $2 AND route = $3 AND idempotency_key = $4",
);
/// The first answer stays.
pub(crate) static ANSWER: Statement = Statement::new(
    "idempotency_answer",
    "UPDATE idempotency SET answer_status = $4, answer_body = $5
     WHERE account = $1 AND mode = $2 AND object = $3 AND answer_status IS NULL",
)
.on_own_rows();
/// A bounded number at a time, so that no other transaction waits long.
pub(crate) static PRUNE: Statement = Statement::new(
    "idempotency_prune",
    "DELETE FROM idempotency WHERE (account, mode, route, idempotency_key) IN (
        SELECT account, mode, route, idempotency_key FROM idempotency WHERE created < $1 ORDER BY created LIMIT $2)",
);
/// For a request of which nothing was sent, so that it may be made again.
pub(crate) static RELEASE: Statement = Statement::new(
    "idempotency_release",
    "DELETE FROM idempotency WHERE account = $1 AND mode = $2 AND object = $3 AND answer_status IS NULL",
)
.on_own_rows();
