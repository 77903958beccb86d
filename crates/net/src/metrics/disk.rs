//! What is known of the disk under a role's store.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::SharedRegistry;

/// The disk under a role's store.
#[derive(Clone, Default)]
pub struct DiskMetrics {
    reserve: Gauge,
    full: Counter,
}

impl DiskMetrics {
    /// Puts them into the registry; the reserve only where one is kept.
    pub fn register(&self, registry: &SharedRegistry, has_reserve: bool) {
        let mut registry = crate::lock(registry);
        if has_reserve {
            registry.register(
                "disk_reserve_bytes",
                "What is given back when the disk is full; 0 after it was",
                self.reserve.clone(),
            );
        }
        registry.register(
            "disk_full",
            "How often the store's disk was found full",
            self.full.clone(),
        );
    }

    /// What is known now.
    pub fn observe(&self, reserve_bytes: u64, full_times: u64) {
        self.reserve
            .set(i64::try_from(reserve_bytes).unwrap_or(i64::MAX));
        self.full.inc_by(full_times.saturating_sub(self.full.get()));
    }
}
