//! The vault's tables and every statement on them.
//!
//! Each table's key begins with account and mode. There is no column for a security code. Card numbers, data keys and
//! provider credentials are here as ciphertext only, each bound to its row.

use coffer_db::{Migration, Statement};

/// The vault's schema, the log's included.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "audit",
        sql: coffer_audit::SCHEMA,
    },
    Migration {
        version: 2,
        name: "vault",
        sql: SCHEMA,
    },
    Migration {
        version: 3,
        name: "token_payment",
        sql: TOKEN_PAYMENT,
    },
    Migration {
        version: 4,
        name: "found by key",
        sql: FOUND_BY_KEY,
    },
    Migration {
        version: 5,
        name: "retention of the log",
        sql: coffer_audit::RETENTION,
    },
];

/// Every statement that runs on the vault's database.
pub const STATEMENTS: &[&[&Statement]] = &[coffer_audit::STATEMENTS, ALL];

/// `records.key_version` is the version of the data key that sealed the number; `parent_version` that of the subject's
/// key that wraps it. `records.expires` is null for a card that is kept.
const SCHEMA: &str = "
CREATE TABLE records (
  account TEXT NOT NULL, mode TEXT NOT NULL, record TEXT NOT NULL,
  brand TEXT NOT NULL, last4 TEXT NOT NULL, exp_month {bigint} NOT NULL, exp_year {bigint} NOT NULL,
  number {bytes} NOT NULL, key_version {bigint} NOT NULL,
  subject TEXT NOT NULL, wrapped_key {bytes} NOT NULL, parent_version {bigint} NOT NULL,
  fingerprint_version {bigint} NOT NULL, fingerprint {bytes} NOT NULL,
  card TEXT, expires {bigint}, created {bigint} NOT NULL,
  PRIMARY KEY (account, mode, record)
) {strict};
CREATE INDEX records_by_fingerprint ON records (account, mode, fingerprint_version, fingerprint);
CREATE UNIQUE INDEX records_by_card ON records (account, mode, card);
CREATE INDEX records_by_subject ON records (account, mode, subject);
CREATE INDEX records_by_expiry ON records (expires);
CREATE TABLE tokens (
  account TEXT NOT NULL, mode TEXT NOT NULL, token TEXT NOT NULL,
  record TEXT NOT NULL, instance TEXT NOT NULL, cvc_given {bigint} NOT NULL,
  claimed_by TEXT, expires {bigint} NOT NULL,
  PRIMARY KEY (account, mode, token)
) {strict};
CREATE INDEX tokens_by_expiry ON tokens (expires);
CREATE TABLE intakes (
  account TEXT NOT NULL, mode TEXT NOT NULL, intake TEXT NOT NULL,
  token TEXT NOT NULL, fingerprint_version {bigint} NOT NULL, fingerprint {bytes} NOT NULL, expires {bigint} NOT NULL,
  PRIMARY KEY (account, mode, intake)
) {strict};
CREATE INDEX intakes_by_expiry ON intakes (expires);
CREATE TABLE attempts (
  account TEXT NOT NULL, mode TEXT NOT NULL, attempt TEXT NOT NULL,
  payment TEXT NOT NULL, provider TEXT NOT NULL, operation TEXT NOT NULL,
  amount {bigint}, currency TEXT, authorize TEXT, token TEXT,
  content {bytes} NOT NULL, deadline {bigint} NOT NULL,
  status TEXT NOT NULL, not_sent_because TEXT, decline_reason TEXT, challenge_url TEXT, provider_reference TEXT,
  created {bigint} NOT NULL, updated {bigint} NOT NULL,
  PRIMARY KEY (account, mode, attempt)
) {strict};
CREATE TABLE provider_credentials (
  account TEXT NOT NULL, mode TEXT NOT NULL, provider TEXT NOT NULL,
  sealed {bytes} NOT NULL, updated {bigint} NOT NULL,
  PRIMARY KEY (account, mode, provider)
) {strict}";

/// `tokens.payment` is the payment at whose checkout page the card was entered; null for a card from a merchant's own page.
const TOKEN_PAYMENT: &str = "ALTER TABLE tokens ADD COLUMN payment TEXT";

/// Beside the key of a table, an index begins with what tells its rows apart. To PostgreSQL, which plans statements while
/// tables are empty, one that began as the key does was as good as the key, and a card was found by looking at all of them.
const FOUND_BY_KEY: &str = "
DROP INDEX records_by_fingerprint;
CREATE INDEX records_by_fingerprint ON records (fingerprint, account, mode, fingerprint_version);
DROP INDEX records_by_card;
CREATE UNIQUE INDEX records_by_card ON records (card, account, mode);
DROP INDEX records_by_subject;
CREATE INDEX records_by_subject ON records (subject, account, mode)";

