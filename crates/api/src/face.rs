//! The API face: a request passes the layers, finds the row of its route, and enters by its gate.

use std::sync::Arc;

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    response::Response,
};
use coffer_core::id::RequestId;
use coffer_engine::CallOrigin;
use coffer_net::face::{Answering, Application, ConnectionInfo};
use http::{
    HeaderValue, Method, Uri,
    header::{ALLOW, CONTENT_LENGTH},
};

use crate::{
    Api,
    gate::{self, Arrival},
    layers,
    problems::{Code, Problem, held_back},
    routes::{Found, Paths},
};

/// The face, complete: nothing is to be added to it.
pub(crate) struct ApiFace {
    api: Api,
    paths: Arc<Paths>,
}

impl ApiFace {
    pub(crate) fn new(api: Api) -> Self {
        let paths = Arc::new(Paths::new());
        Self { api, paths }
    }
}

impl Application for ApiFace {
    fn answer(&self, request: Request, came: ConnectionInfo) -> Answering {
        let (api, paths) = (self.api.clone(), Arc::clone(&self.paths));
        Box::pin(async move {
            let key_in_address = |id, uri: &Uri| api.note_address(id, uri, came);
            let work =
                async |id, request: &mut Request| enter((&api, &paths), (id, came), request).await;
            layers::pass(api.settings(), request, key_in_address, work).await
        })
    }
}

/// The gate of its route, or a problem when there is no such route.
async fn enter(
    (api, paths): (&Api, &Paths),
    (id, came): (RequestId, ConnectionInfo),
    request: &mut Request,
) -> Response {
    let refuse = |code| Problem::new(code).answer(&api.settings().api_origin, id);
    let address = came.peer.ip();
    if let Err(held) = api.engine().check_blocked(address) {
        return held_back(held).answer(&api.settings().api_origin, id);
    }
    let (row, name) = match paths.find(request.method(), request.uri().path()) {
        Found::Route(row, name) => (row, name.into_owned()),
        Found::Nothing => {
            api.engine().note_miss(address, request.uri().path(), false);
            return match api.engine().check_stranger(address) {
                Ok(()) => refuse(Code::RouteUnknown),
                Err(held) => held_back(held).answer(&api.settings().api_origin, id),
            };
        }
        Found::OtherMethod(allowed) => {
            let mut response = refuse(Code::MethodNotAllowed);
            let allowed = HeaderValue::try_from(allowed).ok();
            allowed.map(|allowed| response.headers_mut().insert(ALLOW, allowed));
            return response;
        }
    };
    let from = CallOrigin {
        request_id: id,
        address,
        route: row.route(),
        tls_version: came.tls_version,
    };
    let arrival = Arrival {
        from,
        row,
        name,
        request,
    };
    let response = gate::pass(api, arrival).await;
    if *request.method() == Method::HEAD {
        without_body(response)
    } else {
        response
    }
}

/// The answer to HEAD: what GET would get, with the length of its body in place of it (RFC 9110, 9.3.2).
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}
