//! The state of the key server: sealed, or unsealed with what the root key gave. Everything that needs a key takes the
//! unsealed state first, as a value, and so cannot do without it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use coffer_audit::{Actor, ActorKind, Audit, Entry, Outcome};
use coffer_crypto::{Key, SecretBytes, SigningKey, pki::Authority};
use coffer_db::{Database, Transaction};
use coffer_net::{
    Clock, Tasks,
    contract::{Peer, Place, Refusal, Role, keys::Subject},
    link::Revoked,
};
use quick_cache::sync::Cache;

use crate::{
    Error, Settings,
    budget::{Budget, Purpose, Taken},
    hierarchy::{self, Hierarchy},
    opening::{Recording, Signer},
    root,
};

/// How often the log is sequenced and signed, and revoked certificates are read.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two steps of pruning the log.
const RETAIN_TICKS: u32 = 10;
/// Ticks between two prunings of the rest.
const PRUNE_TICKS: u32 = 60;
/// Api certificates whose order keys are remembered.
const SIGNERS_MAX: usize = 1_024;

/// Custody of keys. Clones are the same.
#[derive(Clone)]
pub struct Keys(Arc<State>);

struct State {
    db: Database,
    settings: Settings,
    audit: Audit,
    budget: Budget,
    revoked: Revoked,
    unsealed: ArcSwapOption<Unsealed>,
    recording: Recording,
    /// One passphrase is tried at a time: each costs memory and time on purpose.
    unsealing: tokio::sync::Mutex<()>,
}

/// What the root key gave. Holding it is the proof that the key server was unsealed; with its last holder it is wiped.
pub(crate) struct Unsealed {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) orders: Key,
    /// Those whose orders were lately checked.
    pub(crate) signers: Cache<String, Arc<Signer>>,
    pub(crate) authority: Authority,
    pub(crate) signing: SigningKey,
}

impl Keys {
    /// The key server over its database, sealed.
    ///
    /// # Errors
    /// `NotInitialised` when there is no root key yet; `Unavailable` when the store cannot serve.
    pub async fn open(db: Database, settings: Settings) -> Result<Self, Error> {
        if !root::is_initialised(&db).await? {
            return Err(Error::NotInitialised);
        }
        let keys = Self(Arc::new(State {
            // No entry of this log is personal: its actors are roles and the operator.
            audit: Audit::impersonal(&settings.instance),
            budget: Budget::new(&settings),
            revoked: Arc::new(ArcSwap::from_pointee(HashSet::new())),
            unsealed: ArcSwapOption::empty(),
            recording: Recording::default(),
            unsealing: tokio::sync::Mutex::new(()),
            db,
            settings,
        }));
        keys.refresh_revoked().await?;
        Ok(keys)
    }

    /// Takes the root key into memory.
    ///
    /// # Errors
    /// `PassphraseWrong`, which is on record; `Unavailable` when the store or the machine cannot serve.
    pub async fn unseal(&self, passphrase: &SecretBytes) -> Result<(), Error> {
        self.unseal_by(local(), passphrase).await
    }

    /// Drops the root key and everything that it gave.
    ///
    /// # Errors
    /// `Unavailable` when it could not be put on record; it is sealed all the same.
    pub async fn seal(&self) -> Result<(), Error> {
        self.seal_by(local()).await
    }

    /// Destroys the keys of a subject for good: nothing that was sealed under them will ever open.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot serve.
    pub async fn destroy_subject(&self, place: Place, subject: Subject) -> Result<(), Error> {
        let steps = hierarchy::destroy(place, subject, self.clock().now());
        let entry = Entry::new(local(), "subject_key.destroy")
            .place(place.account, place.mode)
            .object(subject);
        self.commit(steps, entry).await?;
        // Once more: a first key may have been made at the same moment. After the tombstone is stored none is used.
        let rest = hierarchy::delete(place, subject);
        self.0.db.transact(rest).await?;
        if let Some(unsealed) = self.0.unsealed.load_full() {
            unsealed.hierarchy.forget_subjects();
        }
        Ok(())
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// `Sealed`, or `Unavailable` after the store failed.
    pub fn ready(&self) -> Result<(), Error> {
        if !self.0.db.healthy() {
            return Err(Error::Unavailable("its last write failed".to_owned()));
        }
        self.unsealed().map(|_| ())
    }

    /// Whether the root key is not in memory.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.unsealed.load().is_none()
    }

    /// The revoked serials, for this process's own door; kept current by [`Keys::run`].
    #[must_use]
    pub fn revoked(&self) -> Revoked {
        self.0.revoked.clone()
    }

    /// Starts what happens in the background: the log's sequencer and checkpoints, and pruning.
    pub fn run(&self, tasks: &Tasks) {
        let (keys, stopping) = (self.clone(), tasks.stopping());
        tasks.spawn(
            "keys_background",
            async move { keys.background(stopping).await },
        );
    }

    /// One round of the background work.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot serve; `Defect` when the log is damaged.
    pub async fn tick(&self) -> Result<(), Error> {
        self.refresh_revoked().await?;
        self.0
            .audit
            .sequence(&self.0.db, self.clock().now())
            .await?;
        match self.0.unsealed.load_full() {
            Some(unsealed) => self.checkpoint_own(&unsealed).await,
            None => Ok(()),
        }
    }

