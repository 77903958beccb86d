//! Refunds: the merchant's view of a refund attempt.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE refunds (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    refund TEXT NOT NULL,
    payment TEXT NOT NULL,
    version {bigint} NOT NULL,
    status TEXT NOT NULL,
    amount {bigint} NOT NULL,
    currency TEXT NOT NULL,
    decline_reason TEXT,
    reference TEXT,
    metadata TEXT NOT NULL,
    created {bigint} NOT NULL,
    updated {bigint} NOT NULL,
    PRIMARY KEY (account, mode, refund)
) {strict};
CREATE INDEX refunds_by_payment ON refunds (account, mode, payment, refund)";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &REFUND_INSERT,
    &REFUND_UPDATE,
    &REFUND_FIND,
    &REFUND_LIST,
    &REFUND_LIST_BY_PAYMENT,
];

pub(crate) static REFUND_INSERT: Statement = Statement::new(
    "refund_insert",
    "INSERT INTO refunds (account, mode, refund, payment, version, status, amount, currency, decline_reason, reference,
        metadata, created, updated)
     VALUES ($1, $2, $3, $4, 1, $5, $6, $7, NULL, $8, $9, $10, $10)",
);
pub(crate) static REFUND_UPDATE: Statement = Statement::new(
    "refund_update",
    "UPDATE refunds SET version = version + 1, status = $4, decline_reason = $5, updated = $6
     WHERE account = $1 AND mode = $2 AND refund = $3 AND status = 'processing'",
)
.on_own_rows();
macro_rules! select_refunds {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, refund, payment, version, status, amount, currency, decline_reason, reference,
                metadata, created, updated FROM refunds WHERE account = $1 AND mode = $2 AND ",
            $rest
        )
    };
}
pub(crate) static REFUND_FIND: Statement =
    Statement::new("refund_find", select_refunds!("refund = $3")).by_key();
pub(crate) static REFUND_LIST: Statement = Statement::new(
    "refund_list",
    select_refunds!("refund < $3 ORDER BY refund DESC LIMIT $4"),
);
pub(crate) static REFUND_LIST_BY_PAYMENT: Statement = Statement::new(
    "refund_list_by_payment",
    select_refunds!("refund < $3 AND payment = $5 ORDER BY refund DESC LIMIT $4"),
);
