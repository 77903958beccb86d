//! Connections that had to leave for others, of all listeners of this process together.

use std::sync::LazyLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use super::SharedRegistry;

/// Of the whole process, as its listeners are: who comes and goes is nothing that they should be handed a counter for.
static EVICTIONS: LazyLock<Family<EvictionLabels, Counter>> = LazyLock::new(Family::default);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvictionLabels {
    reason: &'static str,
}

/// Why a connection had to leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Eviction {
    /// Too much of the same client was unfinished.
    Unfinished,
    /// The listener was full.
    Full,
    /// The same client began too many handshakes.
    Handshakes,
}

impl Eviction {
    /// Counts one.
    pub(crate) fn count(self) {
        self.counter().inc();
    }

    fn counter(self) -> Counter {
        let reason = match self {
            Self::Unfinished => "unfinished",
            Self::Full => "full",
            Self::Handshakes => "handshakes",
        };
        EVICTIONS.get_or_create_owned(&EvictionLabels { reason })
    }
}

/// Puts them into the registry.
pub fn register_evictions(registry: &SharedRegistry) {
    // Shown before the first, too.
    for reason in [Eviction::Unfinished, Eviction::Full, Eviction::Handshakes] {
        reason.counter();
    }
    let mut registry = crate::lock(registry);
    registry.register(
        "face_evictions",
        "Connections that were ended for others, by reason",
        EVICTIONS.clone(),
    );
}
