//! Who may open what.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use super::{
    Finding, Findings,
    code::Code,
    sight::{Sight, not_seen},
};
use crate::{
    directory::Role,
    init::{SERVICE_KEY, roles::CERTIFICATE_KEY},
    serve::store::PASSWORD,
};

/// Rights of anyone but the owner.
const NOT_OWNER: u32 = 0o077;
/// Rights to change, of anyone but the owner.
const OTHERS_WRITE: u32 = 0o022;
/// What is not a secret in a role's directory.
const PUBLIC: [&str; 2] = ["cert.pem", "face-cert.pem"];

/// The directories: each role's its own, and nobody else's.
pub(super) fn directories(sight: &Sight) -> Findings {
    let mut found = shared(sight);
    let everyone = [
        sight.directory.path().to_path_buf(),
        sight.directory.public(),
    ];
    let files = [sight.directory.configuration(), sight.directory.authority()];
    for path in everyone.iter().chain(&files) {
        if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & OTHERS_WRITE != 0) {
            let path = path.display();
            found.push(Finding::of(
                Code::SettingsWritable,
                format!("{path} can be changed by others than its owner"),
                format!("chmod go-w {path}"),
            ));
        }
    }
    for seen in &sight.roles {
        found.extend(directory(sight, seen.role));
    }
    found
}

fn directory(sight: &Sight, role: Role) -> Findings {
    let path = sight.directory.role(role);
    let shown = path.display();
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mend = format!("coffer init --dir {}", sight.directory.path().display());
            let what = format!("{shown} is missing");
            return vec![Finding::of(Code::DirectoryMissing, what, mend).at(role)];
        }
        Err(error) => return vec![not_seen(role, format_args!("{shown}: {error}"))],
    };
    let mut found = Vec::new();
    if metadata.mode() & NOT_OWNER != 0 {
        found.push(
            Finding::of(
                Code::DirectoryOpen,
                format!("{shown} can be opened by others"),
                format!("chmod 700 {shown}"),
            )
            .at(role),
        );
    }
    if is_wrongly_roots(sight, &metadata) {
        found.push(
            Finding::of(
                Code::DirectoryRoot,
                format!("{shown} belongs to root"),
                format!("give it to the role's own user: chown -R coffer-{role}: {shown}"),
            )
            .at(role),
        );
    }
    found
}

/// As root no role runs in production.
fn is_wrongly_roots(sight: &Sight, directory: &Metadata) -> bool {
    sight.is_production() && directory.uid() == 0
}

/// In production no two roles have one user.
fn shared(sight: &Sight) -> Findings {
    let mut owners: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for seen in &sight.roles {
        if let Ok(metadata) = fs::metadata(sight.directory.role(seen.role)) {
            owners
                .entry(metadata.uid())
                .or_default()
                .push(seen.role.as_str());
        }
    }
    let shared = owners
        .values()
        .filter(|roles| sight.is_production() && roles.len() > 1);
    shared
        .map(|roles| {
            Finding::of(
                Code::DirectoryShared,
                format!("{} have the same user", roles.join(" and ")),
                "give each role a user of its own: coffer init --print-systemd shows how",
            )
        })
        .collect()
}

/// What is in the roles' directories.
pub(super) fn secrets(sight: &Sight) -> Findings {
    let mut found = Vec::new();
    for seen in &sight.roles {
        let path = sight.directory.role(seen.role);
        match fs::read_dir(&path) {
            Ok(entries) => {
                // What has to be given to the role with all that is in it does not say whose its files should be.
                let directory = fs::metadata(&path).ok();
                let directory = directory.filter(|found| !is_wrongly_roots(sight, found));
                let owner = directory.map(|found| found.uid());
                for entry in entries.flatten() {
                    found.extend(file(seen.role, owner, &entry.path()));
                }
                found.extend(missing(sight, seen.role));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => found.push(not_seen(
                seen.role,
                format_args!(
                    "secrets, certificates, store and backups in {}: {error}",
                    path.display()
                ),
            )),
        }
    }
    found
}

fn file(role: Role, owner: Option<u32>, path: &Path) -> Findings {
    // Gone since it was listed, as a database's log may be.
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Vec::new();
    };
    let shown = path.display();
    let mut found = Vec::new();
    if owner.is_some_and(|owner| owner != metadata.uid()) {
        let owner = owner.unwrap_or_default();
        let what = format!(
            "{shown} belongs to user {}, its directory to {owner}",
            metadata.uid()
        );
        let mend = format!("chown {owner} {shown}");
        found.push(Finding::of(Code::FileForeign, what, mend).at(role));
    }
    let is_public = PUBLIC.iter().any(|name| path.ends_with(name));
    if is_plain(&metadata) && !is_public && metadata.mode() & NOT_OWNER != 0 {
        let what = format!("{shown} can be opened by others");
        found.push(Finding::of(Code::FileOpen, what, format!("chmod 600 {shown}")).at(role));
    }
    found
}

fn is_plain(metadata: &Metadata) -> bool {
    metadata.is_file() || metadata.file_type().is_socket()
}

/// The role would not start without these.
fn missing(sight: &Sight, role: Role) -> Findings {
    let mut needed = vec![CERTIFICATE_KEY];
    needed.extend(matches!(role, Role::Api | Role::Vault).then_some(SERVICE_KEY));
    let on_postgres = sight
        .settings()
        .is_some_and(|settings| settings.postgres.is_some());
    needed.extend((on_postgres && role.is_on_postgres()).then_some(PASSWORD));
    needed
        .into_iter()
        .filter(|_| role != Role::Simulator)
        .map(|name| sight.directory.file(role, name))
        .filter(|path| !path.exists())
        .map(|path| {
            Finding::of(
                Code::SecretMissing,
                format!("{} is missing", path.display()),
                "put it back from the operator's own copy; on a new installation: coffer init",
            )
            .at(role)
        })
        .collect()
}

/// What opens the root key.
pub(super) fn passphrase(sight: &Sight) -> Findings {
    // Where the key server is not, its passphrase is not either.
    if !sight.roles.iter().any(|seen| seen.role == Role::Keys) {
        return Vec::new();
    }
    let settings = sight.settings();
    let Some(path) = settings.and_then(|settings| settings.keys.passphrase_file.as_deref()) else {
        return Vec::new();
    };
    let shown = path.display();
    let exposed = |what: &str, mend: String| {
        vec![Finding::of(Code::PassphraseExposed, format!("{shown} {what}"), mend).at(Role::Keys)]
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return vec![not_seen(Role::Keys, format_args!("{shown}: {error}"))],
    };
    let is_inside =
        fs::canonicalize(path).is_ok_and(|path| path.starts_with(sight.directory.path()));
    if metadata.mode() & NOT_OWNER != 0 {
        exposed("can be opened by others", format!("chmod 600 {shown}"))
    } else if sight.is_production() && is_inside {
        exposed(
            "is inside the data directory, beside what it protects",
            "move it elsewhere and set [keys] passphrase_file".to_owned(),
        )
    } else {
        Vec::new()
    }
}
