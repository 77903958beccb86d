//! The process of `api`: its faces, and the operator's desk for accounts and API keys.

use std::{net::TcpListener, sync::Arc, time::Duration};

use axum::{
    Json,
    routing::{get, post},
};
use coffer_api::{
    Api,
    problems::{Code, page},
};
use coffer_core::alert::AlertKind;
use coffer_crypto::Key;
use coffer_db::Database;
use coffer_engine::{AnchorSink, Engine, MIGRATIONS, STATEMENTS, Settings};
use coffer_net::{
    Clock, Tasks,
    acme::Site,
    contract::{
        self,
        keys::{Keys, KeysClient},
        vault::VaultClient,
    },
    face::{Overheard, PlainPolicy},
    link::{Identity, Link, Revoked},
    metrics::{self, RequestMetrics, SharedRegistry},
    outbound::{Outbound, Roots},
};
use serde_json::json;

use super::{
    backups,
    certificates::{self, FaceCertificate},
    disk, edge, origin,
    process::{Edges, Process},
    redis,
    renewal::{self, Issuer},
    store::Store,
    tls_watch::Watch,
};
use crate::{
    accounts::Desk,
    alerts,
    configuration::{Configuration, Profile},
    console,
    directory::{Directory, Role},
    failure::Failure,
    init::SERVICE_KEY,
    runtime,
    sandbox::Connects,
    secret_file,
};

/// The name of the API face.
const FACE: &str = "api";
/// The name of the checkout face.
const CHECKOUT: &str = "checkout";
/// The name of the listener before all faces.
const FRONT: &str = "front";
/// The origin in the API's description, when no particular installation is asked.
const DESCRIBED_ORIGIN: &str = "https://localhost:8443";
/// The name of the vault's face, as the supervisor announces it.
const FIELDS: &str = "fields";

pub(super) fn run(mut process: Process) -> Result<(), Failure> {
    let face_bound = process.bind(FACE, process.configuration.faces.api)?;
    let checkout_bound = process.bind(CHECKOUT, process.configuration.faces.checkout)?;
    let front_bound = match process.configuration.faces.listen {
        Some(address) => Some(process.bind(FRONT, address)?),
        None => None,
    };
    let metrics_bound = process.bind_metrics()?;
    let identity = certificates::identity(&process.directory, process.role, process.clock.now())?;
    let sites = sites(&process);
    let certificate = FaceCertificate::load(&mut process, sites)?;
    let faces = &process.configuration.faces;
    let fields = process.linked(FIELDS).unwrap_or(faces.fields).port();
    let ports = Ports {
        checkout: process.port(CHECKOUT),
        fields,
    };
    let mut parts = Parts::load(
        &process.directory,
        &process.configuration,
        &process.clock,
        ports,
    )?;
    parts.settings.shared =
        redis::script(&process.directory, process.configuration.redis.as_ref())?;
    process.harden(Connects::Anywhere)?;
    let listeners = Listeners {
        faces: FaceListeners {
            api: face_bound,
            checkout: checkout_bound,
            front: front_bound,
        },
        metrics: metrics_bound,
    };
    runtime::serve(serve(process, listeners, identity, certificate, parts))
}

/// What was bound before the sandbox closed.
struct Listeners {
    faces: FaceListeners,
    metrics: TcpListener,
}

struct FaceListeners {
    api: TcpListener,
    checkout: TcpListener,
    front: Option<TcpListener>,
}

