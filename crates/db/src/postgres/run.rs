//! Runs statements on a connection: binds, counts what was touched, copies what was returned.

use std::pin::pin;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::failure::{self, Failed, Place};
use super::insertion::Insertion;
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
    /// For one that finds a row by its key: the same for many keys at once.
    many: Option<String>,
    /// For one that stores a row: the same for several.
    insertion: Option<Insertion>,
}

impl Proof {
    /// For a row of each of so many callers: how many go together, and by which text.
    fn together(&self, rows: usize) -> Option<(usize, &str)> {
        self.insertion.as_ref()?.together(rows)
    }

    /// Whether it may be asked for together with those of others.
    pub(super) const fn finds(&self) -> bool {
        self.many.is_some()
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
    let parameters = prepared.params().len();
    let many = statement
        .is_by_key()
        .then(|| for_many(statement.sql, parameters));
    let insertion = Insertion::of(statement.sql, parameters);
    let several = insertion.as_ref().and_then(|one| one.together(2));
    for text in many
        .as_deref()
        .into_iter()
        .chain(several.map(|(_, text)| text))
    {
        let prepared = prepare(client, text, place).await;
        prepared.map_err(|failed| failed.error)?;
    }
    let proof = Proof {
        parameters,
        joins: statement.keeps_to_its_own(),
        many,
        insertion,
    };
    Ok((names.collect(), proof))
}

/// The text that finds the rows of many keys, each with the place of its key among them, from the text that finds one. The
/// limit has the server look for each by itself, whatever it thinks of the size of the table.
fn for_many(one: &str, parameters: usize) -> String {
    // From the last: `$1` is the beginning of `$10`.
    let one = (1..=parameters).rev().fold(one.to_owned(), |text, number| {
        text.replace(&format!("${number}"), &format!("asked.key{number}"))
    });
    let list = |each: &dyn Fn(usize) -> String| {
        let each: Vec<_> = (1..=parameters).map(each).collect();
        each.join(", ")
    };
    let arrays = list(&|number| format!("${number}::text[]"));
    let keys = list(&|number| format!("key{number}"));
    format!(
        "SELECT found.*, asked.place FROM unnest({arrays}) WITH ORDINALITY AS asked ({keys}, place),
         LATERAL ({one} LIMIT 1) AS found"
    )
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
    let mut asked = Vec::with_capacity(ordered.len());
    for same in ordered.chunk_by(|one, next| one.step.statement.is(next.step.statement)) {
        let mut left = same;
        while let Some(first) = left.first() {
            let entry = catalog.entry(first.step.statement)?;
            let (rows, text) = entry.proof.together(left.len()).unwrap_or((1, entry.sql));
            let (steps, others) = left.split_at(rows);
            for placed in steps {
                entry.check_count(entry.proof.parameters, placed.step.params.len())?;
            }
            let place = place(entry, first.position);
            asked.push((entry, prepare(client, text, place).await?, place, steps));
            left = others;
        }
    }
    let running = asked.iter().map(|(entry, prepared, place, steps)| {
        let failed = |error| failure::of_statement(&error, *place);
        let params = steps.iter().flat_map(|placed| &placed.step.params);
        run(client, entry, prepared, params.map(Lent).collect(), failed)
    });
    // The driver sends each message when it is first polled, and both polls go in order: one trip for all.
    let (begun, ran) = tokio::join!(biased; client.batch_execute("BEGIN"), join_all(running));
    begun.map_err(|error| failure::of_statement(&error, Place::own("begin")))?;
    let outcomes = transactions.iter().map(Transaction::len);
    let mut outcomes: Vec<Outcome> = outcomes.map(Outcome::with_capacity).collect();
    for ((.., steps), ran) in asked.into_iter().zip(ran) {
        let (touched, rows) = ran?;
        record(&mut outcomes, steps, touched, rows)?;
    }
    Ok(outcomes)
}

/// Notes what one statement did: one step, or several of which each stores one row.
fn record(
    outcomes: &mut [Outcome],
    steps: &[Placed<'_>],
    touched: u64,
    rows: Vec<Row>,
) -> Result<(), Error> {
    let each = match steps {
        [_] => touched,
        several if u64::try_from(several.len()) == Ok(touched) => 1,
        _ => {
            return Err(Error::Defect(format!(
                "several insertions stored {touched} rows"
            )));
        }
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
    entry.check_count(entry.proof.parameters, params.len())?;
    let prepared = prepare(client, entry.sql, place(entry, 0)).await?;
    let failed = |error| failure::of_read(&error, place(entry, 0));
    let params = params.iter().map(Lent).collect();
    let (_, rows) = run(client, entry, &prepared, params, failed).await?;
    Ok(rows)
}

/// The rows of many keys, each at the place of its key.
pub(super) async fn find(
    client: &ClientWrapper,
    entry: &Entry,
    keys: &[&[Value]],
) -> Result<Vec<Option<Row>>, Failed> {
    let many = entry.proof.many.as_deref();
    let many = many.ok_or_else(|| not_by_key(entry))?;
    let mut arrays = vec![Vec::with_capacity(keys.len()); entry.proof.parameters];
    for key in keys {
        entry.check_count(arrays.len(), key.len())?;
        for (array, value) in arrays.iter_mut().zip(*key) {
            let Value::Text(text) = value else {
                return Err(not_by_key(entry).into());
            };
            array.push(text.as_str());
        }
    }
    let prepared = prepare(client, many, place(entry, 0)).await?;
    let failed = |error| failure::of_read(&error, place(entry, 0));
    let stream = client.query_raw(&prepared, arrays.iter()).await;
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
    Error::Defect(format!("statement {name} does not find by texts alone"))
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
    params: Vec<Lent<'_>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_find_for_many_keys_names_each_part_of_a_key() {
        let parts: Vec<_> = (1..=11).map(|part| format!("p{part} = ${part}")).collect();
        let many = for_many(
            &format!("SELECT a FROM t WHERE {}", parts.join(" AND ")),
            11,
        );
        assert!(many.contains("p1 = asked.key1 AND"), "{many}");
        assert!(many.contains("p11 = asked.key11 LIMIT 1"), "{many}");
        assert_eq!(many.matches("::text[]").count(), 11);
    }
}
