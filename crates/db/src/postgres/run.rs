//! Runs statements on a connection: binds, counts what was touched, copies what was returned.

use std::pin::pin;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::failure::{self, Failed, Place};
use super::value::{Given, Lent, is_known};
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
    /// For one about one row: the text for several.
    several: Option<String>,
    /// Whether it finds that row.
    finds: bool,
}

impl Proof {
    /// Whether it may be asked for together with those of others.
    pub(super) const fn finds(&self) -> bool {
        self.finds
    }

    /// The text that stores or changes so many rows, if there is one.
    fn touches(&self, rows: usize) -> Option<&str> {
        let several = self.several.as_deref();
        several.filter(|_| rows > 1 && !self.finds)
    }
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
    let place = Place::own(statement.name);
    let prepared = prepare(client, statement.sql, place).await;
    let prepared = prepared.map_err(|failed| failed.error)?;
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
    let kinds: Vec<_> = prepared
        .params()
        .iter()
        .map(|kind| kind.name().to_owned())
        .collect();
    let several = statement.for_several(&kinds);
    if let Some(text) = &several {
        let prepared = prepare(client, text, place).await;
        prepared.map_err(|failed| failed.error)?;
    }
    let proof = Proof {
        parameters: kinds.len(),
        joins: statement.keeps_to_its_own(),
        several,
        finds: statement.finds_by_key(),
    };
    Ok((names.collect(), proof))
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

/// How steps are sent that are the same but for their values.
#[derive(Clone, Copy)]
pub(super) enum Alike {
    /// Several by one statement, in the hope that each touches its row.
    Together,
    /// Each by a statement of its own, which tells what became of it.
    Apart,
}

/// Sends the steps of all these transactions at once, in one of the server's; whoever calls this commits it. The outcome of
/// each, when every step did what it must.
pub(super) async fn steps(
    client: &ClientWrapper,
    catalog: &Catalog,
    transactions: &[Transaction],
    alike: Alike,
) -> Result<Vec<Outcome>, Failed> {
    let ordered = in_order(transactions);
    let mut asked = Vec::with_capacity(ordered.len());
    for same in ordered.chunk_by(|one, next| one.step.statement.is(next.step.statement)) {
        let Some(first) = same.first() else { continue };
        let entry = catalog.entry(first.step.statement)?;
        let together = match alike {
            Alike::Together => entry.proof.touches(same.len()),
            Alike::Apart => None,
        };
        let (text, rows) = together.map_or((entry.sql, 1), |text| (text, same.len()));
        let prepared = prepare(client, text, place(entry, first.position)).await?;
        asked.extend(
            same.chunks(rows)
                .map(|steps| (entry, prepared.clone(), steps)),
        );
    }
    let running = asked.iter().map(|(entry, prepared, steps)| async move {
        let at = steps.first().map_or(0, |placed| placed.position);
        let params = match steps {
            [one] => of_one(entry, &one.step.params)?,
            several => of_each(entry, several.iter().map(|one| one.step.params.as_slice()))?,
        };
        let failed = |error| failure::of_statement(&error, place(entry, at));
        run(client, entry, prepared, params, failed).await
    });
    // The driver sends each message when it is first polled, and both polls go in order: one trip for all.
    let (begun, ran) = tokio::join!(biased; client.batch_execute("BEGIN"), join_all(running));
    begun.map_err(|error| failure::of_statement(&error, Place::own("begin")))?;
    let outcomes = transactions.iter().map(Transaction::len);
    let mut outcomes: Vec<Outcome> = outcomes.map(Outcome::with_capacity).collect();
    for ((.., steps), ran) in asked.iter().zip(ran) {
        let (touched, rows) = ran?;
        record(&mut outcomes, steps, touched, rows)?;
    }
    Ok(outcomes)
}

/// Notes what one statement did: one step, or several of which each must have touched one row.
fn record(
    outcomes: &mut [Outcome],
    steps: &[Placed<'_>],
    touched: u64,
    rows: Vec<Row>,
) -> Result<(), Failed> {
    let each = match steps {
        [_] => touched,
        several if u64::try_from(several.len()) == Ok(touched) => 1,
        _ => return Err(failure::of_several(touched)),
    };
    let mut rows = Some(rows);
    for Placed { of, position, step } in steps {
        step.check(*position, each)?;
        if let Some(outcome) = outcomes.get_mut(*of) {
            outcome.record(step.statement, each, rows.take().unwrap_or_default());
        }
    }
    Ok(())
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
    let params = of_one(entry, params)?;
    let prepared = prepare(client, entry.sql, place(entry, 0)).await?;
    let failed = |error| failure::of_read(&error, place(entry, 0));
    let (_, rows) = run(client, entry, &prepared, params, failed).await?;
    Ok(rows)
}

/// The rows of several keys, each at the place of its key.
pub(super) async fn find(
    client: &ClientWrapper,
    entry: &Entry,
    keys: &[&[Value]],
) -> Result<Vec<Option<Row>>, Failed> {
    let several = entry.proof.several.as_deref();
    let several = several.ok_or_else(|| not_by_key(entry))?;
    let arrays = of_each(entry, keys.iter().copied())?;
    let prepared = prepare(client, several, place(entry, 0)).await?;
    let failed = |error| failure::of_read(&error, place(entry, 0));
    let stream = client.query_raw(&prepared, arrays).await;
    let mut stream = pin!(stream.map_err(failed)?);
    let mut found = vec![None; keys.len()];
    while let Some(row) = stream.try_next().await.map_err(failed)? {
        let at: i64 = row.try_get(entry.columns.names.len()).map_err(failed)?;
        let at = usize::try_from(at).ok().and_then(|at| at.checked_sub(1));
        if let Some(place) = at.and_then(|at| found.get_mut(at)) {
            *place = Some(owned(&row, entry).map_err(failed)?);
        }
    }
    Ok(found)
}

fn not_by_key(entry: &Entry) -> Error {
    let name = entry.columns.statement;
    Error::Defect(format!("statement {name} does not find by a key"))
}

fn of_one<'v>(entry: &Entry, params: &'v [Value]) -> Result<Vec<Given<'v>>, Error> {
    entry.check_count(entry.proof.parameters, params.len())?;
    Ok(params.iter().map(Lent).map(Given::One).collect())
}

/// An array for each parameter.
fn of_each<'v>(
    entry: &Entry,
    rows: impl Iterator<Item = &'v [Value]>,
) -> Result<Vec<Given<'v>>, Error> {
    let mut arrays = vec![Vec::new(); entry.proof.parameters];
    for row in rows {
        entry.check_count(arrays.len(), row.len())?;
        for (array, value) in arrays.iter_mut().zip(row) {
            array.push(Lent(value));
        }
    }
    Ok(arrays.into_iter().map(Given::Each).collect())
}

async fn prepare(
    client: &ClientWrapper,
    text: &str,
    place: Place,
) -> Result<tokio_postgres::Statement, Failed> {
    let prepared = client.prepare_cached(text).await;
    prepared.map_err(|error| failure::of_statement(&error, place))
}

async fn run(
    client: &ClientWrapper,
    entry: &Entry,
    prepared: &tokio_postgres::Statement,
    params: Vec<Given<'_>>,
    failed: impl Fn(tokio_postgres::Error) -> Failed,
) -> Result<Ran, Failed> {
    let stream = client.query_raw(prepared, params);
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
    for column in 0..entry.columns.names.len() {
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
