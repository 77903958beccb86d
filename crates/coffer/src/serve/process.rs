//! What every role's process has: listeners, links, the sandbox, health, the admin socket, and an orderly end.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, routing::get};
use coffer_net::{
    Clock, Tasks,
    admin::AdminSocket,
    contract,
    link::{Identity, Link, Revoked},
    metrics::SharedRegistry,
    plain::{self, Health},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, stdin},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    cli::{NamedAddress, ServeArguments},
    configuration::{Configuration, Profile},
    console,
    directory::{Directory, Role},
    failure::Failure,
    sandbox::{self, Connects, Needs},
};

use super::{
    activation::{Manager, Passed},
    store::Store,
};

/// How long requests in flight may take to end; the supervisor waits a little longer.
const GRACE: Duration = Duration::from_secs(18);
/// The name under which health and metrics are announced.
const METRICS: &str = "metrics";

/// One role's process.
pub(super) struct Process {
    pub(super) role: Role,
    pub(super) directory: Directory,
    pub(super) configuration: Configuration,
    pub(super) clock: Clock,
    links: Vec<NamedAddress>,
    listen: Vec<NamedAddress>,
    supervised: bool,
    bound: BTreeMap<String, SocketAddr>,
    passed: Passed,
    manager: Manager,
}

impl Process {
    pub(super) fn new(
        arguments: &ServeArguments,
        directory: Directory,
        configuration: Configuration,
    ) -> Result<Self, Failure> {
        Ok(Self {
            role: arguments.role,
            directory,
            configuration,
            clock: Clock::system(),
            links: arguments.link.clone(),
            listen: arguments.listen.clone(),
            supervised: arguments.supervised,
            bound: BTreeMap::new(),
            passed: Passed::from_environment(),
            manager: Manager::from_environment()?,
        })
    }

