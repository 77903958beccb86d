//! A payment provider for test mode: an HTTPS server in its own process, with its own ledger on disk.
//!
//! It is what the vault talks to when no money may move, and what tests compare Coffer's records with. It does what a
//! good provider does (an operation happens once per idempotency key and is durable before it is answered) and, on order,
//! what a bad one does. `docs/testing.md` describes its cards and its protocol. It must not be given real cards, and it
//! declines those it does not know.

mod api;
mod card;
mod challenge;
mod error;
mod ledger;
mod misbehave;
mod notify;
mod operation;
mod store;
mod switches;
mod test_cards;
mod url;

use std::sync::Arc;

use coffer_core::Timestamp;
use coffer_crypto::{Mac, SecretBytes, mac_bytes};
use coffer_db::Database;
use coffer_net::{Clock, Tasks, outbound::Outbound};
use tokio::sync::Notify;

pub use error::Error;
pub use operation::{Operation, Status};
pub use store::{MIGRATIONS, STATEMENTS};
pub use switches::{Behaviour, Switch, Switches};
pub use test_cards::{APPROVED_PREFIX, CardOutcome, TEST_CARDS, TestCard};

/// What the simulator needs to know.
pub struct Settings {
    /// Tells the time.
    pub clock: Clock,
    /// Where payers reach its challenge pages: `https://host:port`.
    pub public_url: String,
    /// The bearer token that the vault sends; at least 128 random bits, since it also keys what is stored of requests.
    pub credential: SecretBytes,
    /// What to do wrong.
    pub switches: Switches,
    /// Sends notifications.
    pub outbound: Outbound,
}

/// The simulator. A cheap handle.
#[derive(Clone)]
pub struct Simulator(Arc<Inner>);

struct Inner {
    db: Database,
    settings: Settings,
    compare_key: [u8; 32],
    credential_mac: Mac,
    notifications_due: Notify,
}

impl Simulator {
    /// A simulator on a database that was opened with [`MIGRATIONS`] and [`STATEMENTS`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the machine gives no randomness.
    pub fn open(db: Database, mut settings: Settings) -> Result<Self, Error> {
        let compare_key: [u8; 32] =
            coffer_crypto::random().map_err(|error| Error::Unavailable(error.to_string()))?;
        let kept = settings.public_url.trim_end_matches('/').len();
        settings.public_url.truncate(kept);
        // Exposed to be compared: see `authenticate`.
        let credential_mac = mac_bytes(&compare_key, &[settings.credential.expose()]);
        Ok(Self(Arc::new(Inner {
            db,
            settings,
            compare_key,
            credential_mac,
            notifications_due: Notify::new(),
        })))
    }

    /// Its protocol and its pages, to be served over TLS.
    pub fn router(&self) -> axum::Router {
        challenge::with_page_headers(
            api::routes(self)
                .merge(challenge::routes(self))
                .fallback(|| async { Error::NotFound }),
        )
    }

    /// Starts sending notifications, until the tasks are told to stop.
    pub fn run(&self, tasks: &Tasks) {
        tasks.spawn(
            "simulator notifications",
            notify::run(self.clone(), tasks.clone()),
        );
    }

    /// Checks a bearer token in constant time: what is compared are MACs under a key that nobody else knows.
    pub(crate) fn authenticate(&self, token: &[u8]) -> Result<(), Error> {
        let given = mac_bytes(&self.0.compare_key, &[token]);
        let right = given.matches(&self.0.credential_mac);
        right.then_some(()).ok_or(Error::Unauthenticated)
    }

    pub(crate) fn db(&self) -> &Database {
        &self.0.db
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.settings.clock.now()
    }

    pub(crate) fn wake_notifications(&self) {
        self.0.notifications_due.notify_one();
    }

    pub(crate) async fn notifications_due(&self) {
        self.0.notifications_due.notified().await;
    }
}
