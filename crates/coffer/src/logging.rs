//! The log: lines on stderr, for people or as JSON. Nothing here filters secrets: what logs one is a bug where it logs.
//!
//! A line that is written for a request ends with its id. It is taken from the task when there is a line; a span around each
//! request would be made, and its id written out, for all those requests of which nothing is ever logged.

use std::fmt;

use coffer_net::request_id;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{self, Writer},
    },
    registry::LookupSpan,
};

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
        LogFormat::Human => lines
            .with_ansi(false)
            .event_format(WithRequest {
                line: format::format().with_ansi(false),
                end: "\n",
                request: |id| format!(" request.id={id}\n"),
            })
            .try_init(),
        LogFormat::Json => lines
            .json()
            .event_format(WithRequest {
                line: format::format().json().flatten_event(true),
                end: "}\n",
                request: |id| format!(",\"request.id\":\"{id}\"}}\n"),
            })
            .try_init(),
    };
    started.map_err(|error| Failure::doing("starting the log", error))
}

/// Lines with the id of the request that the task works for, if it works for one.
struct WithRequest<F> {
    line: F,
    /// How every line ends.
    end: &'static str,
    /// How a line ends that belongs to a request.
    request: fn(&str) -> String,
}

impl<S, N, F> FormatEvent<S, N> for WithRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = request_id::current() else {
            return self.line.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.line
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(line.strip_suffix(self.end).unwrap_or(&line))?;
        writer.write_str(&(self.request)(&id.to_string()))
    }
}
