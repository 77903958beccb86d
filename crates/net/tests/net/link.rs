//! Rules of the links between roles: who reaches a method, and what becomes of a call when things end in the middle.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use coffer_core::id::RequestId;
use coffer_net::{
    Tasks,
    contract::{Answer, Error, Method, Peer, Refusal, Role},
    link::{Door, Handler, Identity, Link, Revoked, decode, serve},
    request_id,
};
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::{TLS12, TLS13};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::support::{self, Ca, Certified, client_config};

const LONG: Duration = Duration::from_secs(20);
const METHODS: &[Method] = &[
    Method {
        name: "echo",
        callers: &[Role::Api],
        packed: false,
    },
    Method {
        name: "packed",
        callers: &[Role::Api],
        packed: true,
    },
    Method {
        name: "wait",
        callers: &[Role::Api],
        packed: false,
    },
    Method {
        name: "open",
        callers: &[Role::Vault],
        packed: false,
    },
];

/// Answers with what it got; `wait` only after it was told to.
struct Echo {
    reached: AtomicUsize,
    callers: Mutex<Vec<(Peer, Option<RequestId>)>>,
    begun: Notify,
    go_on: Notify,
    done: mpsc::UnboundedSender<()>,
}

impl Handler for Echo {
    fn handle<'a>(
        &'a self,
        peer: &'a Peer,
        method: &'a str,
        body: &'a [u8],
    ) -> Answer<'a, Zeroizing<Vec<u8>>> {
        self.reached.fetch_add(1, Ordering::SeqCst);
        self.callers
            .lock()
            .unwrap()
            .push((peer.clone(), request_id::current()));
        Box::pin(async move {
            // The test calls with a text, which stands behind its length.
            match body.get(1..) {
                _ if method == "wait" => {
                    self.begun.notify_one();
                    self.go_on.notified().await;
                    self.done.send(()).unwrap();
                }
                Some(b"hold") => {
                    self.begun.notify_one();
                    self.go_on.notified().await;
                }
                Some(b"refuse") => return Err(Error::Refused(Refusal::OrderUsed)),
                Some(b"panic") => panic!("by test"),
                Some(_) | None => {}
            }
            Ok(Zeroizing::new(body.to_vec()))
        })
    }
}

/// A role that serves `METHODS`, and the authority of its certificate.
struct Server {
    ca: Ca,
    address: SocketAddr,
    tasks: Tasks,
    echo: Arc<Echo>,
    done: mpsc::UnboundedReceiver<()>,
    revoked: Revoked,
}

impl Server {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0", Ca::new(), "spiffe://coffer/vault/1").await
    }

    async fn start_at(address: &str, ca: Ca, spiffe: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, done) = mpsc::unbounded_channel();
        let echo = Arc::new(Echo {
            reached: AtomicUsize::new(0),
            callers: Mutex::default(),
            begun: Notify::new(),
            go_on: Notify::new(),
            done: sender,
        });
        let revoked = Revoked::default();
        let door = Door {
            role: Role::Vault,
            methods: METHODS,
            revoked: Arc::clone(&revoked),
            handler: Arc::<Echo>::clone(&echo),
        };
        let identity = identity(&ca, spiffe);
        let tasks = Tasks::new();
        tasks.spawn("door", serve(listener, identity, door, tasks.clone()));
        Self {
            ca,
            address,
            tasks,
            echo,
            done,
            revoked,
        }
    }

    fn link(&self, spiffe: &str) -> Link {
        self.link_of(identity(&self.ca, spiffe))
    }

    fn link_of(&self, identity: Arc<Identity>) -> Link {
        Link::new(identity, self.address.to_string(), Role::Vault)
    }

    fn reached(&self) -> usize {
        self.echo.reached.load(Ordering::SeqCst)
    }
}

fn identity(ca: &Ca, spiffe: &str) -> Arc<Identity> {
    let certified = ca.role(spiffe);
    Arc::new(Identity::load(&certified.chain, &certified.key, ca.pem()).unwrap())
}

async fn call(link: &Link, method: &'static str, within: Duration) -> Result<String, Error> {
    link.call(Role::Vault, method, &"hello".to_owned(), within)
        .await
}

