//! Whoever stands between Coffer and its payers and changes a page is noticed at the next look (PCI DSS 11.6.1).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use coffer_crypto::SecretBytes;
use coffer_net::{
    Tasks,
    face::{self, Face, FaceSettings, PlainPolicy},
    outbound::Method,
    tls::CertificateStore,
};
use coffer_testkit::{Answer, Client, Coffer, Installation};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");

/// What is done to an answer on its way.
type Change = fn(&str, Answer) -> Answer;

/// A proxy that payers come through, as an operator may have one, and that somebody else may get hold of.
#[derive(Clone)]
struct Proxy {
    change: Arc<Mutex<Change>>,
    behind: Arc<OnceLock<(Client, String)>>,
}

impl Proxy {
    /// Listens before the installation runs, because payers' addresses name it.
    async fn before(installation: &Installation, tasks: &Tasks) -> (Self, SocketAddr) {
        let folder = installation.directory().join("api");
        let chain = fs::read_to_string(folder.join("face-cert.pem")).unwrap();
        let key = SecretBytes::from_vec(fs::read(folder.join("face-key.pem")).unwrap());
        let certificates = CertificateStore::new();
        certificates.load_pem(&chain, &key).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            change: Arc::new(Mutex::new(|_, answer| answer)),
            behind: Arc::default(),
        };
        let own = proxy.clone();
        let app = Router::new().fallback(move |request: Request| own.clone().pass(request));
        let plain = PlainPolicy::Redirect308 {
            to: address.to_string(),
        };
        let names = ["pay.coffer.localhost", "localhost"].map(str::to_owned);
        let settings = FaceSettings::new(names.to_vec(), plain);
        let face = Face::new(certificates, app, settings);
        let served = face::serve(listener, face, tasks.clone());
        tasks.spawn("proxy", served);
        (proxy, address)
    }

    async fn pass(self, request: Request) -> Response {
        let path = request.uri().path_and_query().unwrap().to_string();
        let (client, origin) = self.behind.get().expect("what is behind the proxy");
        let answer = client
            .send("GET", &format!("{origin}{path}"), &[], None)
            .await;
        let change = *self.change.lock().unwrap();
        let answer = change(&path, answer);
        let mut response = Response::new(Body::from(answer.text));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
        let own = ["content-length", "connection", "strict-transport-security"];
        for (name, value) in &answer.headers {
            if !own.contains(&name.as_str()) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response
    }

    fn does(&self, change: Change) {
        *self.change.lock().unwrap() = change;
    }
}

async fn findings(coffer: &Coffer) -> Vec<String> {
    let checked = coffer
        .admin("api")
        .call("/pages/check", Method::POST, Some(&json!({})))
        .await
        .expect("the api's admin socket");
    let findings = checked["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding.as_str().unwrap().to_owned())
        .collect()
}

fn replaced(mut answer: Answer, from: &str, to: &str) -> Answer {
    assert!(answer.text.contains(from), "{}", answer.text);
    answer.text = answer.text.replace(from, to);
    answer
}

fn is_page(path: &str) -> bool {
    path.starts_with("/c/")
}

/// What can be done to a page on its way, and what is found then.
fn attacks() -> [(Change, &'static str); 4] {
    [
        (
            |path, answer| match is_page(path) {
                true => replaced(
                    answer,
                    "</head>",
                    "<script src=\"https://evil.example/\"></script></head>",
                ),
                false => answer,
            },
            "checkout: body line",
        ),
        (
            |path, answer| match path.ends_with(".js") {
                true => replaced(answer, "\"use strict\";", "\"use strict\"; void 0;"),
                false => answer,
            },
            "checkout: asset /assets/checkout.",
        ),
        (
            |_, mut answer| {
                answer.headers.remove("content-security-policy");
                answer
            },
            "checkout: header content-security-policy",
        ),
        (
            |_, mut answer| {
                let name = HeaderName::from_static("set-cookie");
                answer
                    .headers
                    .insert(name, HeaderValue::from_static("tracked=1"));
                answer
            },
            "checkout: header_added set-cookie",
        ),
    ]
}

#[tokio::test]
async fn a_change_of_the_page_between_coffer_and_payers_is_noticed_and_raises_an_alert() {
    let tasks = Tasks::new();
    let mut listening = None;
    let coffer = Coffer::start_prepared(BINARY, async |installation: &Installation| {
        let (proxy, address) = Proxy::before(installation, &tasks).await;
        let settings = installation.directory().join("coffer.toml");
        let text = fs::read_to_string(&settings).unwrap();
        let own = format!(
            "[faces]\ncheckout_origin = \"https://pay.coffer.localhost:{}\"",
            address.port()
        );
        assert!(text.contains("[faces]"));
        fs::write(settings, text.replacen("[faces]", &own, 1)).unwrap();
        listening = Some(proxy);
    })
    .await;
    let proxy = listening.unwrap();
    let port = coffer.address("checkout").port();
    let behind = (
        coffer.client(),
        format!("https://pay.coffer.localhost:{port}"),
    );
    assert!(proxy.behind.set(behind).is_ok());

    assert_eq!(findings(&coffer).await, Vec::<String>::new());

    for (attack, expected) in attacks() {
        proxy.does(attack);
        let found = findings(&coffer).await;
        assert!(
            found.iter().any(|finding| finding.starts_with(expected)),
            "{expected}: {found:?}"
        );
        let raised = coffer.alerts().await;
        let alert = raised.iter().find(|alert| {
            let subject = alert["subject"].as_str().unwrap();
            subject.starts_with(expected)
        });
        assert_eq!(alert.expect("an alert")["kind"], "page_differs");
    }

    proxy.does(|_, answer| answer);
    assert_eq!(findings(&coffer).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_browser_reports_becomes_an_alert_without_its_values() {
    let coffer = Coffer::start(BINARY).await;
    let client = coffer.client();
    for (host, face, path) in [
        ("pay.coffer.localhost", "checkout", "/reports"),
        ("fields.coffer.localhost", "fields", "/v1/reports"),
    ] {
        let url = format!("https://{host}:{}{path}", coffer.address(face).port());
        let report = json!({"csp-report": {
            "document-uri": "https://pay.coffer.localhost/c/pay_1/SECRET",
            "effective-directive": "script-src-elem",
            "blocked-uri": "https://evil.example/s.js?4242424242424242",
            "source-file": "https://pay.coffer.localhost/c/pay_1/SECRET",
            "script-sample": "SECRET",
        }});
        let headers = [("content-type", "application/csp-report")];
        let taken = client
            .send_bytes("POST", &url, &headers, report.to_string().into_bytes())
            .await;
        assert_eq!(taken.unwrap().status, 204);
    }
    findings(&coffer).await;
    let raised = coffer.alerts().await;
    let subjects: Vec<_> = raised
        .iter()
        .map(|alert| alert["subject"].as_str().unwrap())
        .collect();
    for page in ["checkout", "fields"] {
        let expected = format!("{page}: script-src-elem https://evil.example");
        assert!(
            subjects
                .iter()
                .any(|subject| subject.starts_with(&expected)),
            "{subjects:?}"
        );
    }
    let text = Value::from(raised.clone()).to_string();
    assert!(!text.contains("SECRET") && !text.contains("4242"), "{text}");
    assert!(raised.iter().all(|alert| alert["kind"] == "page_violated"));
}
