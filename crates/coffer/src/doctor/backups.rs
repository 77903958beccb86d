//! Whether there is something to come back from.

use super::{Finding, Findings, code::Code, sight::Sight};
use crate::{backup::Notes, directory::Role};

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
            let notes = Notes::of(&sight.directory, role).unwrap_or_default();
            if notes.made.is_none() && !sight.is_production() {
                Vec::new()
            } else {
                of(sight, role, &notes, hours)
            }
        })
        .collect()
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