/// A request by any client, however it identifies itself: the status, or nothing if there was no answer.
async fn raw(
    address: SocketAddr,
    certified: Option<Certified>,
    version: &'static rustls::SupportedProtocolVersion,
    request: Request<Full<bytes::Bytes>>,
) -> Option<(StatusCode, Vec<u8>)> {
    let config = client_config(certified, version, &[b"h2"]);
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = "vault.test".try_into().unwrap();
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .ok()?;
    let connection = coffer_net::task::spawn("raw client", connection);
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    connection.abort();
    Some((status, body.to_vec()))
}

fn post(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Full<bytes::Bytes>> {
    let mut request = Request::post(format!("https://vault.test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

const HEADERS: &[(&str, &str)] = &[("coffer-wire", "1"), ("deadline-ms", "20000")];

#[tokio::test]
async fn a_role_may_call_only_its_own_methods() {
    let server = Server::start().await;
    for spiffe in ["spiffe://coffer/keys/1", "spiffe://coffer/operator/1"] {
        let refused = call(&server.link(spiffe), "echo", LONG).await;
        assert_eq!(refused, Err(Error::NotAllowed), "{spiffe}");
    }
    let api = server.link("spiffe://coffer/api/1");
    assert_eq!(call(&api, "open", LONG).await, Err(Error::NotAllowed));
    let unknown = call(&api, "export_everything", LONG).await;
    assert_eq!(unknown, Err(Error::Refused(Refusal::Malformed)));
    assert_eq!(server.reached(), 0);
}

#[tokio::test]
async fn a_call_carries_the_caller_and_its_request() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/7");
    let id = RequestId::from_bytes([9; 16]);
    let answer = request_id::scope(id, call(&link, "echo", LONG)).await;
    assert_eq!(answer.as_deref(), Ok("hello"));
    let (peer, seen) = server.echo.callers.lock().unwrap().remove(0);
    assert_eq!((peer.role, peer.instance.as_str()), (Role::Api, "7"));
    assert_eq!(peer.serial.len(), 32);
    assert_eq!(seen, Some(id));
}

#[tokio::test]
async fn without_a_role_certificate_no_method_is_reached() {
    let server = Server::start().await;
    let ca = &server.ca;
    let own = |spiffe: Option<&str>, client: bool| Some(ca.issue(spiffe, client, true));
    let (api, foreign) = ("spiffe://coffer/api/1", Ca::new());
    let cases = [
        ("no certificate", None, &TLS13),
        ("self-signed", Some(support::self_signed(api)), &TLS13),
        ("foreign authority", Some(foreign.role(api)), &TLS13),
        ("for servers only", own(Some(api), false), &TLS13),
        ("no name of a role", own(None, true), &TLS13),
        (
            "unknown role",
            own(Some("spiffe://coffer/root/1"), true),
            &TLS13,
        ),
        (
            "foreign domain",
            own(Some("spiffe://other/api/1"), true),
            &TLS13,
        ),
        (
            "no instance",
            own(Some("spiffe://coffer/api/"), true),
            &TLS13,
        ),
        (
            "path after the instance",
            own(Some("spiffe://coffer/api/1/x"), true),
            &TLS13,
        ),
        ("expired", Some(ca.expired(api)), &TLS13),
        ("TLS 1.2", Some(ca.role(api)), &TLS12),
    ];
    for (case, certified, version) in cases {
        let request = post("/vault/v1/echo", HEADERS, vec![]);
        let answer = raw(server.address, certified, version, request).await;
        assert_eq!(answer, None, "{case}");
        assert_eq!(server.reached(), 0, "{case}");
    }
    let request = post("/vault/v1/echo", HEADERS, vec![7]);
    let control = raw(server.address, Some(ca.role(api)), &TLS13, request).await;
    assert_eq!(control, Some((StatusCode::OK, vec![7])));
}

#[tokio::test]
async fn a_malformed_call_reaches_no_method() {
    const PACK: &[(&str, &str)] = &[
        ("coffer-wire", "1"),
        ("deadline-ms", "1000"),
        ("coffer-pack", "1"),
    ];
    let server = Server::start().await;
    let path = "/vault/v1/echo";
    let too_long = vec![0; 64 * 1024 + 1];
    let cases = [
        (path, &[("deadline-ms", "1000")][..], vec![]),
        (
            path,
            &[("coffer-wire", "2"), ("deadline-ms", "1000")],
            vec![],
        ),
        (
            path,
            &[("coffer-wire", "0"), ("deadline-ms", "1000")],
            vec![],
        ),
        (path, &[("coffer-wire", "1")], vec![]),
        (path, &[("coffer-wire", "1"), ("deadline-ms", "-1")], vec![]),
        (
            path,
            &[
                ("coffer-wire", "1"),
                ("deadline-ms", "1000"),
                ("request-id", "x"),
            ],
            vec![],
        ),
        (path, HEADERS, too_long),
        (path, PACK, vec![]),
        ("/vault/v1/packed", PACK, vec![7; 30]),
        ("/vault/v1/echo/", HEADERS, vec![]),
        ("/keys/v1/echo", HEADERS, vec![]),
        ("/vault/v2/echo", HEADERS, vec![]),
    ];
    for (path, headers, body) in cases {
        let api = server.ca.role("spiffe://coffer/api/1");
        let request = post(path, headers, body);
        let (status, body) = raw(server.address, Some(api), &TLS13, request)
            .await
            .unwrap();
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path} {headers:?}"
        );
        assert_eq!(decode(&body), Ok(Error::Refused(Refusal::Malformed)));
    }
    assert_eq!(server.reached(), 0);
}

#[tokio::test]
async fn a_revoked_certificate_calls_nothing_even_on_an_old_connection() {
    let server = Server::start().await;
    let identity = identity(&server.ca, "spiffe://coffer/api/1");
    let old = server.link_of(Arc::clone(&identity));
    assert!(call(&old, "echo", LONG).await.is_ok());

    server
        .revoked
        .store(Arc::new(HashSet::from([identity.peer().serial])));
    assert_eq!(call(&old, "echo", LONG).await, Err(Error::NotAllowed));
    let new = server.link_of(identity);
    assert_eq!(call(&new, "echo", LONG).await, Err(Error::NotAllowed));
    assert_eq!(server.reached(), 1);
}

#[tokio::test]
async fn a_link_talks_only_to_the_role_it_expects() {
    let keys = Server::start_at("127.0.0.1:0", Ca::new(), "spiffe://coffer/keys/1").await;
    let api = keys.link("spiffe://coffer/api/1");
    assert_eq!(call(&api, "echo", LONG).await, Err(Error::Away));

    let foreign = Server::start().await;
    let stranger = identity(&Ca::new(), "spiffe://coffer/api/1");
    assert_eq!(
        call(&foreign.link_of(stranger), "echo", LONG).await,
        Err(Error::Away)
    );

    let revoked: Revoked = Arc::new(ArcSwap::default());
    let api = foreign
        .link("spiffe://coffer/api/1")
        .refusing(Arc::clone(&revoked));
    assert!(call(&api, "echo", LONG).await.is_ok());
    let vault_serials = foreign.ca.serials();
    revoked.store(Arc::new(vault_serials));
    assert_eq!(call(&api, "echo", LONG).await, Err(Error::Away));
    assert_eq!((keys.reached(), foreign.reached()), (0, 1));
}

#[tokio::test]
async fn nobody_there_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let link = Link::new(
        identity(&Ca::new(), "spiffe://coffer/api/1"),
        address,
        Role::Vault,
    );
    assert_eq!(call(&link, "echo", LONG).await, Err(Error::Away));
}