    async fn background(&self, stopping: impl Future<Output = ()>) {
        let mut stopping = std::pin::pin!(stopping);
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 1_u32.. {
            tokio::select! {
                _ = interval.tick() => {}
                () = &mut stopping => break,
            }
            log_failure(self.tick().await);
            if round.is_multiple_of(RETAIN_TICKS) {
                log_failure(self.retain().await);
            }
            if round.is_multiple_of(PRUNE_TICKS) {
                log_failure(self.prune().await);
            }
        }
        // What was written last gets its place too.
        log_failure(self.tick().await);
    }

    async fn retain(&self) -> Result<(), Error> {
        let (now, id) = (self.clock().now(), self.clock().id());
        let retained = self
            .audit()
            .retain(self.db(), self.0.settings.retention, now, id);
        retained.await?;
        Ok(())
    }

    async fn prune(&self) -> Result<(), Error> {
        let now = self.clock().now();
        self.prune_openings(now).await?;
        Budget::prune(&self.0.db, now).await
    }

    pub(crate) async fn unseal_by(
        &self,
        actor: Actor,
        passphrase: &SecretBytes,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.0.unsealing.lock().await;
        let entry = Entry::new(actor, "custody.unseal");
        let root = match root::open(&self.0.db, passphrase).await {
            Ok(root) => root,
            Err(Error::Refused(refusal)) => {
                self.commit(Transaction::new(), entry.outcome(Outcome::Refused))
                    .await?;
                return Err(refusal.into());
            }
            Err(error) => return Err(error),
        };
        let (authority, signing) = root.signers(&self.0.db).await?;
        let hierarchy = Hierarchy::new(self.0.db.clone(), root.accounts());
        let unsealed = Unsealed {
            hierarchy,
            orders: root.orders(),
            signers: Cache::new(SIGNERS_MAX),
            authority,
            signing,
        };
        self.commit(Transaction::new(), entry).await?;
        self.0.unsealed.store(Some(Arc::new(unsealed)));
        tracing::info!("the key server is unsealed");
        Ok(())
    }

    pub(crate) async fn seal_by(&self, actor: Actor) -> Result<(), Error> {
        // Sealed first: a store that cannot record must not keep the key in memory.
        self.0.unsealed.store(None);
        tracing::info!("the key server is sealed");
        self.commit(Transaction::new(), Entry::new(actor, "custody.seal"))
            .await?;
        Ok(())
    }

    /// The proof that the key server is unsealed.
    pub(crate) fn unsealed(&self) -> Result<Arc<Unsealed>, Error> {
        self.0.unsealed.load_full().ok_or(Error::Sealed)
    }

    /// Commits the steps together with their entry in the log, which comes first: the steps may end with a look at what
    /// must still be so at the commit.
    pub(crate) async fn commit(
        &self,
        steps: Transaction,
        entry: Entry,
    ) -> Result<(), coffer_db::Error> {
        let clock = self.clock();
        let leaf = self.0.audit.leaf(clock.now(), clock.id(), entry);
        // An entry made here is short and not personal, so only a machine without randomness or memory refuses it.
        let leaf = leaf.map_err(|error| coffer_db::Error::Defect(error.to_string()))?;
        self.0.db.transact(leaf.append(steps)).await.map(|_| ())
    }

    /// Counts one use of the account's budget.
    pub(crate) async fn spend(
        &self,
        peer: &Peer,
        place: Place,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let first = match self
            .0
            .budget
            .take(&self.0.db, place, purpose, self.clock().now())
            .await?
        {
            Taken::Within => return Ok(()),
            Taken::Beyond { first } => first,
        };
        if first {
            Box::pin(self.exhausted(peer, place, purpose)).await?;
        }
        Err(Refusal::BudgetExhausted.into())
    }

    async fn exhausted(&self, peer: &Peer, place: Place, purpose: Purpose) -> Result<(), Error> {
        tracing::warn!(
            account = %place.account,
            mode = %place.mode,
            purpose = purpose.as_str(),
            peer.instance = peer.instance,
            "an account's hourly budget is exhausted"
        );
        let entry = entry(peer, "budget.exhaust")
            .place(place.account, place.mode)
            .object(purpose.as_str());
        self.commit(Transaction::new(), entry.outcome(Outcome::Refused))
            .await?;
        Ok(())
    }

    pub(crate) async fn refresh_revoked(&self) -> Result<(), Error> {
        let serials = self.revoked_serials().await?;
        self.0
            .revoked
            .store(Arc::new(serials.into_iter().collect()));
        Ok(())
    }

    pub(crate) fn db(&self) -> &Database {
        &self.0.db
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.settings.clock
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.0.audit
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub(crate) fn recording(&self) -> &Recording {
        &self.0.recording
    }
}

/// The operator at this machine's command line.
pub(crate) fn local() -> Actor {
    Actor::new(ActorKind::Operator, "local")
}

/// A caller as the log names it.
pub(crate) fn actor(peer: &Peer) -> Actor {
    let kind = match peer.role {
        Role::Operator => ActorKind::Operator,
        Role::Api | Role::Vault | Role::Keys => ActorKind::Role,
    };
    Actor::new(kind, format_args!("{}/{}", peer.role, peer.instance))
}

/// An entry about what a caller did.
pub(crate) fn entry(peer: &Peer, action: &'static str) -> Entry {
    Entry::new(actor(peer), action)
}

fn log_failure(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "the key server's background work failed");
    }
}
