//! The certificates of this process, from its own directory: its face's and its role's. Read at start, and again when the
//! files change, so that whoever renews them need not restart anything.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::Router;
use coffer_core::Timestamp;
use coffer_crypto::pki::{self, Certificate};
use coffer_net::{
    Tasks,
    face::{Face, FaceSettings},
    link::Identity,
    tls::CertificateStore,
};

use crate::{
    directory::{Directory, Role},
    failure::Failure,
    init::{
        development::{FACE_CERTIFICATE, FACE_KEY},
        roles::{CERTIFICATE, CERTIFICATE_KEY},
    },
    secret_file,
};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(10);

/// The certificate of a role's faces.
pub(super) struct FaceCertificate {
    store: Arc<CertificateStore>,
    chain: PathBuf,
    key: PathBuf,
}

impl FaceCertificate {
    /// Loads it.
    pub(super) fn load(directory: &Directory, role: Role) -> Result<Self, Failure> {
        let (chain, key) = (
            directory.file(role, FACE_CERTIFICATE),
            directory.file(role, FACE_KEY),
        );
        if !chain.exists() || !key.exists() {
            let (chain, key) = (chain.display(), key.display());
            return Err(Failure::Operator(format!(
                "the face of {role} has no certificate: put its chain into {chain} and its key into {key}"
            )));
        }
        let face = Self {
            store: CertificateStore::new(),
            chain,
            key,
        };
        face.read()?;
        Ok(face)
    }

    /// An application that shows it, and its successors.
    pub(super) fn face(&self, app: Router, settings: FaceSettings) -> Face {
        Face::new(Arc::clone(&self.store), app, settings)
    }

    fn read(&self) -> Result<(), Failure> {
        let chain = read_public(&self.chain)?;
        let key = secret_file::read(&self.key)?;
        self.store
            .load_pem(&chain, &key)
            .map_err(|error| Failure::Operator(format!("{}: {error}", self.chain.display())))
    }

    /// Loads it again whenever its files change. A pair that does not fit is logged, and the old one stays in use.
    pub(super) fn watch(self, tasks: &Tasks) {
        let files = [self.chain.clone(), self.key.clone()];
        watch(tasks, "face certificate", files, move || self.read());
    }
}

/// The role's own certificate for the links, after completing a renewal that a crash may have interrupted.
pub(crate) fn identity(
    directory: &Directory,
    role: Role,
    now: Timestamp,
) -> Result<Arc<Identity>, Failure> {
    super::renewal::complete(directory, role)?;
    let chain_path = directory.file(role, CERTIFICATE);
    let chain = read_public(&chain_path)?;
    if is_over(&chain, now) {
        return Err(Failure::Operator(format!(
            "{} is not valid any more: the role did not run for long; issue a new one with coffer init",
            chain_path.display()
        )));
    }
    let key = secret_file::read(&directory.file(role, CERTIFICATE_KEY))?;
    let authority = read_public(&directory.authority())?;
    let identity = Identity::load(&chain, &key, &authority)
        .map_err(|error| Failure::Operator(format!("{}: {error}", chain_path.display())))?;
    Ok(Arc::new(identity))
}

/// Loads the role's certificate again whenever its files change.
pub(super) fn watch_identity(
    directory: &Directory,
    role: Role,
    identity: Arc<Identity>,
    tasks: &Tasks,
) {
    let (chain, key) = (
        directory.file(role, CERTIFICATE),
        directory.file(role, CERTIFICATE_KEY),
    );
    let authority = directory.authority();
    watch(
        tasks,
        "role certificate",
        [chain.clone(), key.clone()],
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
    read: impl Fn() -> Result<(), Failure> + Send + 'static,
) {
    let mut stopping = Box::pin(tasks.stopping());
    let mut seen = files.each_ref().map(|file| changed(file));
    tasks.spawn(what, async move {
        loop {
            tokio::select! {
                () = &mut stopping => return,
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