#[tokio::test]
async fn a_link_connects_again_after_the_role_restarted() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    assert!(call(&link, "echo", LONG).await.is_ok());
    assert!(server.tasks.stop(LONG).await);

    let address = server.address.to_string();
    let again = Server::start_at(&address, server.ca, "spiffe://coffer/vault/1").await;
    // The first call may still meet the old connection's end, as long as it says so.
    let first = call(&link, "echo", LONG).await;
    assert!(
        matches!(first.as_deref(), Ok("hello") | Err(Error::Away)),
        "{first:?}"
    );
    assert_eq!(call(&link, "echo", LONG).await.as_deref(), Ok("hello"));
    assert!(again.reached() >= 1);
}

#[tokio::test]
async fn replaced_credentials_are_used_from_the_next_call_on() {
    let server = Server::start().await;
    let identity = identity(&server.ca, "spiffe://coffer/api/1");
    let link = server.link_of(Arc::clone(&identity));
    let renewed = server.ca.role("spiffe://coffer/api/1");
    for round in 0..2 {
        assert!(call(&link, "echo", LONG).await.is_ok());
        let (seen, _) = server.echo.callers.lock().unwrap().remove(0);
        assert_eq!(seen, identity.peer(), "{round}");
        identity
            .replace(&renewed.chain, &renewed.key, server.ca.pem())
            .unwrap();
    }
}

async fn packed(link: &Link, text: &str) -> Result<String, Error> {
    link.call_packed(Role::Vault, "packed", &text, LONG).await
}

