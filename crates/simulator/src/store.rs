//! The simulator's tables and every SQL text on them. No column can hold a card number: brand and last four digits only.

use coffer_core::{Currency, Last4, Timestamp, brand::Brand, decline::DeclineReason};
use coffer_crypto::Mac;
use coffer_db::{Error, JOBS_MIGRATION, Migration, Row, Statement, Transaction, jobs, params};

use crate::operation::{Operation, Position, Status};

/// The schema of the simulator's database.
pub const MIGRATIONS: &[Migration] = &[
    JOBS_MIGRATION,
    Migration {
        version: 2,
        name: "ledger",
        sql: "CREATE TABLE authorizations (
                id TEXT NOT NULL PRIMARY KEY,
                amount {bigint} NOT NULL,
                currency TEXT NOT NULL,
                brand TEXT NOT NULL,
                last4 TEXT NOT NULL,
                captured {bigint} NOT NULL,
                voided {bigint} NOT NULL,
                refunded {bigint} NOT NULL,
                version {bigint} NOT NULL,
                return_url TEXT,
                notify_url TEXT,
                CHECK (captured + voided <= amount AND refunded <= captured)
              ) {strict};
              CREATE TABLE operations (
                id TEXT NOT NULL PRIMARY KEY,
                idempotency_key TEXT NOT NULL UNIQUE,
                authorization_id TEXT NOT NULL REFERENCES authorizations (id),
                operation TEXT NOT NULL,
                amount {bigint} NOT NULL,
                status TEXT NOT NULL,
                answered_status TEXT NOT NULL,
                decline_code TEXT,
                request_mac {bytes} NOT NULL,
                created {bigint} NOT NULL,
                updated {bigint} NOT NULL
              ) {strict}",
    },
];

/// Every statement that the simulator runs, its job queue's included.
pub const STATEMENTS: &[&[&Statement]] = &[
    &[
        &AUTHORIZATION_INSERT,
        &AUTHORIZATION_READ,
        &AUTHORIZATION_MOVE,
        &OPERATION_INSERT,
        &OPERATION_BY_KEY,
        &OPERATION_BY_ID,
        &OPERATION_LIST,
        &CHALLENGE_DECIDE,
    ],
    jobs::STATEMENTS,
];

const AUTHORIZATION_INSERT: Statement = Statement::new(
    "authorization_insert",
    "INSERT INTO authorizations (id, amount, currency, brand, last4, captured, voided, refunded, version, return_url, notify_url)
     VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, $6, $7)",
);

pub(crate) const AUTHORIZATION_READ: Statement = Statement::new(
    "authorization_read",
    "SELECT amount, captured, voided, refunded, version FROM authorizations WHERE id = $1",
);

/// Conflicts when the position is not the one that was judged.
pub(crate) const AUTHORIZATION_MOVE: Statement = Statement::new(
    "authorization_move",
    "UPDATE authorizations SET captured = $3, voided = $4, refunded = $5, version = version + 1
     WHERE id = $1 AND version = $2",
);

/// Conflicts when the idempotency key was used before.
pub(crate) const OPERATION_INSERT: Statement = Statement::new(
    "operation_insert",
    "INSERT INTO operations (id, idempotency_key, authorization_id, operation, amount, status, answered_status, decline_code, request_mac, created, updated)
     VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $9)",
);

macro_rules! select_operations {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.idempotency_key, o.authorization_id, o.operation, o.amount, o.status, o.answered_status, ",
            "o.decline_code, o.request_mac, o.created, o.updated, a.currency, a.brand, a.last4, a.return_url, a.notify_url ",
            "FROM operations o JOIN authorizations a ON a.id = o.authorization_id ",
            $rest
        )
    };
}

pub(crate) const OPERATION_BY_KEY: Statement = Statement::new(
    "operation_by_key",
    select_operations!("WHERE o.idempotency_key = $1"),
);

pub(crate) const OPERATION_BY_ID: Statement =
    Statement::new("operation_by_id", select_operations!("WHERE o.id = $1"));

pub(crate) const OPERATION_LIST: Statement = Statement::new(
    "operation_list",
    select_operations!("WHERE o.id > $1 ORDER BY o.id LIMIT $2"),
);

