//! An operator's places: a data directory, the passphrase of the backups, and a directory for each kind of backup.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use coffer_db::Migration;
use tempfile::TempDir;

use crate::BINARY;

/// Files that hold a secret, whose bytes must be in no backup.
const SECRETS: [&str; 12] = [
    "api/service.key",
    "api/key.pem",
    "api/face-key.pem",
    "api/postgres.password",
    "vault/service.key",
    "vault/key.pem",
    "vault/face-key.pem",
    "vault/postgres.password",
    "vault/simulator.credential",
    "keys/passphrase",
    "keys/key.pem",
    "keys/postgres.password",
];

/// Where backups are, and what opens them.
pub(crate) struct Shelf(TempDir);

impl Shelf {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for name in ["data", "keys"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let shelf = Self(place);
        secret(&shelf.passphrase(), "Zq0mT7fKx2Lr9Vw4Bn6H");
        shelf
    }

    pub(crate) fn passphrase(&self) -> PathBuf {
        self.0.path().join("passphrase")
    }

    /// Those of `keys` are kept apart.
    pub(crate) fn of(&self, role: &str) -> PathBuf {
        let name = if role == "keys" { "keys" } else { "data" };
        self.0.path().join(name)
    }

    /// The arguments that make a backup of this role.
    pub(crate) fn create(&self, role: &str) -> Vec<String> {
        let to = self.of(role);
        let words = ["backup", "create", role, "--to", to.to_str().unwrap()];
        words.map(str::to_owned).to_vec()
    }

    /// Makes a backup, and answers where it is.
    #[track_caller]
    pub(crate) fn made(&self, directory: &Path, role: &str) -> PathBuf {
        let arguments = self.create(role);
        self.accepted(directory, &as_strs(&arguments));
        self.found(role)
    }

    /// The backup of this role.
    pub(crate) fn found(&self, role: &str) -> PathBuf {
        let files = fs::read_dir(self.of(role)).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        let prefix = format!("coffer-{role}-");
        let is_of_role = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&prefix)
        };
        paths.find(is_of_role).unwrap()
    }

    /// Runs a command on a data directory with the passphrase of the backups.
    pub(crate) fn run(&self, directory: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--dir").arg(directory);
        command.env_clear();
        command.env("COFFER_BACKUP_PASSPHRASE_FILE", self.passphrase());
        command.output().unwrap()
    }

    #[track_caller]
    pub(crate) fn accepted(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = self.run(directory, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is said to the operator, who must change something.
    #[track_caller]
    pub(crate) fn refused(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = self.run(directory, arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        errors
    }
}

/// The id of the backup in this file.
pub(crate) fn id_of(file: &Path) -> String {
    let name = file.file_stem().unwrap().to_str().unwrap();
    name.rsplit('-').next().unwrap().to_owned()
}

/// The tables of a role's store.
pub(crate) fn migrations(role: &str) -> &'static [Migration] {
    match role {
        "api" => coffer_engine::MIGRATIONS,
        "vault" => coffer_vault::MIGRATIONS,
        "keys" => coffer_keys::MIGRATIONS,
        _ => panic!("{role} has no store"),
    }
}

pub(crate) fn as_strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

pub(crate) fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Another machine, with the settings and the secrets that its operator kept elsewhere, and no data.
pub(crate) fn new_machine(of: &Path) -> TempDir {
    let place = tempfile::Builder::new().prefix("coffer").tempdir().unwrap();
    let folder = |name: &str| {
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(place.path().join(name)).unwrap();
    };
    // What has secrets to be put back; the others are made when they are needed.
    ["api", "vault", "keys"].into_iter().for_each(folder);
    for file in ["api/service.key", "vault/service.key", "keys/passphrase"] {
        fs::copy(of.join(file), place.path().join(file)).unwrap();
    }
    let passphrase = place.path().join("keys/passphrase");
    let settings = format!(
        "profile = \"development\"\n[keys]\npassphrase_file = {:?}\n",
        passphrase.to_str().unwrap()
    );
    fs::write(place.path().join("coffer.toml"), settings).unwrap();
    place
}

/// Every secret file that this installation has, with its name.
pub(crate) fn secrets(directory: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let found = SECRETS
        .iter()
        .filter_map(|name| Some((*name, fs::read(directory.join(name)).ok()?)));
    found.collect()
}
