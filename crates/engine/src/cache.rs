//! What every call needs and seldom changes, held in memory, so that it costs no query. A change empties it on every node
//! within a second (`changes.rs`).

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::sync::Cache;

/// Objects by id.
pub(crate) struct ObjectCache<I, T> {
    held: Cache<I, Arc<T>>,
    /// Grows with each forgetting, so that what was read before it is not put in after it.
    forgotten: AtomicU64,
}

impl<I: Hash + Eq + Clone, T> ObjectCache<I, T> {
    /// Holds so many; more are read from the store each time.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            held: Cache::new(most),
            forgotten: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, id: &I) -> Option<Arc<T>> {
        self.held.get(id)
    }

    pub(crate) fn forget(&self, id: I) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.held.remove(&id);
    }

    pub(crate) fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.held.clear();
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Keeps what was read when [`Self::forgotten`] was `before`. A revocation that came between may have missed it.
    pub(crate) fn keep(&self, id: I, object: &Arc<T>, before: u64) {
        self.held.insert(id.clone(), Arc::clone(object));
        if self.forgotten() != before {
            self.held.remove(&id);
        }
    }
}
