//! Making a backup: one instant of the store, table by table, into a file that gets its name when it is whole and was read
//! back.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    iter::successors,
    path::Path,
    time::Duration,
};

use coffer_crypto::{SecretBytes, Stretch};
use coffer_db::{Error, Snapshot, Unavailable};
use coffer_net::Clock;
use tokio::time::sleep;

use super::{
    Deed, Site,
    content::{Manifest, Named, Summary, Tally, encoded},
    file::{Header, Writer},
    is_inside, verify,
};
use crate::{configuration::Profile, console, directory::Role, failure::Failure, runtime};

/// How the name of every backup ends.
const ENDING: &str = ".backup";

/// How long it waits before it tries again, at first and at most.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Makes a backup in this directory, and says where it is. So long it waits in all for what is away.
pub(super) fn run(
    site: &Site,
    to: &Path,
    passphrase: &SecretBytes,
    wait: Duration,
) -> Result<(), Failure> {
    runtime::command(patiently(wait, async || make(site, to, passphrase).await))
}

/// Tries again what failed because something is away, less and less often.
///
/// The command does this and not its unit: systemd (252) takes every restart of a unit for its success, and would begin the
/// backup that has to come after this one.
async fn patiently<T>(
    wait: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    for pause in pauses(wait) {
        match attempt().await {
            Err(Failure::Away(what)) => {
                let pause = pause.as_secs();
                console::complain(&format!("{what}; tried again in {pause} s"));
            }
            outcome => return outcome,
        }
        sleep(pause).await;
    }
    attempt().await
}

/// Pauses that take no longer than this together.
fn pauses(wait: Duration) -> impl Iterator<Item = Duration> {
    let longer = |pause: &Duration| Some(pause.saturating_mul(2).min(PAUSE_MAX));
    let all = successors(Some(PAUSE_FIRST), longer);
    all.scan(wait, |left, pause| {
        *left = left.checked_sub(pause)?;
        Some(pause)
    })
}

async fn make(site: &Site, to: &Path, passphrase: &SecretBytes) -> Result<(), Failure> {
    check_place(site, to)?;
    let now = Clock::system().now();
    let cost = match site.configuration.profile {
        Profile::Production => Stretch::ROOT,
        Profile::Development => Stretch::QUICK,
    };
    let header = Header::new(site.role, now.to_string(), cost)?;
    let path = to.join(file_name(&header));
    let doing = |error| Failure::doing(format_args!("writing {}", path.display()), error);
    // Without a name, and gone if anything fails, until it is known to be whole.
    let mut file = tempfile::Builder::new()
        .prefix(".coffer-")
        .tempfile_in(to)
        .map_err(doing)?;
    let snapshot = site.store()?.snapshot().await?;
    let manifest = write(site, &snapshot, &header, file.as_file_mut(), passphrase).await?;
    drop(snapshot);
    file.as_file().sync_all().map_err(doing)?;
    let read_back = verify::read(file.path(), passphrase)?.manifest;
    if read_back != manifest {
        return Err(Failure::System(format!(
            "what was read back is not what was written; is the disk at {} sound?",
            to.display()
        )));
    }
    let kept = file
        .persist_noclobber(&path)
        .map_err(|error| doing(error.error))?;
    let length = kept.metadata().map_err(doing)?.len();
    File::open(to)
        .and_then(|folder| folder.sync_all())
        .map_err(doing)?;
    site.note(|notes| {
        notes.made = Some(now);
        notes.file = Some(path.clone());
        notes.add(Deed::Create, &header.backup, now);
    })?;
    console::say(&format!(
        "{}: {} tables, {} rows, {length} bytes, read back and whole",
        path.display(),
        manifest.tables.len(),
        manifest.rows(),
    ));
    Ok(())
}

/// Keys are kept apart from what they open, and neither beside the store.
fn check_place(site: &Site, to: &Path) -> Result<(), Failure> {
    if is_inside(to, &site.directory) {
        return Err(Failure::Operator(format!(
            "{} is inside the data directory: what happens to one happens to the other; name another place",
            to.display()
        )));
    }
    let entries = fs::read_dir(to).map_err(|error| {
        Failure::Operator(format!(
            "{} is no directory to put a backup into: {error}",
            to.display()
        ))
    })?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::doing("looking for other backups", error))?;
        let other = role_of(&entry.file_name());
        if let Some(other) =
            other.filter(|other| (*other == Role::Keys) != (site.role == Role::Keys))
        {
            return Err(Failure::Operator(format!(
                "{} holds a backup of {other}: those of keys are kept apart from the others, so that a thief of one place \
                 cannot open what is in the other",
                to.display()
            )));
        }
    }
    Ok(())
}