async fn serve(
    process: Process,
    listeners: Listeners,
    identity: Arc<Identity>,
    mut certificate: FaceCertificate,
    parts: Parts,
) -> Result<(), Failure> {
    let tasks = Tasks::new();
    let revoked = Revoked::default();
    let keys_link = process.link(contract::Role::Keys, &identity, &revoked);
    let vault_link = process.link(contract::Role::Vault, &identity, &revoked);
    let keys: Arc<dyn Keys> = Arc::new(KeysClient::new(keys_link));
    let origins = Origins {
        api: origin::api(&process.configuration, process.port(FACE)),
        checkout: parts.settings.checkout_origin.clone(),
        fields: parts.settings.fields_origin.clone(),
    };
    let roots = parts.roots.clone();
    let (engine, db) = parts.open(Arc::clone(&keys), vault_link).await?;
    engine.run(&tasks);
    renewal::poll_revoked(Arc::clone(&keys), revoked, &tasks);
    renewal::keep(&process, Issuer::Link(keys), identity, &tasks);
    let registry = metrics::registry();
    let api = Api::new(engine.clone(), api_settings(&process, &origins, &registry)?);
    api.register_metrics(&registry);
    api.run(&tasks);
    serve_faces(
        &process,
        listeners.faces,
        &certificate,
        (&api, &origins),
        &tasks,
    )?;
    let certified = certificate.readiness();
    certificate.overheard(api.overheard());
    certificate.keep(&registry, &tasks)?;
    disk::watch(&db, &registry, &tasks);
    backups::record(&process, &db, &tasks);
    metrics::register_evictions(&registry);
    disk::alert(&db, &engine, &tasks);
    redis::watch(&engine, &registry, &tasks);
    let told = (&registry, alerts::alarm(&engine, AlertKind::TlsWeak));
    Watch::new(&origins.faces(), roots, process.clock.clone(), told)?.run(&tasks);
    let status = origins.status(&process);
    let desk = Desk::new(engine.clone(), process.clock.clone());
    let last = engine.clone();
    let edges = Edges {
        metrics: listeners.metrics,
        readiness: Box::new(move || engine.ready().and_then(|()| certified())),
        registry,
        admin: desk
            .router()
            .route("/status", get(async move || Json(status)))
            .route(
                "/pages/check",
                post(async move || alerts::check(&api).await),
            ),
    };
    process.hold(&tasks, edges).await?;
    last.write_rest().await;
    db.close().await;
    Ok(())
}

/// Where others find the faces.
struct Origins {
    api: String,
    checkout: String,
    fields: String,
}

