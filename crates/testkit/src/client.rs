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

impl Answer {
    /// The same, when it has this status.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The id of the object in it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn id(&self) -> String {
        self.json["id"].as_str().expect("an id").to_owned()
    }

    /// The ids of the list in it.
    ///
    /// # Panics
    /// When it is no list.
    #[must_use]
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        let objects = self.json["data"].as_array().expect("a list");
        let id = |object: &Value| object["id"].as_str().expect("an id").to_owned();
        objects.iter().map(id).collect()
    }

    /// A header, empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
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
        let json = [("content-type", "application/json")];
        let headers: Vec<_> = json
            .into_iter()
            .filter(|_| body.is_some())
            .chain(headers.iter().copied())
            .collect();
        let body = body.map(|body| body.to_string().into_bytes());
        self.send_bytes(method, url, &headers, body.unwrap_or_default())
            .await
    }

    /// Sends any bytes with these headers alone, for requests that are not as they should be.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Panics
    /// When the request is not one that can be sent.
    pub async fn send_bytes(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, OutboundError> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let request = OutboundRequest {
            method: method.parse::<Method>().unwrap(),
            url: url.to_owned(),
            headers: all,
            body: body.into(),
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
