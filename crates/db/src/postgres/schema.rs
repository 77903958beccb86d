//! Runs the pending migrations, all of them in one transaction, under a lock that the other nodes wait for.

use deadpool_postgres::ClientWrapper;

use super::failure::{self, Place};
use crate::migration::{Applied, Dialect, pending};
use crate::{Error, Migration};

const DIALECT: Dialect = Dialect {
    bigint: "BIGINT",
    bytes: "BYTEA",
    strict: "",
};

/// Waits as long as another node migrates. The number is only this program's.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
    SELECT pg_advisory_xact_lock(4848574382)";

const RECORD: &str = "CREATE TABLE IF NOT EXISTS migrations (
    version BIGINT PRIMARY KEY, name TEXT NOT NULL, sql TEXT NOT NULL, applied TEXT NOT NULL)";

const APPLIED: &str = "SELECT version, name, sql FROM migrations ORDER BY version";

/// The time is the server's, so that it never comes from two clocks.
const INSERT: &str = "INSERT INTO migrations (version, name, sql, applied) VALUES
    ($1, $2, $3, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))";

pub(super) async fn migrate(client: &ClientWrapper, migrations: &[Migration]) -> Result<(), Error> {
    batch(client, BEGIN).await?;
    let ended = match apply_pending(client, migrations).await {
        Ok(()) => batch(client, "COMMIT").await,
        Err(error) => Err(error),
    };
    if ended.is_err() {
        // The error that is told is the first one; a connection that cannot roll back is closed by our caller.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    ended
}

pub(super) async fn apply_pending(
    client: &ClientWrapper,
    migrations: &[Migration],
) -> Result<(), Error> {
    batch(client, RECORD).await?;
    for migration in pending(migrations, &applied(client).await?)? {
        apply(client, migration).await?;
    }
    Ok(())
}

async fn applied(client: &ClientWrapper) -> Result<Vec<Applied>, Error> {
    let rows = client.query(APPLIED, &[]).await.map_err(opening)?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Applied {
            version: row.try_get(0)?,
            name: row.try_get(1)?,
            sql: row.try_get(2)?,
        })
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(opening)
}

async fn apply(client: &ClientWrapper, migration: &Migration) -> Result<(), Error> {
    let Migration { version, name, sql } = migration;
    let text = migration.render(&DIALECT)?;
    let named = |error: Error| match error {
        Error::Defect(why) => Error::Defect(format!("migration {version} ({name}): {why}")),
        Error::Conflict(_) | Error::Unavailable(_) | Error::Refused(_) => error,
    };
    batch(client, &text).await.map_err(named)?;
    let inserted = client.execute(INSERT, &[version, name, sql]).await;
    inserted.map(drop).map_err(opening)
}

async fn batch(client: &ClientWrapper, sql: &str) -> Result<(), Error> {
    client.batch_execute(sql).await.map_err(opening)
}

fn opening(error: tokio_postgres::Error) -> Error {
    failure::of_statement(&error, Place::own("opening")).error
}
