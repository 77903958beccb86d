//! The api's own log: chained about twice a second, its head signed by the key server when that can be reached.

use std::sync::atomic::Ordering;

use coffer_audit::{Growth, Notary, Signature};
use coffer_core::alert::AlertKind;
use coffer_net::contract::{
    Error as LinkError, Refusal,
    keys::{GetCheckpoint, SignCheckpoint},
};

use crate::{Engine, Error};

impl Engine {
    /// One pass: chains what was recorded since the last one, and has the head signed.
    pub(crate) async fn keep_log(&self) -> Result<(), Error> {
        let now = self.now();
        self.0.audit.sequence(self.db(), now).await?;
        match self.0.audit.checkpoint(self.db(), self, now).await {
            // A key server that is sealed or away signs later; the log goes on.
            Ok(_) | Err(Error::Sealed | Error::Unavailable) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One step of pruning what is older than the log is kept.
    pub(crate) async fn retain_log(&self) -> Result<(), Error> {
        let (now, id) = (self.now(), self.0.clock.id());
        let retained = self.0.audit.retain(self.db(), self.0.retention, now, id);
        retained.await?;
        Ok(())
    }
}

impl Notary for Engine {
    type Error = Error;

    async fn remembered(&self) -> Result<u64, Error> {
        Ok(self.0.keys.checkpoint(GetCheckpoint {}).await?.size)
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
        let signed = self.0.keys.sign_checkpoint(request).await;
        let is_refused = matches!(
            signed,
            Err(LinkError::Refused(Refusal::CheckpointInconsistent))
        );
        let was_refused = self.0.log_refused.swap(is_refused, Ordering::Relaxed);
        if is_refused && !was_refused {
            self.alert_raise(None, AlertKind::LogRefused, "api").await?;
        }
        let signed = signed?;
        Ok(Signature {
            time: signed.time,
            public_key: signed.public_key,
            bytes: signed.signature,
        })
    }
}