/// Conflicts when the challenge was decided before.
const CHALLENGE_DECIDE: Statement = Statement::new(
    "challenge_decide",
    "UPDATE operations SET status = $2, decline_code = $3, updated = $4 WHERE id = $1 AND status = 'challenge'",
);

/// One operation as it is stored, with what its authorization says of card and addresses.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) idempotency_key: String,
    pub(crate) authorization_id: String,
    pub(crate) operation: Operation,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) status: Status,
    pub(crate) answered_status: Status,
    pub(crate) decline_code: Option<DeclineReason>,
    pub(crate) request_mac: Mac,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) brand: Brand,
    pub(crate) last4: Last4,
    pub(crate) return_url: Option<String>,
    pub(crate) notify_url: Option<String>,
}

impl Entry {
    /// Reads a row of one of the three statements that select operations.
    pub(crate) fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.text("id")?.to_owned(),
            idempotency_key: row.text("idempotency_key")?.to_owned(),
            authorization_id: row.text("authorization_id")?.to_owned(),
            operation: word(row.text("operation")?)?,
            amount: row.integer("amount")?,
            currency: word(row.text("currency")?)?,
            status: word(row.text("status")?)?,
            answered_status: word(row.text("answered_status")?)?,
            decline_code: row.optional_text("decline_code")?.map(word).transpose()?,
            request_mac: Mac::from_slice(row.bytes("request_mac")?).map_err(|_| foreign())?,
            created: Timestamp::from_millis(row.integer("created")?),
            updated: Timestamp::from_millis(row.integer("updated")?),
            brand: word(row.text("brand")?)?,
            last4: word(row.text("last4")?)?,
            return_url: row.optional_text("return_url")?.map(str::to_owned),
            notify_url: row.optional_text("notify_url")?.map(str::to_owned),
        })
    }

    /// The step that stores it as a new operation.
    pub(crate) fn insert(&self) -> Transaction {
        Transaction::new().one(
            &OPERATION_INSERT,
            params![
                &self.id,
                &self.idempotency_key,
                &self.authorization_id,
                self.operation.as_str(),
                self.amount,
                self.status.as_str(),
                self.decline_code.map(DeclineReason::as_str),
                *self.request_mac.as_bytes(),
                self.created.as_millis()
            ],
        )
    }

    /// The steps that store it as a new authorization.
    pub(crate) fn insert_authorization(&self) -> Transaction {
        let params = params![
            &self.authorization_id,
            self.amount,
            self.currency.code(),
            self.brand.as_str(),
            self.last4.to_string(),
            self.return_url.as_deref(),
            self.notify_url.as_deref()
        ];
        Transaction::new()
            .one(&AUTHORIZATION_INSERT, params)
            .append(self.insert())
    }

    /// The step that stores a decided challenge.
    pub(crate) fn decide(&self) -> Transaction {
        Transaction::new().one(
            &CHALLENGE_DECIDE,
            params![
                &self.id,
                self.status.as_str(),
                self.decline_code.map(DeclineReason::as_str),
                self.updated.as_millis()
            ],
        )
    }
}

/// How the money of an authorization is spread, and the version of that.
pub(crate) struct Authorization {
    pub(crate) position: Position,
    version: i64,
}

impl Authorization {
    /// Reads a row of [`AUTHORIZATION_READ`]; `operation` is the one that made the authorization and has the same id.
    pub(crate) fn from_row(operation: &Entry, row: &Row) -> Result<Self, Error> {
        let position = Position {
            approved: operation.status == Status::Approved,
            amount: row.integer("amount")?,
            captured: row.integer("captured")?,
            voided: row.integer("voided")?,
            refunded: row.integer("refunded")?,
        };
        Ok(Self {
            position,
            version: row.integer("version")?,
        })
    }

    /// The step that moves its money.
    pub(crate) fn move_to(&self, id: &str, next: Position) -> Transaction {
        let params = params![id, self.version, next.captured, next.voided, next.refunded];
        Transaction::new().one(&AUTHORIZATION_MOVE, params)
    }
}

/// A stored word, of which this program knows all.
fn word<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| foreign())
}

fn foreign() -> Error {
    Error::Defect("the simulator's ledger holds a value that this program did not write".to_owned())
}
