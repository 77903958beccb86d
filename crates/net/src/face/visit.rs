//! One client's connection to a face, from the handshake on: what its requests have in common, and how each is answered.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, OnceLock},
};

use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Request, Response, Version,
    header::{ALLOW, CONNECTION, STRICT_TRANSPORT_SECURITY},
};
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::{
    ConnectionInfo, HSTS, Parts,
    answering::{self, Answered},
    crowd::{Guest, Mark},
    fault::Fault,
    leftover::Leftover,
    limits::FaceLimits,
    policy::{self, METHODS},
    residue::{Confidential, Residue},
};

pub(super) struct Visit {
    pub(super) face: Arc<Parts>,
    pub(super) guest: Arc<Guest>,
    info: ConnectionInfo,
    /// Whether the other end is a proxy, which knows better who asks.
    is_proxy: bool,
    /// What is wrong with the request after the last one that was not.
    fault: OnceLock<Fault>,
    pub(super) residue: Arc<Residue>,
    over: Notify,
}

impl Visit {
    pub(super) fn new(face: Arc<Parts>, guest: Arc<Guest>, info: ConnectionInfo) -> Arc<Self> {
        let is_proxy = face.proxies.trust(info.peer.ip());
        Arc::new(Self {
            face,
            guest,
            info,
            is_proxy,
            fault: OnceLock::new(),
            residue: Arc::default(),
            over: Notify::new(),
        })
    }

    pub(super) fn limits(&self) -> &FaceLimits {
        &self.face.limits
    }

    /// The next request is not one.
    pub(super) fn refuse(&self, fault: Fault) {
        // The first fault ends the connection, so there is no second.
        let _ = self.fault.set(fault);
    }

    /// The connection has been idle for too long, or an answer is to be its last.
    pub(super) fn end(&self) {
        self.over.notify_one();
    }

    /// Waits until it has.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// Answers one request. It counts as in work from now on, not only when its answer is first waited for.
    pub(super) fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answered>, Infallible>> + Send {
        let mark = self.guest.request();
        self.answer_marked(request, mark)
    }

    /// Whatever is wrong with a request, its answer has HSTS.
    async fn answer_marked(
        self: Arc<Self>,
        request: Request<Incoming>,
        mark: Mark,
    ) -> Result<Response<Answered>, Infallible> {
        let fault = self.fault.get().copied();
        let fault = fault.or_else(|| policy::check(&request, &self.face.names).err());
        let version = request.version();
        let (request, leftover) = Leftover::of(request, &self);
        let mut info = self.info;
        if self.is_proxy {
            info.peer = self.face.proxies.client(info.peer, request.headers());
        }
        let mut response = match fault {
            None => self.face.app.answer(request, info).await,
            Some(fault) => {
                drop(request);
                self.refusal(fault, info, version).await
            }
        };
        leftover.drain().await;
        let hsts = HeaderValue::from_static(HSTS);
        response
            .headers_mut()
            .insert(STRICT_TRANSPORT_SECURITY, hsts);
        if response.extensions_mut().remove::<Confidential>().is_some() {
            self.leave_nothing(version, response.headers_mut());
        }
        if version == Version::HTTP_2 && is_last(&mut response) {
            self.end();
        }
        answering::begun();
        Ok(response.map(|body| Answered::new(body, mark)))
    }

    /// What the request held is overwritten in the connection's buffers, or else the connection ends, and they with it.
    fn leave_nothing(&self, version: Version, headers: &mut HeaderMap) {
        if version == Version::HTTP_2 || !self.residue.overwrite_from_now_on() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// What the application says to a fault; nothing, if it does not know faults. The connection ends where it can.
    async fn refusal(
        &self,
        fault: Fault,
        info: ConnectionInfo,
        version: Version,
    ) -> Response<Body> {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(fault);
        let mut response = self.face.app.answer(request, info).await;
        if response.status() != fault.status() {
            response = Response::new(Body::empty());
            *response.status_mut() = fault.status();
        }
        let headers = response.headers_mut();
        if fault == Fault::MethodUnknown {
            headers.insert(ALLOW, HeaderValue::from_static(METHODS));
        }
        if version != Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether the application wants the connection to end with this answer. Over HTTP/1.1 its header says so to the client as well;
/// over HTTP/2, which has no such header (RFC 9113, 8.2.2), the connection is told to end.
fn is_last(response: &mut Response<Body>) -> bool {
    let said = response.headers_mut().remove(CONNECTION);
    said.is_some_and(|value| value == "close")
}
