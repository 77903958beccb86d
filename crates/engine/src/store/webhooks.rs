//! Webhook endpoints. Their secrets are stored only as ciphertext under the api's service key.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE webhook_endpoints (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    webhook_endpoint TEXT NOT NULL,
    version {bigint} NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    description TEXT,
    state TEXT NOT NULL,
    secret {bytes} NOT NULL,
    signing_seed {bytes} NOT NULL,
    previous_secret {bytes},
    previous_seed {bytes},
    previous_until {bigint},
    failing_since {bigint},
    created {bigint} NOT NULL,
    updated {bigint} NOT NULL,
    PRIMARY KEY (account, mode, webhook_endpoint)
) {strict};
CREATE UNIQUE INDEX webhook_endpoints_by_id ON webhook_endpoints (webhook_endpoint)";

/// When a secret was rotated. What was rotated before had a day.
pub(crate) const ROTATION: &str = "
ALTER TABLE webhook_endpoints ADD COLUMN rotated {bigint};
UPDATE webhook_endpoints SET rotated = previous_until - 86400000 WHERE previous_until IS NOT NULL;
CREATE INDEX webhook_endpoints_rotating ON webhook_endpoints (previous_until) WHERE previous_until IS NOT NULL";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &INSERT,
    &FIND,
    &FIND_BY_ID,
    &LIST,
    &UPDATE,
    &ROTATE,
    &END_ROTATION,
    &ROTATIONS_DUE,
    &DELETE,
    &ROOM,
    &DISABLE,
    &FAILING,
    &QUEUES_DUE,
    &QUEUE_DROP,
];

pub(crate) static INSERT: Statement = Statement::new(
    "webhook_endpoint_insert",
    "INSERT INTO webhook_endpoints (account, mode, webhook_endpoint, version, url, events, description, state, secret,
        signing_seed, created, updated)
     VALUES ($1, $2, $3, 1, $4, $5, $6, 'enabled', $7, $8, $9, $9)",
);
macro_rules! select_endpoints {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, webhook_endpoint, version, url, events, description, state, secret, signing_seed,
                previous_secret, previous_seed, rotated, previous_until AS closes, failing_since, created, updated
             FROM webhook_endpoints WHERE ",
            $rest
        )
    };
}
pub(crate) static FIND: Statement = Statement::new(
    "webhook_endpoint_find",
    select_endpoints!("account = $1 AND mode = $2 AND webhook_endpoint = $3"),
);
/// By its id alone: for the delivery worker, whose queue is named by it.
pub(crate) static FIND_BY_ID: Statement = Statement::new(
    "webhook_endpoint_find_by_id",
    select_endpoints!("webhook_endpoint = $1"),
);
pub(crate) static LIST: Statement = Statement::new(
    "webhook_endpoint_list",
    select_endpoints!(
        "account = $1 AND mode = $2 AND webhook_endpoint < $3 ORDER BY webhook_endpoint DESC LIMIT $4"
    ),
);
pub(crate) static UPDATE: Statement = Statement::new(
    "webhook_endpoint_update",
    "UPDATE webhook_endpoints SET version = $4 + 1, url = $5, events = $6, description = $7, state = $8,
        failing_since = NULL, updated = $9
     WHERE account = $1 AND mode = $2 AND webhook_endpoint = $3 AND version = $4",
);
/// Without a time at which they close, the old keys are gone at once.
pub(crate) static ROTATE: Statement = Statement::new(
    "webhook_endpoint_rotate",
    "UPDATE webhook_endpoints SET version = $4 + 1, rotated = $5, previous_until = $6,
        previous_secret = CASE WHEN CAST($6 AS bigint) IS NOT NULL THEN secret END,
        previous_seed = CASE WHEN CAST($6 AS bigint) IS NOT NULL THEN signing_seed END,
        secret = $7, signing_seed = $8, updated = $9
     WHERE account = $1 AND mode = $2 AND webhook_endpoint = $3 AND version = $4",
);
pub(crate) static END_ROTATION: Statement = Statement::new(
    "webhook_endpoint_end_rotation",
    "UPDATE webhook_endpoints SET version = $4 + 1, rotated = NULL, previous_until = NULL, previous_secret = NULL,
        previous_seed = NULL, updated = $5
     WHERE account = $1 AND mode = $2 AND webhook_endpoint = $3 AND version = $4",
);
/// Of every account. Whether somebody still verifies by an old secret, nobody here sees.
pub(crate) static ROTATIONS_DUE: Statement = Statement::new(
    "webhook_rotations_due",
    select_endpoints!(
        "previous_until IS NOT NULL AND previous_until <= $1 ORDER BY previous_until LIMIT 100"
    ),
);
pub(crate) static DELETE: Statement = Statement::new(
    "webhook_endpoint_delete",
    "DELETE FROM webhook_endpoints WHERE account = $1 AND mode = $2 AND webhook_endpoint = $3",
);
/// Whether there are fewer than that.
pub(crate) static ROOM: Statement = Statement::new(
    "webhook_endpoint_room",
    "SELECT COUNT(*) AS found FROM webhook_endpoints WHERE account = $1 AND mode = $2 HAVING COUNT(*) < $3",
);
/// Not when the merchant has just changed it, or turned it on again.
pub(crate) static DISABLE: Statement = Statement::new(
    "webhook_endpoint_disable",
    "UPDATE webhook_endpoints SET version = $4 + 1, state = 'disabled', updated = $5
     WHERE account = $1 AND mode = $2 AND webhook_endpoint = $3 AND version = $4",
);
/// Since when deliveries fail; NULL clears it.
pub(crate) static FAILING: Statement = Statement::new(
    "webhook_endpoint_failing",
    "UPDATE webhook_endpoints SET failing_since = $2 WHERE webhook_endpoint = $1",
);
pub(crate) static QUEUES_DUE: Statement = Statement::new(
    "webhook_queues_due",
    "SELECT queue, MIN(run_at) AS run_at FROM jobs
     WHERE queue >= 'webhook:' AND queue < 'webhook;' AND run_at <= $1 AND (lease_until IS NULL OR lease_until < $1)
     GROUP BY queue ORDER BY 2 LIMIT $2",
);
pub(crate) static QUEUE_DROP: Statement =
    Statement::new("webhook_queue_drop", "DELETE FROM jobs WHERE queue = $1");
