//! The stores: sound, of a schema that this program knows, on a disk or a server that keeps what it acknowledged.

use coffer_db::{RESERVE, Snapshot};
use rustix::fs::StatVfs;

use super::{
    Finding, Findings,
    code::Code,
    sight::{Running, Seen, Sight, not_seen},
};
use crate::{
    configuration::Configuration,
    directory::Role,
    failure::Failure,
    runtime,
    serve::{redis, schema::Schema, store::Store},
};

/// Below this a role may fail at any moment.
const FULL_BYTES: u64 = 256 * 1024 * 1024;
/// Below this somebody should look.
const LOW_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Of a hundred inodes, so many must be free.
const FULL_INODES: u64 = 1;
const LOW_INODES: u64 = 5;

/// What is in each store.
pub(super) fn sound(sight: &Sight) -> Findings {
    let Some(settings) = sight.settings() else {
        return Vec::new();
    };
    sight
        .open_roles()
        .filter_map(|seen| of(sight, settings, seen))
        .collect()
}

fn of(sight: &Sight, settings: &Configuration, seen: &Seen) -> Option<Finding> {
    let role = seen.role;
    let store = match Store::of(&sight.directory, settings.postgres.as_ref(), role) {
        Ok(store) => store,
        Err(failure) => return Some(failed(&failure).at(role)),
    };
    let path = sight.directory.database(role);
    if store.is_file() && !path.exists() {
        let what = format!("{} is missing", path.display());
        let mend = match role {
            Role::Simulator => "start it for the first time".to_owned(),
            Role::Api | Role::Vault | Role::Keys => {
                format!(
                    "start the role for the first time, or: coffer backup restore {role} BACKUP --passphrase-file FILE --dir {}",
                    sight.directory.path().display()
                )
            }
        };
        return Some(Finding::of(Code::StoreMissing, what, mend).at(role));
    }
    let at_rest = seen.running == Running::No && !path.with_extension("db-wal").exists();
    let looked = runtime::command(async {
        let snapshot = if store.is_file() && at_rest {
            Snapshot::of_sqlite_at_rest(&path)
                .map_err(|error| Failure::System(error.to_string()))?
        } else {
            store.snapshot().await?
        };
        let damage = snapshot
            .damage()
            .map_err(|error| Failure::System(error.to_string()))?;
        let version = snapshot.version().await;
        Ok((
            damage,
            version.map_err(|error| Failure::System(error.to_string()))?,
        ))
    });
    match looked {
        Ok((Some(damage), _)) => Some(damaged(&damage).at(role)),
        Ok((None, version)) => schema(seen, version).map(|finding| finding.at(role)),
        Err(failure) => Some(failed(&failure).at(role)),
    }
}

/// Its text says what mends it.
fn failed(failure: &Failure) -> Finding {
    match failure {
        Failure::Operator(text) => Finding::of(Code::StoreUnsafe, text, "see there"),
        Failure::Away(text) => Finding::of(
            Code::StoreUnsafe,
            text,
            "start PostgreSQL, or set [postgres] address",
        ),
        Failure::System(text) => damaged(text),
    }
}

fn damaged(what: &str) -> Finding {
    Finding::of(
        Code::StoreDamaged,
        what.lines().next().unwrap_or_default(),
        "stop the role, keep a copy of the file, look at the disk, restore the last backup: docs/operations.md",
    )
}

fn schema(seen: &Seen, version: i64) -> Option<Finding> {
    let known = Schema::of(seen.role)
        .migrations
        .last()
        .map_or(0, |last| last.version);
    if version > known {
        let what = format!("its schema is {version}; this program knows {known}");
        let mend = "run the version of Coffer that wrote it, or a newer one";
        Some(Finding::of(Code::StoreNewer, what, mend))
    } else if version < known {
        let what = format!("its schema is {version}, and becomes {known}");
        let mend = "make a backup, then start the role with this version";
        Some(Finding::of(Code::StoreOlder, what, mend))
    } else {
        None
    }
}

/// The server by which nodes of `api` share their rates.
pub(super) fn shared_rates(sight: &Sight) -> Findings {
    let redis = sight
        .settings()
        .and_then(|settings| settings.redis.as_ref());
    if redis.is_none() || !sight.open_roles().any(|seen| seen.role == Role::Api) {
        return Vec::new();
    }
    let asked = redis::script(&sight.directory, redis).and_then(|script| {
        let asking = async {
            match script {
                Some(script) => script.connect().await.map_err(Failure::Away),
                None => Ok(()),
            }
        };
        runtime::command(asking)
    });
    let finding = asked.err().map(|failure| {
        let mend =
            "start it, or set [redis] and api/redis.password: docs/operations.md, \"A second api\"";
        Finding::of(Code::RatesAlone, failure.to_string(), mend).at(Role::Api)
    });
    finding.into_iter().collect()
}

/// Room where the roles write.
pub(super) fn room(sight: &Sight) -> Findings {
    let mut found: Findings = sight
        .roles
        .iter()
        .filter_map(|seen| reserve(sight, seen))
        .collect();
    for seen in &sight.roles {
        let path = sight.directory.role(seen.role);
        match rustix::fs::statvfs(&path) {
            Ok(stat) => found.extend(left(&stat).map(|(code, what)| {
                let mend = "free some, or move the data directory to a larger disk: docs/operations.md, \"the disk is full\"";
                Finding::of(code, format!("{}: {what}", path.display()), mend).at(seen.role)
            })),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => found.push(not_seen(seen.role, format_args!("room at {}: {error}", path.display()))),
        }
    }
    found
}

/// A running role keeps one beside its file.
fn reserve(sight: &Sight, seen: &Seen) -> Option<Finding> {
    let database = sight.directory.database(seen.role);
    let path = database.with_extension(RESERVE);
    if seen.running != Running::Yes || !database.exists() || path.exists() {
        return None;
    }
    let what = format!("{} is not there", path.display());
    let mend = "free room on its disk, a GiB for the whole of it: the role makes the reserve again by itself";
    Some(Finding::of(Code::ReserveMissing, what, mend).at(seen.role))
}

fn left(stat: &StatVfs) -> Option<(Code, String)> {
    let bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    // Some file systems make inodes as they go.
    let of_inodes = |hundredth: u64| {
        stat.f_files > 0
            && stat.f_favail.saturating_mul(100) < stat.f_files.saturating_mul(hundredth)
    };
    let shown = || {
        format!(
            "{} MiB and {} inodes left",
            bytes / (1024 * 1024),
            stat.f_favail
        )
    };
    if bytes < FULL_BYTES || of_inodes(FULL_INODES) {
        Some((Code::DiskFull, shown()))
    } else if bytes < LOW_BYTES || of_inodes(LOW_INODES) {
        Some((Code::DiskLow, shown()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_said_to_be_low_before_it_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let mut stat = rustix::fs::statvfs(place.path()).unwrap();
        (stat.f_frsize, stat.f_files, stat.f_favail) = (4096, 1000, 500);
        let mut with = |bytes: u64, inodes: u64| {
            (stat.f_bavail, stat.f_favail) = (bytes / 4096, inodes);
            left(&stat).map(|(code, _)| code)
        };
        assert_eq!(with(LOW_BYTES, 500), None);
        assert_eq!(with(LOW_BYTES - 4096, 500), Some(Code::DiskLow));
        assert_eq!(with(FULL_BYTES - 4096, 500), Some(Code::DiskFull));
        assert_eq!(with(LOW_BYTES, 49), Some(Code::DiskLow));
        assert_eq!(with(LOW_BYTES, 9), Some(Code::DiskFull));
    }
}
