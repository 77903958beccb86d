//! What a route is: one row that says who may call it, what it takes and yields, and what is recorded of it.
//!
//! The way to a handler, the OpenAPI document and the tests of permissions are all made from the rows. Without a row no handler
//! is found; and its row decides which values it gets.

mod paths;
mod table;

use std::pin::Pin;

use coffer_core::{api_key::KeyKind, permission::Permission, words};
use coffer_engine::{Caller, Fresh};
use utoipa::openapi::Object;

use crate::{
    Api,
    answer::Outcome,
    auth::Rights,
    call::{Call, Incoming},
    query::Parameter,
    shape::Component,
};

pub(crate) use paths::{Found, Paths};
pub use table::routes;

words! {
    /// An HTTP method that some route knows.
    pub enum Verb {
        /// Read.
        Get = "GET",
        /// Make or do.
        Post = "POST",
        /// Change.
        Patch = "PATCH",
        /// Delete.
        Delete = "DELETE",
        /// Ask a browser's leave.
        Options = "OPTIONS",
    }
}

words! {
    /// What is recorded of a call.
    pub enum AuditRule {
        /// The record is written in the transaction of the change itself.
        InTransaction = "in_transaction",
        /// Reads are recorded in packed groups.
        Grouped = "grouped",
        /// Only the usage figures count it.
        UsageOnly = "usage_only",
        /// Durably recorded before the answer leaves.
        Strict = "strict",
    }
}

/// A handler at work.
pub(crate) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Does what a POST asks for.
pub(crate) type Post = fn(Api, Call, Fresh) -> Work;

/// Who may enter a route, and its handler, which gets only what that proves.
pub(crate) enum Door {
    /// Anyone.
    Public(fn(Api, Incoming) -> Work),
    /// A publishable key, or nobody yet: the handler asks for the checkout's secret.
    Intake(fn(Api, Option<Caller>, Incoming) -> Work),
    /// A key with these rights.
    Key(Rights, fn(Api, Call) -> Work),
    /// A key with these rights; a repetition with the same idempotency key gets the first answer.
    Post(Rights, Post),
    /// A secret key as an OAuth client (RFC 6749, 2.3.1): it takes a form and answers as that standard says.
    Client(fn(Api, Call) -> Work),
}

