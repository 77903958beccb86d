//! Reading a whole database as it was at one instant, and filling an empty one. No tool of the server's is needed.

use std::collections::BTreeMap;
use std::pin::pin;

use deadpool::managed::Manager as _;
use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::failure::{self, Place};
use super::value::Lent;
use super::{schema, session};
use crate::copy::{MIGRATIONS, ROWS_AT_ONCE, Table};
use crate::row::Taken;
use crate::{Error, Migration, PostgresAddress, Value};

/// One instant for every table, which is that of the first read, and as long as it takes.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
    SELECT pg_current_snapshot()";

/// In the order in which they were made: nothing refers to what comes later.
const TABLES: &str = "SELECT relname::text, oid::bigint FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY oid";

const COLUMNS: &str = "SELECT a.attname::text,
      COALESCE(array_position(string_to_array(i.indkey::text, ' ')::smallint[], a.attnum), 0)::bigint
    FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// More rows than any migration puts into a table.
const FEW: u32 = 100;

/// A transaction that only reads.
pub(crate) struct PostgresSnapshot(ClientWrapper);

impl PostgresSnapshot {
    pub(crate) async fn take(address: &PostgresAddress) -> Result<Self, Error> {
        let client = connect(address).await?;
        batch(&client, READ).await?;
        Ok(Self(client))
    }

    pub(crate) async fn tables(&self) -> Result<Vec<Table>, Error> {
        tables(&self.0).await
    }

    pub(crate) async fn rows<E: From<Error>>(
        &self,
        sql: &str,
        mut each: impl FnMut(&[Value]) -> Result<(), E>,
    ) -> Result<(), E> {
        let none: [Lent<'_>; 0] = [];
        let stream = self.0.query_raw(sql, none).await.map_err(failed)?;
        let mut stream = pin!(stream);
        while let Some(row) = stream.try_next().await.map_err(failed)? {
            let values =
                (0..row.len()).map(|column| row.try_get::<_, Taken<'_>>(column).map(Value::from));
            let values: Vec<Value> = values.collect::<Result<_, _>>().map_err(failed)?;
            each(&values)?;
        }
        Ok(())
    }
}

/// One transaction that makes the tables and fills them.
pub(crate) struct PostgresFilling(ClientWrapper);

impl PostgresFilling {
    pub(crate) async fn begin(
        address: &PostgresAddress,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        let client = connect(address).await?;
        batch(&client, schema::BEGIN).await?;
        batch(&client, "SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        // Tables are made when a role looks whether it is let in: made anew, they may be older than those that are there.
        let before = few(&client).await?;
        drop_all(&client).await?;
        schema::apply_pending(&client, migrations).await?;
        let made = few(&client).await?;
        if before
            .iter()
            .any(|(table, rows)| made.get(table).unwrap_or(&0) < rows)
        {
            // With the connection ends the transaction, and everything is as it was.
            return Err(Error::Refused(format!(
                "the database {} is not empty",
                address.database
            )));
        }
        // What the migrations put there is in what will be copied.
        for table in tables(&client).await?.iter().rev() {
            batch(&client, &format!("DELETE FROM \"{}\"", table.name)).await?;
        }
        Ok(Self(client))
    }

    pub(crate) async fn tables(&self) -> Result<Vec<Table>, Error> {
        tables(&self.0).await
    }

    /// Sends a few hundred rows before it waits for the first answer.
    pub(crate) async fn insert(&self, sql: &str, rows: &[Vec<Value>]) -> Result<(), Error> {
        let insert = self.0.prepare_cached(sql).await.map_err(failed)?;
        for some in rows.chunks(ROWS_AT_ONCE) {
            let sent = some
                .iter()
                .map(|row| self.0.execute_raw(&insert, row.iter().map(Lent)));
            for inserted in join_all(sent).await {
                inserted.map_err(failed)?;
            }
        }
        Ok(())
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        let committed = self.0.batch_execute("COMMIT").await;
        committed.map_err(|error| failure::of_commit(&error))
    }
}

/// The rows of each table, counted up to a few, and kept as they are.
async fn few(client: &ClientWrapper) -> Result<BTreeMap<String, i64>, Error> {
    let mut found = BTreeMap::new();
    for Table { name, .. } in tables(client).await? {
        let count = format!("SELECT count(*) FROM (SELECT 1 FROM \"{name}\" LIMIT {FEW}) AS few");
        batch(client, &format!("LOCK TABLE \"{name}\"")).await?;
        let row = client.query_one(&count, &[]).await.map_err(failed)?;
        found.insert(name, row.try_get(0).map_err(failed)?);
    }
    found.remove(MIGRATIONS);
    Ok(found)
}

async fn drop_all(client: &ClientWrapper) -> Result<(), Error> {
    for table in tables(client).await?.iter().rev() {
        batch(client, &format!("DROP TABLE \"{}\"", table.name)).await?;
    }
    Ok(())
}

async fn connect(address: &PostgresAddress) -> Result<ClientWrapper, Error> {
    let client = session::manager(address)?.create().await;
    let client = client.map_err(|error| failure::of_connection(&error))?;
    session::check(&client).await?;
    Ok(client)
}

async fn tables(client: &ClientWrapper) -> Result<Vec<Table>, Error> {
    let mut tables = Vec::new();
    for row in client.query(TABLES, &[]).await.map_err(failed)? {
        let (name, id): (String, i64) = (
            row.try_get(0).map_err(failed)?,
            row.try_get(1).map_err(failed)?,
        );
        let columns = client.query(COLUMNS, &[&id]).await.map_err(failed)?;
        let columns = columns
            .iter()
            .map(|column| Ok((column.try_get(0)?, column.try_get(1)?)))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        tables.push(Table::new(name, columns)?);
    }
    Ok(tables)
}

async fn batch(client: &ClientWrapper, sql: &str) -> Result<(), Error> {
    client.batch_execute(sql).await.map_err(failed)
}

fn failed(error: tokio_postgres::Error) -> Error {
    failure::of_statement(&error, Place::own("copying a store")).error
}
