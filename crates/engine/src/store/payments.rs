//! Payments and their attempts. A payment's row is a full snapshot, so that one read answers for it.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE payments (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    payment TEXT NOT NULL,
    version {bigint} NOT NULL,
    status TEXT NOT NULL,
    closing TEXT NOT NULL,
    at_checkout {bigint} NOT NULL,
    amount {bigint} NOT NULL,
    currency TEXT NOT NULL,
    amount_captured {bigint} NOT NULL,
    amount_refunded {bigint} NOT NULL,
    capture TEXT NOT NULL,
    provider TEXT NOT NULL,
    card_brand TEXT,
    card_last4 TEXT,
    card_exp_month {bigint},
    card_exp_year {bigint},
    customer TEXT,
    reference TEXT,
    description TEXT,
    metadata TEXT NOT NULL,
    return_url TEXT,
    challenge_url TEXT,
    last_operation TEXT,
    last_status TEXT,
    last_decline_reason TEXT,
    created {bigint} NOT NULL,
    updated {bigint} NOT NULL,
    expires {bigint},
    PRIMARY KEY (account, mode, payment)
) {strict};
CREATE INDEX payments_by_status ON payments (account, mode, status, payment);
CREATE INDEX payments_by_reference ON payments (account, mode, reference, payment) WHERE reference IS NOT NULL;
CREATE INDEX payments_by_customer ON payments (account, mode, customer, payment) WHERE customer IS NOT NULL;
CREATE INDEX payments_by_expiry ON payments (expires) WHERE expires IS NOT NULL;
CREATE TABLE attempts (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    payment TEXT NOT NULL,
    attempt TEXT NOT NULL,
    place {bigint} NOT NULL,
    operation TEXT NOT NULL,
    status TEXT NOT NULL,
    amount {bigint} NOT NULL,
    decline_reason TEXT,
    challenge_url TEXT,
    refund TEXT,
    answers TEXT NOT NULL,
    deadline {bigint} NOT NULL,
    settle_at {bigint},
    created {bigint} NOT NULL,
    updated {bigint} NOT NULL,
    PRIMARY KEY (account, mode, payment, attempt)
) {strict};
CREATE INDEX attempts_to_settle ON attempts (settle_at) WHERE settle_at IS NOT NULL";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &PAYMENT_INSERT,
    &PAYMENT_FIND,
    &PAYMENT_UPDATE,
    &PAYMENT_LIST,
    &PAYMENT_LIST_BY_STATUS,
    &PAYMENT_LIST_BY_REFERENCE,
    &PAYMENT_LIST_BY_CUSTOMER,
    &PAYMENTS_TO_EXPIRE,
    &ATTEMPT_INSERT,
    &ATTEMPT_UPDATE,
    &ATTEMPT_RELEASE,
    &ATTEMPT_POSTPONE,
    &ATTEMPT_LIST,
    &ATTEMPTS_TO_SETTLE,
];

