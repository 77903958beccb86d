//! The only way out of the vault: to the configured providers' own hosts, with their credential, within the deadline.
//!
//! Request and answer are never logged. Of an answer only what an adapter read from it is kept, and no text that holds a
//! card number.

use std::time::Duration;

use coffer_core::brand::holds_card_number;
use coffer_crypto::SecretBytes;
use coffer_net::outbound::{
    AddressPolicy, Blame, HeaderMap, HeaderName, HeaderValue, Outbound, OutboundLimits,
    OutboundRequest, Roots, StatusCode,
};
use http::header;
use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::{
    Error,
    adapter::{ProviderRequest, Reply, Verdict},
};

/// The longest answer of a provider.
const ANSWER_MAX: usize = 64 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The way to one provider. Requests name a path only, so none can go anywhere else.
pub(crate) struct Egress {
    outbound: Outbound,
    origin: String,
}

/// A provider's answer; wiped when dropped, because it may echo what was sent.
pub(crate) struct ProviderAnswer {
    pub(crate) status: StatusCode,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Egress {
    pub(crate) fn new(
        origin: &str,
        extra_ca_pem: Option<&str>,
        allow_networks: &[IpNet],
    ) -> Result<Self, Error> {
        let unfit = |_| {
            Error::Unfit(format!(
                "the certificate authority for {origin} cannot be read"
            ))
        };
        let roots = match extra_ca_pem {
            Some(pem) => Roots::public().with_pem(pem).map_err(unfit)?,
            None => Roots::public(),
        };
        let outbound = Outbound::new(AddressPolicy::new(allow_networks.to_vec()), roots);
        Ok(Self {
            outbound,
            origin: origin.to_owned(),
        })
    }

    /// Sends a request once. An error says whether the provider may have got it.
    pub(crate) async fn send(
        &self,
        request: ProviderRequest,
        credential: &SecretBytes,
        timeout: Duration,
    ) -> Result<ProviderAnswer, Blame> {
        let headers = headers(&request, credential).ok_or(Blame::NotSent)?;
        let ProviderRequest {
            method,
            path,
            idempotency_key: _,
            body,
        } = request;
        let url = format!("{}{path}", self.origin);
        let outbound = OutboundRequest {
            method,
            url,
            headers,
            body,
            plain_http: false,
        };
        match self
            .outbound
            .send(
                outbound,
                OutboundLimits {
                    timeout,
                    body_max: ANSWER_MAX,
                },
            )
            .await
        {
            Ok(response) => Ok(ProviderAnswer {
                status: response.status,
                body: Zeroizing::new(response.body),
            }),
            Err(error) => {
                let sent = error.blame == Blame::MaybeSent;
                tracing::warn!(%error, provider.origin = self.origin, provider.maybe_sent = sent, "a provider gave no answer");
                Err(error.blame)
            }
        }
    }
}

fn headers(request: &ProviderRequest, credential: &SecretBytes) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    // Exposed to be sent to its provider.
    let bearer = Zeroizing::new([b"Bearer ", credential.expose()].concat());
    let mut bearer = HeaderValue::from_bytes(&bearer).ok()?;
    bearer.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if !request.body.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    if let Some(key) = request.idempotency_key {
        headers.insert(
            IDEMPOTENCY_KEY,
            HeaderValue::from_str(&key.to_string()).ok()?,
        );
    }
    Some(headers)
}

impl Reply {
    /// The reply without any text that holds a card number: a provider may echo one, and nothing of it may be stored.
    pub(crate) fn scrubbed(self) -> Self {
        let clean = |text: &String| !holds_card_number(text);
        let verdict = match self.verdict {
            Verdict::Challenged(url) if !clean(&url) => Verdict::Unclear,
            Verdict::Challenged(url) => Verdict::Challenged(url),
            Verdict::Succeeded => Verdict::Succeeded,
            Verdict::Failed(reason) => Verdict::Failed(reason),
            Verdict::NotFound => Verdict::NotFound,
            Verdict::Unclear => Verdict::Unclear,
        };
        Self {
            verdict,
            reference: self.reference.filter(clean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echoed_card_number_is_not_kept() {
        let reply = Reply {
            verdict: Verdict::Challenged("https://p.example/4242424242424242".to_owned()),
            reference: Some("4242-4242-4242-4242".to_owned()),
        };
        let kept = reply.scrubbed();
        assert_eq!((kept.verdict, kept.reference), (Verdict::Unclear, None));
        let fine = Reply {
            verdict: Verdict::Succeeded,
            reference: Some("sim_1".to_owned()),
        }
        .scrubbed();
        assert_eq!(
            (fine.verdict, fine.reference.as_deref()),
            (Verdict::Succeeded, Some("sim_1"))
        );
    }
}
