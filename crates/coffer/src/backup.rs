//! `coffer backup`: a role's whole store as one encrypted file, made while the role runs, with the role's own rights.
//!
//! There is never a key in it: what opens the ciphertext in the rows (`service.key`, the passphrase of the root key) and what
//! opens doors (certificates' keys, passwords) are files beside the store, which the operator keeps elsewhere.

mod content;
mod create;
mod file;
mod restore;
mod verify;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use coffer_core::{Timestamp, words};
use coffer_crypto::{Context, SecretBytes, mac};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{
    acting::ActingAsOwner,
    cli::BackupCommand,
    configuration::Configuration,
    directory::{Directory, Role},
    failure::Failure,
    init::SERVICE_KEY,
    secret_file,
    serve::{schema::Schema, store::Store},
};

/// What the role remembers of its backups, in its directory.
const NOTES: &str = "backup.json";
/// So many deeds wait for the role to put them on record.
const ACTS_MAX: usize = 100;

/// Runs a command.
pub(crate) fn run(command: &BackupCommand) -> Result<(), Failure> {
    coffer_net::tls::install_provider();
    match command {
        BackupCommand::Create {
            role,
            place,
            to,
            passphrase_file,
            wait,
        } => {
            let (site, passphrase) = Site::open(&place.dir, *role, passphrase_file.as_deref())?;
            let wait = Duration::from_secs(u64::from(*wait).saturating_mul(60));
            create::run(&site, to, &passphrase, wait)
        }
        BackupCommand::Verify {
            file,
            place,
            passphrase_file,
        } => {
            let passphrase = match passphrase_file {
                Some(path) => secret_file::read_text(path)?,
                None => {
                    let directory = Directory::open(&place.dir)?;
                    let configuration = Configuration::load(&directory.configuration())?;
                    passphrase(&directory, &configuration, None)?
                }
            };
            verify::run(file, &passphrase)
        }
        BackupCommand::Restore {
            role,
            file,
            place,
            passphrase_file,
            drill,
        } => {
            // On a new machine there may be nothing yet but the settings.
            let directory = Directory::open(&place.dir)?;
            directory.make_role(*role)?;
            // What root has put back is the role's.
            directory.settle_owner(*role)?;
            let (site, passphrase) = Site::open(&place.dir, *role, passphrase_file.as_deref())?;
            if *drill {
                restore::drill(&site, file, &passphrase)
            } else {
                restore::run(&site, file, &passphrase)
            }
        }
    }
}

/// The role whose store is backed up or restored, and where it lives.
struct Site {
    role: Role,
    directory: Directory,
    configuration: Configuration,
    schema: Schema,
    // What is left here by another user the role could not open.
    _acting: ActingAsOwner,
}

impl Site {
    /// The site, worked at by the role's user, and the passphrase, which only root may be able to read.
    fn open(
        dir: &Path,
        role: Role,
        passphrase_file: Option<&Path>,
    ) -> Result<(Self, SecretBytes), Failure> {
        if role == Role::Simulator {
            return Err(Failure::Operator(
                "the simulator moves no money and is not backed up; name api, vault or keys"
                    .to_owned(),
            ));
        }
        let directory = Directory::open(dir)?;
        let configuration = Configuration::load(&directory.configuration())?;
        let passphrase = passphrase(&directory, &configuration, passphrase_file)?;
        let acting = directory.act_as_owner(role)?;
        directory.check_owner(role)?;
        let site = Self {
            role,
            directory,
            configuration,
            schema: Schema::of(role),
            _acting: acting,
        };
        Ok((site, passphrase))
    }

    fn store(&self) -> Result<Store, Failure> {
        Store::of(
            &self.directory,
            self.configuration.postgres.as_ref(),
            self.role,
        )
    }

    /// A code that tells whether the role's own key is the one that this backup's ciphertext needs; `None` where there is no
    /// key in a file. It says nothing about the key: that has 256 random bits.
    fn key_check(&self, backup: &str) -> Result<Option<String>, Failure> {
        let path = self.directory.file(self.role, SERVICE_KEY);
        if self.role == Role::Keys || !path.exists() {
            return Ok(None);
        }
        let key = secret_file::read_key(&path)?.derive(&Context::new("coffer backup check v1"));
        let context = Context::new("coffer backup check v1")
            .text(self.role.as_str())
            .text(backup);
        Ok(Some(HEXLOWER.encode(mac(&key, &context).as_bytes())))
    }

    fn note(&self, change: impl FnOnce(&mut Notes)) -> Result<(), Failure> {
        let mut notes = Notes::of(&self.directory, self.role).unwrap_or_default();
        change(&mut notes);
        let text = serde_json::to_vec_pretty(&notes)
            .map_err(|error| Failure::doing("noting the backup", error))?;
        secret_file::replace(&self.directory.file(self.role, NOTES), &text)
    }
}

/// The passphrase of the backups: never beside what it protects.
fn passphrase(
    directory: &Directory,
    configuration: &Configuration,
    given: Option<&Path>,
) -> Result<SecretBytes, Failure> {
    let configured = configuration.backup.passphrase_file.as_deref();
    let path = given.or(configured).ok_or_else(|| {
        Failure::Operator(
            "backups are encrypted: name the file with their passphrase, outside the data directory and kept apart from the \
             backups, with --passphrase-file or [backup] passphrase_file. Only before the first backup of all, make one with:\n  \
             (umask 077; set -o noclobber; openssl rand -base64 33 > /etc/coffer/backup-passphrase)"
                .to_owned(),
        )
    })?;
    if is_inside(path, directory) {
        return Err(Failure::Operator(format!(
            "{} is inside the data directory; keep it elsewhere",
            path.display()
        )));
    }
    secret_file::read_text(path)
}

fn is_inside(path: &Path, directory: &Directory) -> bool {
    fs::canonicalize(path).is_ok_and(|found| found.starts_with(directory.path()))
}

words! {
    /// What is done with a backup, as the log calls it.
    pub enum Deed {
        /// It was made.
        Create = "backup.create",
        /// It was restored for practice.
        Drill = "backup.drill",
        /// The role's store was restored from it.
        Restore = "backup.restore",
    }
}

/// What was done with a backup, and when. The role puts it on record, as only it writes its store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Act {
    pub(crate) deed: Deed,
    pub(crate) backup: String,
    pub(crate) at: Timestamp,
}

/// What a role remembers of its backups.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// When the last one was made, and read back.
    pub(crate) made: Option<Timestamp>,
    /// Where it was put.
    pub(crate) file: Option<PathBuf>,
    /// When one was last restored for practice.
    pub(crate) drilled: Option<Timestamp>,
    /// The last deeds, the newest last.
    #[serde(default)]
    pub(crate) acts: Vec<Act>,
}

impl Notes {
    /// Those of this role; `None` when there are none, or they cannot be read.
    pub(crate) fn of(directory: &Directory, role: Role) -> Option<Self> {
        let text = fs::read(directory.file(role, NOTES)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn add(&mut self, deed: Deed, backup: &str, at: Timestamp) {
        let backup = backup.to_owned();
        self.acts.push(Act { deed, backup, at });
        let more = self.acts.len().saturating_sub(ACTS_MAX);
        self.acts.drain(..more);
    }
}
