//! The library's requests, sent as all of ours are: through [`Outbound`].

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use zeroize::Zeroizing;

use crate::outbound::{Outbound, OutboundLimits, OutboundRequest};

/// A chain of certificates is a few kilobytes.
const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(30),
    body_max: 256 * 1024,
};

pub(super) struct Http(Outbound);

impl Http {
    pub(super) const fn new(outbound: Outbound) -> Self {
        Self(outbound)
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let outbound = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = OutboundRequest {
                method: head.method,
                url: head.uri.to_string(),
                headers: head.headers,
                body: Zeroizing::new(body.to_bytes().to_vec()),
                plain_http: false,
            };
            let sent = outbound.send(request, LIMITS).await;
            let answer = sent.map_err(|error| Error::Other(Box::new(error)))?;
            let mut response = Response::new(Full::new(Bytes::from(answer.body)));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(BytesResponse::from(response))
        })
    }
}