/// Which object a route is about, for access tokens that are good for one object only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// That of the `{id}` in its path, and its kind in words.
    Path(&'static str),
    /// That which this field of the body, or this query parameter, names.
    Field(&'static str),
    /// No single one.
    Nothing,
}

/// The object that a route takes.
pub(crate) struct Takes {
    /// Its name in the OpenAPI document.
    pub(crate) name: &'static str,
    /// How it looks.
    pub(crate) object: fn() -> Object,
}

/// What a successful answer holds.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// The object of this name.
    Object(&'static str),
    /// A page of objects of this name.
    List(&'static str),
    /// JSON of no fixed form.
    Json,
    /// Many objects as a file.
    Export,
    /// A page for people.
    Page,
    /// Nothing.
    Empty,
}

/// One route.
pub struct RouteRow {
    verb: Verb,
    path: &'static str,
    route: &'static str,
    operation: &'static str,
    summary: &'static str,
    audit: AuditRule,
    pub(crate) door: Door,
    query: &'static [Parameter],
    takes: Option<Takes>,
    statuses: &'static [u16],
    content: Content,
    location: Option<&'static str>,
    shows_secret: bool,
    of: Option<&'static str>,
    moves_money: bool,
}

impl RouteRow {
    const fn new(name: Name, audit: AuditRule, door: Door) -> Self {
        let Name {
            verb,
            path,
            route,
            operation,
            summary,
        } = name;
        Self {
            verb,
            path,
            route,
            operation,
            summary,
            audit,
            door,
            query: &[],
            takes: None,
            statuses: &[204],
            content: Content::Empty,
            location: None,
            shows_secret: false,
            of: None,
            moves_money: false,
        }
    }

    const fn audited(self, audit: AuditRule) -> Self {
        Self { audit, ..self }
    }

    const fn takes<T: Component>(self) -> Self {
        Self {
            takes: Some(Takes {
                name: T::NAME,
                object: T::object,
            }),
            ..self
        }
    }

    const fn yields<T: Component>(self, statuses: &'static [u16]) -> Self {
        Self {
            statuses,
            content: Content::Object(T::NAME),
            ..self
        }
    }

    const fn lists<T: Component>(self, query: &'static [Parameter]) -> Self {
        Self {
            statuses: &[200],
            content: Content::List(T::NAME),
            query,
            ..self
        }
    }

    const fn exports(self, query: &'static [Parameter]) -> Self {
        Self {
            query,
            ..self.serves(Content::Export)
        }
    }

    const fn serves(self, content: Content) -> Self {
        Self {
            statuses: &[200],
            content,
            ..self
        }
    }

    const fn located(self, prefix: &'static str) -> Self {
        Self {
            location: Some(prefix),
            ..self
        }
    }

    const fn showing_secret(self) -> Self {
        Self {
            shows_secret: true,
            ..self
        }
    }

    /// It is about the object that this field or query parameter names.
    const fn of(self, field: &'static str) -> Self {
        Self {
            of: Some(field),
            ..self
        }
    }

    const fn moving_money(self) -> Self {
        Self {
            moves_money: true,
            ..self
        }
    }

    /// The HTTP method.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        self.verb
    }

    /// The path, with a `{name}` where a value stands.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Method and path, as they are recorded.
    #[must_use]
    pub const fn route(&self) -> &'static str {
        self.route
    }

    /// The name of what it does.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it does, in a sentence.
    #[must_use]
    pub const fn summary(&self) -> &'static str {
        self.summary
    }

    /// What is recorded of a call.
    #[must_use]
    pub const fn audit(&self) -> AuditRule {
        self.audit
    }

    /// The kinds of key that may call it; none for a public route.
    #[must_use]
    pub fn kinds(&self) -> &'static [KeyKind] {
        self.rights().map_or(&[], |rights| rights.kinds)
    }

    /// The permission that a key needs; none when any key will do, or no key.
    #[must_use]
    pub fn permission(&self) -> Option<Permission> {
        self.rights()?.permission
    }

    /// Whether it may be called without any key: it is public, or takes a checkout's secret instead.
    #[must_use]
    pub const fn open_to_all(&self) -> bool {
        matches!(self.door, Door::Public(_) | Door::Intake(_))
    }

    /// Whether it is an endpoint of OAuth, which takes forms from clients and answers as RFC 6749 says.
    #[must_use]
    pub const fn of_oauth(&self) -> bool {
        matches!(self.door, Door::Client(_))
    }

    pub(crate) fn about(&self) -> About {
        let mut parts = self.path.split('/').skip(2);
        match (self.of, parts.next(), parts.next()) {
            (Some(field), ..) => About::Field(field),
            (None, Some(list), Some("{id}")) => About::Path(list.strip_suffix('s').unwrap_or(list)),
            (None, ..) => About::Nothing,
        }
    }

    /// Whether it moves money, so that a key may ask for a signature.
    #[must_use]
    pub const fn moves_money(&self) -> bool {
        self.moves_money
    }

    /// Whether an idempotency key makes a repetition safe.
    #[must_use]
    pub const fn idempotent(&self) -> bool {
        matches!(self.door, Door::Post(..))
    }

    pub(crate) const fn rights(&self) -> Option<Rights> {
        match self.door {
            Door::Public(_) | Door::Client(_) => None,
            Door::Intake(_) => Some(Rights {
                kinds: &[KeyKind::Publishable],
                permission: None,
            }),
            Door::Key(rights, _) | Door::Post(rights, _) => Some(rights),
        }
    }

    /// How many units of a key's rate a call takes: a list is worth two objects, an export ten.
    pub(crate) const fn cost(&self) -> i64 {
        match self.content {
            Content::Export => 10,
            Content::List(_) => 2,
            Content::Object(_) | Content::Json | Content::Page | Content::Empty => 1,
        }
    }

    pub(crate) const fn query(&self) -> &'static [Parameter] {
        self.query
    }

    pub(crate) const fn request(&self) -> Option<&Takes> {
        self.takes.as_ref()
    }

    pub(crate) const fn statuses(&self) -> &'static [u16] {
        self.statuses
    }

    pub(crate) const fn content(&self) -> Content {
        self.content
    }

    pub(crate) const fn location(&self) -> Option<&'static str> {
        self.location
    }

    pub(crate) const fn shows_secret(&self) -> bool {
        self.shows_secret
    }
}

