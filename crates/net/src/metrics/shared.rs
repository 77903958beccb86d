//! Whether rates are shared with other nodes.

use prometheus_client::metrics::gauge::Gauge;

use super::SharedRegistry;

/// The store of shared rates, as this node sees it.
#[derive(Clone, Default)]
pub struct SharedMetrics(Gauge);

impl SharedMetrics {
    /// Puts it into the registry.
    pub fn register(&self, registry: &SharedRegistry) {
        let mut registry = crate::lock(registry);
        registry.register(
            "rates_shared",
            "1 while rates are shared with other nodes, 0 while the store of them is away",
            self.0.clone(),
        );
    }

    /// How it is now.
    pub fn observe(&self, is_shared: bool) {
        self.0.set(i64::from(is_shared));
    }
}
