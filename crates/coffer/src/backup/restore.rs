//! Restoring a backup: always first into a scratch file, where everything is proved; only then into its empty place.
//!
//! Nothing is ever overwritten. A drill ends after the proof.

use std::{fs, fs::File, path::Path};

use coffer_audit::{Trust, Verdict, merkle::Tree};
use coffer_crypto::SecretBytes;
use coffer_db::{Database, Filling, Migration, Snapshot, Table};
use coffer_net::Clock;
use data_encoding::HEXLOWER;
use tempfile::TempDir;

use super::{
    Deed, Site,
    content::{Manifest, Named, Part, decoded},
    create::{of_store, rows},
    file::{Reader, broken},
    verify::{self, Whole},
};
use crate::{console, directory::Role, failure::Failure, init::SERVICE_KEY, runtime};

/// Rows that are inserted at once.
const ROWS_AT_ONCE: usize = 256;

/// Restores into a scratch directory, proves what is there, and deletes it.
pub(super) fn drill(site: &Site, file: &Path, passphrase: &SecretBytes) -> Result<(), Failure> {
    let proved = prove(site, file, passphrase)?;
    let now = Clock::system().now();
    site.note(|notes| {
        notes.drilled = Some(now);
        notes.add(Deed::Drill, &proved.whole.header.backup, now);
    })?;
    proved.say("would restore to");
    console::say("  the drill's copy is deleted");
    Ok(())
}

/// Restores to where the role looks for its data.
pub(super) fn run(site: &Site, file: &Path, passphrase: &SecretBytes) -> Result<(), Failure> {
    let _lock = site.directory.lock(site.role)?;
    let database = site.directory.database(site.role);
    if database.exists() {
        return Err(Failure::Operator(format!(
            "there is a store already, {}: a backup is restored into an empty place only; move it away first",
            database.display()
        )));
    }
    let proved = prove(site, file, passphrase)?;
    let store = site.store()?;
    if store.is_file() {
        let doing = |error| Failure::doing(format_args!("placing {}", database.display()), error);
        fs::rename(proved.scratch.path().join(SCRATCH), &database).map_err(doing)?;
        File::open(site.directory.role(site.role))
            .and_then(|folder| folder.sync_all())
            .map_err(doing)?;
    } else {
        runtime::command(async {
            let migrations = migrations(site, &proved.whole.manifest)?;
            let filling = store.fill(migrations).await?;
            load(file, passphrase, &proved.whole.manifest, filling).await?;
            compare(&store.snapshot().await?, &proved.whole.manifest).await
        })?;
    }
    let now = Clock::system().now();
    site.note(|notes| notes.add(Deed::Restore, &proved.whole.header.backup, now))?;
    proved.say("restored");
    proved.say_next(site);
    Ok(())
}

/// The scratch store's file.
const SCRATCH: &str = "restored.db";

/// A backup that was restored to a scratch file, and is what it says.
struct Proved {
    whole: Whole,
    log: Tree,
    scratch: TempDir,
}

fn prove(site: &Site, file: &Path, passphrase: &SecretBytes) -> Result<Proved, Failure> {
    let whole = verify::read(file, passphrase)?;
    check_belongs(site, &whole)?;
    let scratch = tempfile::Builder::new()
        .prefix("restoring-")
        .tempdir_in(site.directory.role(site.role))
        .map_err(|error| Failure::doing("making a scratch directory", error))?;
    let path = scratch.path().join(SCRATCH);
    let manifest = &whole.manifest;
    let log = runtime::command(async {
        let filling = Filling::into_sqlite(&path, migrations(site, manifest)?).map_err(of_store)?;
        load(file, passphrase, manifest, filling).await?;
        compare(&Snapshot::of_sqlite(&path).map_err(of_store)?, manifest).await?;
        prove_log(site, &path).await
    })?;
    Ok(Proved {
        whole,
        log,
        scratch,
    })
}

/// Another role's data has no business here, nor data that this role's key does not open.
fn check_belongs(site: &Site, whole: &Whole) -> Result<(), Failure> {
    let role = site.role;
    if whole.header.role != role.as_str() {
        return Err(Failure::Operator(format!(
            "this is a backup of {}, not of {role}; nothing was restored",
            whole.header.role
        )));
    }
    let found = site.key_check(&whole.header.backup)?;
    let wanted = &whole.manifest.key_check;
    if let (Some(found), Some(wanted)) = (found, wanted)
        && found != *wanted
    {
        return Err(Failure::Operator(format!(
            "{} is not the key that this backup's data was sealed under: what is restored could not be read; put the key's own \
             copy there first",
            site.directory.file(role, SERVICE_KEY).display()
        )));
    }
    Ok(())
}

