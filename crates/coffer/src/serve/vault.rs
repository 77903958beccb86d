//! The vault's process: the fields face, the link for `api`, the way out to payment providers.

use std::{net::TcpListener, sync::Arc};

use coffer_core::{Mode, provider::Provider};
use coffer_net::{
    Tasks,
    contract::{
        self,
        keys::{Keys, KeysClient},
    },
    face::FaceSettings,
    link::{self, Door, Identity, MeasuredHandler, Revoked, VaultHandler},
    metrics::{self, CallMetrics},
};
use coffer_vault::{Adapter, MIGRATIONS, ProviderSettings, STATEMENTS, Settings, Vault};

use super::{
    backups,
    certificates::{self, FaceCertificate},
    disk, edge, origin,
    process::{Edges, Process, listener},
    renewal::{self, Issuer},
    store::Store,
};
use crate::{
    configuration::{AdapterName, ProviderSection},
    failure::Failure,
    init::{SERVICE_KEY, VAULT_SIMULATOR_CREDENTIAL},
    runtime,
    sandbox::Connects,
    secret_file,
};

/// The name of its face.
const FACE: &str = "fields";
/// The name of its link.
const LINK: &str = "vault";

pub(super) fn run(mut process: Process) -> Result<(), Failure> {
    let face_bound = process.bind(FACE, process.configuration.faces.fields)?;
    let link_bound = process.bind(LINK, process.configuration.links.vault_listen)?;
    let metrics_bound = process.bind_metrics()?;
    let identity = certificates::identity(&process.directory, process.role, process.clock.now())?;
    let settings = settings(&process)?;
    let plain = origin::redirect(&settings.fields_origin);
    let site = origin::site(&settings.fields_origin, plain);
    let certificate = FaceCertificate::load(&mut process, vec![site])?;
    let store = process.store()?;
    process.harden(Connects::Anywhere)?;
    let listeners = Listeners {
        face: face_bound,
        link: link_bound,
        metrics: metrics_bound,
    };
    runtime::serve(serve(
        process,
        listeners,
        identity,
        certificate,
        settings,
        store,
    ))
}

/// What was bound before the sandbox closed.
struct Listeners {
    face: TcpListener,
    link: TcpListener,
    metrics: TcpListener,
}

async fn serve(
    process: Process,
    listeners: Listeners,
    identity: Arc<Identity>,
    certificate: FaceCertificate,
    settings: Settings,
    store: Store,
) -> Result<(), Failure> {
    let db = store.open(MIGRATIONS, STATEMENTS).await?;
    let tasks = Tasks::new();
    let revoked = Revoked::default();
    let keys: Arc<dyn Keys> = Arc::new(KeysClient::new(process.link(
        contract::Role::Keys,
        &identity,
        &revoked,
    )));
    let plain = origin::redirect(&settings.fields_origin);
    let face = FaceSettings {
        proxies: edge::proxies_of_vault(&process.configuration),
        ..edge::settings(
            &process.configuration,
            &settings.fields_origin,
            origin::FIELDS_HOST,
            plain,
        )
    };
    let vault = Vault::open(db.clone(), Arc::clone(&keys), settings)
        .await
        .map_err(failed)?;
    vault.run(&tasks);
    renewal::poll_revoked(Arc::clone(&keys), Arc::clone(&revoked), &tasks);
    renewal::keep(&process, Issuer::Link(keys), Arc::clone(&identity), &tasks);
    let registry = metrics::registry();
    vault.register_metrics(&registry);
    let inner = Arc::new(VaultHandler(Arc::new(vault.clone())));
    let handler = Arc::new(MeasuredHandler {
        inner,
        calls: CallMetrics::register(&registry),
    });
    let role = contract::Role::Vault;
    let door = Door {
        role,
        methods: contract::vault::METHODS,
        revoked,
        handler,
    };
    tasks.spawn(
        "vault link",
        link::serve(listener(listeners.link)?, identity, door, tasks.clone()),
    );
    let face = certificate.face(vault.fields(), face);
    edge::serve(listeners.face, face, &tasks)?;
    let certified = certificate.readiness();
    certificate.keep(&registry, &tasks)?;
    disk::watch(&db, &registry, &tasks);
    backups::record(&process, &db, &tasks);
    metrics::register_evictions(&registry);
    let readiness = Box::new(move || vault.ready().and_then(|()| certified()));
    let admin = axum::Router::new();
    process
        .hold(
            &tasks,
            Edges {
                metrics: listeners.metrics,
                readiness,
                registry,
                admin,
            },
        )
        .await?;
    db.close().await;
    Ok(())
}

fn settings(process: &Process) -> Result<Settings, Failure> {
    let configuration = &process.configuration;
    Ok(Settings {
        instance: configuration.vault.instance.clone(),
        clock: process.clock.clone(),
        fields_origin: origin::fields(configuration, process.port(FACE)),
        service_key: secret_file::read_key(&process.directory.file(process.role, SERVICE_KEY))?,
        providers: providers(process)?,
        allow_networks: super::allowed(configuration, &configuration.vault.allow_networks),
        outside: super::outside(&process.directory, configuration)?,
        retention: configuration.audit.retention_months,
    })
}

/// Those that are configured, and on a developer's machine the simulator that runs beside.
fn providers(process: &Process) -> Result<Vec<ProviderSettings>, Failure> {
    let configured = process.configuration.providers.iter();
    let mut all = configured
        .map(|(name, section)| provider(process, name, section))
        .collect::<Result<Vec<_>, _>>()?;
    let simulator = Provider::simulator();
    if process.is_development() && !all.iter().any(|one| one.name == simulator) {
        let configured_port = process.configuration.simulator.listen.port();
        let section = ProviderSection {
            adapter: AdapterName::Simulator,
            mode: Mode::Test,
            url: origin::simulator(
                process
                    .linked("simulator")
                    .map_or(configured_port, |address| address.port()),
            ),
            credential_file: VAULT_SIMULATOR_CREDENTIAL.to_owned(),
        };
        all.push(provider(process, simulator.as_str(), &section)?);
    }
    Ok(all)
}

fn provider(
    process: &Process,
    name: &str,
    section: &ProviderSection,
) -> Result<ProviderSettings, Failure> {
    let malformed = |malformed: coffer_core::Malformed| {
        Failure::Operator(format!("[providers.{name}] {malformed}"))
    };
    Ok(ProviderSettings {
        name: Provider::try_from(name.to_owned()).map_err(malformed)?,
        mode: section.mode,
        adapter: match section.adapter {
            AdapterName::Simulator => Adapter::Simulator,
        },
        url: section.url.clone(),
        credential: Some(secret_file::read_text(
            &process
                .directory
                .file(process.role, &section.credential_file),
        )?),
        extra_ca_pem: super::development_authority(&process.directory, &process.configuration)?,
    })
}

fn failed(error: coffer_vault::Error) -> Failure {
    match error {
        coffer_vault::Error::Unfit(reason) => Failure::Operator(reason),
        coffer_vault::Error::Away(_)
        | coffer_vault::Error::Sealed
        | coffer_vault::Error::Refused(_)
        | coffer_vault::Error::Defect(_) => Failure::doing("opening the vault", error),
    }
}
