//! The tables of the log and every SQL text over them.
//!
//! A transaction of any role inserts a leaf; only the sequencer touches the rest.

use coffer_db::Statement;

/// The tables, as the text of one migration of each role's database.
pub const SCHEMA: &str = "
CREATE TABLE audit_leaves (
  leaf TEXT NOT NULL PRIMARY KEY,
  sequence {bigint} UNIQUE,
  recorded {bigint} NOT NULL,
  account TEXT NOT NULL,
  public {bytes} NOT NULL,
  personal_digest {bytes} NOT NULL,
  sealed {bytes}
) {strict};
CREATE INDEX audit_leaves_unsequenced ON audit_leaves (leaf) WHERE sequence IS NULL;
CREATE TABLE audit_tiles (
  level {bigint} NOT NULL,
  tile {bigint} NOT NULL,
  hashes {bytes} NOT NULL,
  PRIMARY KEY (level, tile)
) {strict};
CREATE TABLE audit_head (
  log {bigint} NOT NULL PRIMARY KEY,
  size {bigint} NOT NULL,
  root {bytes} NOT NULL,
  time {bigint} NOT NULL
) {strict};
CREATE TABLE audit_checkpoints (
  size {bigint} NOT NULL PRIMARY KEY,
  root {bytes} NOT NULL,
  time {bigint} NOT NULL,
  public_key {bytes} NOT NULL,
  signature {bytes} NOT NULL
) {strict};
CREATE TABLE audit_lease (
  log {bigint} NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  lease_until {bigint} NOT NULL
) {strict}";

/// For whoever reads the log by account: an index, as a migration of its own.
pub const BY_ACCOUNT: &str = "CREATE INDEX audit_leaves_by_account ON audit_leaves (account, leaf)";

/// What was announced to be pruned, as a migration of its own.
pub const RETENTION: &str = "CREATE TABLE audit_retention (
  log {bigint} NOT NULL PRIMARY KEY,
  entries {bigint} NOT NULL,
  leaf TEXT NOT NULL,
  announced {bigint} NOT NULL
) {strict}";

/// Every statement of this crate, to be registered with the database.
pub const STATEMENTS: &[&Statement] = &[
    &LEAF_INSERT,
    &LEAF_UNSEQUENCED,
    &LEAF_SEQUENCE,
    &LEAF_PAGE,
    &LEAF_COUNTS,
    &LEAF_OF_ACCOUNT,
    &TILE_READ,
    &TILE_WRITE,
    &HEAD_READ,
    &HEAD_FIRST,
    &HEAD_ADVANCE,
    &CHECKPOINT_LAST,
    &CHECKPOINT_PAGE,
    &CHECKPOINT_INSERT,
    &LEASE_TAKE,
    &RETENTION_READ,
    &RETENTION_ANNOUNCE,
    &LEAF_OLD,
    &LEAF_PRUNE,
    &CHECKPOINT_PRUNE,
];

pub(crate) const LEAF_INSERT: Statement = Statement::new(
    "audit_leaf_insert",
    "INSERT INTO audit_leaves (leaf, sequence, recorded, account, public, personal_digest, sealed)
     VALUES ($1, NULL, $2, $3, $4, $5, $6)",
);

pub(crate) const LEAF_UNSEQUENCED: Statement = Statement::new(
    "audit_leaf_unsequenced",
    "SELECT leaf, recorded, account, public, personal_digest, sealed FROM audit_leaves
     WHERE sequence IS NULL ORDER BY leaf LIMIT $1",
);

/// Asks for those without a number in other words than the index of them does: there PostgreSQL would look for several
/// leaves among all that ever had none, as long as nobody swept them out.
pub(crate) const LEAF_SEQUENCE: Statement = Statement::new(
    "audit_leaf_sequence",
    "UPDATE audit_leaves SET sequence = $2 WHERE leaf = $1 AND COALESCE(sequence, -1) = -1",
)
.by_key();

pub(crate) const LEAF_PAGE: Statement = Statement::new(
    "audit_leaf_page",
    "SELECT leaf, sequence, recorded, account, public, personal_digest, sealed FROM audit_leaves
     WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence",
);

/// Of one account, the newest first; the index for it comes with whoever reads by account.
pub(crate) const LEAF_OF_ACCOUNT: Statement = Statement::new(
    "audit_leaf_of_account",
    "SELECT leaf, sequence, recorded, account, public, personal_digest, sealed FROM audit_leaves
     WHERE account = $1 AND leaf <= $2 ORDER BY leaf DESC LIMIT $3",
);

