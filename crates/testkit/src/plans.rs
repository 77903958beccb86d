//! Whether PostgreSQL finds rows by the keys that name them, before it knows anything of what is in the tables.

use std::collections::HashMap;

use coffer_db::Statement;
use serde_json::Value;

use crate::TestDatabase;

/// An index: whose it is, whether it is unique, and its columns.
struct Index {
    table: String,
    unique: bool,
    columns: Vec<String>,
}

/// By name.
type Indexes = HashMap<String, Index>;

const INDEXES: &str =
    "SELECT c.relname, t.relname, i.indisunique, string_agg(a.attname, ',' ORDER BY k.place)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
    WHERE t.relnamespace = 'public'::regnamespace GROUP BY 1, 2, 3";

impl TestDatabase {
    /// The statements that would look at more rows than they must, each with the reason. A row that a unique key names is
    /// found by such a key, also where several are changed by one statement; and of an account's rows not all are looked at for
    /// those that have a certain value.
    ///
    /// # Panics
    /// When a statement cannot be planned.
    #[must_use]
    pub fn searching(&self, statements: &[&[&'static Statement]]) -> Vec<String> {
        let indexes = self.indexes();
        let mut found = Vec::new();
        for statement in statements.iter().copied().flatten() {
            let plan = self.plan(statement.sql);
            look(&plan[0]["Plan"], &indexes, &mut |why| {
                found.push(format!("{}: {why}", statement.name));
            });
            if let Some(several) = statement.for_several(&self.kinds(statement.sql)) {
                let plan = self.plan(&several);
                look_for_each(&plan[0]["Plan"], &indexes, &mut |why| {
                    found.push(format!("{}, for several: {why}", statement.name));
                });
            }
        }
        found
    }

    fn indexes(&self) -> Indexes {
        let text = self.ask(&[INDEXES.to_owned()]);
        let index = |line: &str| {
            let parts: Vec<&str> = line.split('|').collect();
            let index = Index {
                table: parts[1].to_owned(),
                unique: parts[2] == "t",
                columns: parts[3].split(',').map(str::to_owned).collect(),
            };
            (parts[0].to_owned(), index)
        };
        text.lines().map(index).collect()
    }
}

/// Looks at a plan for several rows, each of which is there to be found by a key.
fn look_for_each(node: &Value, indexes: &Indexes, fault: &mut impl FnMut(String)) {
    for below in node["Plans"].as_array().into_iter().flatten() {
        look_for_each(below, indexes, fault);
    }
    let kind = node["Node Type"].as_str().unwrap_or_default();
    if ["Hash Join", "Merge Join", "Seq Scan"].contains(&kind) {
        fault(format!("there is a {kind}"));
    }
    if let Some(name) = node["Index Name"].as_str() {
        let condition = node["Index Cond"].as_str().unwrap_or_default();
        let named = |column: &String| condition.contains(&format!("({column} = "));
        if !indexes[name].unique || !indexes[name].columns.iter().all(named) {
            fault(format!("{name} is searched"));
        }
    }
}

/// Looks at a node of a plan and those below it.
fn look(node: &Value, indexes: &Indexes, fault: &mut impl FnMut(String)) {
    for below in node["Plans"].as_array().into_iter().flatten() {
        look(below, indexes, fault);
    }
    let Some(name) = node["Index Name"].as_str() else {
        return;
    };
    let condition = node["Index Cond"].as_str().unwrap_or_default();
    let filter = node["Filter"].as_str().unwrap_or_default();
    let names = |text: &str, column: &String| text.contains(&format!("({column} = "));
    let used = &indexes[name];
    // Those that begin with all columns of the key, and are looked up by them.
    let is_found_by = |key: &Index| {
        let beginning = used.columns.iter().take(key.columns.len());
        beginning.len() == key.columns.len()
            && beginning
                .clone()
                .all(|column| key.columns.contains(column) && names(condition, column))
    };
    let is_named_by = |key: &&Index| {
        let mut columns = key.columns.iter();
        key.unique
            && key.table == used.table
            && columns.all(|column| names(condition, column) || names(filter, column))
    };
    let keys: Vec<&Index> = indexes.values().filter(is_named_by).collect();
    if keys.iter().any(|key| is_found_by(key)) {
        return;
    }
    if !keys.is_empty() {
        fault(format!("a key names the row, but {name} is searched"));
    }
    if condition == "((account = $1) AND (mode = $2))" && filter.contains(" = $") {
        fault(format!("{name} is searched for {filter}"));
    }
}
