//! The log: lines on stderr, for people or as JSON. Nothing here filters secrets: what logs one is a bug where it logs.

use tracing_subscriber::EnvFilter;

use crate::{
    configuration::{Log, LogFormat},
    failure::Failure,
};

/// Starts logging for the rest of the process.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| {
        Failure::Operator(format!(
            "[log] level = \"{}\" is not one: {error}",
            log.level
        ))
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Human => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::doing("starting the log", error))
}
