//! Runs statements on a connection: binds, counts what was touched, copies what was returned.

use std::pin::pin;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::failure::{self, Failed, Place};
use super::value::{Lent, is_known};
use crate::catalog::{self, Proved, defect};
use crate::transaction::{Placed, in_order};
use crate::{Error, Outcome, Row, Statement, Transaction, Value};

/// The most rows one statement may return. What may grow is read in pages.
const ROWS_MAX: usize = 100_000;

/// The most steps of a transaction that is committed together with others.
const JOINING_STEPS_MAX: usize = 16;

/// The statements of a PostgreSQL database.
pub(super) type Catalog = catalog::Catalog<Proof>;
/// One of them.
pub(super) type Entry = catalog::Entry<Proof>;

/// What PostgreSQL says of a statement.
pub(super) struct Proof {
    parameters: usize,
    /// Whether it may run in one transaction of the server's with those of others.
    joins: bool,
}

/// The rows touched (or returned) and the rows themselves.
type Ran = (u64, Vec<Row>);

/// Prepares every statement at once, and refuses kinds of values that other engines do not have.
pub(super) async fn catalog(
    client: &ClientWrapper,
    statements: &[&[&'static Statement]],
) -> Result<Catalog, Error> {
    let statements = catalog::registered(statements)?;
    let proofs = join_all(statements.iter().map(|statement| prove(client, statement))).await;
    let proved = statements.into_iter().zip(proofs);
    let proved = proved.map(|(statement, proof)| Ok((statement, proof?)));
    Ok(Catalog::new(proved.collect::<Result<Vec<_>, Error>>()?))
}

async fn prove(client: &ClientWrapper, statement: &Statement) -> Result<Proved<Proof>, Error> {
    let prepared = client.prepare_cached(statement.sql).await;
    let prepared = prepared
        .map_err(|error| failure::of_statement(&error, Place::own(statement.name)).error)?;
    let columns = prepared.columns();
    let kinds = prepared
        .params()
        .iter()
        .chain(columns.iter().map(|column| column.type_()));
    if let Some(kind) = kinds.into_iter().find(|kind| !is_known(kind)) {
        let what = format!("a parameter or column is {kind}; cast it to bigint, text or bytes");
        return Err(defect(statement, &what));
    }
    let names = columns.iter().map(|column| Box::from(column.name()));
    let parameters = prepared.params().len();
    let joins = statement.keeps_to_its_own();
    Ok((names.collect(), Proof { parameters, joins }))
}

/// Whether a transaction may be committed together with others: it is short, and can wait for none of them.
pub(super) fn joins(catalog: &Catalog, transaction: &Transaction) -> bool {
    let mut steps = transaction.before_closing();
    transaction.len() <= JOINING_STEPS_MAX
        && steps.all(|step| {
            let entry = catalog.entry(step.statement);
            entry.is_ok_and(|entry| entry.proof.joins)
        })
}

/// Sends the steps of all these transactions at once, in one of the server's; whoever calls this commits it. The outcome of
/// each, when every step did what it must.
pub(super) async fn steps(
    client: &ClientWrapper,
    catalog: &Catalog,
    transactions: &[Transaction],
) -> Result<Vec<Outcome>, Failed> {
    let ordered = in_order(transactions);
    let mut prepared = Vec::with_capacity(ordered.len());
    for Placed { position, step, .. } in &ordered {
        let entry = catalog.entry(step.statement)?;
        entry.check_count(entry.proof.parameters, step.params.len())?;
        prepared.push((entry, prepare(client, entry, *position).await?));
    }
    let running = prepared.iter().zip(&ordered);
    let running = running.map(|((entry, prepared), placed)| {
        let failed = move |error| failure::of_statement(&error, place(entry, placed.position));
        run(client, entry, prepared, &placed.step.params, failed)
    });
    // The driver sends each message when it is first polled, and both polls go in order: one trip for all.
    let (begun, ran) = tokio::join!(biased; client.batch_execute("BEGIN"), join_all(running));
    begun.map_err(|error| failure::of_statement(&error, Place::own("begin")))?;
    let outcomes = transactions.iter().map(Transaction::len);
    let mut outcomes: Vec<Outcome> = outcomes.map(Outcome::with_capacity).collect();
    for (Placed { of, position, step }, ran) in ordered.into_iter().zip(ran) {
        let (touched, rows) = ran?;
        step.check(position, touched)?;
        if let Some(outcome) = outcomes.get_mut(of) {
            outcome.record(step.statement, touched, rows);
        }
    }
    Ok(outcomes)
}

/// Commits what was done since. If this fails it may have been carried out.
pub(super) async fn commit(client: &ClientWrapper) -> Result<(), Error> {
    let committed = client.batch_execute("COMMIT").await;
    committed.map_err(|error| failure::of_commit(&error))
}

/// Commits something, whatever it is: after a failure, the proof that the server stores again.
pub(super) async fn probe(client: &ClientWrapper) -> Result<(), Error> {
    let probed = client
        .batch_execute("BEGIN; SELECT pg_current_xact_id(); COMMIT")
        .await;
    probed.map_err(|error| failure::of_commit(&error))
}

/// All rows of one read.
pub(super) async fn read(
    client: &ClientWrapper,
    entry: &Entry,
    params: &[Value],
) -> Result<Vec<Row>, Failed> {
    entry.check_count(entry.proof.parameters, params.len())?;
    let prepared = prepare(client, entry, 0).await?;
    let failed = |error| failure::of_read(&error, place(entry, 0));
    let (_, rows) = run(client, entry, &prepared, params, failed).await?;
    Ok(rows)
}

async fn prepare(
    client: &ClientWrapper,
    entry: &Entry,
    step: usize,
) -> Result<tokio_postgres::Statement, Failed> {
    let prepared = client.prepare_cached(entry.sql).await;
    prepared.map_err(|error| failure::of_statement(&error, place(entry, step)))
}

async fn run(
    client: &ClientWrapper,
    entry: &Entry,
    prepared: &tokio_postgres::Statement,
    params: &[Value],
    failed: impl Fn(tokio_postgres::Error) -> Failed,
) -> Result<Ran, Failed> {
    let stream = client.query_raw(prepared, params.iter().map(Lent));
    let mut stream = pin!(stream.await.map_err(&failed)?);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await.map_err(&failed)? {
        if rows.len() == ROWS_MAX {
            let what = format!("returns more than {ROWS_MAX} rows; read them in pages");
            return Err(
                Error::Defect(format!("statement {} {what}", entry.columns.statement)).into(),
            );
        }
        rows.push(owned(&row, entry).map_err(&failed)?);
    }
    Ok((stream.rows_affected().unwrap_or_default(), rows))
}

fn owned(row: &tokio_postgres::Row, entry: &Entry) -> Result<Row, tokio_postgres::Error> {
    let mut copy = Row::new(Arc::clone(&entry.columns));
    for column in 0..row.len() {
        copy.push(row.try_get(column)?);
    }
    Ok(copy)
}

fn place(entry: &Entry, step: usize) -> Place {
    Place {
        statement: entry.columns.statement,
        step,
    }
}
