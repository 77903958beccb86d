//! Alerts: of an account and mode, or the operator's, whose account and mode are empty. One row per kind and subject.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE alerts (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    alert TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    times {bigint} NOT NULL,
    version {bigint} NOT NULL,
    created {bigint} NOT NULL,
    updated {bigint} NOT NULL,
    PRIMARY KEY (account, mode, alert)
) {strict};
CREATE UNIQUE INDEX alerts_by_subject ON alerts (account, mode, kind, subject)";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &ALERT_INSERT,
    &ALERT_COUNT,
    &ALERT_AGAIN,
    &ALERT_BY_SUBJECT,
    &ALERT_FIND,
    &ALERT_LIST,
    &ALERT_NEWEST,
];

pub(crate) static ALERT_INSERT: Statement = Statement::new(
    "alert_insert",
    "INSERT INTO alerts (account, mode, alert, kind, subject, times, version, created, updated, score, detail)
     VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $6, $7, $8)",
);
pub(crate) static ALERT_COUNT: Statement = Statement::new(
    "alert_count",
    "UPDATE alerts SET times = times + 1, updated = $4, score = $5, detail = $6
     WHERE account = $1 AND mode = $2 AND alert = $3",
);
/// On the version that was looked at, so that of two nodes one tells it.
pub(crate) static ALERT_AGAIN: Statement = Statement::new(
    "alert_again",
    "UPDATE alerts SET times = times + 1, version = version + 1, updated = $4, score = $5, detail = $6
     WHERE account = $1 AND mode = $2 AND alert = $3 AND version = $7",
);
macro_rules! select_alerts {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, alert, kind, subject, times, version, created, updated, score, detail FROM alerts ",
            $rest
        )
    };
}
pub(crate) static ALERT_BY_SUBJECT: Statement = Statement::new(
    "alert_by_subject",
    select_alerts!("WHERE account = $1 AND mode = $2 AND kind = $3 AND subject = $4"),
);
pub(crate) static ALERT_FIND: Statement = Statement::new(
    "alert_find",
    select_alerts!("WHERE account = $1 AND mode = $2 AND alert = $3"),
);
pub(crate) static ALERT_LIST: Statement = Statement::new(
    "alert_list",
    select_alerts!("WHERE account = $1 AND mode = $2 AND alert < $3 ORDER BY alert DESC LIMIT $4"),
);
/// Everybody's, for the operator.
pub(crate) static ALERT_NEWEST: Statement = Statement::new(
    "alert_newest",
    select_alerts!("ORDER BY updated DESC, alert DESC LIMIT $1"),
);
