//! An HTTPS client for tests: strict about certificates, trusting one installation's authority, one request at a time.

use std::{path::Path, time::Duration};

use coffer_net::outbound::{
    AddressPolicy, HeaderMap, HeaderName, Method, Outbound, OutboundError, OutboundLimits,
    OutboundRequest, Roots,
};
use serde_json::Value;

const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(30),
    body_max: 4 * 1024 * 1024,
};

/// What a face answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, null when it is not JSON.
    pub json: Value,
    /// The body as it came.
    pub text: String,
}

/// The client. Clones share their connections.
#[derive(Clone)]
pub struct Client(Outbound);

impl Client {
    /// A client that trusts the authority in this file.
    ///
    /// # Panics
    /// When there is none in it.
    #[must_use]
    pub fn trusting(authority: &Path) -> Self {
        let pem = std::fs::read_to_string(authority).unwrap();
        let loopback = ["127.0.0.0/8", "::1/128"]
            .map(|network| network.parse().unwrap())
            .to_vec();
        Self(Outbound::new(
            AddressPolicy::new(loopback),
            Roots::public().with_pem(&pem).unwrap(),
        ))
    }

    /// Sends a request with a JSON body, if any.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        self.try_send(method, url, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    /// As [`Self::send`], for a request that may find nobody.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Panics
    /// When the request is not one that can be sent.
    pub async fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, OutboundError> {
        let mut all = HeaderMap::new();
        if body.is_some() {
            all.insert("content-type", "application/json".parse().unwrap());
        }
        for (name, value) in headers {
            all.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let request = OutboundRequest {
            method: method.parse::<Method>().unwrap(),
            url: url.to_owned(),
            headers: all,
            body: body
                .map(|body| body.to_string().into_bytes())
                .unwrap_or_default()
                .into(),
            plain_http: false,
        };
        let response = self.0.send(request, LIMITS).await?;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer {
            status: response.status.as_u16(),
            headers: response.headers,
            json,
            text,
        })
    }
}
