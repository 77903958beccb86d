//! The API's own description, from which tests learn what there is: a new route is tested without anyone's doing.

use std::collections::BTreeSet;

use coffer_testkit::{Coffer, Merchant};
use serde_json::Value;

/// The OpenAPI document.
pub(crate) struct Description(Value);

/// One route.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Whether it wants a key and nothing else will do.
    pub(crate) needs_key: bool,
    /// The schema of its body.
    pub(crate) takes: Option<String>,
    /// The schema of its answer.
    pub(crate) yields: Option<String>,
}

impl Description {
    /// As the running API serves it.
    pub(crate) async fn of(coffer: &Coffer, shop: &Merchant) -> Self {
        let url = shop.url("/openapi.json");
        let served = coffer.client().send("GET", &url, &[], None).await;
        Self(served.expect(200).json)
    }

    /// Every route below /v1.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut found = Vec::new();
        for (path, methods) in self.0["paths"].as_object().unwrap() {
            for (method, row) in methods.as_object().unwrap() {
                if path.starts_with("/v1/") {
                    found.push(operation(path, method, row));
                }
            }
        }
        assert!(found.len() > 25, "{found:?}");
        found
    }

    /// The fields of a schema.
    pub(crate) fn fields(&self, schema: &str) -> BTreeSet<String> {
        let properties = &self.0["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap().keys().cloned().collect()
    }
}

fn operation(path: &str, method: &str, row: &Value) -> Operation {
    let schema = |content: &Value| {
        let reference = content["content"]["application/json"]["schema"]["$ref"].as_str();
        reference.map(|text| text.rsplit('/').next().unwrap().to_owned())
    };
    let securities = row["security"].as_array().unwrap();
    Operation {
        method: method.to_uppercase(),
        path: path.to_owned(),
        needs_key: securities
            .iter()
            .all(|one| one.as_object().is_some_and(|one| !one.is_empty())),
        takes: schema(&row["requestBody"]),
        yields: ["200", "201"]
            .iter()
            .find_map(|status| schema(&row["responses"][status])),
    }
}

impl Operation {
    /// What it is about: `payments`, `cards` …
    pub(crate) fn resource(&self) -> &str {
        self.path.split('/').nth(2).unwrap()
    }

    /// Whether its path names an object.
    pub(crate) fn is_of_object(&self) -> bool {
        self.path.contains("{id}")
    }

    /// Its path with this id in it.
    pub(crate) fn at(&self, id: &str) -> String {
        self.path.replace("{id}", id)
    }
}
