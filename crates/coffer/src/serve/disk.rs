//! Watches the disk under each role's store: what is known of it goes into the metrics, and `api` tells the operator when one was
//! full. The alert about its own is stored in what the reserve gave back, or else as soon as there is room.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use coffer_core::alert::AlertKind;
use coffer_db::Database;
use coffer_engine::{Engine, Error};
use coffer_net::{
    Tasks,
    contract::Role,
    metrics::{DiskMetrics, SharedRegistry},
};

/// How often a role looks at its own.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often `api` asks the others about theirs.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Puts what is known of the disk into the metrics, until the tasks are stopped.
pub(super) fn watch(db: &Database, registry: &SharedRegistry, tasks: &Tasks) {
    let metrics = DiskMetrics::default();
    metrics.register(registry, db.disk().reserve_bytes.is_some());
    let state = (db.clone(), metrics);
    tasks.every("disk watch", LOOK_EVERY, &state, async |(db, metrics)| {
        let disk = db.disk();
        metrics.observe(disk.reserve_bytes.unwrap_or_default(), disk.full_times);
        Ok::<(), Infallible>(())
    });
}

/// Raises an alert each time that a role's disk was full, until the tasks are stopped.
pub(super) fn alert(db: &Database, engine: &Engine, tasks: &Tasks) {
    let told = Arc::new(Told::default());
    let own = (db.clone(), engine.clone(), Arc::clone(&told));
    tasks.every(
        "disk alert",
        LOOK_EVERY,
        &own,
        async |(db, engine, told)| {
            // While nothing can be stored an alert cannot either.
            if db.healthy() {
                told.tell(&engine, Role::Api, db.disk().full_times).await?;
            }
            Ok::<(), Error>(())
        },
    );
    let others = (engine.clone(), told);
    tasks.every(
        "disk alert of others",
        ASK_EVERY,
        &others,
        async |(engine, told)| {
            for (role, full_times) in engine.disks_of_others().await {
                told.tell(&engine, role, full_times).await?;
            }
            Ok::<(), Error>(())
        },
    );
}

/// How often each role's disk was full, as far as the operator was told.
#[derive(Default)]
struct Told(Mutex<HashMap<Role, u64>>);

impl Told {
    async fn tell(&self, engine: &Engine, role: Role, full_times: u64) -> Result<(), Error> {
        let known = coffer_net::lock(&self.0).get(&role).copied();
        if full_times > known.unwrap_or_default() {
            let subject = format!("{role}: the disk under its store was full");
            engine
                .alert_raise(None, AlertKind::DiskFull, &subject)
                .await?;
        }
        // Less than before when the role was started again.
        coffer_net::lock(&self.0).insert(role, full_times);
        Ok(())
    }
}
