//! `coffer listen`: a developer's window on webhooks. Tells a receiver in this process of every test event of an account,
//! and prints what came, whether its signature holds, and the object that it is about.
//!
//! It leaves nothing behind: its webhook endpoint and its API key end with it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use axum::http::header;
use coffer_net::{
    outbound::{
        HeaderMap, HeaderValue, Method, Outbound, OutboundError, OutboundLimits, OutboundRequest,
    },
    tls,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};

use crate::{
    accounts::{KeyAct, KeyTask, Reach},
    cli::ListenArguments,
    configuration::{Configuration, Profile},
    console,
    directory::{Directory, Role},
    env,
    failure::Failure,
    receiver::{Message, Receiver},
    runtime, serve,
    signals::Signals,
};

/// What the endpoint and the key are called while they exist.
const NAME: &str = "coffer listen";
/// Wherever the operator says; the client still refuses link-local and metadata addresses.
const ANYWHERE: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];
const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(30),
    body_max: 1024 * 1024,
};
/// Headers of a connection; the next one has its own.
const OF_CONNECTION: [header::HeaderName; 5] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Listens until it is told to stop.
pub(crate) fn run(arguments: &ListenArguments) -> Result<(), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let configuration = Configuration::load(&directory.configuration())?;
    if configuration.profile == Profile::Production {
        return Err(Failure::Operator(
            "listen is for development: in production webhooks do not go to private addresses, this machine's among them; \
             GET /v1/events lists what happened"
                .to_owned(),
        ));
    }
    let known = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    if let Some(url) = arguments.forward.as_ref().filter(|url| !known(url)) {
        return Err(Failure::Operator(format!(
            "--forward {url}: give an address that begins with http:// or https://"
        )));
    }
    tls::install_provider();
    let client = serve::outbound(&directory, &configuration, &ANYWHERE, None)?;
    runtime::command(with_key(arguments, &directory, &configuration, client))
}

async fn with_key(
    arguments: &ListenArguments,
    directory: &Directory,
    configuration: &Configuration,
    client: Outbound,
) -> Result<(), Failure> {
    // From here on a signal waits until what was made can be taken back.
    let mut signals = Signals::new()?;
    let reach = Reach::running(directory)?;
    let origin = env::running_origin(&crate::admin::Socket::of(directory, Role::Api)).await?;
    let key = env::day_key(&reach, configuration.profile, &arguments.account, NAME).await?;
    let bearer = format!("Bearer {}", key.key);
    let listener = Listener {
        client,
        origin,
        bearer,
        forward: arguments.forward.clone(),
    };
    let outcome = listener.with_endpoint(&mut signals).await;
    let revoke = KeyTask {
        id: key.id,
        act: KeyAct::Revoke,
    };
    outcome.and(reach.key_task(revoke).await.map(drop))
}

/// The API as this command calls it, and where messages go on to.
struct Listener {
    client: Outbound,
    origin: String,
    bearer: String,
    forward: Option<String>,
}

/// The endpoint while it exists.
struct Endpoint {
    id: String,
    secret: String,
}

impl Listener {
    async fn with_endpoint(&self, signals: &mut Signals) -> Result<(), Failure> {
        let receiver = Receiver::listen().await?;
        let endpoint = self.endpoint(&receiver.url).await?;
        console::say("listening to test events; stop with Ctrl-C");
        tokio::select! {
            () = signals.received() => {}
            () = self.tell_all(receiver, &endpoint) => {}
        }
        let path = format!("/v1/webhook_endpoints/{}", endpoint.id);
        match self.call(Method::DELETE, &path, None).await? {
            (204, _) => Ok(()),
            (status, text) => Err(Failure::System(format!(
                "the webhook endpoint {} is left behind: DELETE {path} answered {status} {text}",
                endpoint.id
            ))),
        }
    }

