//! The data directory: where each role's files are, who may open them, and the lock that keeps a second process out.
//!
//! ```text
//! D/coffer.toml            settings, no secrets
//! D/public/                certificates of the authorities, readable by all
//! D/{api,vault,keys,simulator}/   0700, each the only place that its role can see
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use coffer_core::words;
use rustix::fs::FlockOperation;

use crate::{acting::ActingAsOwner, failure::Failure};

/// Only the role's own user.
const ROLE_MODE: u32 = 0o700;
/// Every role's user may look up what is shared.
const SHARED_MODE: u32 = 0o755;
/// What everybody may read.
const READABLE: u32 = 0o444;
/// Rights of anyone but the owner.
const NOT_OWNER: u32 = 0o077;

words! {
    /// A process that `coffer serve` runs.
    pub enum Role {
        /// Custody of keys.
        Keys = "keys",
        /// The payment provider of test mode.
        Simulator = "simulator",
        /// Card numbers.
        Vault = "vault",
        /// The public faces.
        Api = "api",
    }
}

impl ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.as_str()))
    }
}

impl Role {
    /// As its certificate names it; the simulator has no part in the links between roles.
    pub(crate) const fn on_links(self) -> Option<coffer_net::contract::Role> {
        match self {
            Self::Keys => Some(coffer_net::contract::Role::Keys),
            Self::Vault => Some(coffer_net::contract::Role::Vault),
            Self::Api => Some(coffer_net::contract::Role::Api),
            Self::Simulator => None,
        }
    }

    /// Whether its data goes where `[postgres]` says; the simulator stands for another company and keeps its own.
    pub(crate) const fn is_on_postgres(self) -> bool {
        match self {
            Self::Api | Self::Vault | Self::Keys => true,
            Self::Simulator => false,
        }
    }

    /// Whether it serves a face that browsers or foreign programs connect to.
    pub(crate) const fn has_face(self) -> bool {
        match self {
            Self::Api | Self::Vault | Self::Simulator => true,
            Self::Keys => false,
        }
    }
}

