//! The tables of keys.db and every SQL text over them. The account comes first in the key of every table that has one.

use coffer_db::{Migration, Statement};

/// The schema, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "audit",
        sql: coffer_audit::SCHEMA,
    },
    Migration {
        version: 2,
        name: "custody",
        sql: CUSTODY,
    },
    Migration {
        version: 3,
        name: "retention of the log",
        sql: coffer_audit::RETENTION,
    },
];

/// Every statement that runs on keys.db.
pub const STATEMENTS: &[&[&Statement]] = &[OWN, coffer_audit::STATEMENTS];

const CUSTODY: &str = "
CREATE TABLE roots (
  root {bigint} NOT NULL PRIMARY KEY,
  salt {bytes} NOT NULL,
  memory_kib {bigint} NOT NULL,
  passes {bigint} NOT NULL,
  lanes {bigint} NOT NULL,
  wrapped {bytes} NOT NULL,
  created {bigint} NOT NULL
) {strict};
CREATE TABLE authority (
  root {bigint} NOT NULL PRIMARY KEY,
  certificate TEXT NOT NULL,
  sealed_key {bytes} NOT NULL,
  checkpoint_public {bytes} NOT NULL,
  checkpoint_wrapped {bytes} NOT NULL,
  created {bigint} NOT NULL
) {strict};
CREATE TABLE account_keys (
  account TEXT NOT NULL,
  mode TEXT NOT NULL,
  version {bigint} NOT NULL,
  parent_version {bigint} NOT NULL,
  wrapped {bytes} NOT NULL,
  created {bigint} NOT NULL,
  PRIMARY KEY (account, mode, version)
) {strict};
CREATE TABLE subject_keys (
  account TEXT NOT NULL,
  mode TEXT NOT NULL,
  subject TEXT NOT NULL,
  version {bigint} NOT NULL,
  parent_version {bigint} NOT NULL,
  wrapped {bytes} NOT NULL,
  created {bigint} NOT NULL,
  PRIMARY KEY (account, mode, subject, version)
) {strict};
CREATE TABLE fingerprint_keys (
  account TEXT NOT NULL,
  mode TEXT NOT NULL,
  version {bigint} NOT NULL,
  parent_version {bigint} NOT NULL,
  wrapped {bytes} NOT NULL,
  created {bigint} NOT NULL,
  PRIMARY KEY (account, mode, version)
) {strict};
CREATE TABLE tombstones (
  account TEXT NOT NULL,
  mode TEXT NOT NULL,
  subject TEXT NOT NULL,
  destroyed {bigint} NOT NULL,
  PRIMARY KEY (account, mode, subject)
) {strict};
CREATE TABLE openings (
  account TEXT NOT NULL,
  mode TEXT NOT NULL,
  attempt TEXT NOT NULL,
  record TEXT NOT NULL,
  payment TEXT NOT NULL,
  destination TEXT NOT NULL,
  certificate TEXT NOT NULL,
  opened {bigint} NOT NULL,
  expires {bigint} NOT NULL,
  PRIMARY KEY (account, mode, attempt)
) {strict};
CREATE INDEX openings_by_expires ON openings (expires);
CREATE TABLE budgets (
  account TEXT NOT NULL,
  mode TEXT NOT NULL,
  purpose TEXT NOT NULL,
  hour {bigint} NOT NULL,
  reserved {bigint} NOT NULL,
  granted {bigint} NOT NULL,
  PRIMARY KEY (account, mode, purpose, hour)
) {strict};
CREATE TABLE certificates (
  serial TEXT NOT NULL PRIMARY KEY,
  role TEXT NOT NULL,
  instance TEXT NOT NULL,
  names TEXT NOT NULL,
  issued {bigint} NOT NULL,
  not_after {bigint} NOT NULL
) {strict};
CREATE TABLE revoked_certificates (
  serial TEXT NOT NULL PRIMARY KEY,
  revoked {bigint} NOT NULL
) {strict};
CREATE TABLE remembered_checkpoints (
  log TEXT NOT NULL PRIMARY KEY,
  size {bigint} NOT NULL,
  root {bytes} NOT NULL,
  time {bigint} NOT NULL
) {strict}";