pub(crate) static PAYMENT_INSERT: Statement = Statement::new(
    "payment_insert",
    "INSERT INTO payments (account, mode, payment, version, status, closing, amount_captured, amount_refunded,
        card_brand, card_last4, card_exp_month, card_exp_year, challenge_url, last_operation, last_status,
        last_decline_reason, updated, expires, at_checkout, amount, currency, capture, provider, customer, reference,
        description, metadata, return_url, created, api_key)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
        $24, $25, $26, $27, $28, $29, $30)",
);
/// Only what can change; the version read before must still be the stored one.
pub(crate) static PAYMENT_UPDATE: Statement = Statement::new(
    "payment_update",
    "UPDATE payments SET version = $4 + 1, status = $5, closing = $6, amount_captured = $7, amount_refunded = $8,
        card_brand = $9, card_last4 = $10, card_exp_month = $11, card_exp_year = $12, challenge_url = $13,
        last_operation = $14, last_status = $15, last_decline_reason = $16, updated = $17, expires = $18
     WHERE account = $1 AND mode = $2 AND payment = $3 AND version = $4",
)
.on_own_rows();
// In the order in which they are read: then no column has to be looked for.
macro_rules! select_payments {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, payment, status, capture, amount, currency, amount_captured, amount_refunded,
                card_brand, card_exp_month, card_exp_year, card_last4, customer, reference, description, metadata,
                return_url, challenge_url, last_operation, last_decline_reason, last_status, version, created, updated,
                closing, at_checkout, provider, expires, api_key FROM payments ",
            $rest
        )
    };
}
pub(crate) static PAYMENT_FIND: Statement = Statement::new(
    "payment_find",
    select_payments!("WHERE account = $1 AND mode = $2 AND payment = $3"),
)
.by_key();
pub(crate) static PAYMENT_LIST: Statement = Statement::new(
    "payment_list",
    select_payments!(
        "WHERE account = $1 AND mode = $2 AND payment < $3 AND created >= $4 AND created < $5
         ORDER BY payment DESC LIMIT $6"
    ),
);
pub(crate) static PAYMENT_LIST_BY_STATUS: Statement = Statement::new(
    "payment_list_by_status",
    select_payments!(
        "WHERE account = $1 AND mode = $2 AND payment < $3 AND created >= $4 AND created < $5 AND status = $7
           AND (reference = $8 OR $8 = '') AND (customer = $9 OR $9 = '')
         ORDER BY payment DESC LIMIT $6"
    ),
);
pub(crate) static PAYMENT_LIST_BY_REFERENCE: Statement = Statement::new(
    "payment_list_by_reference",
    select_payments!(
        "WHERE account = $1 AND mode = $2 AND payment < $3 AND created >= $4 AND created < $5 AND reference = $7
           AND (customer = $8 OR $8 = '')
         ORDER BY payment DESC LIMIT $6"
    ),
);
pub(crate) static PAYMENT_LIST_BY_CUSTOMER: Statement = Statement::new(
    "payment_list_by_customer",
    select_payments!(
        "WHERE account = $1 AND mode = $2 AND payment < $3 AND created >= $4 AND created < $5 AND customer = $7
         ORDER BY payment DESC LIMIT $6"
    ),
);
pub(crate) static PAYMENTS_TO_EXPIRE: Statement = Statement::new(
    "payments_to_expire",
    "SELECT account, mode, payment FROM payments WHERE expires IS NOT NULL AND expires <= $1 ORDER BY expires LIMIT $2",
);
pub(crate) static ATTEMPT_INSERT: Statement = Statement::new(
    "attempt_insert",
    "INSERT INTO attempts (account, mode, payment, attempt, place, operation, status, amount, decline_reason,
        challenge_url, refund, answers, deadline, settle_at, created, updated, reserved)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
);
/// An attempt that has ended never changes again.
pub(crate) static ATTEMPT_UPDATE: Statement = Statement::new(
    "attempt_update",
    "UPDATE attempts SET status = $5, decline_reason = $6, challenge_url = $7, settle_at = $8, updated = $9
     WHERE account = $1 AND mode = $2 AND payment = $3 AND attempt = $4 AND status IN ('sending', 'unknown')",
)
.on_own_rows();
/// What it holds of its key's caps from now on.
pub(crate) static ATTEMPT_RELEASE: Statement = Statement::new(
    "attempt_release",
    "UPDATE attempts SET reserved = $5
     WHERE account = $1 AND mode = $2 AND payment = $3 AND attempt = $4 AND reserved IS NOT NULL",
)
.on_own_rows();
/// Only while it waits, and only if nobody postponed it beyond `$6`.
pub(crate) static ATTEMPT_POSTPONE: Statement = Statement::new(
    "attempt_postpone",
    "UPDATE attempts SET settle_at = $5
     WHERE account = $1 AND mode = $2 AND payment = $3 AND attempt = $4 AND settle_at IS NOT NULL AND settle_at <= $6",
);
pub(crate) static ATTEMPT_LIST: Statement = Statement::new(
    "attempt_list",
    "SELECT attempt, operation, status, amount, decline_reason, challenge_url, refund, answers, deadline, created,
        reserved
     FROM attempts WHERE account = $1 AND mode = $2 AND payment = $3 ORDER BY place",
);
pub(crate) static ATTEMPTS_TO_SETTLE: Statement = Statement::new(
    "attempts_to_settle",
    "SELECT account, mode, payment, attempt, created FROM attempts
     WHERE settle_at IS NOT NULL AND settle_at <= $1 ORDER BY settle_at LIMIT $2",
);