/// The data directory, by its absolute path.
#[derive(Debug, Clone)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// The directory of an existing installation.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let found = fs::canonicalize(path).and_then(|found| {
            if fs::metadata(found.join("coffer.toml"))?.is_file() {
                Ok(found)
            } else {
                Err(ErrorKind::NotFound.into())
            }
        });
        found.map(Self).map_err(|error| {
            Failure::Operator(if error.kind() == ErrorKind::PermissionDenied {
                format!(
                    "{shown} is closed to this user; each role's user must be able to enter it: chmod 755 {shown}"
                )
            } else {
                format!("{shown} is not a data directory; create it with: coffer init --dir {shown}")
            })
        })
    }

    /// Creates what is missing of the directories. Says nothing about files.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let doing = |error| Failure::doing(format_args!("creating {}", path.display()), error);
        make(path, SHARED_MODE).map_err(doing)?;
        let directory = Self(fs::canonicalize(path).map_err(doing)?);
        make(&directory.public(), SHARED_MODE).map_err(doing)?;
        for &role in Role::ALL {
            make(&directory.role(role), ROLE_MODE).map_err(doing)?;
        }
        Ok(directory)
    }

    /// Makes a role's directory, unless it is there.
    pub(crate) fn make_role(&self, role: Role) -> Result<(), Failure> {
        let path = self.role(role);
        make(&path, ROLE_MODE)
            .map_err(|error| Failure::doing(format_args!("creating {}", path.display()), error))
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The settings.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.0.join("coffer.toml")
    }

    /// What every role may read.
    pub(crate) fn public(&self) -> PathBuf {
        self.0.join("public")
    }

    /// The certificate of the internal authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.public().join("ca.pem")
    }

    /// The certificate of the development authority, which signs the faces on a developer's machine.
    pub(crate) fn development_authority(&self) -> PathBuf {
        self.public().join("development-ca.pem")
    }

    /// A role's own directory.
    pub(crate) fn role(&self, role: Role) -> PathBuf {
        self.0.join(role.as_str())
    }

    /// A file of a role's.
    pub(crate) fn file(&self, role: Role, name: &str) -> PathBuf {
        self.role(role).join(name)
    }

    /// A role's database, unless it is at a server.
    pub(crate) fn database(&self, role: Role) -> PathBuf {
        self.file(role, &format!("{role}.db"))
    }

    /// Where a running role listens for its operator.
    pub(crate) fn admin_socket(&self, role: Role) -> PathBuf {
        self.file(role, "admin.sock")
    }

    /// Gives each role's files to the owner of its directory, and lets all of them read what is public: `init` may run as root for
    /// roles that do not.
    pub(crate) fn settle_owners(&self) -> Result<(), Failure> {
        publish(&self.public()).map_err(|error| {
            let shown = self.public();
            Failure::doing(
                format_args!("opening the files in {}", shown.display()),
                error,
            )
        })?;
        Role::ALL
            .iter()
            .try_for_each(|role| self.settle_owner(*role))
    }

    /// Gives a role's files to the owner of its directory.
    pub(crate) fn settle_owner(&self, role: Role) -> Result<(), Failure> {
        let path = self.role(role);
        settle(&path).map_err(|error| {
            Failure::doing(
                format_args!("giving the files in {} to their owner", path.display()),
                error,
            )
        })
    }

    /// Checks that a role's directory is this user's and nobody else's.
    pub(crate) fn check_owner(&self, role: Role) -> Result<(), Failure> {
        let path = self.role(role);
        let shown = path.display();
        let metadata = fs::metadata(&path).map_err(|error| {
            Failure::Operator(format!(
                "{shown} cannot be opened: {error}; complete it with coffer init"
            ))
        })?;
        let user = rustix::process::geteuid().as_raw();
        // Root is no exception: files that it leaves here could not be read by the role.
        if metadata.uid() != user {
            return Err(Failure::Operator(format!(
                "{shown} belongs to another user, number {}; run as that user, or: chown -R {user} {shown}",
                metadata.uid()
            )));
        }
        if metadata.mode() & NOT_OWNER != 0 {
            return Err(Failure::Operator(format!(
                "{shown} can be opened by others; run: chmod 700 {shown}"
            )));
        }
        Ok(())
    }

    /// Locks a role's directory for this process, or `None` when another one has it.
    pub(crate) fn try_lock(&self, role: Role) -> Result<Option<Lock>, Failure> {
        let path = self.file(role, "lock");
        let doing = |error: std::io::Error| {
            Failure::doing(format_args!("locking {}", path.display()), error)
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(doing)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(doing(error.into())),
        }
    }

    /// The same for a command: root acts as the role's user for as long as it has the lock.
    pub(crate) fn try_lock_as_owner(&self, role: Role) -> Result<Option<OwnersLock>, Failure> {
        let acting = self.act_as_owner(role)?;
        let lock = self.try_lock(role)?;
        Ok(lock.map(|lock| OwnersLock {
            _lock: lock,
            _acting: acting,
        }))
    }

    /// Root acts as the user of a role's directory until this is dropped.
    pub(crate) fn act_as_owner(&self, role: Role) -> Result<ActingAsOwner, Failure> {
        let path = self.role(role);
        ActingAsOwner::of(&path).map_err(|error| {
            Failure::Operator(format!(
                "{} cannot be worked in: {error}; complete it with coffer init",
                path.display()
            ))
        })
    }

    /// Locks a role's directory, or says who has it.
    pub(crate) fn lock(&self, role: Role) -> Result<Lock, Failure> {
        self.try_lock(role)?.ok_or_else(|| {
            Failure::System(format!(
                "another process runs the role {role} in {}; stop it first",
                self.role(role).display()
            ))
        })
    }
}

/// A role's directory is this process's until the value is dropped, or the process ends in any way.
pub(crate) struct Lock {
    _file: File,
}

/// A command's, which is over first.
pub(crate) struct OwnersLock {
    // The order of fields is the order of their end.
    _lock: Lock,
    _acting: ActingAsOwner,
}

fn settle(directory: &Path) -> std::io::Result<()> {
    let owner = fs::metadata(directory)?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.uid() != owner.uid() {
            lchown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

fn publish(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_file() && metadata.mode() & READABLE != READABLE {
            let mode = metadata.mode() & 0o7777 | READABLE;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

fn make(path: &Path, mode: u32) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    // Whatever the umask says: other roles' users read what is shared.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_locked_once() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        let held = directory.lock(Role::Vault).unwrap();
        assert!(directory.try_lock(Role::Vault).unwrap().is_none());
        assert!(directory.try_lock(Role::Api).unwrap().is_some());
        drop(held);
        assert!(directory.try_lock(Role::Vault).unwrap().is_some());
    }

    #[test]
    fn a_directory_that_others_can_open_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        directory.check_owner(Role::Keys).unwrap();
        fs::set_permissions(
            directory.role(Role::Keys),
            fs::Permissions::from_mode(0o750),
        )
        .unwrap();
        assert!(matches!(
            directory.check_owner(Role::Keys),
            Err(Failure::Operator(_))
        ));
    }

    #[test]
    fn a_directory_without_settings_is_not_a_data_directory() {
        let place = tempfile::tempdir().unwrap();
        assert!(
            matches!(Directory::open(place.path()), Err(Failure::Operator(text)) if text.contains("coffer init"))
        );
    }
}
