//! Calls that travel together: those of one method that wait while others of it are on their way.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use coffer_core::limits::LINK_BODY_MAX;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Link, http_request};
use crate::{
    Gather, Missed,
    contract::{Error, Role},
    link::{
        decode, encode,
        pack::{self, Outcome, PACK_HEADER, PACK_MAX, Packed},
    },
    request_id,
};

/// Calls of one method that may wait; one more is told to come again.
const WAITING_MAX: usize = 1_024;

type Call = Packed<Zeroizing<Vec<u8>>>;
/// Where the calls of one method meet.
pub(super) type Meeting = Arc<Gather<Call, Outcome>>;

/// Which method, and how long all of it may take.
#[derive(Clone, Copy)]
struct Method {
    role: Role,
    name: &'static str,
    within: Duration,
}

impl Link {
    /// As [`Link::call`], for a method whose table says that its calls may travel together. The first goes at once; a call
    /// that its caller gave up before it was sent is never sent.
    ///
    /// # Errors
    /// As [`Link::call`]; `Unavailable` when too many wait.
    pub fn call_packed<Req: Serialize, Res: DeserializeOwned>(
        &self,
        role: Role,
        method: &'static str,
        request: &Req,
        within: Duration,
    ) -> impl Future<Output = Result<Res, Error>> + Send + use<'_, Req, Res> {
        let name = method;
        let method = Method { role, name, within };
        let body = encode(request);
        async move {
            let (id, body) = (request_id::current(), body?);
            let joined = timeout(within, self.join(method, Packed { id, body })).await;
            let outcome = joined.unwrap_or_else(|_| {
                tracing::warn!(link.role = %role, link.method = name, "a role did not answer in time");
                Err(Error::Away)
            });
            decode(&outcome?).map_err(|_| Error::Defect)
        }
    }

    async fn join(&self, method: Method, call: Call) -> Outcome {
        let link = self.clone();
        let work = move |calls: Vec<Call>| {
            let link = link.clone();
            async move { link.send(method, calls).await }
        };
        match self.meeting(method).join(call, work).await {
            Ok(outcome) => outcome,
            Err(Missed::Full) => Err(Error::Unavailable),
            Err(Missed::Lost) => Err(Error::Away),
        }
    }

    fn meeting(&self, method: Method) -> Meeting {
        let mut meetings = crate::lock(&self.shared.meetings);
        let new = || Arc::new(Gather::of_what_is_wanted(PACK_MAX, WAITING_MAX));
        Arc::clone(
            meetings
                .entry((method.role, method.name))
                .or_insert_with(new),
        )
    }

    /// Sends the calls in as few requests as their size allows; an outcome for each, in their order.
    async fn send(&self, method: Method, calls: Vec<Call>) -> Vec<Outcome> {
        let (mut outcomes, mut pack, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for call in calls {
            let size = call.size();
            if bytes.saturating_add(size) > LINK_BODY_MAX {
                outcomes.extend(self.send_pack(method, std::mem::take(&mut pack)).await);
                bytes = 0;
            }
            bytes = bytes.saturating_add(size);
            pack.push(call);
        }
        outcomes.extend(self.send_pack(method, pack).await);
        outcomes
    }

    async fn send_pack(&self, method: Method, mut calls: Vec<Call>) -> Vec<Outcome> {
        let count = calls.len();
        if let Some(call) = calls.pop_if(|_| count == 1) {
            return vec![self.send_one(method, call).await];
        }
        let request = self.packed(method, &calls);
        let outcomes = match async { self.answered(method, request?).await }.await {
            Ok(answer) => pack::read_outcomes(&answer, count).map_err(|_| Error::Defect),
            Err(error) => Err(error),
        };
        outcomes.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
    }

    async fn send_one(&self, method: Method, Packed { id, body }: Call) -> Outcome {
        let uri = self.uri(method.role, method.name)?;
        let request = http_request(uri, body, method.within, id);
        self.answered(method, request).await
    }

    fn packed(&self, method: Method, calls: &[Call]) -> Result<Request<Full<Bytes>>, Error> {
        let uri = self.uri(method.role, method.name)?;
        let mut request = http_request(uri, pack::write_calls(calls)?, method.within, None);
        request.headers_mut().insert(
            HeaderName::from_static(PACK_HEADER),
            HeaderValue::from_static("1"),
        );
        Ok(request)
    }

    async fn answered(&self, method: Method, request: Request<Full<Bytes>>) -> Outcome {
        let answer = timeout(method.within, self.exchange(request)).await;
        let (status, body) = answer.map_err(|_| Error::Away)??;
        if status == StatusCode::OK {
            Ok(body)
        } else {
            Err(decode::<Error>(&body).unwrap_or(Error::Defect))
        }
    }
}
