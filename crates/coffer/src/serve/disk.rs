//! Watches the disk under a role's store: what is known of it goes into the metrics, and the operator is told when it was
//! full. The alert is stored in what the reserve gave back, or else as soon as there is room.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use coffer_core::alert::AlertKind;
use coffer_db::Database;
use coffer_engine::{Engine, Error};
use coffer_net::{
    Tasks,
    metrics::{DiskMetrics, SharedRegistry},
};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What the alert of `api` is about.
const SUBJECT: &str = "api: the disk under its store was full";

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

/// Raises an alert each time that the disk was full, until the tasks are stopped.
pub(super) fn alert(db: &Database, engine: &Engine, tasks: &Tasks) {
    let state = (db.clone(), engine.clone(), Arc::new(AtomicU64::new(0)));
    tasks.every("disk alert", LOOK_EVERY, &state, tell);
}

async fn tell((db, engine, told): (Database, Engine, Arc<AtomicU64>)) -> Result<(), Error> {
    let times = db.disk().full_times;
    // While nothing can be stored an alert cannot either.
    if times > told.load(Ordering::Relaxed) && db.healthy() {
        engine
            .alert_raise(None, AlertKind::DiskFull, SUBJECT)
            .await?;
        told.store(times, Ordering::Relaxed);
    }
    Ok(())
}
