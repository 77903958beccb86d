//! The simulator's process: the payment provider of test mode.

use coffer_net::{Tasks, face::PlainPolicy, metrics};
use coffer_simulator::{MIGRATIONS, STATEMENTS, Settings, Simulator, Switches};

use super::{
    certificates::FaceCertificate,
    disk, edge, origin,
    process::{Edges, Process},
};
use crate::{
    failure::Failure, init::SIMULATOR_CREDENTIAL, runtime, sandbox::Connects, secret_file,
};

/// The name of its face.
const FACE: &str = "simulator";
/// Its name on a developer's machine, where alone it runs.
const HOST: &str = "simulator.coffer.localhost";

pub(super) fn run(mut process: Process) -> Result<(), Failure> {
    let bound = process.bind(FACE, process.configuration.simulator.listen)?;
    let metrics_bound = process.bind_metrics()?;
    let certificate = FaceCertificate::load(&mut process, Vec::new())?;
    let credential =
        secret_file::read_text(&process.directory.file(process.role, SIMULATOR_CREDENTIAL))?;
    let outbound = super::outbound(&process.directory, &process.configuration, &[], None)?;
    let store = process.store()?;
    process.harden(Connects::Anywhere)?;
    runtime::serve(async move {
        let db = store.open(MIGRATIONS, STATEMENTS).await?;
        let settings = Settings {
            clock: process.clock.clone(),
            public_url: origin::simulator(process.port(FACE)),
            credential,
            switches: Switches::default(),
            outbound,
        };
        let simulator = Simulator::open(db.clone(), settings)
            .map_err(|error| Failure::doing("starting the simulator", error))?;
        let tasks = Tasks::new();
        simulator.run(&tasks);
        let plain = PlainPolicy::Refuse403 {
            page: "about:blank".to_owned(),
            overheard: None,
        };
        let public = origin::simulator(process.port(FACE));
        let names = edge::settings(&process.configuration, &public, HOST, plain);
        edge::serve(bound, certificate.face(simulator.router(), names), &tasks)?;
        let registry = metrics::registry();
        certificate.keep(&registry, &tasks)?;
        disk::watch(&db, &registry, &tasks);
        metrics::register_evictions(&registry);
        let store = db.clone();
        let readiness = move || {
            if store.healthy() {
                Ok(())
            } else {
                Err("the store does not accept writes".to_owned())
            }
        };
        let edges = Edges {
            metrics: metrics_bound,
            readiness: Box::new(readiness),
            registry,
            admin: axum::Router::new(),
        };
        process.hold(&tasks, edges).await?;
        db.close().await;
        Ok(())
    })
}
