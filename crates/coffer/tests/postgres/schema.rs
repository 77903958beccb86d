//! Both engines keep the same: every statement of every role is one that both can prepare, over tables that are alike.

use std::collections::{BTreeMap, BTreeSet};

use coffer_db::{Database, Migration, Row, Statement, params};
use coffer_testkit::TestDatabase;

/// A role, its tables and its statements.
type Role = (
    &'static str,
    &'static [Migration],
    &'static [&'static [&'static Statement]],
);

const ROLES: [Role; 3] = [
    ("api", coffer_engine::MIGRATIONS, coffer_engine::STATEMENTS),
    ("vault", coffer_vault::MIGRATIONS, coffer_vault::STATEMENTS),
    ("keys", coffer_keys::MIGRATIONS, coffer_keys::STATEMENTS),
];

static SQLITE_COLUMNS: Statement = Statement::new(
    "sqlite_columns",
    "SELECT t.name AS table_name, c.name AS column_name, c.type AS kind, max(c.\"notnull\", c.pk > 0) AS is_required
     FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table'",
);
static SQLITE_KEYS: Statement = Statement::new(
    "sqlite_keys",
    "SELECT t.name AS table_name, t.name AS index_name, 'primary' AS kind, 0 AS is_partial, c.name AS column_name
     FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table' AND c.pk > 0
     ORDER BY table_name, c.pk",
);
static SQLITE_INDEXES: Statement = Statement::new(
    "sqlite_indexes",
    "SELECT t.name AS table_name, i.name AS index_name, CASE i.\"unique\" WHEN 1 THEN 'unique' ELSE 'plain' END AS kind,
       i.partial AS is_partial, k.name AS column_name
     FROM sqlite_schema AS t JOIN pragma_index_list(t.name) AS i JOIN pragma_index_info(i.name) AS k
     WHERE t.type = 'table' AND i.origin <> 'pk' ORDER BY table_name, index_name, k.seqno",
);
static POSTGRES_COLUMNS: Statement = Statement::new(
    "postgres_columns",
    "SELECT CAST(t.relname AS text) AS table_name, CAST(a.attname AS text) AS column_name,
       CAST(CAST(a.atttypid AS regtype) AS text) AS kind, CAST(CAST(a.attnotnull AS int) AS bigint) AS is_required
     FROM pg_catalog.pg_class AS t JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid
     WHERE t.relkind = 'r' AND t.relnamespace = CAST('public' AS regnamespace) AND a.attnum > 0 AND NOT a.attisdropped",
);
static POSTGRES_INDEXES: Statement = Statement::new(
    "postgres_indexes",
    "SELECT CAST(t.relname AS text) AS table_name, CAST(x.relname AS text) AS index_name,
       CASE WHEN i.indisprimary THEN 'primary' WHEN i.indisunique THEN 'unique' ELSE 'plain' END AS kind,
       CASE WHEN i.indpred IS NULL THEN CAST(0 AS bigint) ELSE 1 END AS is_partial,
       CAST(a.attname AS text) AS column_name
     FROM pg_catalog.pg_index AS i
       JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
       JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
       CROSS JOIN LATERAL unnest(CAST(i.indkey AS int2[])) WITH ORDINALITY AS k (attribute, place)
       JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attribute
     WHERE t.relnamespace = CAST('public' AS regnamespace) ORDER BY table_name, index_name, k.place",
);

/// A table as both engines must have it. What they call its keys is their own matter.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// By name: the kind of value, and whether there must be one.
    columns: BTreeMap<String, (&'static str, bool)>,
    indexes: BTreeSet<Index>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Index {
    kind: String,
    is_partial: bool,
    columns: Vec<String>,
}

type Schema = BTreeMap<String, Table>;

fn schema(columns: &[Row], indexes: &[Row]) -> Schema {
    let text = |row: &Row, column: &str| row.text(column).unwrap().to_owned();
    let mut schema = Schema::new();
    for row in columns {
        let kind = match row.text("kind").unwrap() {
            "INTEGER" | "bigint" => "bigint",
            "TEXT" | "text" => "text",
            "BLOB" | "bytea" => "bytes",
            other => panic!("{row:?} is {other}"),
        };
        let required = row.integer("is_required").unwrap() != 0;
        let table = schema.entry(text(row, "table_name")).or_default();
        let column = text(row, "column_name");
        table.columns.insert(column, (kind, required));
    }
    let mut by_name: BTreeMap<(String, String), Index> = BTreeMap::new();
    for row in indexes {
        let name = (text(row, "table_name"), text(row, "index_name"));
        let index = by_name.entry(name).or_default();
        index.kind = text(row, "kind");
        index.is_partial = row.integer("is_partial").unwrap() != 0;
        index.columns.push(text(row, "column_name"));
    }
    for ((table, _), index) in by_name {
        schema.entry(table).or_default().indexes.insert(index);
    }
    schema
}

async fn rows(db: &Database, statement: &'static Statement) -> Vec<Row> {
    db.read(statement, params![]).await.unwrap()
}

async fn on_sqlite((role, migrations, statements): Role) -> Schema {
    let folder = tempfile::tempdir().unwrap();
    let catalog: &[&Statement] = &[&SQLITE_COLUMNS, &SQLITE_KEYS, &SQLITE_INDEXES];
    let path = folder.path().join(format!("{role}.db"));
    let db = Database::open_sqlite(&path, migrations, &[statements, &[catalog]].concat()).unwrap();
    let keys = rows(&db, &SQLITE_KEYS).await;
    let indexes = [keys, rows(&db, &SQLITE_INDEXES).await].concat();
    schema(&rows(&db, &SQLITE_COLUMNS).await, &indexes)
}

async fn on_postgres(database: &TestDatabase, (_, migrations, statements): Role) -> Schema {
    let catalog: &[&Statement] = &[&POSTGRES_COLUMNS, &POSTGRES_INDEXES];
    let statements = [statements, &[catalog]].concat();
    let address = database.address();
    let db = Database::open_postgres(&address, migrations, &statements).await;
    let db = db.unwrap();
    let indexes = rows(&db, &POSTGRES_INDEXES).await;
    schema(&rows(&db, &POSTGRES_COLUMNS).await, &indexes)
}

#[tokio::test]
async fn every_statement_is_one_for_both_engines_over_tables_that_are_alike() {
    for role in ROLES {
        let Some(database) = TestDatabase::on_postgres() else {
            return;
        };
        let (sqlite, mut postgres) = (on_sqlite(role).await, on_postgres(&database, role).await);
        assert!(sqlite.len() > 5, "{}: {sqlite:?}", role.0);
        for (name, table) in sqlite {
            let other = postgres.remove(&name).unwrap_or_default();
            assert_eq!(table, other, "{}: {name}", role.0);
        }
        assert_eq!(postgres, Schema::new(), "{}", role.0);
    }
}