const OWN: &[&Statement] = &[
    &ROOT_READ,
    &ROOT_INSERT,
    &AUTHORITY_READ,
    &AUTHORITY_INSERT,
    &ACCOUNT_KEY_NEWEST,
    &ACCOUNT_KEY_READ,
    &ACCOUNT_KEY_INSERT,
    &SUBJECT_KEY_NEWEST,
    &SUBJECT_KEY_READ,
    &SUBJECT_KEY_INSERT,
    &SUBJECT_KEY_LIVE,
    &SUBJECT_KEY_DELETE,
    &FINGERPRINT_KEY_LIST,
    &FINGERPRINT_KEY_INSERT,
    &TOMBSTONE_READ,
    &TOMBSTONE_INSERT,
    &OPENING_INSERT,
    &OPENING_PRUNE,
    &BUDGET_RESERVE,
    &BUDGET_PRUNE,
    &CERTIFICATE_READ,
    &CERTIFICATE_LIVE,
    &CERTIFICATE_INSERT,
    &REVOKED_INSERT,
    &REVOKED_LIST,
    &REMEMBERED_READ,
    &REMEMBERED_INSERT,
    &REMEMBERED_ADVANCE,
    &REMEMBERED_FORGET,
];

pub(crate) const ROOT_READ: Statement = Statement::new(
    "root_read",
    "SELECT salt, memory_kib, passes, lanes, wrapped FROM roots WHERE root = $1",
);