    /// Listens for a face or link: at the socket that was passed for it, or where the arguments say, or else the configuration.
    pub(super) fn bind(
        &mut self,
        name: &str,
        configured: SocketAddr,
    ) -> Result<TcpListener, Failure> {
        let address = named(&self.listen, name).unwrap_or(configured);
        let listener = match self.passed.take(name)? {
            Some(passed) => Ok(passed),
            None => TcpListener::bind(address),
        };
        let listener = listener
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| {
                Failure::doing(format_args!("listening at {address} ({name})"), error)
            })?;
        let actual = listener
            .local_addr()
            .map_err(|error| Failure::doing("asking for the port", error))?;
        self.bound.insert(name.to_owned(), actual);
        Ok(listener)
    }

    /// Listens for health and metrics.
    pub(super) fn bind_metrics(&mut self) -> Result<TcpListener, Failure> {
        self.bind(METRICS, self.configuration.metrics.of(self.role))
    }

    /// Where a face of this process listens.
    pub(super) fn port(&self, name: &str) -> u16 {
        self.bound.get(name).map_or(0, SocketAddr::port)
    }

    /// Where another process was said to listen.
    pub(super) fn linked(&self, name: &str) -> Option<SocketAddr> {
        named(&self.links, name)
    }

    /// A link to another role. It connects when it is first used.
    pub(super) fn link(
        &self,
        to: contract::Role,
        identity: &Arc<Identity>,
        revoked: &Revoked,
    ) -> Link {
        let links = &self.configuration.links;
        let (configured, listen) = match to {
            contract::Role::Vault => (links.vault.as_ref(), links.vault_listen),
            contract::Role::Keys | contract::Role::Api | contract::Role::Operator => {
                (links.keys.as_ref(), links.keys_listen)
            }
        };
        let told = self.linked(to.as_str()).map(|address| address.to_string());
        let address = told
            .or_else(|| configured.cloned())
            .unwrap_or_else(|| listen.to_string());
        Link::new(Arc::clone(identity), address, to).refusing(Arc::clone(revoked))
    }

    /// The role's store, to be opened after the sandbox has closed: it has threads, or connections, of its own.
    pub(super) fn store(&self) -> Result<Store, Failure> {
        let postgres = self.configuration.postgres.as_ref();
        Store::of(&self.directory, postgres, self.role)
    }

    /// Installs the sandbox and logs what holds. Nothing that needs the outside comes after this.
    pub(super) fn harden(&self, connects: Connects) -> Result<(), Failure> {
        self.passed.check_all_taken()?;
        let needs = Needs {
            own: self.directory.role(self.role),
            read: vec![self.directory.public()],
            connects,
        };
        let hardening = sandbox::install(&needs)?;
        tracing::info!(
            profile = %self.configuration.profile,
            role = %self.role,
            hardening = hardening.report(),
            "starting"
        );
        Ok(())
    }

    /// What the process says of itself to its operator.
    fn about(&self) -> Router {
        let (clock, bound) = (self.clock.clone(), self.bound.clone());
        let about = async move || {
            let (pid, now_ms) = (std::process::id(), clock.now().as_millis());
            Json(json!({"pid": pid, "now_ms": now_ms, "addresses": bound}))
        };
        Router::new().route("/process", get(about))
    }

    /// Whether this is a developer's machine.
    pub(super) fn is_development(&self) -> bool {
        self.configuration.profile == Profile::Development
    }

    /// Serves health and the admin socket, says that the role is ready, and holds on until it is told to stop; then
    /// readiness goes first, and what is in flight may end.
    pub(super) async fn hold(self, tasks: &Tasks, edges: Edges) -> Result<(), Failure> {
        let stopping = Arc::new(AtomicBool::new(false));
        let socket = AdminSocket::bind(&self.directory.admin_socket(self.role))
            .map_err(|error| Failure::doing("making the admin socket", error))?;
        let admin = edges.admin.merge(self.about());
        tasks.spawn("admin socket", socket.serve(admin, tasks.clone()));
        let health = health(edges.readiness, edges.registry, &stopping);
        let (listener, own) = (listener(edges.metrics)?, tasks.clone());
        tasks.spawn("health", async move {
            if let Err(error) = plain::serve_health(listener, health, own).await {
                tracing::error!(%error, "health is not served");
            }
        });
        // Listened for before anyone is told that there is something to stop.
        let signals = Signals::new()?;
        console::say(&json!({"ready": self.bound}).to_string());
        self.manager.ready();
        signals.told_to_stop(self.supervised).await;
        tracing::info!(role = %self.role, "stopping");
        self.manager.stopping();
        stopping.store(true, Ordering::SeqCst);
        if !tasks.stop(GRACE).await {
            tracing::warn!(
                "some work did not end in time and is cut off; it is settled at the next start"
            );
        }
        Ok(())
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::doing("listening for signals", error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn told_to_stop(mut self, supervised: bool) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = end_of_stdin(), if supervised => {}
        }
    }
}

/// What a role gives to be served beside its own faces and links.
pub(super) struct Edges {
    /// Listens for health and metrics.
    pub(super) metrics: TcpListener,
    /// Whether the role can do its work, or why not.
    pub(super) readiness: Readiness,
    /// What `/metrics` shows.
    pub(super) registry: SharedRegistry,
    /// What the operator can ask.
    pub(super) admin: Router,
}

/// Whether a role can do its work, or why not.
pub(super) type Readiness = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A listener that was bound before the runtime, for the runtime.
pub(super) fn listener(bound: TcpListener) -> Result<tokio::net::TcpListener, Failure> {
    tokio::net::TcpListener::from_std(bound).map_err(|error| Failure::doing("listening", error))
}

fn health(readiness: Readiness, metrics: SharedRegistry, stopping: &Arc<AtomicBool>) -> Health {
    let stopping = Arc::clone(stopping);
    let readiness = move || {
        if stopping.load(Ordering::SeqCst) {
            Err("stopping".to_owned())
        } else {
            readiness()
        }
    };
    Health {
        readiness: Arc::new(readiness),
        metrics,
    }
}

fn named(addresses: &[NamedAddress], name: &str) -> Option<SocketAddr> {
    addresses
        .iter()
        .find(|named| named.name == name)
        .map(|named| named.address)
}

/// The supervisor holds the other end and never writes: its end of the pipe closes when it stops, or dies.
async fn end_of_stdin() {
    let mut byte = [0];
    while matches!(stdin().read(&mut byte).await, Ok(1..)) {}
}
