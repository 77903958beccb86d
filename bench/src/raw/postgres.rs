//! The loop on PostgreSQL: as many connections as Coffer has for transactions, each sends a whole transaction at once.

use std::cell::Cell as Counter;

use coffer_db::Database;
use coffer_engine::{MIGRATIONS, STATEMENTS};
use coffer_testkit::Server;
use futures_util::future::{join_all, try_join_all};
use tokio_postgres::{
    NoTls, Statement,
    types::{ToSql, Type},
};

use super::{Cell, TABLES, Template, select};
use crate::drive::{Client, Figures, Plan, drive};

/// As many as `coffer-db` has for transactions.
const CONNECTIONS: usize = 12;
const NAME: &str = "raw";

/// Makes an empty database of this name with the api's tables.
pub(crate) async fn create(server: &Server, name: &str) -> Database {
    server.run(&[format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    )]);
    let opened = Database::open_postgres(&server.database(name), MIGRATIONS, STATEMENTS).await;
    opened.expect("a store")
}

/// Makes an empty database with the api's tables, and copies one row of each of the api's.
pub(super) async fn prepare(server: &Server) -> (String, Vec<Template>) {
    let find = "SELECT datname FROM pg_database WHERE datname LIKE 't%\\_api'".to_owned();
    let api = server.run(&[find]);
    create(server, NAME).await.close().await;
    let client = connect(&url(server, api.trim())).await;
    let mut templates = Vec::new();
    for (table, key, which) in TABLES {
        let row = client
            .query_one(&select(table, which), &[])
            .await
            .expect("a row to copy");
        let cells = row
            .columns()
            .iter()
            .enumerate()
            .filter_map(|(place, column)| {
                Some((column.name().to_owned(), cell(&row, place, column.type_())?))
            });
        templates.push(Template::new(table, key, cells.collect()));
    }
    (url(server, NAME), templates)
}

fn cell(row: &tokio_postgres::Row, place: usize, kind: &Type) -> Option<Cell> {
    match *kind {
        Type::INT8 => row.get::<_, Option<i64>>(place).map(Cell::Integer),
        Type::BYTEA => row.get::<_, Option<Vec<u8>>>(place).map(Cell::Bytes),
        _ => row.get::<_, Option<String>>(place).map(Cell::Text),
    }
}

fn url(server: &Server, database: &str) -> String {
    let address = server.database(database);
    format!(
        "postgres://{}:{}@{}/{database}",
        address.user,
        address.password,
        server.address()
    )
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("PostgreSQL");
    coffer_net::task::spawn("raw connection", async {
        connection.await.expect("PostgreSQL")
    });
    client
}

/// One connection.
struct Writer<'l> {
    client: tokio_postgres::Client,
    inserts: Vec<Statement>,
    templates: &'l [Template],
    number: &'l Counter<u64>,
}

pub(super) async fn run(url: &str, templates: &[Template], plan: Plan) -> Figures {
    let client = connect(url).await;
    let before = client
        .query_one("SELECT COUNT(*) FROM payments", &[])
        .await
        .expect("a count");
    let number = Counter::new(before.get::<_, i64>(0).cast_unsigned());
    let writers = join_all((0..CONNECTIONS).map(async |_| {
        let client = connect(url).await;
        let prepared = try_join_all(
            templates
                .iter()
                .map(|template| client.prepare(&template.insert)),
        )
        .await;
        let inserts = prepared.expect("inserts");
        Writer {
            client,
            inserts,
            templates,
            number: &number,
        }
    }));
    drive(writers.await, &[], plan).await
}

impl Client for Writer<'_> {
    async fn act(&mut self) -> bool {
        let number = self.number.get();
        self.number.set(number + 1);
        let cells: Vec<Vec<Cell>> = self
            .templates
            .iter()
            .map(|template| template.cells(number))
            .collect();
        let inserts = async {
            let rows: Vec<Vec<&(dyn ToSql + Sync)>> = cells
                .iter()
                .map(|row| row.iter().map(lent).collect())
                .collect();
            let inserted = self
                .inserts
                .iter()
                .zip(&rows)
                .map(|(insert, row)| self.client.execute(insert, row));
            try_join_all(inserted).await
        };
        // Polled in this order, so sent in this order, without waiting in between.
        let (begun, inserted, committed) = futures_util::future::join3(
            self.client.batch_execute("BEGIN"),
            inserts,
            self.client.batch_execute("COMMIT"),
        )
        .await;
        begun
            .and(inserted.map(drop))
            .and(committed)
            .expect("a transaction");
        true
    }
}

fn lent(cell: &Cell) -> &(dyn ToSql + Sync) {
    match cell {
        Cell::Integer(integer) => integer,
        Cell::Text(text) => text,
        Cell::Bytes(bytes) => bytes,
    }
}
