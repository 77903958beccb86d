//! The certificates of this process, from its own directory: its face's and its role's. Read at start, and again when the
//! files change, so that whoever renews them need not restart anything.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use coffer_core::Timestamp;
use coffer_crypto::pki::{self, Certificate};
use coffer_net::{
    Tasks,
    acme::Site,
    face::{Application, Face, FaceSettings, Overheard},
    link::Identity,
    metrics::{CertificateMetrics, SharedRegistry},
    tls::CertificateStore,
};
use tokio::sync::Notify;

use super::{acme::Keeper, pair::Pair, process::Process};
use crate::{
    directory::{Directory, Role},
    failure::Failure,
    secret_file,
};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(10);

/// The certificate of a role's faces.
pub(super) struct FaceCertificate {
    store: Arc<CertificateStore>,
    pair: Pair,
    keeper: Option<Keeper>,
    metrics: CertificateMetrics,
}

impl FaceCertificate {
    /// Loads it. There must be one, unless it is to be asked for, for these faces.
    pub(super) fn load(process: &mut Process, sites: Vec<Site>) -> Result<Self, Failure> {
        let role = process.role;
        let pair = Pair::of_face(&process.directory, role);
        pair.complete()?;
        let keeper = Keeper::of(process, sites)?;
        let store = match &keeper {
            Some(keeper) => CertificateStore::answering(keeper.challenges()),
            None => CertificateStore::new(),
        };
        let face = Self {
            store,
            pair,
            keeper,
            metrics: CertificateMetrics::default(),
        };
        let (chain, key) = (face.pair.chain.display(), face.pair.key.display());
        match (face.pair.exists(), face.keeper.is_some()) {
            (true, true) => {
                if let Err(failure) = face.read() {
                    tracing::warn!(%failure, "the certificate of the faces is not usable; another one is asked for");
                }
            }
            (true, false) => face.read()?,
            (false, true) => {
                tracing::warn!(%role, "the faces have no certificate yet and answer nobody until the authority issues one");
            }
            (false, false) => {
                return Err(Failure::Operator(format!(
                    "the face of {role} has no certificate: put its chain into {chain} and its key into {key}, or let an authority issue it: [acme] in coffer.toml"
                )));
            }
        }
        Ok(face)
    }

    /// An application that shows it, and its successors.
    pub(super) fn face(&self, app: impl Application, settings: FaceSettings) -> Face {
        Face::new(Arc::clone(&self.store), app, settings)
    }

    /// Who wants to know which keys came over plain HTTP, where challenges are answered.
    pub(super) fn overheard(&mut self, overheard: Overheard) {
        if let Some(keeper) = &mut self.keeper {
            keeper.overheard(&overheard);
        }
    }

    /// Says whether the faces have one, at any later time.
    pub(super) fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let store = Arc::clone(&self.store);
        move || {
            if store.is_loaded() {
                Ok(())
            } else {
                Err("the faces have no certificate yet".to_owned())
            }
        }
    }

    /// Loads it again whenever its files change, and has it renewed if that is ours to do. A pair that does not fit is
    /// logged, and the old one stays in use.
    pub(super) fn keep(mut self, registry: &SharedRegistry, tasks: &Tasks) -> Result<(), Failure> {
        self.metrics.register(registry);
        let changed = Arc::new(Notify::new());
        if let Some(keeper) = self.keeper.take() {
            keeper.run(self.metrics.clone(), Arc::clone(&changed), tasks)?;
        }
        let files = [self.pair.chain.clone(), self.pair.key.clone()];
        watch(tasks, "face certificate", files, changed, move || {
            self.read()
        });
        Ok(())
    }

    fn read(&self) -> Result<(), Failure> {
        let chain = read_public(&self.pair.chain)?;
        let key = secret_file::read(&self.pair.key)?;
        self.store.load_pem(&chain, &key).map_err(|error| {
            Failure::Operator(format!("{}: {error}", self.pair.chain.display()))
        })?;
        if let Some(leaf) = leaf(&chain) {
            self.metrics.loaded(leaf.not_after_s);
        }
        Ok(())
    }
}

/// The role's own certificate for the links, after completing a renewal that a crash may have interrupted.
pub(crate) fn identity(
    directory: &Directory,
    role: Role,
    now: Timestamp,
) -> Result<Arc<Identity>, Failure> {
    let pair = Pair::of_role(directory, role);
    pair.complete()?;
    let chain_path = pair.chain;
    let chain = read_public(&chain_path)?;
    if is_over(&chain, now) {
        return Err(Failure::Operator(format!(
            "{} is not valid any more: the role did not run for long; issue a new one with coffer init",
            chain_path.display()
        )));
    }
    let key = secret_file::read(&pair.key)?;
    let authority = read_public(&directory.authority())?;
    let identity = Identity::load(&chain, &key, &authority)
        .map_err(|error| Failure::Operator(format!("{}: {error}", chain_path.display())))?;
    Ok(Arc::new(identity))
}

/// Loads the role's certificate again whenever its files change.
pub(super) fn watch_identity(
    directory: &Directory,
    pair: &Pair,
    identity: Arc<Identity>,
    tasks: &Tasks,
) {
    let (chain, key) = (pair.chain.clone(), pair.key.clone());
    let authority = directory.authority();
    watch(
        tasks,
        "role certificate",
        [chain.clone(), key.clone()],
        Arc::new(Notify::new()),
        move || {
            identity
                .replace(
                    &read_public(&chain)?,
                    &secret_file::read(&key)?,
                    &read_public(&authority)?,
                )
                .map_err(|error| Failure::Operator(error.to_string()))
        },
    );
}

fn watch<const N: usize>(
    tasks: &Tasks,
    what: &'static str,
    files: [PathBuf; N],
    changed_now: Arc<Notify>,
    read: impl Fn() -> Result<(), Failure> + Send + 'static,
) {
    let mut stopping = Box::pin(tasks.stopping());
    let mut seen = files.each_ref().map(|file| changed(file));
    tasks.spawn(what, async move {
        loop {
            tokio::select! {
                () = &mut stopping => return,
                () = changed_now.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            let now = files.each_ref().map(|file| changed(file));
            if now == seen {
                continue;
            }
            // Not remembered unless it fits: of two files, the second may be written a moment after the first.
            match read() {
                Ok(()) => {
                    seen = now;
                    tracing::info!(certificate = what, "loaded a new certificate");
                }
                Err(failure) => tracing::warn!(certificate = what, %failure, "a new certificate is not usable; the old one stays"),
            }
        }
    });
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file)
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// The first certificate of a chain, if it can be read.
pub(crate) fn leaf(chain_pem: &str) -> Option<Certificate> {
    let chain = pki::pem_to_der(chain_pem).ok()?;
    pki::inspect(chain.first()?).ok()
}

/// Whether a chain's time has passed, or cannot be known.
pub(crate) fn is_over(chain_pem: &str, now: Timestamp) -> bool {
    leaf(chain_pem).is_none_or(|leaf| leaf.not_after_s <= now.as_seconds())
}

/// A file that is no secret.
pub(crate) fn read_public(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Operator(format!("{} cannot be read: {error}", path.display())))
}
