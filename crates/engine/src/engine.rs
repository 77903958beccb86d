//! The engine: its parts, how it is opened, and what it does in the background.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use coffer_audit::{Audit, Retention};
use coffer_core::{Timestamp, provider::Provider};
use coffer_crypto::{Context, Key, MacKey};
use coffer_db::{Database, SharedScript};
use coffer_net::{
    Clock, Tasks,
    contract::{GetDisk, Role, keys::Keys, vault::Vault},
    outbound::Outbound,
};

use crate::{
    AnchorSink, ApiKey, Card, Customer, DetectionSettings, Error, LimitSettings, Payment,
    ReadRecords, Refund, SigningKey, WebhookEndpoint,
    access_tokens::TokenCache,
    anchor::Anchoring,
    api_keys::{KeyCache, Uses},
    calls::Calls,
    changes::Changes,
    checkout::Checkout,
    detection::Detection,
    drive::OrderSigner,
    idempotency::Lately,
    limits::{Limits, Shared},
    refusals::Refusals,
    signing_keys::VerifierCache,
    sweeper::Settling,
    usage::Usage,
};

/// How often changes of other nodes are looked for.
const POLL_EVERY: Duration = Duration::from_millis(250);
const SWEEP_EVERY: Duration = Duration::from_millis(500);
const SEQUENCE_EVERY: Duration = Duration::from_millis(500);
const RETAIN_EVERY: Duration = Duration::from_secs(10);
const RECORD_EVERY: Duration = Duration::from_millis(250);
const KEEP_KEYS_EVERY: Duration = Duration::from_secs(30);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How answers that must survive a crash are written. The api crate gives it, because only it spells public JSON.
#[derive(Clone, Copy)]
pub struct Render {
    /// A payment.
    pub payment: fn(&Payment) -> Vec<u8>,
    /// A refund.
    pub refund: fn(&Refund) -> Vec<u8>,
    /// A customer.
    pub customer: fn(&Customer) -> Vec<u8>,
    /// A kept card.
    pub card: fn(&Card) -> Vec<u8>,
    /// An API key at a time, without its secret.
    pub api_key: fn(&ApiKey, Timestamp) -> Vec<u8>,
    /// A signing key at a time, without its private half.
    pub signing_key: fn(&SigningKey, Timestamp) -> Vec<u8>,
    /// A webhook endpoint, without its secret.
    pub webhook_endpoint: fn(&WebhookEndpoint) -> Vec<u8>,
    /// An event, as it is sent to webhook endpoints.
    pub event: fn(&coffer_core::event::Event) -> Vec<u8>,
}

/// What an engine needs to know.
pub struct Settings {
    /// What time it is.
    pub clock: Clock,
    /// The api's own key, from a file beside its database; its purposes are derived from it.
    pub service_key: Key,
    /// The name of this process.
    pub instance: String,
    /// Where payers pay: `https://pay.…`.
    pub checkout_origin: String,
    /// Where card fields come from: `https://fields.…`, the vault's own face.
    pub fields_origin: String,
    /// The development profile.
    pub development: bool,
    /// How much may be asked for.
    pub limits: LimitSettings,
    /// What runs [`crate::SHARED_SCRIPT`], where several nodes share their rates.
    pub shared: Option<SharedScript>,
    /// When what was read is on record.
    pub reads: ReadRecords,
    /// When something looks hostile, and what is done then.
    pub detection: DetectionSettings,
    /// How long what is on record keeps its contents.
    pub retention: Retention,
    /// Where the signed heads of the logs are kept elsewhere, if anywhere.
    pub anchor: Option<AnchorSink>,
    /// How webhooks are sent; its address policy decides whom they can reach.
    pub webhooks: Outbound,
    /// Who takes live payments.
    pub live_provider: Option<Provider>,
    /// How answers are written.
    pub render: Render,
}

/// Keys for the purposes of this role, derived from its service key.
pub(crate) struct Secrets {
    pub(crate) pepper: MacKey,
    pub(crate) idempotency: MacKey,
    pub(crate) answers: Key,
    pub(crate) webhooks: Key,
    pub(crate) tokens: Key,
}

pub(crate) struct Parts {
    pub(crate) db: Database,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) clock: Clock,
    pub(crate) instance: String,
    pub(crate) fields_origin: String,
    pub(crate) development: bool,
    pub(crate) live_provider: Option<Provider>,
    pub(crate) render: Render,
    pub(crate) secrets: Secrets,
    pub(crate) checkout: Checkout,
    pub(crate) audit: Audit,
    pub(crate) retention: Retention,
    pub(crate) anchoring: Option<Anchoring>,
    /// Whether the key server does not sign our log.
    pub(crate) log_refused: AtomicBool,
    pub(crate) key_cache: KeyCache,
    pub(crate) token_cache: TokenCache,
    pub(crate) verifiers: VerifierCache,
    pub(crate) uses: Uses,
    pub(crate) limits: Limits,
    pub(crate) calls: Calls,
    pub(crate) refusals: Refusals,
    pub(crate) usage: Usage,
    pub(crate) detection: Detection,
    pub(crate) changes: Changes,
    pub(crate) orders: OrderSigner,
    pub(crate) webhooks: Outbound,
    pub(crate) settling: Settling,
    pub(crate) lately: Lately,
}

