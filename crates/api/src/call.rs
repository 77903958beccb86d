//! What a handler gets: values that only the gate can make, after it has checked what the route's row asks for.

use coffer_core::id::{Id, Kind};
use coffer_engine::{CallOrigin, Caller};
use serde_json::Value;

use crate::{
    fields::{Fields, Request},
    problems::Problem,
    query::Query,
};

/// A request whose address and body were checked against its row.
pub(crate) struct Incoming {
    /// The query parameters.
    pub(crate) query: Query,
    /// The value of the `{…}` in the path.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) from: CallOrigin,
    /// The page that a browser says it comes from.
    pub(crate) origin: Option<String>,
    /// The body.
    pub(crate) fields: Fields,
}

impl Incoming {
    /// The body as this request.
    pub(crate) fn body<R: Request>(&mut self) -> Result<R, Problem> {
        R::read(std::mem::take(&mut self.fields))
    }

    /// What this field of the body, or this query parameter, names.
    pub(crate) fn named(&self, field: &str) -> Option<String> {
        let in_body = self.fields.get(field).and_then(Value::as_str);
        in_body
            .map(str::to_owned)
            .or_else(|| self.query.text(field))
    }

    /// The id in the path. What is no id of this kind names nothing.
    pub(crate) fn id<K: Kind>(&self, object: &'static str) -> Result<Id<K>, Problem> {
        self.name.parse().map_err(|_| Problem::not_found(object))
    }
}

/// A request whose caller is known and may make it.
pub(crate) struct Call {
    /// Who asks.
    pub(crate) caller: Caller,
    /// What for.
    pub(crate) incoming: Incoming,
}

impl std::ops::Deref for Call {
    type Target = Incoming;
    fn deref(&self) -> &Incoming {
        &self.incoming
    }
}

impl std::ops::DerefMut for Call {
    fn deref_mut(&mut self) -> &mut Incoming {
        &mut self.incoming
    }
}
