//! The key server's process. It connects nowhere, or to its database's port alone; the sandbox takes the other means away.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use coffer_crypto::{SecretBytes, pki::CertificateRequest};
use coffer_keys::{CERTIFICATE_LIFETIME_MS, Error, Keys, MIGRATIONS, STATEMENTS, Settings};
use coffer_net::{
    Tasks, contract,
    link::{self, Door, KeysHandler, MeasuredHandler},
    metrics::{self, CallMetrics},
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::{
    backups, certificates, disk,
    process::{Edges, Process, listener},
    renewal::{self, Issuer},
};
use crate::{accounts::answer, failure::Failure, runtime, secret_file};

/// The name of its link.
const LINK: &str = "keys";

/// An error of custody, for whoever started the process.
pub(crate) fn failed(error: Error) -> Failure {
    match error {
        Error::Refused(contract::Refusal::PassphraseWrong) => {
            Failure::Operator("the passphrase does not open the root key".to_owned())
        }
        Error::NotInitialised => {
            Failure::Operator("there is no root key yet; run coffer init".to_owned())
        }
        Error::Sealed
        | Error::AlreadyInitialised
        | Error::Refused(_)
        | Error::Unavailable(_)
        | Error::Defect(_) => Failure::System(error.to_string()),
    }
}

pub(super) fn run(mut process: Process) -> Result<(), Failure> {
    let bound = process.bind(LINK, process.configuration.links.keys_listen)?;
    let metrics_bound = process.bind_metrics()?;
    let identity = certificates::identity(&process.directory, process.role, process.clock.now())?;
    // Read now: the file may lie where the sandbox no longer looks.
    let passphrase = process
        .configuration
        .keys
        .passphrase_file
        .as_deref()
        .map(secret_file::read_text)
        .transpose()?;
    let store = process.store()?;
    process.harden(store.connects())?;
    runtime::serve(async move {
        let db = store.open(MIGRATIONS, STATEMENTS).await?;
        let keys = Keys::open(db.clone(), settings(&process))
            .await
            .map_err(failed)?;
        if let Some(passphrase) = passphrase {
            keys.unseal(&passphrase).await.map_err(failed)?;
        }
        let tasks = Tasks::new();
        keys.run(&tasks);
        let registry = metrics::registry();
        disk::watch(&db, &registry, &tasks);
        backups::record(&process, &db, &tasks);
        let revoked = keys.revoked();
        let inner = Arc::new(KeysHandler(Arc::new(keys.clone())));
        let handler = Arc::new(MeasuredHandler {
            inner,
            calls: CallMetrics::register(&registry),
        });
        let door = Door {
            role: contract::Role::Keys,
            methods: contract::keys::METHODS,
            revoked,
            handler,
        };
        tasks.spawn(
            "keys link",
            link::serve(listener(bound)?, Arc::clone(&identity), door, tasks.clone()),
        );
        let issuer = Issuer::Own(keys.clone(), identity.peer().instance);
        renewal::keep(&process, issuer, identity, &tasks);
        let edges = Edges {
            metrics: metrics_bound,
            readiness: readiness(keys.clone()),
            registry,
            admin: admin(keys),
        };
        process.hold(&tasks, edges).await?;
        db.close().await;
        Ok(())
    })
}

fn settings(process: &Process) -> Settings {
    let section = &process.configuration.keys;
    let mut settings = Settings::new(&section.instance, process.clock.clone());
    settings.retention = process.configuration.audit.retention_months;
    settings.open_per_hour = section.open_per_hour.unwrap_or(settings.open_per_hour);
    settings.fingerprint_per_hour = section
        .fingerprint_per_hour
        .unwrap_or(settings.fingerprint_per_hour);
    settings
}

fn readiness(keys: Keys) -> super::process::Readiness {
    Box::new(move || keys.ready().map_err(|reason| reason.to_string()))
}

#[derive(Deserialize)]
struct Unsealing {
    passphrase: String,
}

#[derive(Deserialize)]
struct Restore {
    log: String,
    size: u64,
    root: String,
}

/// How long the log was that the key server goes on from now, and the one before.
#[derive(Serialize)]
struct Accepted {
    was: u64,
    is: u64,
}

async fn accept_restore(keys: &Keys, restore: &Restore) -> Result<Accepted, Failure> {
    let malformed = || {
        Failure::Operator(
            "name api or vault, and size and root as coffer backup restore said them".to_owned(),
        )
    };
    let log = named(&restore.log).ok_or_else(malformed)?;
    let root = HEXLOWER.decode(restore.root.as_bytes());
    let root = root.ok().and_then(|root| root.try_into().ok());
    let root = root.ok_or_else(malformed)?;
    let before = keys.remembered(log).await.map_err(failed)?;
    let accepted = keys.accept_restore(log, restore.size, root).await;
    accepted.map_err(failed)?;
    Ok(Accepted {
        was: before.size,
        is: restore.size,
    })
}

#[derive(Deserialize)]
struct Wanted {
    role: String,
    instance: String,
    request: String,
}

#[derive(Serialize)]
struct Certified {
    sealed: bool,
    chain: String,
}

/// A certificate for one more process of a role, whose key nobody here ever sees.
async fn certify(keys: &Keys, wanted: &Wanted) -> Result<Certified, Failure> {
    let malformed = || {
        Failure::Operator(
            "name api or vault, an instance, and a request for a certificate".to_owned(),
        )
    };
    let role = named(&wanted.role).ok_or_else(malformed)?;
    let request = HEXLOWER.decode(wanted.request.as_bytes());
    let request = request
        .ok()
        .and_then(|der| CertificateRequest::from_der(&der).ok());
    let request = request.ok_or_else(malformed)?;
    let lifetime = CERTIFICATE_LIFETIME_MS;
    let certifying = keys.issue_certificate(role, &wanted.instance, &[], &request, lifetime);
    let chain = certifying.await.map_err(failed)?;
    let sealed = keys.is_sealed();
    Ok(Certified { sealed, chain })
}

fn named(role: &str) -> Option<contract::Role> {
    match role {
        "api" => Some(contract::Role::Api),
        "vault" => Some(contract::Role::Vault),
        _ => None,
    }
}

#[derive(Serialize)]
struct Custody {
    sealed: bool,
}

/// The operator's routes.
fn admin(keys: Keys) -> Router {
    let custody = |keys: &Keys| Custody {
        sealed: keys.is_sealed(),
    };
    Router::new()
        .route(
            "/custody",
            get(async move |State(keys): State<Keys>| Json(custody(&keys))),
        )
        .route(
            "/seal",
            post(async move |State(keys): State<Keys>| {
                answer(keys.seal().await.map_err(failed).map(|()| custody(&keys)))
            }),
        )
        .route(
            "/certificates",
            post(
                async move |State(keys): State<Keys>, Json(body): Json<Wanted>| {
                    answer(certify(&keys, &body).await)
                },
            ),
        )
        .route(
            "/restores/accept",
            post(
                async move |State(keys): State<Keys>, Json(body): Json<Restore>| {
                    answer(accept_restore(&keys, &body).await)
                },
            ),
        )
        .route(
            "/unseal",
            post(
                async move |State(keys): State<Keys>, Json(body): Json<Unsealing>| {
                    let passphrase = SecretBytes::from_vec(body.passphrase.into_bytes());
                    answer(
                        keys.unseal(&passphrase)
                            .await
                            .map_err(failed)
                            .map(|()| custody(&keys)),
                    )
                },
            ),
        )
        .with_state(keys)
}
