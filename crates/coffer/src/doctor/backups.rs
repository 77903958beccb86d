//! Whether there is something to come back from.

use coffer_audit::Audit;
use coffer_core::{Timestamp, time::DAY_MS};
use coffer_engine::{RecordFilter, records_of};

use super::{Finding, Findings, code::Code, sight::Sight};
use crate::{
    backup::{Deed, Notes},
    configuration::Configuration,
    directory::Role,
    failure::Failure,
    runtime,
    serve::{schema::Schema, store::Store},
};

const HOUR_MS: i64 = 60 * 60 * 1000;
const DRILL_DAYS: i64 = 90;

/// Every role's last backup and last drill. A developer need not have any.
pub(super) fn recent(sight: &Sight) -> Findings {
    let Some(settings) = sight.settings() else {
        return Vec::new();
    };
    let hours = i64::from(settings.backup.warn_after_hours);
    let roles = sight.open_roles().map(|seen| seen.role);
    let roles = roles.filter(|role| *role != Role::Simulator);
    roles
        .flat_map(|role| {
            let mut notes = Notes::of(&sight.directory, role).unwrap_or_default();
            let is_well = of(sight, role, &notes, hours).is_empty();
            if !is_well && role == Role::Api && settings.postgres.is_some() {
                add_those_of_other_nodes(sight, settings, &mut notes);
            }
            if notes.made.is_none() && !sight.is_production() {
                Vec::new()
            } else {
                of(sight, role, &notes, hours)
            }
        })
        .collect()
}

/// Of several nodes one makes the backups and notes it; the others have it on record in the store that they share.
fn add_those_of_other_nodes(sight: &Sight, settings: &Configuration, notes: &mut Notes) {
    // What cannot be read is another check's to say.
    let found = runtime::command(on_record(sight, settings)).unwrap_or_default();
    notes.made = notes.made.max(found.made);
    notes.drilled = notes.drilled.max(found.drilled);
}

async fn on_record(sight: &Sight, settings: &Configuration) -> Result<Notes, Failure> {
    let store = Store::of(&sight.directory, settings.postgres.as_ref(), Role::Api)?;
    let schema = Schema::of(Role::Api);
    let version = store.snapshot().await?.version().await;
    // To open an older one would bring its tables up to date.
    if version.ok() != schema.migrations.last().map(|last| last.version) {
        return Ok(Notes::default());
    }
    let db = store.open(schema.migrations, schema.statements).await?;
    let last = async |deed: Deed| -> Result<Option<Timestamp>, Failure> {
        let log = (&Audit::impersonal("doctor"), &db, sight.now);
        let filter = RecordFilter {
            action: Some(deed.as_str().to_owned()),
            from: Some(sight.now.plus_millis(-DRILL_DAYS * DAY_MS)),
            ..RecordFilter::default()
        };
        let mut after = None;
        loop {
            let page = records_of(log, &filter, after).await;
            let page = page.map_err(|error| Failure::doing("reading the log of api", error))?;
            after = page.next;
            let newest = page.items.first();
            if newest.is_some() || after.is_none() {
                return Ok(newest.map(|record| record.entry.recorded.time));
            }
        }
    };
    let found = Notes {
        made: last(Deed::Create).await?,
        drilled: last(Deed::Drill).await?,
        ..Notes::default()
    };
    db.close().await;
    Ok(found)
}

fn of(sight: &Sight, role: Role, notes: &Notes, hours: i64) -> Findings {
    let dir = sight.directory.path().display();
    let create = format!(
        "coffer backup create {role} --to FOLDER --passphrase-file FILE --dir {dir}, every day: docs/operations.md"
    );
    let Some(made) = notes.made else {
        return vec![Finding::of(Code::BackupNever, "there is no backup", create).at(role)];
    };
    let mut found = Vec::new();
    let age = sight.now.since(made).div_euclid(HOUR_MS);
    if age > hours {
        let what = format!("the last backup is {age} hours old");
        found.push(Finding::of(Code::BackupOld, what, create).at(role));
    }
    if let Some(file) = notes.file.as_ref().filter(|file| !file.exists()) {
        let what = format!("{} is not there any more", file.display());
        let mend = "none, if it was moved to another machine";
        found.push(Finding::of(Code::BackupGone, what, mend).at(role));
    }
    let drilled = notes
        .drilled
        .map(|drilled| sight.now.since(drilled).div_euclid(24 * HOUR_MS));
    if drilled.is_none_or(|days| days > DRILL_DAYS) {
        let what = match drilled {
            None => "no backup was ever restored for practice".to_owned(),
            Some(days) => format!("the last drill was {days} days ago"),
        };
        let mend = format!(
            "coffer backup restore {role} BACKUP --drill --passphrase-file FILE --dir {dir}"
        );
        found.push(Finding::of(Code::DrillOld, what, mend).at(role));
    }
    found
}