    async fn endpoint(&self, url: &str) -> Result<Endpoint, Failure> {
        let wanted = json!({"url": url, "description": NAME});
        let (status, text) = self
            .call(Method::POST, "/v1/webhook_endpoints", Some(&wanted))
            .await?;
        let made: Value = serde_json::from_str(&text).unwrap_or_default();
        let of = |name: &str| made.get(name).and_then(Value::as_str).map(str::to_owned);
        match (status, of("id"), of("secret")) {
            (201, Some(id), Some(secret)) => Ok(Endpoint { id, secret }),
            _ => Err(Failure::System(format!(
                "POST /v1/webhook_endpoints answered {status} {text}"
            ))),
        }
    }

    async fn tell_all(&self, mut receiver: Receiver, endpoint: &Endpoint) {
        while let Some(message) = receiver.next().await {
            let event = message.json();
            // That this endpoint was made is no news to whoever made it.
            if text(&event, "/object/id") != endpoint.id {
                console::print(&self.block(&message, &event, &endpoint.secret).await);
            }
        }
    }

    /// What is shown of a message. One that is not signed can be anyone's on this machine, so nothing of it is repeated.
    async fn block(&self, message: &Message, event: &Value, secret: &str) -> String {
        if !message.is_signed_by(secret) {
            return "\na message came that this Coffer did not sign; ignored\n".to_owned();
        }
        let mut block = format!(
            "\n{} · {} · {}\n   message    {}\n   signature  v1 verified\n",
            text(event, "/type"),
            text(event, "/id"),
            text(event, "/created"),
            message.body
        );
        if let Some(url) = &self.forward {
            block += &format!("   forwarded  {}\n", self.forward(url, message).await);
        }
        block + &format!("   object     {}\n", self.object(event).await)
    }

    /// The object that the event is about, as the API answers.
    async fn object(&self, event: &Value) -> String {
        let Some(path) = path_of(text(event, "/object/type"), text(event, "/object/id")) else {
            return "cannot be fetched by itself".to_owned();
        };
        match self.call(Method::GET, &path, None).await {
            Ok((status, text)) => format!("GET {path} → {status}\n   {text}"),
            Err(failure) => format!("GET {path}: {failure}"),
        }
    }

    async fn forward(&self, url: &str, message: &Message) -> String {
        let mut headers = message.headers.clone();
        for name in &OF_CONNECTION {
            headers.remove(name);
        }
        let body = message.body.clone().into_bytes();
        match self.send(Method::POST, url.to_owned(), headers, body).await {
            Ok((status, _)) => format!("POST {url} → {status}"),
            Err(error) => format!("POST {url}: {error}"),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String), Failure> {
        let bearer = HeaderValue::from_str(&self.bearer)
            .map_err(|error| Failure::doing("writing a header", error))?;
        let mut headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
        let body = body.map(|body| body.to_string().into_bytes());
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        let url = format!("{}{path}", self.origin);
        let answer = self.send(method, url, headers, body.unwrap_or_default());
        answer
            .await
            .map_err(|error| Failure::doing(format_args!("calling {path}"), error))
    }

    async fn send(
        &self,
        method: Method,
        url: String,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(u16, String), OutboundError> {
        let request = OutboundRequest {
            method,
            url,
            headers,
            body: body.into(),
            plain_http: true,
        };
        let answer = self.client.send(request, LIMITS).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Ok((answer.status.as_u16(), text))
    }
}

/// Where the API shows an object of this type.
fn path_of(object: &str, id: &str) -> Option<String> {
    let list = match object {
        "payment" => "payments",
        "refund" => "refunds",
        "customer" => "customers",
        "webhook_endpoint" => "webhook_endpoints",
        _ => return None,
    };
    Some(format!("/v1/{list}/{id}"))
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_has_no_address_is_not_asked_for() {
        assert_eq!(
            path_of("payment", "pay_1").as_deref(),
            Some("/v1/payments/pay_1")
        );
        assert_eq!(path_of("card", "card_1"), None);
        assert_eq!(path_of("api_key", "key_1"), None);
    }
}
