//! The configured payment providers, and their credentials, which are sealed in the store and opened for one request at a
//! time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use coffer_core::{Mode, Timestamp, provider::Provider};
use coffer_crypto::{Context, Key, SecretBytes, open, seal};
use coffer_db::{Database, Transaction, Value, params};
use ipnet::IpNet;
use tokio::time::Instant;

use crate::{Adapter, Error, ProviderSettings, egress::Egress, store};

/// Credentials belong to the operator, so to no account.
const NO_ACCOUNT: &str = "";
/// How long a credential is used as it was read, sealed: another vault may have stored a new one.
const KEPT: Duration = Duration::from_secs(1);

/// One provider in one mode.
pub(crate) struct Line {
    pub(crate) name: Provider,
    pub(crate) mode: Mode,
    pub(crate) adapter: Adapter,
    pub(crate) egress: Egress,
    /// The sealed credential as it was read last, and when.
    kept: Mutex<Option<(Instant, Arc<[u8]>)>>,
}

/// All of them.
pub(crate) struct Providers(Vec<Arc<Line>>);

impl Providers {
    /// Takes over the configuration; a credential that it holds is sealed into the store.
    pub(crate) async fn open(
        db: &Database,
        key: &Key,
        settings: Vec<ProviderSettings>,
        allow_networks: &[IpNet],
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut lines = Self(Vec::new());
        for one in settings {
            if lines.find(one.mode, &one.name).is_some() {
                return Err(unfit(&one.name, "is configured twice for one mode"));
            }
            let egress = Egress::new(&one.url, one.extra_ca_pem.as_deref(), allow_networks)?;
            let line = Line {
                name: one.name,
                mode: one.mode,
                adapter: one.adapter,
                egress,
                kept: Mutex::default(),
            };
            match one.credential {
                Some(credential) => line.put_credential(db, key, &credential, now).await?,
                None => {
                    line.credential(db, key)
                        .await
                        .map_err(|_| unfit(&line.name, "has no credential that opens"))?;
                }
            }
            lines.0.push(Arc::new(line));
        }
        Ok(lines)
    }

    pub(crate) fn find(&self, mode: Mode, name: &Provider) -> Option<Arc<Line>> {
        self.0
            .iter()
            .find(|line| line.mode == mode && line.name == *name)
            .map(Arc::clone)
    }
}

impl Line {
    /// What proves the vault to the provider, opened for one request.
    pub(crate) async fn credential(&self, db: &Database, key: &Key) -> Result<SecretBytes, Error> {
        let sealed = match self.kept() {
            Some(sealed) => sealed,
            None => self.sealed_credential(db).await?,
        };
        Ok(open(key, &self.context(), &sealed)?)
    }

    fn kept(&self) -> Option<Arc<[u8]>> {
        let kept = coffer_net::lock(&self.kept);
        let fresh = kept.as_ref().filter(|(at, _)| at.elapsed() < KEPT);
        fresh.map(|(_, sealed)| Arc::clone(sealed))
    }

    async fn sealed_credential(&self, db: &Database) -> Result<Arc<[u8]>, Error> {
        let at = Instant::now();
        let row = db
            .read_optional(&store::CREDENTIAL_BY_PROVIDER, self.row_key())
            .await?;
        let row = row.ok_or_else(|| {
            Error::Defect(format!("provider {} has no credential", self.name.as_str()))
        })?;
        let sealed: Arc<[u8]> = row.bytes("sealed")?.into();
        *coffer_net::lock(&self.kept) = Some((at, Arc::clone(&sealed)));
        Ok(sealed)
    }

    async fn put_credential(
        &self,
        db: &Database,
        key: &Key,
        credential: &SecretBytes,
        now: Timestamp,
    ) -> Result<(), Error> {
        // Exposed to be sealed.
        let sealed = seal(key, &self.context(), credential.expose())?;
        let mut values = self.row_key();
        values.extend(params![sealed, now.as_millis()]);
        db.transact(Transaction::new().one(&store::CREDENTIAL_PUT, values))
            .await?;
        Ok(())
    }

    fn row_key(&self) -> Vec<Value> {
        params![NO_ACCOUNT, self.mode.as_str(), self.name.as_str()]
    }

    fn context(&self) -> Context {
        Context::new("vault/credential/v1")
            .text(self.mode.as_str())
            .text(self.name.as_str())
    }
}

fn unfit(name: &Provider, what: &str) -> Error {
    Error::Unfit(format!("provider {} {what}", name.as_str()))
}
