//! Counting and timing calls, for the operator. Labels come from our own tables, never from a request.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::contract::Role;

mod certificate;
mod disk;
mod evictions;
mod shared;

pub use certificate::{CertificateMetrics, TlsCheckMetrics, TlsChecked};
pub use disk::DiskMetrics;
pub(crate) use evictions::Eviction;
pub use evictions::register_evictions;
pub use shared::SharedMetrics;

/// The registry that a role's parts share and `/metrics` shows.
pub type SharedRegistry = Arc<Mutex<Registry>>;

/// An empty registry; all its names begin with `coffer_`.
#[must_use]
pub fn registry() -> SharedRegistry {
    Arc::new(Mutex::new(Registry::with_prefix("coffer")))
}

/// Everything in it, as text (OpenMetrics 1.0).
///
/// # Errors
/// When there is no memory for it.
pub fn encode(registry: &SharedRegistry, text: &mut String) -> std::fmt::Result {
    let registry = crate::lock(registry);
    prometheus_client::encoding::text::encode(text, &registry)
}

/// Calls between roles: how many, how they ended, how long they took.
#[derive(Clone)]
pub struct CallMetrics {
    calls: Family<CallLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    caller: &'static str,
    method: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    caller: &'static str,
    method: String,
}

impl CallMetrics {
    /// Puts the families into the registry.
    #[must_use]
    pub fn register(registry: &SharedRegistry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(latency),
        };
        let mut registry = crate::lock(registry);
        registry.register("calls", "Calls by other roles", metrics.calls.clone());
        registry.register(
            "call_seconds",
            "Time to answer a call",
            metrics.seconds.clone(),
        );
        drop(registry);
        metrics
    }

    /// Counts one call.
    pub fn observe(&self, caller: Role, method: &str, outcome: &'static str, took: Duration) {
        let (caller, method) = (caller.as_str(), method.to_owned());
        let by_method = MethodLabels {
            caller,
            method: method.clone(),
        };
        self.seconds
            .get_or_create(&by_method)
            .observe(took.as_secs_f64());
        self.calls
            .get_or_create(&CallLabels {
                caller,
                method,
                outcome,
            })
            .inc();
    }
}

/// Requests to a public face: how many, how they ended, how long they took.
#[derive(Clone)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

impl RequestMetrics {
    /// Puts the families into the registry.
    #[must_use]
    pub fn register(registry: &SharedRegistry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(latency),
        };
        let mut registry = crate::lock(registry);
        registry.register(
            "requests",
            "Requests by merchants",
            metrics.requests.clone(),
        );
        registry.register(
            "request_seconds",
            "Time to answer a request",
            metrics.seconds.clone(),
        );
        drop(registry);
        metrics
    }

    /// Counts one request by its declared route, never by its path.
    pub fn observe(&self, route: &'static str, status: u16, took: Duration) {
        self.seconds
            .get_or_create(&RouteLabels { route })
            .observe(took.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabels { route, status })
            .inc();
    }
}

/// From half a millisecond to 16 seconds.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}
