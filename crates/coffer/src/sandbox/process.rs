//! What the process itself refuses: to run as root, to leave a core, to be read by a debugger of the same user; and what it
//! asks for: open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{configuration::Profile, failure::Failure};

/// Enough for every listener's connections.
const OPEN_FILES: u64 = 32 * 1024;

/// A role that runs as root could undo most of its own sandbox.
pub(crate) fn refuse_root(profile: Profile, allow_root: bool) -> Result<(), Failure> {
    decide(rustix::process::geteuid().is_root(), profile, allow_root)
        .map_err(|reason| Failure::Operator(reason.to_owned()))
}

fn decide(root: bool, profile: Profile, allow_root: bool) -> Result<(), &'static str> {
    match (profile, allow_root) {
        (Profile::Production, true) => Err(
            "--allow-root is for the development profile only; run each role as a user of its own",
        ),
        (Profile::Production, false) if root => {
            Err("a role does not run as root; give it a user of its own")
        }
        (Profile::Development, false) if root => Err(
            "a role does not run as root; run as another user, or add --allow-root (development only)",
        ),
        (Profile::Production, false) | (Profile::Development, true | false) => Ok(()),
    }
}

/// No core file, and on Linux no `/proc/<pid>/mem` and no debugger for other processes of the same user.
pub(super) fn harden() -> Result<(), Failure> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .map_err(|error| Failure::doing("forbidding core files", error))?;
    raise_open_files()?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| Failure::doing("making the process not dumpable", error))?;
    Ok(())
}

/// As many open files as the system lets it have: each connection is one, and the usual soft limit of 1024 is meant for
/// programs that use `select`.
fn raise_open_files() -> Result<(), Failure> {
    let allowed = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(allowed.unwrap_or(OPEN_FILES).min(OPEN_FILES)),
        maximum: allowed,
    };
    setrlimit(Resource::Nofile, limit)
        .map_err(|error| Failure::doing("raising the limit of open files", error))
}

/// Whether a crash leaves no core file.
pub(super) fn has_no_core() -> bool {
    getrlimit(Resource::Core).maximum == Some(0)
}

/// Whether others cannot read this process's memory.
#[cfg(target_os = "linux")]
pub(super) fn is_undumpable() -> bool {
    rustix::process::dumpable_behavior()
        .is_ok_and(|found| found == rustix::process::DumpableBehavior::NotDumpable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_refused_unless_a_developer_insists() {
        for (root, profile, allow_root, starts) in [
            (true, Profile::Production, true, false),
            (false, Profile::Production, true, false),
            (true, Profile::Production, false, false),
            (true, Profile::Development, false, false),
            (true, Profile::Development, true, true),
            (false, Profile::Production, false, true),
            (false, Profile::Development, false, true),
        ] {
            assert_eq!(
                decide(root, profile, allow_root).is_ok(),
                starts,
                "{root} {profile} {allow_root}"
            );
        }
    }
}
