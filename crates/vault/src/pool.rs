//! Data keys in stock, so that sealing a card needs no round trip to `keys`.
//!
//! Each is made for one record id that does not exist yet, and leaves the pool to seal exactly that record. The pool is in
//! memory only; what is in it when the process ends was never used for anything.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use coffer_core::{id::RecordId, limits::DATA_KEY_BATCH_MAX};
use coffer_crypto::Key;
use coffer_net::{
    Clock,
    contract::{
        Place,
        keys::{Class, Issue, IssuedKey, Keys, Subject, WrappedKey},
    },
};
use tokio::sync::Notify;

use crate::Error;

/// Accounts and modes with keys in stock at a time.
const PLACES_MAX: usize = 1024;
/// The first batch of a place; each further one is twice as large, up to [`DATA_KEY_BATCH_MAX`].
const BATCH_FIRST: usize = 16;

/// A new data key for one record. It is moved into the sealing of that record.
pub(crate) struct DataKey {
    pub(crate) record: RecordId,
    pub(crate) key: Key,
    pub(crate) wrapped: WrappedKey,
}

/// The stock of one account and mode.
struct Shelf {
    ready: Vec<DataKey>,
    batch: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            batch: BATCH_FIRST,
        }
    }
}

impl Shelf {
    fn is_low(&self) -> bool {
        self.ready.len() < self.batch.div_ceil(2)
    }
}

/// The stock of all accounts.
pub(crate) struct Pool {
    keys: Arc<dyn Keys>,
    clock: Clock,
    shelves: Mutex<HashMap<Place, Shelf>>,
    /// Held while a key is fetched for someone who waits, so that a hundred who wait fetch one batch.
    fetching: tokio::sync::Mutex<()>,
    low: Notify,
}

impl Pool {
    pub(crate) fn new(keys: Arc<dyn Keys>, clock: Clock) -> Self {
        Self {
            keys,
            clock,
            shelves: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            low: Notify::new(),
        }
    }

    /// A data key for a new record; from `keys` at once when none is in stock.
    pub(crate) async fn take(&self, place: Place) -> Result<DataKey, Error> {
        if let Some(key) = self.pop(place) {
            return Ok(key);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(key) = self.pop(place) {
            return Ok(key);
        }
        self.fetch(place).await?;
        self.pop(place)
            .ok_or_else(|| Error::Defect("the key server issued no key".to_owned()))
    }

    /// Waits until some stock is low, then fills up; for the background task.
    pub(crate) async fn refill(&self) {
        self.low.notified().await;
        for place in self.low_places() {
            // Whoever needs a key while `keys` is away asks itself and is told so.
            if let Err(error) = self.fetch(place).await {
                tracing::debug!(%error, "data keys could not be refilled");
                return;
            }
        }
    }

    fn pop(&self, place: Place) -> Option<DataKey> {
        let mut shelves = self.lock();
        let shelf = shelves.get_mut(&place)?;
        let key = shelf.ready.pop();
        if key.is_some() && shelf.is_low() {
            self.low.notify_one();
        }
        key
    }

    async fn fetch(&self, place: Place) -> Result<(), Error> {
        let batch = self
            .lock()
            .get(&place)
            .map_or(BATCH_FIRST, |shelf| shelf.batch);
        let records = (0..batch).map(|_| self.clock.id()).collect();
        let request = Issue {
            place,
            subject: Subject::Account,
            class: Class::Card,
            records,
        };
        let issued = self.keys.issue(request).await?;
        self.put(place, issued.keys);
        Ok(())
    }

    fn put(&self, place: Place, issued: Vec<IssuedKey>) {
        let mut shelves = self.lock();
        if shelves.len() >= PLACES_MAX && !shelves.contains_key(&place) {
            // Unused keys protect nothing, so those of any other place can go.
            let other = shelves.keys().next().copied();
            other.and_then(|other| shelves.remove(&other));
        }
        let shelf = shelves.entry(place).or_default();
        shelf.batch = shelf.batch.saturating_mul(2).min(DATA_KEY_BATCH_MAX);
        shelf.ready.extend(issued.into_iter().map(|one| DataKey {
            record: one.record,
            key: one.key.into_key(),
            wrapped: one.wrapped,
        }));
    }

    fn low_places(&self) -> Vec<Place> {
        let low = |(place, shelf): (&Place, &Shelf)| shelf.is_low().then_some(*place);
        self.lock().iter().filter_map(low).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Shelf>> {
        coffer_net::lock(&self.shelves)
    }
}