pub(crate) const LEAF_COUNTS: Statement = Statement::new(
    "audit_leaf_counts",
    "SELECT (SELECT COUNT(*) FROM audit_leaves WHERE sequence IS NULL) AS unsequenced,
            (SELECT MAX(sequence) FROM audit_leaves) AS last,
            (SELECT MIN(sequence) FROM audit_leaves) AS first",
);

pub(crate) const TILE_READ: Statement = Statement::new(
    "audit_tile_read",
    "SELECT hashes FROM audit_tiles WHERE level = $1 AND tile = $2",
);

pub(crate) const TILE_WRITE: Statement = Statement::new(
    "audit_tile_write",
    "INSERT INTO audit_tiles (level, tile, hashes) VALUES ($1, $2, $3)
     ON CONFLICT (level, tile) DO UPDATE SET hashes = excluded.hashes",
);

pub(crate) const HEAD_READ: Statement = Statement::new(
    "audit_head_read",
    "SELECT size, root, time FROM audit_head WHERE log = 1",
);

pub(crate) const HEAD_FIRST: Statement = Statement::new(
    "audit_head_first",
    "INSERT INTO audit_head (log, size, root, time) VALUES (1, $1, $2, $3)",
);

pub(crate) const HEAD_ADVANCE: Statement = Statement::new(
    "audit_head_advance",
    "UPDATE audit_head SET size = $2, root = $3, time = $4 WHERE log = 1 AND size = $1",
);

pub(crate) const CHECKPOINT_LAST: Statement = Statement::new(
    "audit_checkpoint_last",
    "SELECT size, root, time, public_key, signature FROM audit_checkpoints ORDER BY size DESC LIMIT 1",
);

pub(crate) const CHECKPOINT_PAGE: Statement = Statement::new(
    "audit_checkpoint_page",
    "SELECT size, root, time, public_key, signature FROM audit_checkpoints WHERE size > $1 ORDER BY size LIMIT $2",
);

/// The same head may be signed again after a crash between signing and storing.
pub(crate) const CHECKPOINT_INSERT: Statement = Statement::new(
    "audit_checkpoint_insert",
    "INSERT INTO audit_checkpoints (size, root, time, public_key, signature) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (size) DO NOTHING",
);

/// A lease that ends too far in the future was taken by a clock that was wrong, and binds nobody; clocks may differ by as
/// much as a lease lasts.
pub(crate) const LEASE_TAKE: Statement = Statement::new(
    "audit_lease_take",
    "INSERT INTO audit_lease (log, holder, lease_until) VALUES (1, $1, $3)
     ON CONFLICT (log) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
     WHERE audit_lease.holder = $1 OR audit_lease.lease_until < $2 OR audit_lease.lease_until > $3 + ($3 - $2)",
);

/// `first` is the oldest entry that has its contents, `place` where the announcement stands in the log.
pub(crate) const RETENTION_READ: Statement = Statement::new(
    "audit_retention_read",
    "SELECT (SELECT MIN(sequence) FROM audit_leaves) AS first,
            (SELECT entries FROM audit_retention WHERE log = 1) AS entries,
            (SELECT announced FROM audit_retention WHERE log = 1) AS announced,
            (SELECT l.sequence FROM audit_retention r JOIN audit_leaves l ON l.leaf = r.leaf WHERE r.log = 1) AS place",
);

pub(crate) const RETENTION_ANNOUNCE: Statement = Statement::new(
    "audit_retention_announce",
    "INSERT INTO audit_retention (log, entries, leaf, announced) VALUES (1, $1, $2, $3)
     ON CONFLICT (log) DO UPDATE SET entries = excluded.entries, leaf = excluded.leaf, announced = excluded.announced
     WHERE audit_retention.entries < excluded.entries",
);

/// Ids of leaves begin with their time.
pub(crate) const LEAF_OLD: Statement = Statement::new(
    "audit_leaf_old",
    "SELECT sequence FROM audit_leaves WHERE leaf < $1 AND sequence IS NOT NULL ORDER BY leaf DESC LIMIT 1",
);

pub(crate) const LEAF_PRUNE: Statement = Statement::new(
    "audit_leaf_prune",
    "DELETE FROM audit_leaves WHERE sequence < $1",
);

pub(crate) const CHECKPOINT_PRUNE: Statement = Statement::new(
    "audit_checkpoint_prune",
    "DELETE FROM audit_checkpoints WHERE size < $1",
);