/// Declares the statements and the list of all of them, so that none can be left out of it.
macro_rules! statements {
    ($($(#[$meta:meta])* $constant:ident = $name:literal, $sql:literal $(, $kind:ident)?;)+) => {
        $($(#[$meta])* pub(crate) static $constant: Statement = Statement::new($name, $sql)$(.$kind())?;)+
        const ALL: &[&Statement] = &[$(&$constant,)+];
    };
}

statements! {
    RECORD_INSERT = "record_insert",
        "INSERT INTO records (account, mode, record, brand, last4, exp_month, exp_year, number, key_version, subject,
           wrapped_key, parent_version, fingerprint_version, fingerprint, card, expires, created)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, NULL, $15, $16)";
    RECORD_BY_ID = "record_by_id",
        "SELECT record, brand, last4, exp_month, exp_year, number, key_version, subject, wrapped_key, parent_version
         FROM records WHERE account = $1 AND mode = $2 AND record = $3",
        by_key;
    RECORD_BY_CARD = "record_by_card",
        "SELECT record, brand, last4, exp_month, exp_year, number, key_version, subject, wrapped_key, parent_version
         FROM records WHERE account = $1 AND mode = $2 AND card = $3",
        by_key;
    /// Only a record that is not kept yet, and whose key is still the one that was moved.
    RECORD_KEEP = "record_keep",
        "UPDATE records SET subject = $4, wrapped_key = $5, parent_version = $6, card = $7, expires = NULL
         WHERE account = $1 AND mode = $2 AND record = $3 AND card IS NULL AND wrapped_key = $8";
    RECORD_DELETE = "record_delete",
        "DELETE FROM records WHERE account = $1 AND mode = $2 AND record = $3";
    /// Looks at the time outside the inner query too: a card that is being kept is looked at again, and then stays.
    RECORDS_PRUNE = "records_prune",
        "DELETE FROM records WHERE expires < $1 AND (account, mode, record) IN
           (SELECT account, mode, record FROM records WHERE expires < $1 ORDER BY expires LIMIT 500)";
    TOKEN_INSERT = "token_insert",
        "INSERT INTO tokens (account, mode, token, record, instance, cvc_given, claimed_by, expires, payment)
         VALUES ($1, $2, $3, $4, $5, $6, NULL, $7, $8)";
    /// Account and mode as the token's row tells them, not as they were asked for: else PostgreSQL, to which all of an account's
    /// records are one as long as there are few, looks at each of them for that of the token.
    TOKEN_BY_ID = "token_by_id",
        "SELECT tokens.record AS record, tokens.instance AS instance, tokens.cvc_given AS cvc_given,
           tokens.claimed_by AS claimed_by, tokens.expires AS expires, tokens.payment AS payment,
           records.brand AS brand, records.last4 AS last4, records.exp_month AS exp_month, records.exp_year AS exp_year
         FROM tokens JOIN records ON records.account = tokens.account || '' AND records.mode = tokens.mode || ''
           AND records.record = tokens.record
         WHERE tokens.account = $1 AND tokens.mode = $2 AND tokens.token = $3",
        by_key;
    /// A token is claimed once, and only in its time.
    TOKEN_CLAIM = "token_claim",
        "UPDATE tokens SET claimed_by = $4
         WHERE account = $1 AND mode = $2 AND token = $3 AND claimed_by IS NULL AND expires > $5";
    TOKEN_RELEASE = "token_release",
        "UPDATE tokens SET claimed_by = NULL WHERE account = $1 AND mode = $2 AND token = $3 AND claimed_by = $4";
    TOKENS_PRUNE = "tokens_prune",
        "DELETE FROM tokens WHERE (account, mode, token) IN
           (SELECT account, mode, token FROM tokens WHERE expires < $1 ORDER BY expires LIMIT 500)";
    INTAKE_INSERT = "intake_insert",
        "INSERT INTO intakes (account, mode, intake, token, fingerprint_version, fingerprint, expires)
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    INTAKE_BY_ID = "intake_by_id",
        "SELECT token, fingerprint_version, fingerprint FROM intakes WHERE account = $1 AND mode = $2 AND intake = $3";
    INTAKES_PRUNE = "intakes_prune",
        "DELETE FROM intakes WHERE (account, mode, intake) IN
           (SELECT account, mode, intake FROM intakes WHERE expires < $1 ORDER BY expires LIMIT 500)";
    ATTEMPT_INSERT = "attempt_insert",
        "INSERT INTO attempts (account, mode, attempt, payment, provider, operation, amount, currency, authorize, token,
           content, deadline, status, created, updated)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'sending', $13, $13)";
    ATTEMPT_BY_ID = "attempt_by_id",
        "SELECT payment, provider, operation, content, deadline, status, not_sent_because, decline_reason, challenge_url,
           provider_reference
         FROM attempts WHERE account = $1 AND mode = $2 AND attempt = $3",
        by_key;
    /// What is final stays so.
    ATTEMPT_SETTLE = "attempt_settle",
        "UPDATE attempts SET status = $4, decline_reason = $5, challenge_url = $6,
           provider_reference = COALESCE($7, provider_reference), updated = $8
         WHERE account = $1 AND mode = $2 AND attempt = $3 AND status IN ('sending', 'unknown', 'challenged')",
        by_key;
    ATTEMPT_NOT_SENT = "attempt_not_sent",
        "UPDATE attempts SET status = 'not_sent', not_sent_because = $4, updated = $5
         WHERE account = $1 AND mode = $2 AND attempt = $3 AND status = 'sending'";
    CREDENTIAL_PUT = "credential_put",
        "INSERT INTO provider_credentials (account, mode, provider, sealed, updated) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account, mode, provider) DO UPDATE SET sealed = excluded.sealed, updated = excluded.updated";
    CREDENTIAL_BY_PROVIDER = "credential_by_provider",
        "SELECT sealed FROM provider_credentials WHERE account = $1 AND mode = $2 AND provider = $3";
}

#[cfg(test)]
mod tests {
    use coffer_db::Database;
    use coffer_testkit::TestDatabase;

    use super::*;

    /// PostgreSQL's plans are made when its tables are empty, and kept.
    #[tokio::test]
    async fn rows_are_found_by_their_keys_in_a_new_installation() {
        let Some(place) = TestDatabase::on_postgres() else {
            return;
        };
        let opened = Database::open_postgres(&place.address(), MIGRATIONS, STATEMENTS).await;
        opened.unwrap().close().await;
        assert_eq!(place.searching(STATEMENTS), Vec::<String>::new());
    }
}
