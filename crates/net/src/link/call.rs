//! One call at the door: who may call what, within which limits; then the work, in a task of its own.

use std::{str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use coffer_core::{id::RequestId, limits::LINK_BODY_MAX};
use futures_util::future::join_all;
use http::{HeaderMap, Method as Verb, Request, Response, StatusCode};
use http_body_util::{Full, Limited};
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use super::{
    DEADLINE_HEADER, Door, WIRE_HEADER, WIRE_VERSION, collect, encode, malformed,
    pack::{self, PACK_HEADER},
};
use crate::{
    Tasks,
    contract::{Error, Method, Peer},
    request_id, task,
};

/// The longest that a caller may let this process work for it.
const DEADLINE_MAX: Duration = Duration::from_secs(60);

/// A process that came through the TLS handshake, and the door that it stands in.
pub(super) struct Visitor {
    door: Arc<Door>,
    peer: Peer,
    calls: Arc<Semaphore>,
    tasks: Tasks,
    /// What every path begins with.
    prefix: String,
}

impl Visitor {
    pub(super) fn new(door: Arc<Door>, peer: Peer, calls: Arc<Semaphore>, tasks: Tasks) -> Self {
        Self {
            prefix: format!("/{}/v1/", door.role),
            door,
            peer,
            calls,
            tasks,
        }
    }

    /// Answers one call. Dropping this future, because the caller hung up, does not end the work. Of the request only what is
    /// still needed is kept in it: the future is moved more than once.
    pub(super) fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Full<Bytes>>> {
        let admitted = self.admit(&request);
        let body = request.into_body();
        async move {
            let answer = match admitted {
                Ok(call) => self.receive(call, body).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => response(StatusCode::OK, answer),
                Err(error) => response(status_of(&error), encode(&error).unwrap_or_default()),
            }
        }
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<Call, Error> {
        let method = self.allowed(request)?;
        let room = Arc::clone(&self.calls).try_acquire_owned();
        let room = room.map_err(|_| too_many(method))?;
        let within = header::<u64>(request.headers(), DEADLINE_HEADER)?.ok_or_else(malformed)?;
        let deadline = Instant::now() + Duration::from_millis(within).min(DEADLINE_MAX);
        let id = header::<RequestId>(request.headers(), request_id::HEADER)?;
        let packed = request.headers().contains_key(PACK_HEADER);
        if packed && !method.packed {
            return Err(malformed());
        }
        Ok(Call {
            method,
            packed,
            room,
            deadline,
            id,
        })
    }

    async fn receive(
        self: Arc<Self>,
        call: Call,
        body: Incoming,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let deadline = call.deadline;
        let body = timeout_at(deadline, collect(Limited::new(body, LINK_BODY_MAX)));
        let body = body.await.map_err(|_| Error::Away)?;
        let body = body.map_err(|_| malformed())?;
        let work = self.work(call, body);
        timeout_at(deadline, work).await.unwrap_or(Err(Error::Away))
    }

    /// The method, if there is one of this name and the caller's role may use it.
    fn allowed(&self, request: &Request<Incoming>) -> Result<&'static Method, Error> {
        let methods = self.door.methods;
        let Peer {
            role: caller,
            instance,
            serial,
        } = &self.peer;
        // Asked for each call, since a connection may be older than the revocation.
        if self.door.revoked.load().contains(serial) {
            tracing::warn!(peer.role = %caller, peer.instance = instance, peer.serial = serial, "a revoked certificate was used");
            return Err(Error::NotAllowed);
        }
        let version = header::<u16>(request.headers(), WIRE_HEADER)?.ok_or_else(malformed)?;
        if version == 0 || ![WIRE_VERSION, WIRE_VERSION - 1].contains(&version) {
            return Err(malformed());
        }
        let name = request
            .uri()
            .path()
            .strip_prefix(&self.prefix)
            .filter(|_| request.method() == Verb::POST);
        let method = methods
            .iter()
            .find(|method| Some(method.name) == name)
            .ok_or_else(malformed)?;
        if !method.callers.contains(caller) {
            tracing::warn!(peer.role = %caller, peer.instance = instance, call.method = method.name, "a role asked for what it may not");
            return Err(Error::NotAllowed);
        }
        Ok(method)
    }

    /// Does the work, to its end even if the caller goes away.
    async fn work(
        self: Arc<Self>,
        call: Call,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let visitor = Arc::clone(&self);
        let work = async move {
            let answer = if call.packed {
                visitor.pack(call.method, &body).await
            } else {
                visitor.one(call.method, call.id, &body).await
            };
            drop(call.room);
            answer
        };
        let ended = self.tasks.finish("link method", Box::pin(work)).await;
        ended.unwrap_or(Err(Error::Defect))
    }

    /// Does what each call of a pack asks, side by side.
    async fn pack(&self, method: &'static Method, body: &[u8]) -> pack::Outcome {
        let calls = pack::read_calls(body)?;
        let more = u32::try_from(calls.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let room = self.calls.try_acquire_many(more);
        let _room = room.map_err(|_| too_many(method))?;
        let work = calls
            .into_iter()
            .map(|call| self.one(method, call.id, call.body));
        pack::write_outcomes(join_all(work).await)
    }

    async fn one(
        &self,
        method: &'static Method,
        id: Option<RequestId>,
        body: &[u8],
    ) -> pack::Outcome {
        let Self { door, peer, .. } = self;
        let role = peer.role.as_str();
        let span = tracing::info_span!("call", call.method = method.name, peer.role = role);
        let work = async { door.handler.handle(peer, method.name, body).await };
        let work = task::caught("link method", work).instrument(span);
        let ended = request_id::scope_of(id, work).await;
        ended.unwrap_or(Err(Error::Defect))
    }
}

fn too_many(method: &Method) -> Error {
    tracing::warn!(call.method = method.name, "too many calls at once");
    Error::Unavailable
}

/// A call that may be made.
struct Call {
    method: &'static Method,
    /// Whether it is many.
    packed: bool,
    room: OwnedSemaphorePermit,
    deadline: Instant,
    id: Option<RequestId>,
}

fn response(status: StatusCode, body: Zeroizing<Vec<u8>>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_owner(body)));
    *response.status_mut() = status;
    response
}

/// For people who look at the traffic of the machine; a client reads the error in the body.
const fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Away | Error::Unavailable | Error::Sealed => StatusCode::SERVICE_UNAVAILABLE,
        Error::NotAllowed => StatusCode::FORBIDDEN,
        Error::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Defect => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A header's value, if it is there; one that cannot be read is an error.
fn header<T: FromStr>(headers: &HeaderMap, name: &str) -> Result<Option<T>, Error> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let value = value.to_str().ok().and_then(|text| text.parse().ok());
    value.map(Some).ok_or_else(malformed)
}