/// The api's log, whose personal values are sealed under a key of the api's own: for whoever verifies it.
#[must_use]
pub fn log_of(service_key: &Key, instance: &str) -> Audit {
    Audit::new(
        service_key.derive(&Context::new("coffer audit v1")),
        instance,
    )
}

/// What Coffer does. Cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Parts>);

impl Engine {
    /// An engine over an open api.db.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        db: Database,
        vault: Arc<dyn Vault>,
        keys: Arc<dyn Keys>,
        settings: Settings,
    ) -> Result<Self, Error> {
        let purpose = |label| settings.service_key.derive(&Context::new(label));
        let secrets = Secrets {
            pepper: MacKey::new(&purpose("coffer api key hashes v1")),
            idempotency: MacKey::new(&purpose("coffer idempotency v1")),
            answers: purpose("coffer stored answers v1"),
            webhooks: purpose("coffer webhook secrets v1"),
            tokens: purpose("coffer access tokens v1"),
        };
        let checkout = Checkout {
            origin: settings.checkout_origin,
            key: MacKey::new(&purpose("coffer checkout v1")),
        };
        let shared = match settings.shared {
            Some(script) => Some(Shared::open(script, purpose("coffer shared rates v1")).await),
            None => None,
        };
        let changes = Changes::open(&db, settings.clock.now()).await?;
        let engine = Self(Arc::new(Parts {
            audit: log_of(&settings.service_key, &settings.instance),
            retention: settings.retention,
            anchoring: settings.anchor.map(Anchoring::new),
            log_refused: AtomicBool::new(false),
            orders: OrderSigner::new(),
            key_cache: KeyCache::empty(),
            token_cache: TokenCache::empty(),
            verifiers: VerifierCache::empty(),
            uses: Uses::default(),
            limits: Limits::new(settings.limits, shared),
            calls: Calls::new(settings.reads),
            refusals: Refusals::default(),
            usage: Usage::default(),
            detection: Detection::new(settings.detection),
            changes,
            secrets,
            checkout,
            db,
            vault,
            keys,
            clock: settings.clock,
            instance: settings.instance,
            fields_origin: settings.fields_origin,
            development: settings.development,
            live_provider: settings.live_provider,
            render: settings.render,
            webhooks: settings.webhooks,
            settling: Settling::default(),
            lately: Lately::default(),
        }));
        engine.load_blocks().await?;
        Ok(engine)
    }

    /// Starts what the engine does by itself, until the tasks are stopped.
    pub fn run(&self, tasks: &Tasks) {
        tasks.every("changes", POLL_EVERY, self, |engine| async move {
            engine.poll_changes().await
        });
        tasks.every("sweeper", SWEEP_EVERY, self, |engine| async move {
            engine.sweep().await.map(drop)
        });
        tasks.every(
            "audit sequencer",
            SEQUENCE_EVERY,
            self,
            |engine| async move { engine.keep_log().await },
        );
        tasks.every("audit retention", RETAIN_EVERY, self, |engine| async move {
            engine.retain_log().await
        });
        if let Some(anchoring) = &self.0.anchoring {
            tasks.every("anchor", anchoring.every(), self, |engine| async move {
                engine.send_heads().await
            });
        }
        tasks.every("record of calls", RECORD_EVERY, self, |engine| async move {
            engine.write_calls().await?;
            engine.write_refusals().await
        });
        tasks.every("API keys", KEEP_KEYS_EVERY, self, |engine| async move {
            engine.keep_keys().await
        });
        tasks.every("pruning", PRUNE_EVERY, self, |engine| async move {
            engine.prune().await
        });
        if self.shares_rates().is_some() {
            tasks.every("shared rates", Duration::ZERO, self, |engine| async move {
                engine.share_rates().await;
                Ok::<(), std::convert::Infallible>(())
            });
        }
        self.run_deliveries(tasks);
    }

    /// Writes what is only in memory yet, when all work has ended.
    pub async fn write_rest(&self) {
        let written = [
            self.write_calls().await,
            self.write_all_refusals().await,
            self.write_uses().await,
            self.write_usage().await,
        ];
        for written in written {
            if let Err(error) = written {
                tracing::error!(%error, "what was counted or read last could not be recorded");
            }
        }
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// Why not, for the operator.
    pub fn ready(&self) -> Result<(), String> {
        if self.0.db.healthy() {
            Ok(())
        } else {
            Err("the store cannot be written".to_owned())
        }
    }

    /// How often the disks under the stores of the other roles were full since they started; of those that answer.
    pub async fn disks_of_others(&self) -> Vec<(Role, u64)> {
        let (vault, keys) =
            tokio::join!(self.0.vault.disk(GetDisk {}), self.0.keys.disk(GetDisk {}));
        let answers = [(Role::Vault, vault), (Role::Keys, keys)];
        let told = answers
            .into_iter()
            .filter_map(|(role, answer)| Some((role, answer.ok()?.full_times)));
        told.collect()
    }

    pub(crate) fn db(&self) -> &Database {
        &self.0.db
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}
