//! `coffer doctor`: looks at an installation, running or not, changes nothing, and says what is wrong and what mends it.
//!
//! A check is a row in [`CHECKS`], what it can find a row in [`code`]. What could not be looked at is a finding too: silence
//! means that all is well, and nothing else.

mod backups;
mod certificates;
mod code;
mod files;
mod machine;
mod processes;
mod settings;
mod sight;
mod stores;

use std::process::ExitCode;

use serde_json::json;

use crate::{cli::DoctorArguments, console, directory::Role, failure::Failure};
use code::{Code, Severity};
use sight::Sight;

/// Something to be said about an installation.
pub(super) struct Finding {
    code: Code,
    role: Option<Role>,
    what: String,
    mend: String,
}

impl Finding {
    fn of(code: Code, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            code,
            role: None,
            what: what.into(),
            mend: mend.into(),
        }
    }

    fn at(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }
}

type Findings = Vec<Finding>;
/// What is looked at, and how.
type Check = (&'static str, fn(&Sight) -> Findings);

/// Everything that is looked at, in this order.
const CHECKS: &[Check] = &[
    ("settings", settings::readable),
    ("profile", settings::profile),
    ("directories", files::directories),
    ("files", files::secrets),
    ("passphrase file", files::passphrase),
    ("certificates of faces", certificates::of_faces),
    ("certificates of roles", certificates::of_roles),
    ("clock", machine::clock),
    ("stores", stores::sound),
    ("disk", stores::room),
    ("shared rates", stores::shared_rates),
    ("processes", processes::running),
    ("readiness", processes::ready),
    ("listeners", processes::reachable),
    ("sandbox", processes::confined),
    ("kernel", machine::kernel),
    ("backups", backups::recent),
    ("limits", processes::limits),
];

/// Looks, and says what was found; the exit status is 0 when all is well, 1 after warnings, 2 after errors.
pub(crate) fn run(arguments: &DoctorArguments) -> Result<ExitCode, Failure> {
    coffer_net::tls::install_provider();
    let sight = Sight::of(arguments)?;
    let findings: Findings = CHECKS.iter().flat_map(|(_, check)| check(&sight)).collect();
    if arguments.json {
        console::say(&as_json(&sight, &findings).to_string());
    } else {
        as_text(&sight, &findings);
    }
    let worst = findings.iter().map(|finding| finding.code.severity()).max();
    Ok(match worst {
        None | Some(Severity::Note) => ExitCode::SUCCESS,
        Some(Severity::Unseen | Severity::Warning) => ExitCode::from(1),
        Some(Severity::Error) => ExitCode::from(2),
    })
}

fn as_json(sight: &Sight, findings: &[Finding]) -> serde_json::Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code.id(),
                "name": finding.code.name(),
                "severity": finding.code.severity().as_str(),
                "role": finding.role.map(Role::as_str),
                "what": finding.what,
                "mend": finding.mend,
            })
        })
        .collect();
    let checks: Vec<_> = CHECKS.iter().map(|(name, _)| *name).collect();
    json!({
        "directory": sight.directory.path(),
        "time": sight.now.to_string(),
        "checks": checks,
        "findings": findings,
    })
}

fn as_text(sight: &Sight, findings: &[Finding]) {
    console::say(&format!(
        "{}: {} checks, {} findings",
        sight.directory.path().display(),
        CHECKS.len(),
        findings.len()
    ));
    for finding in findings {
        console::say(&format!(
            "  {:<8} {} {:<24} {:<10} {}",
            finding.code.severity().as_str(),
            finding.code.id(),
            finding.code.name(),
            finding.role.map_or("-", Role::as_str),
            finding.what
        ));
        console::say(&format!("{:>14} {}", "→", finding.mend));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_code_is_one_of_its_own_and_documented_as_it_is() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.md");
        let page = fs::read_to_string(page).unwrap();
        let mut ids = BTreeSet::new();
        for code in Code::ALL {
            assert!(ids.insert(code.id()), "{} is used twice", code.id());
            let row = format!(
                "| {} | `{}` | {} | {} |",
                code.id(),
                code.name(),
                code.severity().as_str(),
                code.meaning()
            );
            assert!(page.contains(&row), "docs/doctor.md lacks: {row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| D"));
        assert_eq!(
            rows.count(),
            Code::ALL.len(),
            "docs/doctor.md has a row too many"
        );
    }
}
