//! Customers, who are no more than an anchor for kept cards, and the cards.

use coffer_db::Statement;

pub(crate) const SCHEMA: &str = "
CREATE TABLE customers (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    customer TEXT NOT NULL,
    version {bigint} NOT NULL,
    reference TEXT,
    description TEXT,
    metadata TEXT NOT NULL,
    created {bigint} NOT NULL,
    updated {bigint} NOT NULL,
    PRIMARY KEY (account, mode, customer)
) {strict};
CREATE TABLE cards (
    account TEXT NOT NULL,
    mode TEXT NOT NULL,
    card TEXT NOT NULL,
    customer TEXT NOT NULL,
    record TEXT NOT NULL,
    version {bigint} NOT NULL,
    brand TEXT NOT NULL,
    last4 TEXT NOT NULL,
    exp_month {bigint} NOT NULL,
    exp_year {bigint} NOT NULL,
    created {bigint} NOT NULL,
    PRIMARY KEY (account, mode, card)
) {strict};
CREATE INDEX cards_by_customer ON cards (account, mode, customer, card)";

pub(crate) const STATEMENTS: &[&Statement] = &[
    &CUSTOMER_INSERT,
    &CUSTOMER_FIND,
    &CUSTOMER_UPDATE,
    &CUSTOMER_HOLD,
    &CUSTOMER_DELETE,
    &CUSTOMER_LIST,
    &CARD_INSERT,
    &CARD_FIND,
    &CARD_LIST,
    &CARDS_OF_CUSTOMER,
    &CARD_DELETE,
    &CARDS_DELETE_OF_CUSTOMER,
];

pub(crate) static CUSTOMER_INSERT: Statement = Statement::new(
    "customer_insert",
    "INSERT INTO customers (account, mode, customer, version, reference, description, metadata, created, updated)
     VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $7)",
);
macro_rules! select_customers {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, customer, version, reference, description, metadata, created, updated
             FROM customers WHERE account = $1 AND mode = $2 AND ",
            $rest
        )
    };
}
pub(crate) static CUSTOMER_FIND: Statement =
    Statement::new("customer_find", select_customers!("customer = $3")).by_key();
pub(crate) static CUSTOMER_LIST: Statement = Statement::new(
    "customer_list",
    select_customers!("customer < $3 ORDER BY customer DESC LIMIT $4"),
);
pub(crate) static CUSTOMER_UPDATE: Statement = Statement::new(
    "customer_update",
    "UPDATE customers SET version = $4 + 1, reference = $5, description = $6, metadata = $7, updated = $8
     WHERE account = $1 AND mode = $2 AND customer = $3 AND version = $4",
);
pub(crate) static CUSTOMER_DELETE: Statement = Statement::new(
    "customer_delete",
    "DELETE FROM customers WHERE account = $1 AND mode = $2 AND customer = $3",
);
/// Changes nothing, but locks the row: a customer is not deleted while a card is being kept with it, and no card is kept
/// while its customer is being deleted.
pub(crate) static CUSTOMER_HOLD: Statement = Statement::new(
    "customer_hold",
    "UPDATE customers SET version = version WHERE account = $1 AND mode = $2 AND customer = $3",
);
/// Only after [`CUSTOMER_HOLD`], and after [`CARDS_OF_CUSTOMER`] has found room.
pub(crate) static CARD_INSERT: Statement = Statement::new(
    "card_insert",
    "INSERT INTO cards (account, mode, card, customer, record, version, brand, last4, exp_month, exp_year, created)
     VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10)",
);
macro_rules! select_cards {
    ($rest:literal) => {
        concat!(
            "SELECT account, mode, card, customer, record, version, brand, last4, exp_month, exp_year, created
             FROM cards WHERE account = $1 AND mode = $2 AND ",
            $rest
        )
    };
}
pub(crate) static CARD_FIND: Statement =
    Statement::new("card_find", select_cards!("card = $3")).by_key();
pub(crate) static CARD_LIST: Statement = Statement::new(
    "card_list",
    select_cards!("customer = $3 AND card < $4 ORDER BY card DESC LIMIT $5"),
);
/// The vault's records of a customer's cards, as far as they are counted.
pub(crate) static CARDS_OF_CUSTOMER: Statement = Statement::new(
    "cards_of_customer",
    "SELECT record FROM cards WHERE account = $1 AND mode = $2 AND customer = $3 LIMIT $4",
);
pub(crate) static CARD_DELETE: Statement = Statement::new(
    "card_delete",
    "DELETE FROM cards WHERE account = $1 AND mode = $2 AND card = $3",
);
pub(crate) static CARDS_DELETE_OF_CUSTOMER: Statement = Statement::new(
    "cards_delete_of_customer",
    "DELETE FROM cards WHERE account = $1 AND mode = $2 AND customer = $3",
);