pub(crate) const ROOT_INSERT: Statement = Statement::new(
    "root_insert",
    "INSERT INTO roots (root, salt, memory_kib, passes, lanes, wrapped, created) VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

pub(crate) const AUTHORITY_READ: Statement = Statement::new(
    "authority_read",
    "SELECT certificate, sealed_key, checkpoint_public, checkpoint_wrapped FROM authority WHERE root = $1",
);

pub(crate) const AUTHORITY_INSERT: Statement = Statement::new(
    "authority_insert",
    "INSERT INTO authority (root, certificate, sealed_key, checkpoint_public, checkpoint_wrapped, created)
     VALUES ($1, $2, $3, $4, $5, $6)",
);

pub(crate) const ACCOUNT_KEY_NEWEST: Statement = Statement::new(
    "account_key_newest",
    "SELECT version, parent_version, wrapped FROM account_keys
     WHERE account = $1 AND mode = $2 ORDER BY version DESC LIMIT 1",
);

pub(crate) const ACCOUNT_KEY_READ: Statement = Statement::new(
    "account_key_read",
    "SELECT version, parent_version, wrapped FROM account_keys WHERE account = $1 AND mode = $2 AND version = $3",
);

pub(crate) const ACCOUNT_KEY_INSERT: Statement = Statement::new(
    "account_key_insert",
    "INSERT INTO account_keys (account, mode, version, parent_version, wrapped, created)
     VALUES ($1, $2, $3, $4, $5, $6)",
);

pub(crate) const SUBJECT_KEY_NEWEST: Statement = Statement::new(
    "subject_key_newest",
    "SELECT version, parent_version, wrapped FROM subject_keys
     WHERE account = $1 AND mode = $2 AND subject = $3 ORDER BY version DESC LIMIT 1",
);

pub(crate) const SUBJECT_KEY_READ: Statement = Statement::new(
    "subject_key_read",
    "SELECT version, parent_version, wrapped FROM subject_keys
     WHERE account = $1 AND mode = $2 AND subject = $3 AND version = $4",
);

pub(crate) const SUBJECT_KEY_INSERT: Statement = Statement::new(
    "subject_key_insert",
    "INSERT INTO subject_keys (account, mode, subject, version, parent_version, wrapped, created)
     VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

/// The last step of every transaction that uses the key: whatever a cache still holds, a destroyed key is not used.
pub(crate) const SUBJECT_KEY_LIVE: Statement = Statement::new(
    "subject_key_live",
    "SELECT k.version FROM subject_keys k
     WHERE k.account = $1 AND k.mode = $2 AND k.subject = $3 AND k.version = $4 AND NOT EXISTS (
       SELECT 1 FROM tombstones t WHERE t.account = k.account AND t.mode = k.mode AND t.subject = k.subject)",
);

pub(crate) const SUBJECT_KEY_DELETE: Statement = Statement::new(
    "subject_key_delete",
    "DELETE FROM subject_keys WHERE account = $1 AND mode = $2 AND subject = $3",
);

pub(crate) const FINGERPRINT_KEY_LIST: Statement = Statement::new(
    "fingerprint_key_list",
    "SELECT version, parent_version, wrapped FROM fingerprint_keys
     WHERE account = $1 AND mode = $2 ORDER BY version DESC",
);

pub(crate) const FINGERPRINT_KEY_INSERT: Statement = Statement::new(
    "fingerprint_key_insert",
    "INSERT INTO fingerprint_keys (account, mode, version, parent_version, wrapped, created)
     VALUES ($1, $2, $3, $4, $5, $6)",
);

pub(crate) const TOMBSTONE_READ: Statement = Statement::new(
    "tombstone_read",
    "SELECT destroyed FROM tombstones WHERE account = $1 AND mode = $2 AND subject = $3",
);

pub(crate) const TOMBSTONE_INSERT: Statement = Statement::new(
    "tombstone_insert",
    "INSERT INTO tombstones (account, mode, subject, destroyed) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account, mode, subject) DO NOTHING",
);

pub(crate) const OPENING_INSERT: Statement = Statement::new(
    "opening_insert",
    "INSERT INTO openings (account, mode, destination, certificate, opened, attempt, record, payment, expires)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);

pub(crate) const OPENING_PRUNE: Statement = Statement::new(
    "opening_prune",
    "DELETE FROM openings WHERE (account, mode, attempt) IN (
       SELECT account, mode, attempt FROM openings WHERE expires < $1 ORDER BY expires LIMIT $2)",
);

/// Adds a block to what is reserved, or what is left below the ceiling; no row when nothing is. `granted` is the last
/// addition, since an update returns the new values only.
pub(crate) const BUDGET_RESERVE: Statement = Statement::new(
    "budget_reserve",
    "INSERT INTO budgets (account, mode, purpose, hour, reserved, granted) VALUES ($1, $2, $3, $4, $5, $5)
     ON CONFLICT (account, mode, purpose, hour) DO UPDATE SET
       granted = CASE WHEN budgets.reserved + $5 <= $6 THEN $5 ELSE $6 - budgets.reserved END,
       reserved = CASE WHEN budgets.reserved + $5 <= $6 THEN budgets.reserved + $5 ELSE $6 END
     WHERE budgets.reserved < $6
     RETURNING granted",
);

pub(crate) const BUDGET_PRUNE: Statement =
    Statement::new("budget_prune", "DELETE FROM budgets WHERE hour < $1");

pub(crate) const CERTIFICATE_READ: Statement = Statement::new(
    "certificate_read",
    "SELECT c.role, c.instance, c.names, c.not_after FROM certificates c
     WHERE c.serial = $1 AND NOT EXISTS (SELECT 1 FROM revoked_certificates r WHERE r.serial = c.serial)",
);

/// Among the last steps of a transaction that counts on a certificate.
pub(crate) const CERTIFICATE_LIVE: Statement = Statement::new(
    "certificate_live",
    "SELECT c.serial FROM certificates c
     WHERE c.serial = $1 AND NOT EXISTS (SELECT 1 FROM revoked_certificates r WHERE r.serial = c.serial)",
);

pub(crate) const CERTIFICATE_INSERT: Statement = Statement::new(
    "certificate_insert",
    "INSERT INTO certificates (serial, role, instance, names, issued, not_after) VALUES ($1, $2, $3, $4, $5, $6)",
);

pub(crate) const REVOKED_INSERT: Statement = Statement::new(
    "revoked_insert",
    "INSERT INTO revoked_certificates (serial, revoked) VALUES ($1, $2) ON CONFLICT (serial) DO NOTHING",
);

/// Those that would still be valid otherwise, and those that this authority never listed.
pub(crate) const REVOKED_LIST: Statement = Statement::new(
    "revoked_list",
    "SELECT r.serial FROM revoked_certificates r LEFT JOIN certificates c ON c.serial = r.serial
     WHERE c.not_after IS NULL OR c.not_after > $1 ORDER BY r.serial",
);

pub(crate) const REMEMBERED_READ: Statement = Statement::new(
    "remembered_read",
    "SELECT size, root FROM remembered_checkpoints WHERE log = $1",
);

pub(crate) const REMEMBERED_INSERT: Statement = Statement::new(
    "remembered_insert",
    "INSERT INTO remembered_checkpoints (log, size, root, time) VALUES ($1, $2, $3, $4)",
);

/// Before a restored log is accepted in place of the one that was known.
pub(crate) const REMEMBERED_FORGET: Statement = Statement::new(
    "remembered_forget",
    "DELETE FROM remembered_checkpoints WHERE log = $1",
);

/// Only from exactly the tree that the proof began with.
pub(crate) const REMEMBERED_ADVANCE: Statement = Statement::new(
    "remembered_advance",
    "UPDATE remembered_checkpoints SET size = $4, root = $5, time = $6 WHERE log = $1 AND size = $2 AND root = $3",
);