fn file_name(header: &Header) -> String {
    let moment: String = header.made.split('.').next().unwrap_or_default().to_owned();
    let moment = moment.replace(['-', ':'], "");
    format!("coffer-{}-{moment}Z-{}{ENDING}", header.role, header.backup)
}

fn role_of(name: &OsStr) -> Option<Role> {
    let rest = name.to_str()?.strip_prefix("coffer-")?;
    let rest = rest.strip_suffix(ENDING)?;
    let mut roles = Role::ALL.iter().copied();
    roles.find(|role| rest.starts_with(&format!("{role}-")))
}

async fn write(
    site: &Site,
    snapshot: &Snapshot,
    header: &Header,
    file: &mut File,
    passphrase: &SecretBytes,
) -> Result<Manifest, Failure> {
    let schema = snapshot.version().await.map_err(of_store)?;
    let mut writer = Writer::begin(file, header, passphrase)?;
    let mut tables = Vec::new();
    for table in snapshot.tables().await.map_err(of_store)? {
        let named = Named::of(&table);
        writer.table(&named)?;
        tables.push(rows(snapshot, &table, named, |row| writer.row(row)).await?);
    }
    let manifest = Manifest {
        role: header.role.clone(),
        backup: header.backup.clone(),
        schema,
        key_check: site.key_check(&header.backup)?,
        tables,
    };
    let file = writer.end(&manifest)?;
    file.flush()
        .map_err(|error| Failure::doing("writing the backup", error))?;
    Ok(manifest)
}

/// Hands on every row of a table, encoded, and sums them up.
pub(super) async fn rows(
    snapshot: &Snapshot,
    table: &coffer_db::Table,
    named: Named,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Summary, Failure> {
    let mut tally = Tally::new(named);
    let row = |row: &[coffer_db::Value]| {
        let row = encoded(row);
        tally.add(&row);
        each(&row).map_err(Stopped::Here)
    };
    snapshot
        .rows(table, row)
        .await
        .map_err(|stopped| match stopped {
            Stopped::Here(failure) => failure,
            Stopped::Store(error) => of_store(error),
        })?;
    Ok(tally.summary())
}

/// Why the rows did not all go by.
enum Stopped {
    Here(Failure),
    Store(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// An error of the store that is copied.
pub(super) fn of_store(error: Error) -> Failure {
    match error {
        Error::Refused(text) => Failure::Operator(text),
        Error::Unavailable(Unavailable::ConnectionLost | Unavailable::Overloaded) => {
            Failure::Away(error.to_string())
        }
        Error::Unavailable(Unavailable::DiskFull | Unavailable::Io(_) | Unavailable::Closed)
        | Error::Conflict(_)
        | Error::Defect(_) => Failure::System(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_is_waited_for_so_long_and_no_longer() {
        let of = |wait| {
            let pauses = pauses(Duration::from_secs(wait));
            pauses.map(|pause| pause.as_secs()).collect::<Vec<_>>()
        };
        assert!(of(0).is_empty());
        assert_eq!(of(6), [1, 2]);
        assert_eq!(of(7), [1, 2, 4]);
        assert_eq!(of(63 + 130), [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test]
    async fn only_what_waiting_helps_is_tried_again() {
        for (failure, tries) in [
            (Failure::Away("PostgreSQL".to_owned()), 2),
            (Failure::Operator("the passphrase".to_owned()), 1),
            (Failure::System("the disk".to_owned()), 1),
        ] {
            let mut tried = 0;
            let attempt = async || -> Result<(), Failure> {
                tried += 1;
                Err(failure.clone())
            };
            let outcome = patiently(PAUSE_FIRST, attempt).await;
            assert_eq!((outcome, tried), (Err(failure), tries));
        }
    }

    #[test]
    fn a_lost_connection_is_waited_for_and_a_full_disk_is_not() {
        let of = |unavailable| of_store(Error::Unavailable(unavailable));
        assert!(matches!(of(Unavailable::ConnectionLost), Failure::Away(_)));
        assert!(matches!(of(Unavailable::Overloaded), Failure::Away(_)));
        assert!(matches!(of(Unavailable::DiskFull), Failure::System(_)));
    }

    #[test]
    fn a_name_says_whose_backup_it_is() {
        let header = Header::new(
            Role::Vault,
            "2026-11-25T19:03:51.123Z".to_owned(),
            Stretch::QUICK,
        )
        .unwrap();
        let name = file_name(&header);
        assert!(name.starts_with("coffer-vault-20261125T190351Z-"), "{name}");
        assert_eq!(role_of(OsStr::new(&name)), Some(Role::Vault));
        assert_eq!(role_of(OsStr::new("coffer-vault.tar")), None);
    }
}
