//! What the vault does by itself: chains and signs its log, fills up data keys, and drops what is over.

use std::time::Duration;

use coffer_audit::{Growth, Notary, Signature};
use coffer_core::Timestamp;
use coffer_db::{Statement, Transaction, params};
use coffer_net::{
    Tasks,
    contract::keys::{GetCheckpoint, SignCheckpoint},
};

use crate::{Error, Vault, store};

const SEQUENCE_EVERY: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(10);
/// How long an expired token is still told from an unknown one, and its record kept. No attempt that claimed the token in
/// time runs that long.
const PRUNE_AFTER_MS: i64 = 60 * 60 * 1000;
/// Passes over one table at a time; each drops at most 500 rows.
const PRUNE_PASSES_MAX: usize = 20;

impl Vault {
    /// Starts the vault's own tasks; they end when `tasks` stops.
    pub fn run(&self, tasks: &Tasks) {
        tasks.every("vault_log", SEQUENCE_EVERY, self, |vault| async move {
            vault.keep_log().await
        });
        tasks.every("vault_prune", PRUNE_EVERY, self, |vault| async move {
            vault.prune().await
        });
        self.watch_fields(tasks);
        let (vault, stopping) = (self.clone(), tasks.stopping());
        tasks.spawn("vault_data_keys", async move {
            tokio::select! {
                () = stopping => {}
                () = async { loop { vault.parts.pool.refill().await } } => {}
            }
        });
    }

    async fn keep_log(&self) -> Result<(), Error> {
        let (db, now) = (&self.parts.db, self.parts.clock.now());
        self.parts.audit.sequence(db, now).await?;
        match self.parts.audit.checkpoint(db, self, now).await {
            // A key server that is sealed or away signs later, and says so itself; the log goes on.
            Ok(_) | Err(Error::Sealed | Error::Away(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Drops expired tokens with their cards, unless these were kept; expired intakes; codes of expired tokens; and what the
    /// log has kept long enough.
    /// [`Vault::run`] does it every ten seconds.
    ///
    /// # Errors
    /// `Away` when the store cannot serve.
    pub async fn prune(&self) -> Result<(), Error> {
        let now = self.parts.clock.now();
        self.parts.cvcs.prune(now);
        let before = now.plus_millis(PRUNE_AFTER_MS.saturating_neg());
        for statement in [
            &store::TOKENS_PRUNE,
            &store::INTAKES_PRUNE,
            &store::RECORDS_PRUNE,
        ] {
            self.prune_table(statement, before).await?;
        }
        let parts = &self.parts;
        let retained = parts
            .audit
            .retain(&parts.db, parts.retention, now, parts.clock.id());
        retained.await?;
        Ok(())
    }

    async fn prune_table(
        &self,
        statement: &'static Statement,
        before: Timestamp,
    ) -> Result<(), Error> {
        for _ in 0..PRUNE_PASSES_MAX {
            let pass = Transaction::new().any(statement, params![before.as_millis()]);
            if self.parts.db.transact(pass).await?.touched(statement) == 0 {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// `keys` signs the vault's log.
impl Notary for Vault {
    type Error = Error;

    async fn remembered(&self) -> Result<u64, Error> {
        Ok(self.parts.keys.checkpoint(GetCheckpoint {}).await?.size)
    }

    async fn sign(&self, growth: Growth) -> Result<Signature, Error> {
        let Growth {
            tree,
            from_size,
            consistency,
        } = growth;
        let request = SignCheckpoint {
            size: tree.size,
            root: tree.root,
            from_size,
            consistency,
        };
        let signed = self.parts.keys.sign_checkpoint(request).await?;
        Ok(Signature {
            time: signed.time,
            public_key: signed.public_key,
            bytes: signed.signature,
        })
    }
}
