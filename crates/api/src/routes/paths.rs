//! From the address of a request to the row of its route. axum's router would do it by way of several boxes and copies of every
//! request.

use std::{borrow::Cow, collections::BTreeMap};

use http::Method;
use matchit::Router;

use super::{RouteRow, Verb, routes};
use crate::query;

/// The rows of every path.
pub(crate) struct Paths(Router<Vec<&'static RouteRow>>);

/// What stands at an address.
pub(crate) enum Found<'p> {
    /// A route, and the value of the `{…}` in its path, empty when the path has none.
    Route(&'static RouteRow, Cow<'p, str>),
    /// Only routes with these methods.
    OtherMethod(String),
    /// Nothing.
    Nothing,
}

impl Paths {
    /// All that are in the table.
    #[expect(
        clippy::expect_used,
        reason = "the paths are our own; every test that asks for one proves it"
    )]
    pub(crate) fn new() -> Self {
        let mut rows = BTreeMap::<_, Vec<_>>::new();
        for row in routes() {
            rows.entry(row.path).or_default().push(row);
        }
        let mut router = Router::new();
        for (path, rows) in rows {
            router.insert(path, rows).expect("a path");
        }
        Self(router)
    }

    /// What this request asks for.
    pub(crate) fn find<'p>(&self, method: &Method, path: &'p str) -> Found<'p> {
        let Ok(found) = self.0.at(path) else {
            return Found::Nothing;
        };
        let Some(row) = found.value.iter().find(|row| row.verb.answers(method)) else {
            return Found::OtherMethod(methods(found.value));
        };
        let value = found.params.iter().next().map(|(_, value)| value);
        // What is no text in UTF-8 names nothing.
        let value = match value.map(query::decoded) {
            None => Cow::Borrowed(""),
            Some(Cow::Borrowed(bytes)) => std::str::from_utf8(bytes).unwrap_or_default().into(),
            Some(Cow::Owned(bytes)) => String::from_utf8(bytes).unwrap_or_default().into(),
        };
        Found::Route(row, value)
    }
}

impl Verb {
    /// HEAD is a GET without the answer's body (RFC 9110, 9.3.2).
    fn answers(self, method: &Method) -> bool {
        self.as_str() == method.as_str() || (self == Self::Get && *method == Method::HEAD)
    }
}

/// For the header `Allow`.
fn methods(rows: &[&RouteRow]) -> String {
    let named = rows.iter().flat_map(|row| match row.verb {
        Verb::Get => &["GET", "HEAD"][..],
        Verb::Post => &["POST"],
        Verb::Patch => &["PATCH"],
        Verb::Delete => &["DELETE"],
        Verb::Options => &["OPTIONS"],
    });
    named.copied().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: Method, path: &str) -> String {
        match Paths::new().find(&method, path) {
            Found::Route(row, name) => format!("{} {name}", row.route()),
            Found::OtherMethod(allow) => format!("only {allow}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn every_route_is_found_by_its_method_and_path_and_by_no_other() {
        for row in routes() {
            let method = Method::from_bytes(row.verb.as_str().as_bytes()).unwrap();
            let path = row.path.replace("{id}", "x").replace("{code}", "x");
            let name = if path == row.path { "" } else { "x" };
            assert_eq!(find(method, &path), format!("{} {name}", row.route()));
            let other = find(Method::PUT, &path);
            assert!(other.starts_with("only "), "{other}");
        }
        for path in [
            "/nothing",
            "/v1",
            "/v1/ping/",
            "/v1/payments/",
            "//v1/ping",
            "*",
            "",
        ] {
            assert_eq!(find(Method::GET, path), "nothing", "{path}");
        }
    }

    #[test]
    fn what_may_be_asked_of_a_path_is_said() {
        assert_eq!(find(Method::POST, "/v1/ping"), "only GET,HEAD");
        assert_eq!(find(Method::PUT, "/v1/intakes"), "only POST,OPTIONS");
        assert_eq!(find(Method::HEAD, "/v1/ping"), "GET /v1/ping ");
    }

    #[test]
    fn the_name_in_a_path_is_read_with_its_encoding_undone() {
        for (path, name) in [
            ("/v1/events/evt%5F1", "evt_1"),
            ("/v1/events/%zz", "%zz"),
            ("/v1/events/%ff", ""),
            ("/v1/events/%C3%A4", "ä"),
        ] {
            assert_eq!(
                find(Method::GET, path),
                format!("GET /v1/events/{{id}} {name}")
            );
        }
    }
}