/// Those that the store had seen.
fn migrations(site: &Site, manifest: &Manifest) -> Result<&'static [Migration], Failure> {
    let known = site.schema.migrations;
    let seen = known
        .iter()
        .position(|migration| migration.version == manifest.schema)
        .and_then(|last| known.get(..=last));
    seen.ok_or_else(|| {
        Failure::Operator(format!(
            "this backup has schema {}, which this version of Coffer does not know; restore it with the version that made it",
            manifest.schema
        ))
    })
}

/// Fills an empty store with the rows of a file.
async fn load(
    file: &Path,
    passphrase: &SecretBytes,
    manifest: &Manifest,
    filling: Filling,
) -> Result<(), Failure> {
    let (_, mut reader) = Reader::open(file, passphrase)?;
    let tables = filling.tables().await.map_err(of_store)?;
    let mut into: Option<&Table> = None;
    let mut waiting = Vec::with_capacity(ROWS_AT_ONCE);
    loop {
        let part = reader.part()?;
        if !matches!(part, Part::Row(_)) || waiting.len() == ROWS_AT_ONCE {
            if let Some(table) = into {
                filling.insert(table, &waiting).await.map_err(of_store)?;
            }
            waiting.clear();
        }
        match part {
            Part::Table(named) => into = Some(table_of(&tables, &named)?),
            Part::Row(row) => waiting.push(decoded(&row)?),
            Part::End(end) if end == *manifest => break,
            Part::End(_) => return Err(broken("it changed while it was read")),
        }
    }
    filling.commit().await.map_err(of_store)
}

/// By its name and its columns: what is written where is said by this program's tables, not by the file.
fn table_of<'t>(tables: &'t [Table], named: &Named) -> Result<&'t Table, Failure> {
    let found = tables
        .iter()
        .find(|table| table.name == named.table && table.columns == named.columns);
    found.ok_or_else(|| {
        broken(format_args!(
            "its table {} is not one of this schema's",
            named.table
        ))
    })
}

/// Reads the restored store again: every row of every table, and no other.
async fn compare(restored: &Snapshot, manifest: &Manifest) -> Result<(), Failure> {
    let mut found = Vec::new();
    for table in restored.tables().await.map_err(of_store)? {
        found.push(rows(restored, &table, Named::of(&table), |_| Ok(())).await?);
    }
    if found != manifest.tables {
        return Err(broken("what it restores to is not what it was made of"));
    }
    Ok(())
}

/// Opens the store as the role will (older tables are brought up to date), and verifies its log.
async fn prove_log(site: &Site, path: &Path) -> Result<Tree, Failure> {
    let opened = Database::open_sqlite(path, site.schema.migrations, site.schema.statements);
    let db = opened.map_err(of_store)?;
    let public_key = match site.role {
        Role::Keys => coffer_keys::checkpoint_key(&db).await.ok(),
        Role::Api | Role::Vault | Role::Simulator => None,
    };
    let trust = Trust {
        role: site.role.as_str(),
        public_key,
        remembered: None,
        audit: None,
        now: Clock::system().now(),
    };
    let verdict = coffer_audit::verify(&db, &trust).await;
    db.close().await;
    let Verdict { tree, fault, .. } =
        verdict.map_err(|error| broken(format_args!("its log cannot be read: {error}")))?;
    match fault {
        None => Ok(tree),
        Some(fault) => Err(broken(format_args!("its log does not verify: {fault}"))),
    }
}

impl Proved {
    fn say(&self, what: &str) {
        let Whole { header, manifest } = &self.whole;
        console::say(&format!(
            "{what} {} as of {}: {} tables, {} rows, each as it was; its log verifies, {} entries",
            header.role,
            header.made,
            manifest.tables.len(),
            manifest.rows(),
            self.log.size
        ));
    }

    fn say_next(&self, site: &Site) {
        let role = site.role;
        let key = site.directory.file(role, SERVICE_KEY);
        if self.whole.manifest.key_check.is_some() && !key.exists() {
            console::say(&format!(
                "  before it starts: put its key's own copy to {}",
                key.display()
            ));
        }
        if role != Role::Keys {
            console::say(&format!(
                "  the key server remembers a longer log of {role} than this one if work went on after the backup; once it runs:\n  \
                 coffer keys accept-restore {role} --size {} --root {} --dir {}",
                self.log.size,
                HEXLOWER.encode(&self.log.root),
                site.directory.path().display()
            ));
        }
    }
}