/// Holds a call at the server, so that what `others` call meets behind it, and then lets it go on.
async fn behind<T>(server: &Server, link: &Link, others: impl Future<Output = T>) -> T {
    let mut held = Box::pin(packed(link, "hold"));
    tokio::select! {
        early = &mut held => panic!("{early:?}"),
        () = server.echo.begun.notified() => {}
    }
    let release = async {
        assert_eq!(server.reached(), 1, "what comes meanwhile waits");
        server.echo.go_on.notify_one();
    };
    let (others, held, ()) = tokio::join!(biased; others, held, release);
    assert_eq!(held.as_deref(), Ok("hold"));
    others
}

#[tokio::test]
async fn calls_that_travel_together_keep_their_request_and_their_answer() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    let calls = (1..=100_u8).map(|number| {
        let (id, link) = (RequestId::from_bytes([number; 16]), &link);
        request_id::scope(id, async move { packed(link, &number.to_string()).await })
    });
    let answers = behind(&server, &link, join_all(calls)).await;
    let expected: Vec<_> = (1..=100_u8).map(|number| Ok(number.to_string())).collect();
    assert_eq!(answers, expected);
    let callers = server.echo.callers.lock().unwrap();
    let mut ids: Vec<_> = callers.iter().filter_map(|(_, id)| *id).collect();
    ids.sort();
    let expected: Vec<_> = (1..=100_u8)
        .map(|n| RequestId::from_bytes([n; 16]))
        .collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn what_happens_to_one_call_of_a_pack_happens_to_no_other() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    let calls = ["one", "refuse", "panic", "two"].map(|text| packed(&link, text));
    let answers = behind(&server, &link, join_all(calls)).await;
    let expected = [
        Ok("one".to_owned()),
        Err(Error::Refused(Refusal::OrderUsed)),
        Err(Error::Defect),
        Ok("two".to_owned()),
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_call_that_was_given_up_before_it_was_sent_is_never_sent() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    let others = async {
        let mut given_up = Box::pin(packed(&link, "given up"));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);
        packed(&link, "two").await
    };
    let second = behind(&server, &link, others).await;
    assert_eq!(second.as_deref(), Ok("two"));
    assert_eq!(server.reached(), 2);
}

#[tokio::test]
async fn a_call_alone_is_no_pack_and_needs_no_server_that_knows_them() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    let answer: Result<String, _> = link.call_packed(Role::Vault, "echo", &"alone", LONG).await;
    assert_eq!(answer.as_deref(), Ok("alone"));
}

#[tokio::test]
async fn work_goes_on_when_the_caller_gives_up() {
    let mut server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    let caller = coffer_net::task::spawn("caller", async move { call(&link, "wait", LONG).await });
    server.echo.begun.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    server.echo.go_on.notify_one();
    assert_eq!(server.done.recv().await, Some(()));
}

#[tokio::test]
async fn an_answer_that_is_late_is_away() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    let late = call(&link, "wait", Duration::from_millis(100)).await;
    assert_eq!(late, Err(Error::Away));
}

#[tokio::test]
async fn a_call_in_work_is_answered_before_the_role_stops() {
    let server = Server::start().await;
    let link = server.link("spiffe://coffer/api/1");
    let caller = link.clone();
    let answer =
        coffer_net::task::spawn("caller", async move { call(&caller, "wait", LONG).await });
    server.echo.begun.notified().await;
    let stop = server.tasks.stop(LONG);
    let release = async { server.echo.go_on.notify_one() };
    let (stopped, ()) = tokio::join!(stop, release);
    assert!(stopped);
    assert_eq!(answer.await.unwrap().as_deref(), Ok("hello"));
    assert_eq!(call(&link, "echo", LONG).await, Err(Error::Away));
}

#[test]
fn an_identity_must_name_a_role_and_hold_its_key() {
    let ca = Ca::new();
    let (nobody, api) = (ca.issue(None, true, true), ca.role("spiffe://coffer/api/1"));
    assert!(Identity::load(&nobody.chain, &nobody.key, ca.pem()).is_err());
    assert!(Identity::load(&api.chain, &nobody.key, ca.pem()).is_err());
    assert!(Identity::load(&api.chain, &api.key, "").is_err());
    let peer = Identity::load(&api.chain, &api.key, ca.pem())
        .unwrap()
        .peer();
    assert_eq!((peer.role, peer.instance.as_str()), (Role::Api, "1"));
}