impl Origins {
    fn faces(&self) -> [(&'static str, &str); 3] {
        [
            (FACE, &self.api),
            (CHECKOUT, &self.checkout),
            (FIELDS, &self.fields),
        ]
    }

    /// What the operator's commands are told about the running role.
    fn status(&self, process: &Process) -> serde_json::Value {
        json!({
            "role": process.role,
            "profile": process.configuration.profile,
            "api_origin": self.api,
            "checkout_origin": self.checkout,
            "fields_origin": self.fields,
        })
    }
}

fn api_settings(
    process: &Process,
    origins: &Origins,
    registry: &SharedRegistry,
) -> Result<coffer_api::Settings, Failure> {
    Ok(coffer_api::Settings {
        api_origin: origins.api.clone(),
        checkout_origin: origins.checkout.clone(),
        fields_origin: origins.fields.clone(),
        development: process.is_development(),
        clock: process.clock.clone(),
        metrics: RequestMetrics::register(registry),
        outside: super::outside(&process.directory, &process.configuration)?,
    })
}

/// Each at its own address, and all of them at the one before, if there is one.
fn serve_faces(
    process: &Process,
    listeners: FaceListeners,
    certificate: &FaceCertificate,
    (api, origins): (&Api, &Origins),
    tasks: &Tasks,
) -> Result<(), Failure> {
    let configuration = &process.configuration;
    let refuse = refuse(&origins.api, Some(api.overheard()));
    let redirect = origin::redirect(&origins.checkout);
    let settings = edge::settings(
        configuration,
        &origins.api,
        origin::API_HOST,
        refuse.clone(),
    );
    let api_face = certificate.face(api.face(), settings);
    let settings = edge::settings(
        configuration,
        &origins.checkout,
        origin::CHECKOUT_HOST,
        redirect,
    );
    let checkout = certificate.face(api.checkout(), settings);
    if let Some(front) = listeners.front {
        let fields = edge::passage(configuration, &origins.fields, process.linked(FIELDS));
        let faces = vec![api_face.clone(), checkout.clone()];
        edge::serve_front(front, faces, fields, (configuration, refuse), tasks)?;
    }
    edge::serve(listeners.api, api_face, tasks)?;
    edge::serve(listeners.checkout, checkout, tasks)
}

/// The faces of this role, for whom there is a certificate.
fn sites(process: &Process) -> Vec<Site> {
    let api = origin::api(&process.configuration, process.port(FACE));
    let checkout = origin::checkout(&process.configuration, process.port(CHECKOUT));
    vec![
        origin::site(&api, refuse(&api, None)),
        origin::site(&checkout, origin::redirect(&checkout)),
    ]
}

fn refuse(api_origin: &str, overheard: Option<Overheard>) -> PlainPolicy {
    let page = page::address(api_origin, Code::HttpsRequired);
    PlainPolicy::Refuse403 { page, overheard }
}

/// The operator's desk over a store that no running api has; the caller holds the lock.
pub(crate) async fn desk(directory: &Directory) -> Result<Desk, Failure> {
    directory.check_owner(Role::Api)?;
    let configuration = Configuration::load(&directory.configuration())?;
    let clock = Clock::system();
    coffer_net::tls::install_provider();
    let identity = certificates::identity(directory, Role::Api, clock.now())?;
    let parts = Parts::load(
        directory,
        &configuration,
        &clock,
        Ports {
            checkout: configuration.faces.checkout.port(),
            fields: configuration.faces.fields.port(),
        },
    )?;
    // The desk never calls another role; these links stay unused.
    let link = |to, address: std::net::SocketAddr| {
        Link::new(Arc::clone(&identity), address.to_string(), to)
    };
    let keys = Arc::new(KeysClient::new(link(
        contract::Role::Keys,
        configuration.links.keys_listen,
    )));
    let vault = link(contract::Role::Vault, configuration.links.vault_listen);
    let (engine, _) = parts.open(keys, vault).await?;
    Ok(Desk::new(engine, clock))
}

/// `coffer openapi`.
pub(crate) fn print_openapi() -> Result<(), Failure> {
    console::print(&coffer_api::openapi(DESCRIBED_ORIGIN));
    Ok(())
}

/// Where the signed heads of the logs are sent.
fn anchor(
    directory: &Directory,
    configuration: &Configuration,
) -> Result<Option<AnchorSink>, Failure> {
    let section = &configuration.audit;
    let Some(url) = section.anchor_url.clone() else {
        return Ok(None);
    };
    let way = super::outbound(
        directory,
        configuration,
        &section.anchor_allow_networks,
        section.anchor_ca_file.as_ref(),
    )?;
    let every = Duration::from_secs(section.anchor_seconds.into());
    Ok(Some(AnchorSink { url, every, way }))
}

/// Where faces listen whose addresses stand in what the engine makes.
#[derive(Clone, Copy)]
struct Ports {
    checkout: u16,
    fields: u16,
}

/// What an engine is opened from, read before the sandbox closes.
struct Parts {
    settings: Settings,
    store: Store,
    /// Whom a client of our faces trusts.
    roots: Roots,
}

impl Parts {
    fn load(
        directory: &Directory,
        configuration: &Configuration,
        clock: &Clock,
        ports: Ports,
    ) -> Result<Self, Failure> {
        let service_key: Key = secret_file::read_key(&directory.file(Role::Api, SERVICE_KEY))?;
        let webhooks: Outbound = super::outbound(
            directory,
            configuration,
            &configuration.webhooks.allow_networks,
            None,
        )?;
        let limits = configuration.limits.settings();
        let limits = limits.map_err(|error| Failure::Operator(format!("[limits]: {error}")))?;
        let detection = configuration.detection.settings(configuration.profile);
        let detection =
            detection.map_err(|error| Failure::Operator(format!("[detection]: {error}")))?;
        let settings = Settings {
            clock: clock.clone(),
            service_key,
            instance: configuration.api.instance.clone(),
            checkout_origin: origin::checkout(configuration, ports.checkout),
            fields_origin: origin::fields(configuration, ports.fields),
            development: configuration.profile == Profile::Development,
            limits,
            // Only who serves shares.
            shared: None,
            reads: configuration.audit.reads,
            detection,
            retention: configuration.audit.retention_months,
            anchor: anchor(directory, configuration)?,
            webhooks,
            live_provider: configuration.api.live_provider.clone(),
            render: coffer_api::RENDER,
        };
        Ok(Self {
            settings,
            roots: super::roots(directory, configuration, configuration.acme_authority())?,
            store: Store::of(directory, configuration.postgres.as_ref(), Role::Api)?,
        })
    }

    async fn open(self, keys: Arc<dyn Keys>, vault: Link) -> Result<(Engine, Database), Failure> {
        let db = self.store.open(MIGRATIONS, STATEMENTS).await?;
        let engine = Engine::open(
            db.clone(),
            Arc::new(VaultClient::new(vault)),
            keys,
            self.settings,
        )
        .await
        .map_err(|error| Failure::System(format!("opening the engine: {error:?}")))?;
        Ok((engine, db))
    }
}
