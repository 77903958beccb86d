//! A few connections that all reads share: many are on their way at once on each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use deadpool::managed::Manager as _;
use deadpool_postgres::{ClientWrapper, Manager};
use tokio::sync::Mutex;

use super::{failure, session};
use crate::{Error, Unavailable};

/// Connections for reads. More would let a long read delay fewer short ones, and cost the server a process each.
pub(super) const READERS: usize = 2;

/// They read only: a statement that writes is refused by the server.
const SETTINGS: &str = "SET default_transaction_read_only = on";

pub(super) struct Readers {
    manager: Manager,
    slots: [ArcSwapOption<ClientWrapper>; READERS],
    turn: AtomicUsize,
    /// Held while connecting, so that a server that comes back is not met by everybody at once.
    connecting: Mutex<()>,
}

impl Readers {
    pub(super) fn new(manager: Manager) -> Self {
        Self {
            manager,
            slots: [const { ArcSwapOption::const_empty() }; READERS],
            turn: AtomicUsize::new(0),
            connecting: Mutex::new(()),
        }
    }

    /// A connection that works as far as is known.
    pub(super) async fn client(&self) -> Result<Arc<ClientWrapper>, Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % READERS;
        let slot = self.slots.get(turn).ok_or(Unavailable::Closed)?;
        if let Some(open) = alive(slot) {
            return Ok(open);
        }
        let _alone = self.connecting.lock().await;
        if let Some(open) = alive(slot) {
            return Ok(open);
        }
        let fresh = Arc::new(self.connect().await?);
        slot.store(Some(Arc::clone(&fresh)));
        Ok(fresh)
    }

    async fn connect(&self) -> Result<ClientWrapper, Error> {
        let client = self.manager.create().await;
        let client = client.map_err(|error| failure::of_connection(&error))?;
        session::check(&client).await?;
        let limited = client.batch_execute(SETTINGS).await;
        limited.map_err(|error| failure::of_connection(&error))?;
        Ok(client)
    }

    /// Reads that are on their way keep their connection until they end.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            slot.store(None);
        }
    }
}

fn alive(slot: &ArcSwapOption<ClientWrapper>) -> Option<Arc<ClientWrapper>> {
    slot.load_full().filter(|client| !client.is_closed())
}