/// How a route is called.
struct Name {
    verb: Verb,
    path: &'static str,
    route: &'static str,
    operation: &'static str,
    summary: &'static str,
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn whatever_changes_something_needs_a_key_and_is_recorded_with_the_change() {
        for row in routes()
            .iter()
            .filter(|row| !matches!(row.verb, Verb::Get | Verb::Options))
        {
            if row.open_to_all() || row.of_oauth() {
                continue;
            }
            assert!(
                matches!(row.audit, AuditRule::InTransaction | AuditRule::Strict),
                "{}",
                row.route
            );
            let permission = row.permission().unwrap_or_else(|| panic!("{}", row.route));
            assert_eq!(
                permission.access,
                coffer_core::permission::Access::Write,
                "{}",
                row.route
            );
            assert_eq!(row.kinds(), [KeyKind::Secret], "{}", row.route);
        }
    }

    #[test]
    fn whatever_is_posted_about_payments_and_refunds_moves_money_and_nothing_else_does() {
        for row in routes() {
            let of_money = ["/v1/payments", "/v1/refunds"]
                .iter()
                .any(|path| row.path.starts_with(path));
            let moves = of_money && row.verb != Verb::Get;
            assert_eq!(row.moves_money, moves, "{}", row.route);
        }
    }

    #[test]
    fn every_post_by_a_key_can_be_repeated_safely() {
        for row in routes().iter().filter(|row| row.verb == Verb::Post) {
            let safe = row.idempotent() || row.of_oauth();
            assert!(safe || row.open_to_all(), "{}", row.route);
        }
    }

    #[test]
    fn nothing_below_v1_is_public_but_intakes_and_reports_of_found_keys() {
        for row in routes().iter().filter(|row| row.path.starts_with("/v1/")) {
            assert!(
                !row.open_to_all() || ["/v1/intakes", "/v1/exposed_keys"].contains(&row.path),
                "{}",
                row.route
            );
        }
    }

    /// Whether an id with this prefix can be named in a scope.
    fn in_scope(prefix: &str) -> bool {
        let scope = format!("payments:read:{prefix}_00000000000000000000000000");
        scope.parse::<coffer_core::scope::Scope>().is_ok()
    }

    #[test]
    fn every_object_that_a_path_names_can_be_all_that_a_token_is_for() {
        let prefixes = BTreeMap::from([
            ("alert", "alr"),
            ("api_key", "key"),
            ("block", "blk"),
            ("card", "card"),
            ("customer", "cus"),
            ("event", "evt"),
            ("payment", "pay"),
            ("refund", "ref"),
            ("signing_key", "sigkey"),
            ("webhook_endpoint", "we"),
        ]);
        for row in routes() {
            let About::Path(object) = row.about() else {
                continue;
            };
            assert!(
                prefixes.get(object).is_some_and(|prefix| in_scope(prefix)),
                "{object}"
            );
        }
    }

    #[test]
    fn routes_and_operations_are_distinct() {
        let (mut names, mut operations) = (BTreeSet::new(), BTreeSet::new());
        for row in routes() {
            assert!(
                names.insert(row.route) && operations.insert(row.operation),
                "{}",
                row.route
            );
            assert_eq!(row.route, format!("{} {}", row.verb, row.path));
        }
    }
}
