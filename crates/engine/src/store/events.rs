//! Events, numbered without gaps per account and mode in the order of their commits.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE event_counters (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    last {bigint} NOT NULL,
    PRIMARY KEY (account, mode)
) {strict};
CREATE TABLE events (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    sequence {bigint} NOT NULL,
    event TEXT NOT NULL,
    event_type TEXT NOT NULL,
    object_type TEXT NOT NULL,
    object TEXT NOT NULL,
    object_version {bigint} NOT NULL,
    created {bigint} NOT NULL,
    PRIMARY KEY (account, mode, sequence)
) {strict};
CREATE UNIQUE INDEX events_by_id ON events (account, mode, event)";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &COUNTER_INSERT,
    &COUNT,
    &EVENT_INSERT,
    &EVENT_FIND,
    &EVENT_LIST,
    &EVENT_LIST_BY_TYPE,
    &DELIVERIES_ENQUEUE,
];

pub(crate) static COUNTER_INSERT: Statement = Statement::new(
    "event_counter_insert",
    "INSERT INTO event_counters (account, mode, last) VALUES ($1, $2, 0)",
);
/// The row lock is held until the commit, so that numbers appear in order and a reader's cursor misses nothing.
pub(crate) static COUNT: Statement = Statement::new(
    "event_count",
    "UPDATE event_counters SET last = last + 1 WHERE account = $1 AND mode = $2",
);
pub(crate) static EVENT_INSERT: Statement = Statement::new(
    "event_insert",
    "INSERT INTO events (account, mode, sequence, event, event_type, object_type, object, object_version, created)
     SELECT account, mode, last, $3, $4, $5, $6, $7, $8 FROM event_counters WHERE account = $1 AND mode = $2",
);
macro_rules! select_events {
    ($rest:literal) => {
        concat!(
            "SELECT mode, sequence, event, event_type, object, object_version, created
             FROM events WHERE account = $1 AND mode = $2 AND ",
            $rest
        )
    };
}
pub(crate) static EVENT_FIND: Statement =
    Statement::new("event_find", select_events!("event = $3")).by_key();
pub(crate) static EVENT_LIST: Statement = Statement::new(
    "event_list",
    select_events!("sequence > $3 ORDER BY sequence LIMIT $4"),
);
pub(crate) static EVENT_LIST_BY_TYPE: Statement = Statement::new(
    "event_list_by_type",
    select_events!("sequence > $3 AND event_type = $5 ORDER BY sequence LIMIT $4"),
);
/// One job for each endpoint that wants this type, in a queue of the endpoint's own.
pub(crate) static DELIVERIES_ENQUEUE: Statement = Statement::new(
    "deliveries_enqueue",
    "INSERT INTO jobs (queue, job, run_at, lease_until, tries, payload)
     SELECT 'webhook:' || webhook_endpoint, $3, $4, NULL, 0, $5 FROM webhook_endpoints
     WHERE account = $1 AND mode = $2 AND state = 'enabled' AND (events = '' OR events LIKE '% ' || $6 || ' %')",
);
