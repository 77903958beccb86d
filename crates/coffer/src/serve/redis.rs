//! The server by which the nodes of `api` share their rates: how to reach it, read before the sandbox closes, and whether it is
//! there, in the metrics.

use std::{convert::Infallible, time::Duration};

use coffer_db::{SharedAddress, SharedScript};
use coffer_engine::{Engine, SHARED_SCRIPT};
use coffer_net::{
    Tasks,
    metrics::{SharedMetrics, SharedRegistry},
};

use super::certificates;
use crate::{
    configuration::Redis,
    directory::{Directory, Role},
    failure::Failure,
    secret_file,
};

/// The password there, in the directory of `api`. On this machine there may be none.
pub(crate) const PASSWORD: &str = "redis.password";
/// How often it is looked whether rates are shared.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the settings name; nobody is asked yet.
pub(crate) fn script(
    directory: &Directory,
    redis: Option<&Redis>,
) -> Result<Option<SharedScript>, Failure> {
    let Some(redis) = redis else {
        return Ok(None);
    };
    let authorities = match &redis.ca_file {
        Some(name) => {
            let path = name.path(directory);
            Some(certificates::read_public(&path)?.into_bytes())
        }
        None => None,
    };
    let path = directory.file(Role::Api, PASSWORD);
    let password = if path.exists() || !redis.address.is_this_machine() {
        Some(secret_file::read_password(&path)?)
    } else {
        None
    };
    let address = SharedAddress {
        host: redis.address.host().to_owned(),
        port: redis.address.port(),
        user: redis.user.clone(),
        password,
        authorities,
    };
    let script = SharedScript::new(&address, SHARED_SCRIPT);
    let refused = |error| Failure::Operator(format!("[redis]: {error}"));
    script.map(Some).map_err(refused)
}

/// Puts into the metrics whether rates are shared, until the tasks are stopped.
pub(super) fn watch(engine: &Engine, registry: &SharedRegistry, tasks: &Tasks) {
    if engine.shares_rates().is_none() {
        return;
    }
    let metrics = SharedMetrics::default();
    metrics.register(registry);
    let state = (engine.clone(), metrics);
    tasks.every(
        "shared rates watch",
        LOOK_EVERY,
        &state,
        async |(engine, metrics)| {
            metrics.observe(engine.shares_rates() == Some(true));
            Ok::<(), Infallible>(())
        },
    );
}
